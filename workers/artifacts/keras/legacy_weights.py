"""The weights of a legacy HDF5 model: a group a layer, with lists of names that say which arrays are its weights.

Keras reads the lists and looks each name up. So every name has to lead to an array, and every array has to be named
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.attributes import Attribute
from workers.artifacts.hdf5.tree import Array, Group, Tree
from workers.artifacts.hdf5.weights import refused
from workers.artifacts.hdf5.writing import Value

_TEXTS = frozenset({"backend", "keras_version"})
_LAYERS, _WEIGHTS = "layer_names", "weight_names"

#: A list of so many texts fits an object header; Keras cuts a longer one into several.
_LIST_LENGTH = 3_000


@dataclass(frozen=True)
class LegacyWeights:
    """The weights under one group of the file.

    Attributes:
        members: the group, the layers' groups and their arrays, parents first.
        attributes: what Keras reads of each group, by its path.
    """

    members: tuple[Group | Array, ...]
    attributes: Mapping[str, Mapping[str, Value]]


def read_layers(tree: Tree, root: str) -> LegacyWeights:
    """Return the weights of the layers that the group at ``root`` lists.

    Raises:
        RefusalError: a list that names what is not there, or an array or an attribute of no layer.
    """
    group = tree.groups[root]
    names = _list(group, _LAYERS, _TEXTS)
    written: dict[str, Mapping[str, Value]] = {root: dict(_chunked(_LAYERS, names))}
    # The weights of the model itself stand beside the layers, in a group that no list names.
    own = "top_level_model_weights"
    has_own = f"{root}/{own}" in tree.groups and own not in names
    arrays: set[str] = set()
    for name in [*names, *([own] if has_own else [])]:
        path = f"{root}/{name}"
        if path not in tree.groups:
            raise refused(f"The layer {shown(name)} is listed and is no group.", "", group)
        weights = _named_arrays(tree, path)
        if path in written or not arrays.isdisjoint(weights):
            raise refused("The weights are those of two layers.", "", tree.groups[path])
        arrays.update(weights)
        written[path] = dict(_chunked(_WEIGHTS, [weight.removeprefix(f"{path}/") for weight in weights]))
    return LegacyWeights(_members(tree, root, set(written), arrays), written)


def read_optimizer(tree: Tree, root: str) -> None:
    """Check the variables of the optimizer, which are left out of the canonical copy: nothing trains it further.

    Raises:
        RefusalError: a list that names what is not there, or an array or an attribute of none.
    """
    _members(tree, root, {root}, set(_named_arrays(tree, root)))


def _named_arrays(tree: Tree, path: str) -> list[str]:
    """Return the paths of the arrays that a group lists as its weights."""
    group = tree.groups[path]
    paths = [f"{path}/{name}" for name in _list(group, _WEIGHTS)]
    for weight in paths:
        if weight not in tree.arrays:
            raise refused(f"The weight {shown(weight)} is listed and is no array.", "", group)
    return paths


def _list(group: Group, name: str, others: frozenset[str] = frozenset()) -> list[str]:
    """Return a list of names that is stored whole, or cut into ``name0``, ``name1``, and so on."""
    count = len(group.attributes.keys() - others)
    parts = [name] if name in group.attributes else [f"{name}{number}" for number in range(count)]
    if count != len(parts) or not parts or any(part not in group.attributes for part in parts):
        unknown = shown(sorted(group.attributes))
        raise refused(f"The group has the attributes {unknown}; Keras writes a list {name!r}.", "", group)
    names = [text for part in parts for text in _texts(group, group.attributes[part])]
    if len(set(names)) != len(names):
        raise refused(f"The list {name!r} has a name twice.", "", group)
    return names


def _texts(group: Group, attribute: Attribute) -> Iterator[str]:
    if len(attribute.shape) != 1 or (attribute.shape[0] and attribute.datatype.kind == "number"):
        raise refused(f"The attribute {attribute.name!r} is not a list of names.", "", group)
    for text in attribute.texts:
        try:
            yield text.decode("utf-8")
        except UnicodeDecodeError:
            raise refused(f"The name {shown(text)} in {attribute.name!r} is not UTF-8.", "", group) from None


def _members(tree: Tree, root: str, listed: set[str], arrays: set[str]) -> tuple[Group | Array, ...]:
    """Return what lies under a group, if all of it is listed or on the way to something that is."""
    members = []
    for member in tree.members:
        if member.path != root and not member.path.startswith(f"{root}/"):
            continue
        if isinstance(member, Array) and member.path not in arrays:
            raise refused("The array is not listed as the weight of a layer.", "", member)
        if member.path not in listed and member.attributes:
            why = f"The attribute {shown(min(member.attributes))} is not one that Keras writes there."
            raise refused(why, "", member)
        members.append(member)
    return tuple(members)


def _chunked(name: str, texts: Iterable[str]) -> Iterator[tuple[str, Value]]:
    encoded = [text.encode() for text in texts]
    if len(encoded) <= _LIST_LENGTH:
        yield name, encoded
        return
    for number, start in enumerate(range(0, len(encoded), _LIST_LENGTH)):
        yield f"{name}{number}", encoded[start : start + _LIST_LENGTH]
