"""The zip format of ``torch.save``: one pickle, one entry a storage, and small entries that name the format.

Layout (PyTorch 1.6 to 2.13), under one root folder: ``data.pkl``, ``data/KEY`` (raw bytes), ``version``,
``byteorder``, ``.format_version``, ``.storage_alignment``, ``.data/serialization_id``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.pickles.machine import Pickle, read_pickle
from workers.artifacts.pickles.values import Storage
from workers.artifacts.source import Container, Source
from workers.artifacts.torch_checkpoint.tree import Tree
from workers.artifacts.weights.dtypes import size_of
from workers.artifacts.weights.safetensors import Weights
from workers.artifacts.weights.tensors import Block

_PICKLE = "data.pkl"
_STORAGE = re.compile(r"data/([0-9]{1,20})")
_MARKS = {
    "version": re.compile(rb"[123]\n?"),
    "byteorder": re.compile(rb"little|big"),
    ".format_version": re.compile(rb"1"),
    ".storage_alignment": re.compile(rb"[0-9]{1,5}"),
    ".data/serialization_id": re.compile(rb"[0-9]{1,64}"),
    ".data/version": re.compile(rb"[123]\n?"),
}
_MAX_MARK_BYTES = 256


def read_state_dict_archive(source: Source) -> Weights:
    """Read every entry of a state dict or checkpoint in torch's zip format.

    Raises:
        RefusalError: ``ART-01.pickle`` for a pickle that is more than data; else at the first entry that is too much,
            missing, or not what the pickle says of it.
    """
    entries = entries_of(source.entries)
    pickle = read_archive_pickle(source, entries)
    blocks = _blocks(source.entries, entries, pickle.storages)
    is_swapped = "byteorder" in entries and source.entries.read(entries["byteorder"], _MAX_MARK_BYTES) == b"big"
    stored = sum(block.size_bytes for block in blocks.values())
    tree = Tree(blocks, source.limits, stored_bytes=stored, is_swapped=is_swapped, place=_PICKLE)
    tensors = tree.collect(pickle.value)
    return Weights(tensors, (*byte_order_findings(is_swapped), *tree.findings()), "state_dict", "pytorch")


def entries_of(archive: Container) -> dict[str, str]:
    """Return the full names of the entries by their names in the root folder.

    Raises:
        RefusalError: an entry that the format does not have, a mark that says something else, or no pickle.
    """
    root = next(iter(archive.entries)).partition("/")[0] + "/"
    inner = {name.removeprefix(root): name for name in archive.entries}
    if not all(name.startswith(root) for name in archive.entries):
        raise refusal("ART-02.unknown_entry", f"All entries lie in one folder, {shown(root)}; some do not.")
    for name, full in inner.items():
        if name in _MARKS:
            if not _MARKS[name].fullmatch(archive.read(full, _MAX_MARK_BYTES)):
                raise refusal("ART-02.tensors", "The entry says something else than torch writes.", full)
        elif name != _PICKLE and not _STORAGE.fullmatch(name):
            detail = f"The entry {shown(name)} does not belong into a file of torch.save."
            raise refusal("ART-02.unknown_entry", detail, full)
    if _PICKLE not in inner:
        raise refusal("ART-02.missing_entry", "A file of torch.save has an entry data.pkl; this one does not.", root)
    return inner


def read_archive_pickle(source: Source, entries: Mapping[str, str]) -> Pickle:
    """Read the one pickle of the archive to its last byte."""
    content = source.entries.read(entries[_PICKLE], source.limits.pickle_bytes)
    pickle = read_pickle(content, entries[_PICKLE])
    if pickle.end != len(content):
        detail = f"{len(content) - pickle.end:,} bytes follow the pickle."
        raise refusal("ART-02.pickle", detail, f"{entries[_PICKLE]}, byte {pickle.end:,}")
    return pickle


def byte_order_findings(is_swapped: bool) -> tuple[Finding, ...]:
    """Say that numbers of a big-endian machine are written in the other order."""
    if not is_swapped:
        return ()
    detail = "The numbers are those of a big-endian machine; they are written little-endian."
    return (finding("ART-03.rearranged", detail, "byteorder"),)


def _blocks(archive: Container, entries: Mapping[str, str], storages: Mapping[str, Storage]) -> dict[str, Block]:
    """Return where each storage lies; every one is there with its size, and no entry is left over."""
    blocks = {}
    for key, storage in storages.items():
        full = entries.get(f"data/{key}")
        place = f"{entries[_PICKLE]}, byte {storage.position:,}"
        if full is None:
            raise refusal(
                "ART-02.missing_entry", f"The pickle asks for the storage {shown(key)}; it is missing.", place
            )
        needed, stored = storage.count * size_of(storage.dtype), archive.entries[full].size_bytes
        if needed != stored:
            detail = f"The pickle says that the storage has {needed:,} bytes; its entry has {stored:,}."
            raise refusal("ART-02.tensors", detail, full)
        blocks[key] = Block(stored, entry=full)
    for name, full in entries.items():
        found = _STORAGE.fullmatch(name)
        if found and found[1] not in storages:
            raise refusal("ART-02.unknown_entry", "No tensor of the pickle uses this storage.", full)
    return blocks
