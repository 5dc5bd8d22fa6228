"""Readers of 7z and RAR archives whose files are stored, as tools have them that open whatever an archive is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from tests.corpus.packers import RAR
from tests.corpus.trusting.archives import unpickle
from tests.corpus.trusting.loader import Loader

_START = struct.Struct("<6s2sI2QI")
_NAMES = 0x11
_FILE = 2
_HAS_EXTRA, _HAS_CONTENT = 1, 2
_HAS_TIME, _HAS_CHECKSUM = 2, 4


class _Reader:
    """Reads numbers and properties from the front of a header."""

    def __init__(self, content: bytes) -> None:
        self._stream = BytesIO(content)

    def take(self, count: int) -> bytes:
        taken = self._stream.read(count)
        if len(taken) < count:
            raise ValueError("The header ends before what it states.")
        return taken

    def expect(self, *marks: int) -> None:
        taken = self.take(len(marks))
        if taken != bytes(marks):
            raise ValueError(f"The archive is not one of stored files: {taken.hex()} stands in its header.")

    def number(self) -> int:
        """Return a number of 7z: the first byte's leading ones count the bytes that follow."""
        first = self.take(1)[0]
        more = 8 - (first ^ 0xFF).bit_length()
        return (first & 0x7F >> more) << 8 * more | int.from_bytes(self.take(more), "little")

    def count(self) -> int:
        """Return a number of RAR: seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def _stored_in_7z(path: Path) -> Iterator[tuple[str, bytes]]:
    content = path.read_bytes()
    _, _, _, begins, length, _ = _START.unpack_from(content)
    header = _Reader(content[_START.size + begins :][:length])
    header.expect(0x01, 0x04, 0x06)
    place = _START.size + header.number()
    header.expect(0x01, 0x09)
    size = header.number()
    header.expect(0x00, 0x07, 0x0B, 0x01, 0x00, 0x01, 0x01, 0x00, 0x0C)
    header.number()
    header.expect(0x00, 0x08, 0x0A, 0x01)
    header.take(4)
    header.expect(0x00, 0x00, 0x05, 0x01, _NAMES)
    name = header.take(header.number())[1:-2].decode("utf-16-le")
    yield name, content[place : place + size]


def _stored_in_rar(path: Path) -> Iterator[tuple[str, bytes]]:
    content = path.read_bytes()
    place = len(RAR)
    while place < len(content):
        block = _Reader(content[place + 4 :])
        length = block.count()
        place += 4 + len(_counted(length)) + length
        kind, flags = block.count(), block.count()
        if flags & _HAS_EXTRA:
            block.count()
        size = block.count() if flags & _HAS_CONTENT else 0
        if kind == _FILE:
            yield _title(block), content[place : place + size]
        place += size


def _counted(value: int) -> bytes:
    return bytes((value.bit_length() + 6) // 7 or 1)


def _title(block: _Reader) -> str:
    flags = block.count()
    block.count()
    block.count()
    block.take(4 * bool(flags & _HAS_TIME) + 4 * bool(flags & _HAS_CHECKSUM))
    block.count()
    block.count()
    return block.take(block.count()).decode()


LOADERS = {
    "7z.pickle": Loader(lambda path: unpickle(_stored_in_7z(path))),
    "rar.pickle": Loader(lambda path: unpickle(_stored_in_rar(path))),
}
