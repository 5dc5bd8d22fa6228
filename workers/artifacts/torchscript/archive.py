"""The archive of ``torch.jit.save``: code, pickled objects, raw tensors; what is in it, and how it is written anew.

Layout (PyTorch 1.6 to 2.13), under one root folder: ``code/__torch__/**.py``, ``data.pkl`` with ``data/N``,
``constants.pkl`` with ``constants/N``, and small files that name the format. The rewritten copy has the code as it was
understood and the pickles as they were read, and neither places in the sources (``.debug_pkl``) nor recorded inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts.canonical import CanonicalArchive
from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.source import Container, Source
from workers.artifacts.torchscript.code import write_module
from workers.artifacts.torchscript.declarations import Declarations, declare, module_of
from workers.artifacts.torchscript.parsing import count_words, parse_module
from workers.artifacts.torchscript.pickles import read_pickle
from workers.artifacts.torchscript.pickling import write_pickle
from workers.artifacts.torchscript.values import STORAGES, Items, Object, Pairs, Storage, Tagged, Tensor, Uniform

#: Names, numbers and signs of all code. An encoder of 24 layers has 41,000 traced, and 168,000 scripted and frozen.
_MAX_WORDS = 500_000
_MODULE, _CONSTANTS = "data.pkl", "constants.pkl"
_MARKS = {
    "version": re.compile(rb"[1-9][0-9]?\n?"),
    "byteorder": re.compile(rb"little"),
    ".data/version": re.compile(rb"[1-9][0-9]?\n?"),
    ".format_version": re.compile(rb"[0-9]{1,2}"),
    ".storage_alignment": re.compile(rb"[0-9]{1,5}"),
    ".data/serialization_id": re.compile(rb"[0-9]{1,64}"),
}
#: Which operators a number means: older archives have it in the first, newer ones in the second.
_VERSIONS = ("version", ".data/version")
_MAX_MARK_BYTES = 256
_PAYLOAD = re.compile(r"(data|constants)/([0-9]{1,9})")
#: What is left out without a word: every export has the first, every traced one the others.
_LEFT_OUT = re.compile(r"code/.*\.debug_pkl|traced_inputs\.pkl|traced_inputs/[0-9]{1,9}")
_MOBILE = ("bytecode.pkl", "mobile_debug_handles.pkl")


@dataclass(frozen=True)
class TorchScript:
    """A TorchScript archive that was read; nothing of it was loaded.

    Attributes:
        code: the files of code by entry, in their one spelling.
        module: the object of ``data.pkl``.
        constants: the tensors of ``constants.pkl``.
        versions: the entry with the version of the format.
        payloads: entries of raw tensors -> their names in the upload.
    """

    code: Mapping[str, bytes]
    module: Object
    constants: tuple[Any, ...]
    payloads: Mapping[str, str]
    versions: Mapping[str, bytes]
    findings: tuple[Finding, ...]
    format: str = "torchscript"
    framework: str = "pytorch"

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical copy from what was parsed; only raw tensor bytes are copied from the upload."""
        archive = source.entries
        with CanonicalArchive(target) as out:
            out.add(f"archive/{_MODULE}", write_pickle(self.module, _MODULE))
            for name, content in self.code.items():
                out.add(f"archive/{name}", content)
            for name, entry in self.payloads.items():
                out.add_stream(f"archive/{name}", archive.entries[entry].size_bytes, archive.chunks(entry))
            out.add(f"archive/{_CONSTANTS}", write_pickle(self.constants, _CONSTANTS))
            for name, content in self.versions.items():
                out.add(f"archive/{name}", content)
            out.add("archive/byteorder", b"little")


def read_torchscript(source: Source) -> TorchScript:
    """Read every entry of a TorchScript archive.

    Raises:
        RefusalError: at the first entry, statement or opcode that is not what torch writes or reaches outside.
    """
    archive = source.entries
    root = next(iter(archive.entries)).partition("/")[0] + "/"
    inner = {name.removeprefix(root): name for name in archive.entries}
    if not all(name.startswith(root) for name in archive.entries):
        raise refusal("ART-02.unknown_entry", f"All entries lie in one folder, {shown(root)}; some do not.")
    findings = _check_entries(archive, inner)
    sources = _sources(archive, inner, source.limits)
    trees = {name: parse_module(text, _entry(name)) for name, text in sources.items()}
    program = declare(trees)
    module = read_pickle(archive.read(inner[_MODULE], source.limits.pickle_bytes), program.classes, _MODULE)
    constants = read_pickle(archive.read(inner[_CONSTANTS], source.limits.pickle_bytes), program.classes, _CONSTANTS)
    if not isinstance(constants, tuple):
        raise refusal("ART-02.weights", "The constants are a tuple of tensors.", _CONSTANTS)
    if not isinstance(module, Object) or "forward" not in program.classes[module.class_name].methods:
        raise refusal("ART-02.weights", "The pickle holds a module with a method `forward`.", _MODULE)
    code = {_entry(name): write_module(name, tree, program, len(constants)) for name, tree in trees.items()}
    tensors = {"data": _tensors_in(module, program), "constants": _tensors_in(constants, program)}
    payloads = _payloads(archive, inner, tensors)
    versions = {name: archive.read(inner[name], _MAX_MARK_BYTES) for name in _VERSIONS if name in inner}
    if len(versions) != 1:
        raise refusal("ART-02.missing_entry", "TorchScript has one entry with its version.", ".data/version")
    detail = (
        f"The {len(code):,} files of code were read statement by statement, and their operators only compute. A script "
        "is a program all the same: it is evaluated and audited in the sandbox and cannot be retrained."
    )
    found = (finding("ART-03.torchscript", detail, "code/"), *findings)
    return TorchScript(code, module, constants, payloads, versions, found)


