"""The tree of an HDF5 file: groups, arrays and their attributes, each parsed once; the array bytes stay in the file."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from workers.artifacts.findings import shown
from workers.artifacts.hdf5 import object_headers
from workers.artifacts.hdf5.attributes import Attribute, read_attribute
from workers.artifacts.hdf5.datatypes import Datatype, bytes_of, read_datatype, read_shape
from workers.artifacts.hdf5.file_map import UNDEFINED, FileMap
from workers.artifacts.hdf5.global_heap import GlobalHeap
from workers.artifacts.hdf5.groups import SymbolEntry, read_group
from workers.artifacts.hdf5.object_headers import Message, read_messages
from workers.artifacts.hdf5.superblock import read_root_entry
from workers.artifacts.limits import Limits
from workers.artifacts.region import RandomAccess

#: Ways to store an array that are refused.
_LAYOUTS = {
    2: "in chunks, which may be filtered; Keras writes it in one piece",
    3: "virtual: its bytes lie in other arrays",
}
_CONTIGUOUS = struct.Struct("<BBQQ")
_COMPACT = struct.Struct("<BBH")
_PER_OBJECT = frozenset({object_headers.ATTRIBUTE})
_OF_GROUP = frozenset({object_headers.SYMBOL_TABLE})
_OF_ARRAY = frozenset(
    {
        object_headers.DATASPACE,
        object_headers.DATATYPE,
        object_headers.FILL_VALUE,
        object_headers.LAYOUT,
        object_headers.MODIFICATION_TIME,
    }
)


@dataclass(frozen=True)
class Group:
    """A group; ``path`` is empty for the root."""

    path: str
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Array:
    """An array of numbers whose bytes, if it has any, begin at ``offset`` of the file, the last index fastest."""

    path: str
    attributes: Mapping[str, Attribute]
    datatype: Datatype
    shape: tuple[int, ...]
    offset: int

    @property
    def size_bytes(self) -> int:
        return bytes_of(self.datatype, self.shape)


@dataclass(frozen=True)
class Tree:
    """What an HDF5 file holds: parents before their members, members in the order of their names."""

    members: tuple[Group | Array, ...]

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays by path."""
        return {member.path: member for member in self.members if isinstance(member, Array)}

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """The groups by path."""
        return {member.path: member for member in self.members if isinstance(member, Group)}


def read_tree(stream: RandomAccess, place: str, limits: Limits) -> Tree:
    """Parse a file to its end; no array is read.

    Args:
        stream: the whole file.
        place: the entry of an archive that it is; empty for a file of its own.

    Raises:
        RefusalError: anything that h5py does not write for groups and arrays of numbers, with its path and byte.
    """
    file = FileMap(stream, place, limits)
    return Tree(tuple(_Walk(file).members()))


def array_pieces(stream: RandomAccess, array: Array) -> Iterator[bytes]:
    """Yield the bytes of an array from the stream that the tree was read from."""
    return FileMap(stream, "", Limits()).pieces(array.offset, array.size_bytes)


