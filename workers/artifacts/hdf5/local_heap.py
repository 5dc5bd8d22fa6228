"""The heap of a group: the texts of its names, one behind the other, and free space that is declared or zero."""

from __future__ import annotations

import struct

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.file_map import FileMap

_HEAD = struct.Struct("<4sB3sQQQ")
_FREE = struct.Struct("<QQ")
_END_OF_FREE = 1


class LocalHeap:
    """The names of one group; each of its bytes is a name, free space, or zero."""

    def __init__(self, file: FileMap, content: bytes, free: int, address: int, path: str) -> None:
        self._file = file
        self._content = content
        self._address = address
        self._path = path
        # The empty name at the beginning is the left edge of the tree.
        self._spans = {0: 8}
        self._read_free(free)

    def name_at(self, offset: int) -> str:
        """Return the name at an offset of the heap.

        Raises:
            RefusalError: the name is not plain text, or its bytes are read as something else too.
        """
        end = self._content.find(b"\0", offset)
        raw = self._content[offset:end]
        size = len(raw) // 8 * 8 + 8
        if offset % 8 or end < 0 or offset in self._spans or any(self._content[end : offset + size]):
            raise self._refused("A name does not lie at its place in the heap.", offset)
        # HDF5 keeps names that are not ASCII in another way.
        name = raw.decode("ascii", "replace")
        if not raw.isascii() or not name.isprintable() or name in ("", ".", "..") or "/" in name:
            raise self._refused(f"The name {shown(name)} is not plain.", offset)
        if len(raw) > self._file.limits.name_bytes:
            raise self._refused(f"The name {shown(name)} is longer than {self._file.limits.name_bytes}.", offset)
        self._spans[offset] = size
        return name

    def demand_no_rest(self) -> None:
        """Refuse names that nothing leads to, and names that lie over each other."""
        end = 0
        for start, size in [*sorted(self._spans.items()), (len(self._content), 0)]:
            if start < end:
                raise self._refused("Two names lie over each other.", start)
            if any(self._content[end:start]):
                raise self._refused("The heap holds a text that is the name of no member; save the file anew.", end)
            end = start + size

    def _read_free(self, free: int) -> None:
        while free != _END_OF_FREE:
            if free in self._spans or free % 8 or free + _FREE.size > len(self._content):
                raise self._refused("The free space of the heap is not a plain list.", free)
            following, size = _FREE.unpack_from(self._content, free)
            if size < _FREE.size or free + size > len(self._content):
                raise self._refused(f"A free block of {size:,} bytes does not fit the heap.", free)
            if any(self._content[free + _FREE.size : free + size]):
                raise self._refused("The free space of the heap is not zero.", free)
            self._spans[free] = size
            free = following

    def _refused(self, why: str, offset: int) -> Exception:
        return self._file.refused(why, self._path, self._address + offset)


def read_heap(file: FileMap, address: int, path: str) -> LocalHeap:
    """Return the heap of the group at ``path``.

    Raises:
        RefusalError: it is no heap, or larger than the limit of a text.
    """
    head = file.read(address, _HEAD.size, "heap of names", path)
    signature, version, reserved, size, free, content_address = _HEAD.unpack(head)
    if signature != b"HEAP" or version != 0 or any(reserved):
        raise file.refused("The group does not lead to a heap of names.", path, address)
    if size > file.limits.json_bytes:
        why = f"The names of the group have {size:,} bytes; the limit is {file.limits.json_bytes:,}."
        raise file.refused(why, path, address, "ART-02.too_large")
    if size < 8 or size % 8:
        raise file.refused(f"The heap of names has {size} bytes.", path, address)
    content = file.read(content_address, size, "names of the group", path)
    if any(content[:8]):
        raise file.refused("The heap of names does not begin with the empty name.", path, content_address)
    return LocalHeap(file, content, free, content_address, path)
