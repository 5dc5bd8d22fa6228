"""Groups: a tree of tables of names, whose texts lie in a heap of the group."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.file_map import UNDEFINED, FileMap
from workers.artifacts.hdf5.local_heap import read_heap

_ENTRY = struct.Struct("<QQII16s")
_TREE_HEAD = struct.Struct("<4sBBHQQ")
_TREE_CHILDREN, _TABLE_ENTRIES = 32, 8
_TREE_WORDS = 2 * _TREE_CHILDREN + 1
_TREE_BYTES = _TREE_HEAD.size + 8 * _TREE_WORDS
_TABLE_HEAD = struct.Struct("<4sBBH")
_TABLE_BYTES = _TABLE_HEAD.size + _TABLE_ENTRIES * _ENTRY.size
_MAX_LEVELS = 8
_CACHE_NOTHING, _CACHE_GROUP, _CACHE_SOFT_LINK = 0, 1, 2


@dataclass(frozen=True)
class SymbolEntry:
    """A name of a group and the object that it leads to.

    Attributes:
        name_offset: where in the group's heap the name is.
        header: address of the object's header.
        cached: addresses of tree and heap where the object is a group, which its header says again.
    """

    name_offset: int
    header: int
    cached: tuple[int, int] | None


@dataclass(frozen=True)
class _Node:
    """A node of the tree: ``keys`` are heap offsets of names, one more than ``children``."""

    address: int
    level: int
    left: int
    right: int
    keys: tuple[int, ...]
    children: tuple[int, ...]


def read_entry(file: FileMap, entry: bytes, path: str, offset: int) -> SymbolEntry:
    """Return the entry of 40 bytes that was read from ``offset``.

    Raises:
        RefusalError: a soft link, or something cached that the kind of the entry does not have.
    """
    name_offset, header, cache, reserved, scratch = _ENTRY.unpack(entry)
    if cache == _CACHE_SOFT_LINK:
        raise file.refused("A member is a soft link, which may lead anywhere.", path, offset, "ART-02.hdf5")
    if cache not in (_CACHE_NOTHING, _CACHE_GROUP) or reserved:
        raise file.refused(f"An entry of the group has the unknown kind {cache}.", path, offset)
    if cache == _CACHE_NOTHING and any(scratch):
        raise file.refused("An entry of the group holds bytes without a meaning.", path, offset)
    if header == UNDEFINED:
        raise file.refused("An entry of the group leads to no object.", path, offset)
    return SymbolEntry(name_offset, header, struct.unpack("<QQ", scratch) if cache == _CACHE_GROUP else None)


def read_group(file: FileMap, tree: int, heap: int, path: str) -> list[tuple[str, SymbolEntry]]:
    """Return the members of a group in the order of their names.

    Raises:
        RefusalError: names that are not plain, not in order or not where the tree says; bytes without a meaning.
    """
    names = read_heap(file, heap, path)
    members: list[tuple[str, SymbolEntry]] = []
    for table, last_name in _tables(file, tree, path):
        entries = _read_table(file, table, path)
        if not entries or entries[-1].name_offset != last_name:
            raise file.refused("A table of names does not end at the name that the tree states.", path, table)
        for entry in entries:
            name = names.name_at(entry.name_offset)
            if members and name.encode() <= members[-1][0].encode():
                raise file.refused(f"The name {shown(name)} is not behind the one before it.", path, table)
            members.append((name, entry))
        if len(members) > file.limits.entries:
            why = f"The group has more than {file.limits.entries:,} members."
            raise file.refused(why, path, identifier="ART-02.too_large")
    names.demand_no_rest()
    return members


def _tables(file: FileMap, root: int, path: str) -> list[tuple[int, int]]:
    """Return the tables of names from left to right, each with the heap offset that its last name has to have."""
    nodes = [_read_node(file, root, path)]
    if nodes[0].level > _MAX_LEVELS:
        raise file.refused(f"The tree of the group has {nodes[0].level} levels.", path, root)
    if not nodes[0].children:
        return []
    bounds = [(0, nodes[0].keys[-1])]
    while True:
        _check_level(file, nodes, bounds, path)
        spans = [
            (node.keys[index], child, node.keys[index + 1])
            for node in nodes
            for index, child in enumerate(node.children)
        ]
        if nodes[0].level == 0:
            return [(table, right) for _, table, right in spans]
        if len(spans) > file.limits.entries:
            why = f"The tree of the group has more than {file.limits.entries:,} nodes."
            raise file.refused(why, path, root, "ART-02.too_large")
        level = nodes[0].level - 1
        bounds = [(left, right) for left, _, right in spans]
        nodes = [_read_node(file, child, path) for _, child, _ in spans]
        if any(node.level != level or not node.children for node in nodes):
            raise file.refused("A node of the tree is not on the level below its parent.", path, root)


def _check_level(file: FileMap, nodes: list[_Node], bounds: list[tuple[int, int]], path: str) -> None:
    """Check that the nodes of a level are a chain, and that their outer keys are those of their parents."""
    for index, node in enumerate(nodes):
        left = nodes[index - 1].address if index else UNDEFINED
        right = nodes[index + 1].address if index + 1 < len(nodes) else UNDEFINED
        if (node.left, node.right) != (left, right) or (node.keys[0], node.keys[-1]) != bounds[index]:
            raise file.refused("A node of the tree does not fit between its neighbours.", path, node.address)


def _read_node(file: FileMap, address: int, path: str) -> _Node:
    node = file.read(address, _TREE_BYTES, "node of the tree", path)
    signature, kind, level, count, left, right = _TREE_HEAD.unpack_from(node)
    if signature != b"TREE" or kind != 0 or count > _TREE_CHILDREN:
        raise file.refused("The members of the group are not in a tree of names.", path, address)
    words = struct.unpack_from(f"<{_TREE_WORDS}Q", node, _TREE_HEAD.size)
    used = 2 * count + 1 if count else 0
    if any(words[used:]):
        raise file.refused("A node of the tree holds bytes without a meaning.", path, address)
    return _Node(address, level, left, right, words[0:used:2], words[1:used:2])


def _read_table(file: FileMap, address: int, path: str) -> list[SymbolEntry]:
    table = file.read(address, _TABLE_BYTES, "table of names", path)
    signature, version, reserved, count = _TABLE_HEAD.unpack_from(table)
    if signature != b"SNOD" or version != 1 or reserved or count > _TABLE_ENTRIES:
        raise file.refused("The tree of the group does not lead to a table of names.", path, address)
    end = _TABLE_HEAD.size + count * _ENTRY.size
    if any(table[end:]):
        raise file.refused("A table of names holds bytes without a meaning.", path, address)
    return [
        read_entry(file, table[at : at + _ENTRY.size], path, address + at)
        for at in range(_TABLE_HEAD.size, end, _ENTRY.size)
    ]
