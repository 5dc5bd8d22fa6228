"""safetensors: the strict reader, and the writer of the canonical copy of all weights.

A file is eight bytes with the length of the header, the header (JSON, padded with spaces), and the bytes of the
tensors without a gap. The reader takes nothing that two readers could read differently: keys stand once, tensors lie
side by side from the first byte to the last, and every length is what shape and dtype say.

Source: the format's description in https://github.com/huggingface/safetensors, version 0.8.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.source import Source
from workers.artifacts.weights.dtypes import BY_CODE
from workers.artifacts.weights.tensors import Block, StoredTensor, TensorBytes, TensorNames

_LENGTH_BYTES = 8
_ALIGNMENT = 8
_METADATA = "__metadata__"
_PLACE = "header"
_KEYS = {"dtype", "shape", "data_offsets"}
_MAX_SIZE = 2**63 - 1
_MAX_DIMENSIONS = 64


@dataclass(frozen=True)
class Weights:
    """A file of weights that was read, whatever its format; nothing of it was loaded."""

    tensors: Mapping[str, StoredTensor]
    findings: tuple[Finding, ...]
    format: str
    framework: str = ""

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical copy: a safetensors file of all tensors."""
        write_safetensors(self.tensors, source, target)


def read_safetensors(source: Source) -> Weights:
    """Read the header of a safetensors file and check that it describes every byte behind it.

    Raises:
        RefusalError: ``ART-02.tensors``, ``ART-02.json`` or ``ART-02.too_large``, with the tensor or byte.
    """
    header, start, end = _read_header(source)
    findings = _check_metadata(header.pop(_METADATA, {}))
    if len(header) > source.limits.tensors:
        detail = f"The file has {len(header):,} tensors; the limit is {source.limits.tensors:,}."
        raise refusal("ART-02.too_large", detail, _PLACE)
    names = TensorNames(source.limits, end - start)
    position = start
    for name, begins, ends, entry in sorted(_entries(header), key=lambda entry: entry[1:3]):
        if start + begins != position:
            detail = f"The tensor begins at byte {start + begins:,}; the one before it ends at byte {position:,}."
            raise refusal("ART-02.tensors", detail, name)
        position = start + ends
        tensor = StoredTensor(entry["dtype"], entry["shape"], Block(ends - begins, start + begins))
        if ends < begins or tensor.size_bytes != ends - begins:
            detail = f"Shape and dtype need {tensor.size_bytes:,} bytes; {ends - begins:,} are said to be stored."
            raise refusal("ART-02.tensors", detail, name)
        names.add(name, tensor)
    if position != end:
        detail = f"The tensors end at byte {position:,}; the file ends at byte {end:,}."
        raise refusal("ART-02.truncated" if position > end else "ART-02.suffix_data", detail, f"byte {position:,}")
    if not names.tensors:
        raise refusal("ART-02.tensors", "The file holds no tensor.")
    return Weights(names.tensors, findings, "safetensors")


def write_safetensors(tensors: Mapping[str, StoredTensor], source: Source, target: Path) -> None:
    """Write tensors in one order, wide numbers first and names sorted, so that all are aligned; no metadata."""
    order = sorted(tensors, key=lambda name: (-tensors[name].kind.size_bytes, name))
    header, position = {}, 0
    for name in order:
        tensor = tensors[name]
        end = position + tensor.size_bytes
        header[name] = {"dtype": tensor.kind.code, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % _ALIGNMENT)
    with target.open("wb") as out, TensorBytes(source, str(target.parent)) as content:
        out.write(len(raw).to_bytes(_LENGTH_BYTES, "little") + raw)
        for name in order:
            for piece in content.pieces(tensors[name]):
                out.write(piece)


def _read_header(source: Source) -> tuple[dict[str, Any], int, int]:
    """Return the header, the first byte behind it, and the size of the file."""
    size = source.stream.seek(0, os.SEEK_END)
    source.stream.seek(0)
    length = int.from_bytes(source.stream.read(_LENGTH_BYTES), "little")
    limit = min(source.limits.json_bytes, strict_json.MAX_BYTES)
    if length > limit:
        raise refusal("ART-02.too_large", f"The header has {length:,} bytes; the limit is {limit:,}.", "byte 0")
    if length > size - _LENGTH_BYTES:
        raise refusal("ART-02.truncated", f"The header of {length:,} bytes is cut off.", f"byte {size:,}")
    raw = source.stream.read(length)
    if not raw.startswith(b"{") or not raw.rstrip(b" ").endswith(b"}"):
        raise refusal("ART-02.tensors", "The header is one JSON object, padded with spaces at its end.", "byte 8")
    return strict_json.parse(raw, _PLACE), _LENGTH_BYTES + length, size


def _entries(header: Mapping[str, Any]) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != _KEYS:
            raise refusal("ART-02.tensors", f"A tensor has {', '.join(sorted(_KEYS))} and nothing else.", name)
        dtype = BY_CODE.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
        if dtype is None:
            raise refusal("ART-02.tensors", f"{shown(entry['dtype'])} is no known dtype.", name)
        shape, offsets = _sizes(entry["shape"], name), _sizes(entry["data_offsets"], name)
        if len(offsets) != 2:
            raise refusal("ART-02.tensors", "`data_offsets` has a beginning and an end.", name)
        yield name, offsets[0], offsets[1], {"dtype": dtype.name, "shape": shape}


def _sizes(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > _MAX_DIMENSIONS:
        raise refusal("ART-02.tensors", "Shape and offsets are lists of whole numbers.", name)
    if not all(type(value) is int and 0 <= value <= _MAX_SIZE for value in values):
        raise refusal("ART-02.tensors", "Shape and offsets are whole numbers from 0.", name)
    return tuple(values)


def _check_metadata(metadata: Any) -> tuple[Finding, ...]:
    """Refuse metadata that is more than texts; say that it is left out, unless it only names the framework."""
    place = f"{_PLACE}: {_METADATA}"
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refusal("ART-02.tensors", "The metadata is an object of texts.", place)
    left_out = [key for key in metadata if key != "format"]
    if not left_out:
        return ()
    names = ", ".join(shown(key) for key in left_out[:5])
    detail = f"The metadata of the header ({len(left_out):,} texts: {names}) is left out of the canonical copy."
    return (finding("ART-03.left_out", detail, place),)
