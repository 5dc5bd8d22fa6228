"""Archives that this project has no reader for, with one stored file: the packers' names are in what they begin with.

Source: 7-Zip's ``7zFormat.txt``; the technical note on RAR 5.0 archives.
"""

from __future__ import annotations

import struct
import zlib

from tests.corpus.graphs import protobuf_number

SEVEN_ZIP, RAR = b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\7\1\0"
_MAIN, _FILE, _END = 1, 2, 5
_HAS_CONTENT = 2


def seven_zip(name: str, content: bytes) -> bytes:
    """Return a 7z archive of one file, as ``7z a -mx0 -mhc=off`` packs it."""
    size, title = _number(len(content)), name.encode("utf-16-le") + b"\0\0"
    packed = b"\x06" + _number(0) + _number(1) + b"\x09" + size + b"\0"
    folder = b"\x0b" + _number(1) + b"\0" + _number(1) + b"\x01\0"
    unpacked = b"\x07" + folder + b"\x0c" + size + b"\0"
    streams = b"\x08\x0a\x01" + _checksum(content) + b"\0"
    files = b"\x05" + _number(1) + b"\x11" + _number(len(title) + 1) + b"\0" + title + b"\0"
    header = b"\x01\x04" + packed + unpacked + streams + b"\0" + files + b"\0"
    start = struct.pack("<2Q", len(content), len(header)) + _checksum(header)
    return SEVEN_ZIP + b"\0\4" + _checksum(start) + start + content + header


def rar(name: str, content: bytes) -> bytes:
    """Return a RAR archive of one file, as ``rar a -m0`` packs it."""
    title = name.encode()
    size, checked, unix, readable = _count(len(content)), _count(4), _count(1), _count(0o100644)
    stated = checked + size + readable + _checksum(content) + _count(0) + unix + _count(len(title)) + title
    file = _block(_FILE, _count(_HAS_CONTENT) + size + stated) + content
    return RAR + _block(_MAIN, _count(0) * 2) + file + _block(_END, _count(0) * 2)


def _block(kind: int, body: bytes) -> bytes:
    stated = _count(kind) + body
    counted = _count(len(stated)) + stated
    return _checksum(counted) + counted


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(content))


def _number(value: int) -> bytes:
    """Return a number as 7z writes it: the first byte's leading ones count the bytes that follow."""
    more = next(count for count in range(8) if value < 1 << 7 * (count + 1))
    first = (0xFF00 >> more & 0xFF) | value >> 8 * more
    return bytes([first]) + (value & (1 << 8 * more) - 1).to_bytes(more, "little")


#: RAR counts as protobuf does, seven bits a byte.
_count = protobuf_number