class _Walk:
    def __init__(self, file: FileMap) -> None:
        self._file = file
        self._heap = GlobalHeap(file)
        self._array_bytes = 0

    def members(self) -> Iterator[Group | Array]:
        stack = [("", read_root_entry(self._file))]
        count = 0
        while stack:
            path, entry = stack.pop()
            count += 1
            if count > self._file.limits.entries:
                why = f"The file has more than {self._file.limits.entries:,} members."
                raise self._file.refused(why, path, identifier="ART-02.too_large")
            member, inner = self._member(path, entry)
            yield member
            stack.extend((f"{path}/{name}", child) for name, child in reversed(inner))
        self._heap.demand_no_rest()
        self._file.demand_no_rest()

    def _member(self, path: str, entry: SymbolEntry) -> tuple[Group | Array, list[tuple[str, SymbolEntry]]]:
        if path.count("/") > self._file.limits.json_depth:
            why = f"The groups are nested deeper than {self._file.limits.json_depth}."
            raise self._file.refused(why, path, identifier="ART-02.too_large")
        messages = read_messages(self._file, entry.header, path)
        is_group = any(message.kind == object_headers.SYMBOL_TABLE for message in messages)
        single = self._single(messages, _OF_GROUP if is_group else _OF_ARRAY, path)
        attributes = self._attributes(messages, path)
        if is_group:
            return Group(path, attributes), self._inner(single[object_headers.SYMBOL_TABLE], entry, path)
        if entry.cached is not None or not path:
            raise self._file.refused("The member is said to be a group and is none.", path, entry.header)
        return self._array(single, attributes, path, entry.header), []

    def _single(self, messages: list[Message], allowed: frozenset[int], path: str) -> dict[int, Message]:
        """Return the messages that an object has once, by their kind."""
        single: dict[int, Message] = {}
        for message in messages:
            if message.kind in _PER_OBJECT:
                continue
            if message.kind not in allowed:
                why = f"The object has a message of kind {message.kind:#x}, which does not belong there."
                raise self._file.refused(why, path, message.offset)
            if message.kind in single:
                why = f"The object has two messages of kind {message.kind:#x}."
                raise self._file.refused(why, path, message.offset)
            single[message.kind] = message
        return single

    def _attributes(self, messages: list[Message], path: str) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {}
        for message in messages:
            if message.kind != object_headers.ATTRIBUTE:
                continue
            attribute = read_attribute(self._file, self._heap, message, path)
            if attribute.name in attributes:
                why = f"The attribute {shown(attribute.name)} stands twice."
                raise self._file.refused(why, path, message.offset)
            attributes[attribute.name] = attribute
        return attributes

    def _inner(self, message: Message, entry: SymbolEntry, path: str) -> list[tuple[str, SymbolEntry]]:
        if len(message.body) != 16:
            raise self._file.refused("The group does not name a tree and a heap.", path, message.offset)
        tree, heap = struct.unpack("<QQ", message.body)
        if entry.cached != (tree, heap):
            why = "The group has its members elsewhere than the entry says that leads to it."
            raise self._file.refused(why, path, message.offset)
        return read_group(self._file, tree, heap, path)

    def _array(
        self, messages: dict[int, Message], attributes: Mapping[str, Attribute], path: str, header: int
    ) -> Array:
        missing = _OF_ARRAY - {object_headers.MODIFICATION_TIME} - set(messages)
        if missing or any(len(messages[kind].body) < 4 for kind in _OF_ARRAY & set(messages)):
            why = "The array does not have one type, one shape, one fill value and one layout."
            raise self._file.refused(why, path, header)
        kind, space = messages[object_headers.DATATYPE], messages[object_headers.DATASPACE]
        datatype = read_datatype(self._file, kind.body, path, kind.offset)
        if datatype.kind != "number":
            why = "The array holds texts; only plain numbers are taken."
            raise self._file.refused(why, path, kind.offset, "ART-02.hdf5")
        shape = read_shape(self._file, space.body, path, space.offset)
        self._check_fill(messages[object_headers.FILL_VALUE], path)
        self._check_time(messages.get(object_headers.MODIFICATION_TIME), path)
        needed = bytes_of(datatype, shape)
        offset = self._storage(messages[object_headers.LAYOUT], needed, path)
        self._array_bytes += needed
        # A shape without an element may still have sizes that no array can have.
        fullest = datatype.size * math.prod(max(1, size) for size in shape)
        if max(self._array_bytes, fullest) > self._file.limits.total_bytes:
            why = f"The arrays need more than {self._file.limits.total_bytes:,} bytes; this one {needed:,} bytes."
            raise self._file.refused(why, path, space.offset, "ART-02.too_large")
        return Array(path, attributes, datatype, shape, offset)

    def _storage(self, message: Message, needed: int, path: str) -> int:
        """Return the offset of the array's bytes, which are as many as its type and shape need."""
        body = message.body
        if body[1] in _LAYOUTS:
            why = f"The array is stored {_LAYOUTS[body[1]]}."
            raise self._file.refused(why, path, message.offset, "ART-02.hdf5")
        if body[0] != 3:
            why = f"The layout of the array has version {body[0]}; h5py writes version 3."
            raise self._file.refused(why, path, message.offset, "ART-02.hdf5")
        if body[1] == 0:
            (stored,) = struct.unpack_from("<H", body, 2)
            address, rest = message.offset + _COMPACT.size, body[_COMPACT.size + stored :]
        elif body[1] == 1 and len(body) >= _CONTIGUOUS.size:
            _, _, address, stored = _CONTIGUOUS.unpack_from(body)
            rest = body[_CONTIGUOUS.size :]
        else:
            raise self._file.refused("The array is stored in an unknown way.", path, message.offset)
        if stored != needed or (address == UNDEFINED and needed):
            have = 0 if address == UNDEFINED else stored
            why = f"The array needs {needed:,} bytes; {have:,} are stored."
            raise self._file.refused(why, path, message.offset, "ART-02.hdf5")
        if any(rest) or len(rest) >= 8:
            raise self._file.refused("The layout of the array holds bytes without a meaning.", path, message.offset)
        if body[1] == 1 and needed:
            self._file.claim(address, needed, "array", path)
        elif body[1] == 1 and address != UNDEFINED:
            raise self._file.refused("The array has no element and is stored somewhere.", path, message.offset)
        return int(address) if needed else 0

    def _check_fill(self, message: Message, path: str) -> None:
        """Elements that were never written do not occur, so that only the default may be stated for them."""
        version, when, _, defined = body = message.body[:4]
        if version != 2 or when not in (1, 2, 3) or body[2] not in (0, 1, 2) or defined > 1 or any(message.body[4:]):
            raise self._file.refused("The array states a fill value of its own.", path, message.offset, "ART-02.hdf5")

    def _check_time(self, message: Message | None, path: str) -> None:
        if message is not None and (len(message.body) != 8 or message.body[:4] != b"\1\0\0\0"):
            raise self._file.refused("The time of the array is not stored as one.", path, message.offset)
