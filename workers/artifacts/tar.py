"""A strict tar reader: plain files in POSIX ustar headers, one after another, and nothing else.

Readers of tar disagree about extensions that change the name or the size of what follows (pax and GNU headers), about
links, and about what stands behind the end. None of it is taken: each header has its checksum, octal numbers and zero
padding, each file is padded with zeros, and the archive ends with zero blocks.

Source: POSIX.1-1988 and IEEE Std 1003.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from workers.artifacts.findings import refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.paths import DistinctNames, plain_path

_BLOCK = 512
_CHUNK_BYTES = 1024 * 1024
_END_BLOCKS = 2
#: Writers pad the end to records of 20 blocks; some to more.
_MAX_END_BLOCKS = 256
_NAME, _NUMBERS, _CHECKSUM = slice(0, 100), slice(100, 148), slice(148, 156)
_TYPE, _LINK, _MAGIC, _REST = slice(156, 157), slice(157, 257), slice(257, 265), slice(265, 512)
_SIZE, _PREFIX, _PADDING = slice(124, 136), slice(345, 500), slice(500, 512)
#: ``ustar\\0`` and version 00, or what GNU tar writes in its place.
_MAGICS = (b"ustar\x0000", b"ustar  \x00")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]+")
_FILE, _FOLDER = b"0", b"5"
_EXTENSIONS = {b"x": "a pax header", b"g": "a pax header", b"L": "a GNU long name", b"K": "a GNU long link name"}
_LINKS = (b"1", b"2")


@dataclass(frozen=True)
class TarEntry:
    """One plain file of the archive."""

    name: str
    size_bytes: int
    content_offset: int


class TarArchive:
    """An archive that was read whole: every header checked, every padding byte zero.

    Raises:
        RefusalError: the file is not a canonical archive, or is larger than the limits.
    """

    def __init__(self, stream: BinaryIO, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._size = stream.seek(0, os.SEEK_END)
        self._names = DistinctNames()
        self.entries: dict[str, TarEntry] = {}
        self._read()

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of an entry of at most ``limit`` bytes."""
        entry = self._entry(name)
        if entry.size_bytes > limit:
            detail = f"The entry has {entry.size_bytes:,} bytes; the limit for it is {limit:,}."
            raise refusal("ART-02.too_large", detail, name)
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of an entry in pieces."""
        entry = self._entry(name)
        for at in range(0, entry.size_bytes, _CHUNK_BYTES):
            yield self._at(entry.content_offset + at, min(_CHUNK_BYTES, entry.size_bytes - at))

    def offset_of(self, name: str) -> int | None:
        """Return the byte of the file at which an entry lies; nothing is compressed."""
        return self._entry(name).content_offset

    def _entry(self, name: str) -> TarEntry:
        try:
            return self.entries[name]
        except KeyError:
            raise refusal("ART-02.missing_entry", f"The archive has no entry {shown(name)}.", name) from None

    def _at(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(length)

    def _read(self) -> None:
        position = total = count = 0
        while True:
            header = self._at(position, _BLOCK)
            place = f"byte {position:,}"
            if len(header) != _BLOCK:
                raise refusal("ART-02.truncated", "The archive has no end: the upload is cut off.", place)
            if not any(header):
                break
            name, size, is_folder = self._read_header(header, place)
            count += 1
            if count > self._limits.entries:
                detail = f"The archive has more than {self._limits.entries:,} entries."
                raise refusal("ART-02.too_large", detail, place)
            if position + _BLOCK + size > self._size:
                raise refusal("ART-02.truncated", "The content of the entry is cut off.", name)
            total += size
            if total > self._limits.total_bytes:
                detail = f"The archive holds more than {self._limits.total_bytes:,} bytes."
                raise refusal("ART-02.too_large", detail, name)
            self._names.add(name, is_folder=is_folder)
            if not is_folder:
                self.entries[name] = TarEntry(name, size, position + _BLOCK)
            position = self._check_padding(name, position + _BLOCK + size)
        if not self.entries:
            raise refusal("ART-02.archive", "The archive has no entry.", "byte 0")
        self._check_end(position)

    def _read_header(self, header: bytes, place: str) -> tuple[str, int, bool]:
        """Return the name, the size, and whether it is a folder."""
        if header[_MAGIC] not in _MAGICS:
            raise refusal("ART-02.archive", "There is no ustar header.", place)
        kind = header[_TYPE]
        if kind in _EXTENSIONS:
            detail = f"The entry is {_EXTENSIONS[kind]}, which changes the next one; write the archive as plain ustar."
            raise refusal("ART-02.archive", detail, place)
        if kind in _LINKS or any(header[_LINK]):
            raise refusal("ART-02.link", "The entry is a link; plain files are taken.", place)
        if kind not in (_FILE, _FOLDER):
            detail = f"The entry is of type {shown(kind)}; plain files and folders are taken."
            raise refusal("ART-02.archive", detail, place)
        spaced = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
        if _number(header[_CHECKSUM], place) != sum(spaced):
            raise refusal("ART-02.checksum", "The checksum of the header is not that of its bytes.", place)
        for start in range(_NUMBERS.start, _SIZE.start, 8):
            _number(header[start : start + 8], place)
        if any(header[_PADDING]):
            raise refusal("ART-02.archive", "The padding of the header holds data.", place)
        size = _number(header[_SIZE], place)
        _number(header[_SIZE.stop : _CHECKSUM.start], place)
        name = self._read_name(header, place, is_folder=kind == _FOLDER)
        if kind == _FOLDER and size:
            raise refusal("ART-02.archive", "A folder has a size.", name)
        return name, size, kind == _FOLDER

    def _read_name(self, header: bytes, place: str, *, is_folder: bool) -> str:
        prefix, name = _field(header[_PREFIX], place), _field(header[_NAME], place)
        raw = prefix + b"/" + name if prefix else name
        if is_folder:
            raw = raw.removesuffix(b"/")
        return plain_path(raw, "utf-8", self._limits, place)

    def _check_padding(self, name: str, end: int) -> int:
        """Return where the next header begins; what lies before it is zeros."""
        length = -end % _BLOCK
        padding = self._at(end, length)
        if len(padding) != length:
            raise refusal("ART-02.truncated", "The padding behind the entry is cut off.", name)
        if any(padding):
            raise refusal("ART-02.archive", "The padding behind the entry holds data.", name)
        return end + length

    def _check_end(self, position: int) -> None:
        left = self._size - position
        if left % _BLOCK or not _END_BLOCKS * _BLOCK <= left <= _MAX_END_BLOCKS * _BLOCK:
            detail = f"The archive ends with {left:,} bytes behind its last entry; it ends with blocks of zeros."
            identifier = "ART-02.truncated" if left < _END_BLOCKS * _BLOCK else "ART-02.suffix_data"
            raise refusal(identifier, detail, f"byte {position:,}")
        if any(self._at(position, left)):
            raise refusal("ART-02.suffix_data", "Data stands behind the end of the archive.", f"byte {position:,}")


def _number(raw: bytes, place: str) -> int:
    found = _OCTAL.fullmatch(raw)
    if found is None:
        raise refusal("ART-02.archive", f"{shown(raw)} is no octal number.", place)
    return int(found[1], 8)


def _field(raw: bytes, place: str) -> bytes:
    """Return a text that zeros pad, and nothing behind the first of them."""
    text, _, rest = raw.partition(b"\0")
    if any(rest):
        raise refusal("ART-02.archive", "A field of the header holds data behind its end.", place)
    return text
