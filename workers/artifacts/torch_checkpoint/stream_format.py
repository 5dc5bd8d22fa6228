"""The streams that ``torch.save`` wrote before PyTorch 1.6, and still does when it is asked to.

Five pickles follow one another: a magic number, the version of the protocol, what machine wrote it, the object, and
the list of the storages' keys; then come the storages, each as eight bytes with its number of values, and the values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from workers.artifacts.findings import refusal, shown
from workers.artifacts.pickles.machine import Pickle, read_pickle
from workers.artifacts.pickles.values import PickledDict, PickledList, Storage
from workers.artifacts.source import Source
from workers.artifacts.torch_checkpoint.tree import Tree
from workers.artifacts.weights.dtypes import size_of
from workers.artifacts.weights.safetensors import Weights
from workers.artifacts.weights.tensors import Block

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_COUNT_BYTES = 8
_PLACE = "stream"


def read_state_dict_stream(source: Source) -> Weights:
    """Read a state dict or checkpoint of torch's old format, to the last byte.

    Raises:
        RefusalError: ``ART-01.pickle`` for a pickle that is more than data, ``ART-02.*`` for what is damaged.
    """
    size = source.stream.seek(0, os.SEEK_END)
    source.stream.seek(0)
    content = source.stream.read(source.limits.pickle_bytes)
    magic = read_pickle(content, _PLACE, plain=True)
    version = read_pickle(content, _PLACE, start=magic.end, plain=True)
    machine = read_pickle(content, _PLACE, start=version.end, plain=True)
    _check_preamble(magic.value, version.value, machine.value)
    pickle = read_pickle(content, _PLACE, start=machine.end)
    keys = read_pickle(content, _PLACE, start=pickle.end, plain=True)
    blocks = _blocks(source, _keys(keys, pickle), pickle.storages, keys.end, size)
    tree = Tree(blocks, source.limits, stored_bytes=size, is_swapped=False, place=_PLACE)
    tensors = tree.collect(pickle.value)
    return Weights(tensors, tree.findings(), "state_dict", "pytorch")


def _check_preamble(magic: Any, version: Any, machine: Any) -> None:
    if magic != MAGIC_NUMBER or version != _PROTOCOL_VERSION:
        detail = "The stream does not begin with torch's magic number and version."
        raise refusal("ART-02.pickle", detail, "byte 0")
    sizes = machine.entries.get("type_sizes") if isinstance(machine, PickledDict) else None
    names = ["protocol_version", "little_endian", "type_sizes"]
    if not isinstance(sizes, PickledDict) or sorted(map(str, machine.entries)) != sorted(names):
        raise refusal("ART-02.pickle", "The stream does not say what machine wrote it, as torch does.", _PLACE)
    if machine.entries["little_endian"] is not True or machine.entries["protocol_version"] != _PROTOCOL_VERSION:
        raise refusal(
            "ART-02.tensors", "The stream is of a big-endian machine; save it again in the zip format.", _PLACE
        )


def _keys(pickle: Pickle, referred: Pickle) -> list[str]:
    """Return the keys of the storages in the order in which these follow: each that is used, once."""
    items = pickle.value.items if isinstance(pickle.value, PickledList) else None
    if items is None or not all(isinstance(key, str) for key in items) or len(set(items)) != len(items):
        raise refusal("ART-02.pickle", "The keys of the storages are a list of texts, each once.", _PLACE)
    if set(items) != set(referred.storages):
        raise refusal("ART-02.tensors", "The storages that follow are not those that the object uses.", _PLACE)
    return list(items)


def _blocks(
    source: Source, keys: list[str], storages: Mapping[str, Storage], start: int, size: int
) -> dict[str, Block]:
    """Return where each storage lies; they follow one another up to the last byte of the file."""
    blocks = {}
    position = start
    for key in keys:
        place = f"byte {position:,}"
        source.stream.seek(position)
        count = int.from_bytes(source.stream.read(_COUNT_BYTES), "little")
        storage = storages[key]
        if count != storage.count:
            detail = f"The storage {shown(key)} has {count:,} values; the object says {storage.count:,}."
            raise refusal("ART-02.tensors", detail, place)
        length = count * size_of(storage.dtype)
        blocks[key] = Block(length, position + _COUNT_BYTES)
        position += _COUNT_BYTES + length
        if position > size:
            raise refusal("ART-02.truncated", f"The storage {shown(key)} is cut off.", f"byte {size:,}")
    if position != size:
        raise refusal("ART-02.suffix_data", f"{size - position:,} bytes follow the last storage.", f"byte {position:,}")
    return blocks
