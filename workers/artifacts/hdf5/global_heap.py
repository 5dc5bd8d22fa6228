"""Global heaps: collections of texts, each of which one attribute leads to."""

from __future__ import annotations

import struct

from workers.artifacts.hdf5.file_map import FileMap

_HEAD = struct.Struct("<4sB3sQ")
_OBJECT = struct.Struct("<HHIQ")
_SMALLEST_BYTES = 4096


class GlobalHeap:
    """The collections of a file, read when something leads to them first."""

    def __init__(self, file: FileMap) -> None:
        self._file = file
        self._left = file.limits.json_bytes
        self._collections: dict[int, dict[int, bytes]] = {}

    def take(self, address: int, index: int, length: int, path: str) -> bytes:
        """Return the text of an attribute; no other attribute may take it again.

        Raises:
            RefusalError: the text is not there, not as long as the attribute says, or taken already.
        """
        if address not in self._collections:
            self._collections[address] = self._read(address, path)
        text = self._collections[address].pop(index, None)
        if text is None or len(text) != length:
            have = "none" if text is None else f"one of {len(text):,}"
            why = f"An attribute leads to a text of {length:,} bytes; the heap has {have} there that is not taken yet."
            raise self._file.refused(why, path, address)
        return text

    def demand_no_rest(self) -> None:
        """Refuse texts that no attribute took."""
        for address, texts in self._collections.items():
            if texts:
                raise self._file.refused("The global heap holds a text of no attribute.", "", address)

    def _read(self, address: int, path: str) -> dict[int, bytes]:
        signature, version, reserved, size = _HEAD.unpack(self._file.read(address, _HEAD.size, "global heap", path))
        if signature != b"GCOL" or version != 1 or any(reserved) or size < _SMALLEST_BYTES or size % 8:
            raise self._file.refused("An attribute does not lead to a global heap.", path, address)
        self._left -= size
        if self._left < 0:
            why = f"The texts of the attributes have more than {self._file.limits.json_bytes:,} bytes."
            raise self._file.refused(why, path, address, "ART-02.too_large")
        start = address + _HEAD.size
        content = self._file.read(start, size - _HEAD.size, "content of the global heap", path)
        return self._split(content, start, path)

    def _split(self, content: bytes, start: int, path: str) -> dict[int, bytes]:
        texts: dict[int, bytes] = {}
        at = 0
        while len(content) - at >= _OBJECT.size:
            index, references, reserved, size = _OBJECT.unpack_from(content, at)
            if index == 0:
                break
            end = at + _OBJECT.size + size
            following = (end + 7) // 8 * 8
            if index in texts or references > 1 or reserved or following > len(content) or any(content[end:following]):
                raise self._file.refused("The global heap does not hold one text behind the other.", path, start + at)
            texts[index] = content[at + _OBJECT.size : end]
            at = following
        self._check_free(content[at:], start + at, path)
        return texts

    def _check_free(self, rest: bytes, offset: int, path: str) -> None:
        """The rest of a collection is one object without a number, or too short for one; both are zero."""
        stated = len(rest)
        if len(rest) >= _OBJECT.size:
            index, references, reserved, stated = _OBJECT.unpack_from(rest)
            if index or references or reserved:
                stated = -1
        if stated != len(rest) or any(rest[_OBJECT.size :]) or (len(rest) < _OBJECT.size and any(rest)):
            raise self._file.refused("The free space of the global heap is not zero to its end.", path, offset)
