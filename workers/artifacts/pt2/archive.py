"""The archive of ``torch.export.save``: which entries it has, what its weights are, and how it is written anew.

Layout (PyTorch 2.13), under one root folder: ``models/model.json`` (the graph), ``data/weights/`` and
``data/constants/`` (raw little-endian bytes, each with a JSON config), ``data/sample_inputs/model.pt`` (a pickle, which
the rewritten file has as an empty entry), and small files that name the format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.canonical import CanonicalArchive
from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.pt2 import sample_inputs
from workers.artifacts.pt2 import schema as pt2_schema
from workers.artifacts.pt2.program import PLACE, Program, read_program
from workers.artifacts.pt2.schema import record
from workers.artifacts.source import Container, Source

_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLE = "data/sample_inputs/model.pt"
_MARKS = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": None,
    ".data/serialization_id": None,
}
_PAYLOAD = re.compile(r"data/(?:weights/weight|constants/tensor)_[0-9]{1,7}")
_MAX_MARK_BYTES = 256
_MAX_SAMPLE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class _Payload:
    """One stored tensor: the entry with its bytes, and what of it is the tensor."""

    entry: str
    is_parameter: bool
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Pt2:
    """A ``.pt2`` that was read; nothing of it was loaded."""

    program: Program
    weights: Mapping[str, _Payload]
    constants: Mapping[str, _Payload]
    findings: tuple[Finding, ...]
    format: str = "pt2"
    framework: str = "pytorch"

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical file from what was parsed; only raw tensor bytes are copied from the upload."""
        archive = source.entries
        with CanonicalArchive(target) as out:
            for name, content in (("archive_format", b"pt2"), ("archive_version", b"0"), ("byteorder", b"little")):
                out.add(f"archive/{name}", content)
            out.add("archive/.data/version", b"3\n")
            out.add("archive/models/model.json", _json(self.program.document))
            for config, folder, prefix, payloads in (
                (_WEIGHTS, "data/weights", "weight", self.weights),
                (_CONSTANTS, "data/constants", "tensor", self.constants),
            ):
                entries = list(dict.fromkeys(payload.entry for payload in payloads.values()))
                names = {entry: f"{prefix}_{number}" for number, entry in enumerate(entries)}
                out.add(f"archive/{config}", _json({"config": _config(payloads, names)}))
                for entry, name in names.items():
                    out.add_stream(f"archive/{folder}/{name}", archive.entries[entry].size_bytes, archive.chunks(entry))
            # Empty: with no sample there is nothing to unpickle, and `torch.export.load` takes it.
            out.add(f"archive/{_SAMPLE}", b"")


def read_pt2(source: Source) -> Pt2:
    """Read every entry of a ``.pt2``.

    Raises:
        RefusalError: at the first entry or JSON part that does not follow the format.
    """
    archive = source.entries
    root = next(iter(archive.entries)).partition("/")[0] + "/"
    for name in archive.entries:
        if not name.startswith(root):
            raise refusal("ART-02.unknown_entry", f"All entries lie in one folder, {shown(root)}; this does not.", name)
    inner = {name.removeprefix(root): name for name in archive.entries}
    findings = _check_entries(archive, inner)
    for needed in ("archive_format", "models/model.json", _WEIGHTS, _CONSTANTS, _SAMPLE):
        if needed not in inner:
            raise refusal("ART-02.missing_entry", f"A .pt2 has an entry {needed!r}; this one does not.", needed)
    program = read_program(_parse(archive, inner, "models/model.json"))
    weights = _payloads(archive, inner, _WEIGHTS, "data/weights/")
    constants = _payloads(archive, inner, _CONSTANTS, "data/constants/")
    _check_tensors(program, weights, constants)
    sample_inputs.check(archive.read(inner[_SAMPLE], _MAX_SAMPLE_BYTES), _SAMPLE)
    return Pt2(program, weights, constants, (*findings, *program.findings))


def _check_entries(archive: Container, inner: Mapping[str, str]) -> list[Finding]:
    known = {*_MARKS, "models/model.json", _WEIGHTS, _CONSTANTS, _SAMPLE}
    findings = []
    for name, full in inner.items():
        if name in known or _PAYLOAD.fullmatch(name):
            expected = _MARKS.get(name)
            if expected is not None and archive.read(full, _MAX_MARK_BYTES).strip() != expected:
                raise refusal("ART-02.schema", f"The entry says something else than {expected.decode()!r}.", name)
        elif name.startswith("extra/"):
            findings.append(finding("ART-03.extra_files", "The extra file is left out of the rewritten copy.", name))
        elif name.startswith(("data/aotinductor/", "data/executorch/")) or name.endswith((".so", ".dll", ".dylib")):
            raise refusal("ART-01.native_code", "The entry is compiled code (AOTInductor) or belongs to it.", name)
        elif name.startswith(("data/constants/custom_obj", "data/constants/opaque_obj")):
            raise refusal("ART-01.custom_object", "The entry is an object that only code can rebuild.", name)
        else:
            raise refusal("ART-02.unknown_entry", f"The entry {shown(name)} does not belong into a .pt2.", name)
    return findings