def _check_entries(archive: Container, inner: Mapping[str, str]) -> list[Finding]:
    findings = []
    for name, full in inner.items():
        if name in _MARKS:
            if not _MARKS[name].fullmatch(archive.read(full, _MAX_MARK_BYTES)):
                raise refusal("ART-02.weights", "The entry says something else than torch writes.", name)
        elif name.startswith("extra/"):
            findings.append(finding("ART-03.extra_files", "The extra file is left out of the rewritten copy.", name))
        elif name in _MOBILE:
            detail = "The archive carries bytecode for mobile devices, which is not read; save it with torch.jit.save."
            raise refusal("ART-01.native_code", detail, name)
        elif not (
            name in (_MODULE, _CONSTANTS) or _PAYLOAD.fullmatch(name) or _LEFT_OUT.fullmatch(name) or module_of(name)
        ):
            raise refusal("ART-02.unknown_entry", f"The entry {shown(name)} does not belong into TorchScript.", name)
    for needed in (_MODULE, _CONSTANTS):
        if needed not in inner:
            raise refusal("ART-02.missing_entry", f"TorchScript has an entry {needed!r}; this one does not.", needed)
    return findings[:50]


def _sources(archive: Container, inner: Mapping[str, str], limits: Limits) -> dict[str, bytes]:
    """Return the files of code by their qualified names."""
    found = {module: full for name, full in inner.items() if (module := module_of(name)) is not None}
    total = sum(archive.entries[full].size_bytes for full in found.values())
    if total > limits.source_bytes:
        detail = f"The code has {total:,} bytes; the limit is {limits.source_bytes:,}."
        raise refusal("ART-02.too_large", detail, "code/")
    sources = {module: archive.read(full, limits.source_bytes) for module, full in found.items()}
    words = sum(map(count_words, sources.values()))
    if words > _MAX_WORDS:
        raise refusal("ART-02.too_large", f"The code has {words:,} words; the limit is {_MAX_WORDS:,}.", "code/")
    return sources


def _entry(module: str) -> str:
    return f"code/{module.replace('.', '/')}.py"


def _tensors_in(value: Any, program: Declarations) -> list[Tensor]:
    """Return every tensor of a pickle once; the attributes of each object are those that its class declares."""
    found: list[Tensor] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, Object):
            _check_attributes(item, program)
        waiting.extend(_inside(item))
    return found


def _check_attributes(item: Object, program: Declarations) -> None:
    declared = program.classes[item.class_name].attributes
    for name, value in item.state.items():
        if name not in declared:
            raise refusal(
                "ART-02.weights", f"The class has no attribute {shown(name)}.", f"{_MODULE}: {item.class_name}"
            )
        kind = declared[name]
        fits = {"Tensor": isinstance(value, Tensor), "NoneType": value is None}.get(kind, True)
        if kind in program.classes:
            fits = isinstance(value, Object) and value.class_name == kind
        if not fits:
            detail = f"The attribute {shown(name)} is a {kind} in the code and something else in the pickle."
            raise refusal("ART-02.weights", detail, f"{_MODULE}: {item.class_name}")


def _inside(item: Any) -> Iterable[Any]:
    match item:
        case tuple():
            return item
        case Items(items=items):
            return items
        case Pairs(pairs=pairs):
            return [part for pair in pairs for part in pair]
        case Tagged(value=value) | Uniform(value=value):
            return [value]
        case Object(state=state):
            return state.values()
    return ()


def _payloads(archive: Container, inner: Mapping[str, str], tensors: Mapping[str, list[Tensor]]) -> dict[str, str]:
    """Return the entries of raw tensors; each is used, and as long as its storage."""
    used: dict[str, Storage] = {}
    for folder, found in tensors.items():
        for tensor in found:
            name = f"{folder}/{tensor.storage.key}"
            first = used.setdefault(name, tensor.storage)
            if name not in inner:
                raise refusal("ART-02.weights", f"The pickle uses {shown(name)}; there is no such entry.", folder)
            if (first.kind, first.count) != (tensor.storage.kind, tensor.storage.count):
                raise refusal("ART-02.weights", f"Two tensors use {shown(name)} with different types or sizes.", name)
            needed, stored = first.count * STORAGES[first.kind], archive.entries[inner[name]].size_bytes
            if needed != stored:
                raise refusal("ART-02.weights", f"The storage has {needed:,} bytes and its entry {stored:,}.", name)
    for name in inner:
        if _PAYLOAD.fullmatch(name) and name not in used:
            raise refusal("ART-02.unknown_entry", "No tensor uses this entry.", name)
    return {name: inner[name] for name in sorted(used)}
