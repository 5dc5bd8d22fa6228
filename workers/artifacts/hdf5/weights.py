"""The weights that Keras 3 saves: groups of arrays, with a layer's name here and a note on bfloat16 there."""

from __future__ import annotations

from pathlib import Path

from workers.artifacts.findings import refusal, shown
from workers.artifacts.hdf5.datatypes import RAW_2
from workers.artifacts.hdf5.tree import Array, Group, Tree, read_tree
from workers.artifacts.hdf5.writing import write_members
from workers.artifacts.limits import Limits
from workers.artifacts.region import RandomAccess

_BFLOAT16 = b"bfloat16"


def read_weights(stream: RandomAccess, place: str, limits: Limits) -> Tree:
    """Return the tree of a file of weights; no array is read.

    Raises:
        RefusalError: ``ART-02.hdf5...`` with the path inside the file.
    """
    tree = read_tree(stream, place, limits)
    check_attributes(tree, place)
    return tree


def check_attributes(tree: Tree, place: str) -> None:
    """Refuse attributes that Keras 3 does not write beside weights, and raw bytes that are not said to be bfloat16."""
    for member in tree.members:
        allowed = "dtype" if isinstance(member, Array) else "name"
        for name, attribute in member.attributes.items():
            if name != allowed or attribute.shape or not attribute.texts:
                why = f"The attribute {shown(name)} is not one that Keras writes there."
                raise refused(why, place, member)
        if isinstance(member, Array):
            check_bfloat16(member, place)


def check_bfloat16(array: Array, place: str) -> None:
    """Two raw bytes are bfloat16 where an attribute says so, and no other array has that attribute."""
    said = [text for name, attribute in array.attributes.items() if name == "dtype" for text in attribute.texts]
    if said != ([_BFLOAT16] if array.datatype.name == RAW_2 else []):
        why = f"The array holds {array.datatype.name} and is said to hold {shown(said)}."
        raise refused(why, place, array)


def refused(why: str, place: str, member: Array | Group) -> Exception:
    """Make the exception that names a member which is not taken."""
    return refusal("ART-02.hdf5", why, f"{place}: {member.path or '/'}" if place else member.path or "/")


def rewrite_weights(stream: RandomAccess, tree: Tree, target: Path) -> None:
    """Write a new file with the groups and arrays of a tree, and nothing else."""
    notes = {array.path: {"dtype": _BFLOAT16} for array in tree.arrays.values() if array.datatype.name == RAW_2}
    write_members(stream, tree.members, target, notes)