def _parse(archive: Container, inner: Mapping[str, str], name: str) -> Any:
    return strict_json.parse(archive.read(inner[name], strict_json.MAX_BYTES), name)


def _payloads(archive: Container, inner: Mapping[str, str], config: str, folder: str) -> dict[str, _Payload]:
    entries = record(_parse(archive, inner, config), config, {"config": pt2_schema.anything})["config"]
    if not isinstance(entries, dict):
        raise refusal("ART-02.schema", "`config` is an object.", config)
    payloads: dict[str, _Payload] = {}
    dtypes: dict[str, int] = {}
    for raw_name, item in entries.items():
        name = pt2_schema.parameter_name(raw_name, config)
        place = f"{config}: {name}"
        if isinstance(item, dict) and item.get("use_pickle") is not False:
            raise refusal("ART-01.pickle", f"The weights {name!r} are stored as a pickle, which runs code.", place)
        fields: dict[str, pt2_schema.Reader] = {
            "path_name": pt2_schema.plain_text,
            "is_param": pt2_schema.boolean,
            "use_pickle": pt2_schema.boolean,
            "tensor_meta": pt2_schema.Sizes(()).tensor,
        }
        read = record(item, place, fields)
        if read["path_name"].startswith(("custom_obj", "opaque_obj")):
            raise refusal("ART-01.custom_object", "A constant is an object that only code can rebuild.", place)
        path = folder + read["path_name"]
        if not _PAYLOAD.fullmatch(path) or path not in inner:
            raise refusal(
                "ART-02.weights", f"The weights are said to lie in {shown(path)}; there is no such entry.", place
            )
        metadata = read["tensor_meta"]
        if dtypes.setdefault(path, metadata["dtype"]) != metadata["dtype"]:
            raise refusal("ART-02.weights", f"Two tensors read {shown(path)} with different dtypes.", place)
        _check_range(metadata, archive.entries[inner[path]].size_bytes, place)
        payloads[name] = _Payload(inner[path], read["is_param"], metadata)
    return payloads


def _check_range(metadata: dict[str, Any], stored: int, place: str) -> None:
    """Refuse a tensor that would read beside its bytes, or whose bytes are not there (they would be zeros)."""
    numbers = [*metadata["sizes"], *metadata["strides"], metadata["storage_offset"]]
    if not all("as_int" in number and number["as_int"] >= 0 for number in numbers):
        raise refusal("ART-02.weights", "Sizes, strides and offset of stored weights are whole numbers from 0.", place)
    sizes = [size["as_int"] for size in metadata["sizes"]]
    strides = [stride["as_int"] for stride in metadata["strides"]]
    offset = metadata["storage_offset"]["as_int"]
    name, width = pt2_schema.DTYPES[metadata["dtype"]]
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    needed = (last + 1) * width if math.prod(sizes) else 0
    if needed > stored or stored % width:
        detail = f"A {name} tensor of shape {sizes} needs {needed:,} bytes; its entry has {stored:,}."
        raise refusal("ART-02.weights", detail, place)


def _check_tensors(program: Program, weights: Mapping[str, _Payload], constants: Mapping[str, _Payload]) -> None:
    """Refuse a graph whose parameters, buffers and constants are not the stored ones."""
    for name, (metadata, _) in program.tensors.items():
        stored = (constants if name in program.constants else weights).get(name)
        if stored is None:
            raise refusal(
                "ART-02.weights", f"The graph uses the weights {name!r}; they are not stored.", f"{PLACE}: {name}"
            )
        ours = (stored.metadata["dtype"], stored.metadata["sizes"])
        if ours != (metadata["dtype"], metadata["sizes"]):
            detail = f"The weights {name!r} have another shape or dtype in the graph than in their entry."
            raise refusal("ART-02.weights", detail, f"{PLACE}: {name}")


def _config(payloads: Mapping[str, _Payload], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {
            "path_name": names[payload.entry],
            "is_param": payload.is_parameter,
            "use_pickle": False,
            "tensor_meta": payload.metadata,
        }
        for name, payload in payloads.items()
    }


def _json(document: Any) -> bytes:
    return json.dumps(document, allow_nan=False).encode()
