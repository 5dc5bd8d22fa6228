"""The weights of a PyTorch package: a safetensors file, read to its end and written anew.

Source: the format's description at https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workers.artifacts import strict_json
from workers.artifacts.findings import Finding, RefusalError, refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.source import Source

_CHUNK_BYTES = 1024 * 1024
_LENGTH_BYTES = 8

#: Bytes of one number, by the names of the format.
_WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
    "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Tensors:
    """A safetensors file that was read."""

    tensors: tuple[_Tensor, ...]
    findings: tuple[Finding, ...] = ()
    format: str = "safetensors"
    framework: str = ""

    def write(self, source: Source, target: Path) -> None:
        """Write the tensors again: the widest numbers first, by name, without metadata and without gaps."""
        ordered = sorted(self.tensors, key=lambda tensor: (-_WIDTHS[tensor.dtype], tensor.name))
        header: dict[str, Any] = {}
        end = 0
        for tensor in ordered:
            offsets = [end, end + tensor.size_bytes]
            header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
            end += tensor.size_bytes
        content = json.dumps(header, separators=(",", ":")).encode()
        content += b" " * (-len(content) % _LENGTH_BYTES)
        with target.open("wb") as out:
            out.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
            for tensor in ordered:
                for piece in _pieces(source.stream, tensor.offset, tensor.size_bytes):
                    out.write(piece)


def read_tensors(source: Source) -> Tensors:
    """Read a safetensors file: a JSON header, and every byte behind it the number of one tensor.

    Raises:
        RefusalError: a header that is not strict, a gap, an overlap, or bytes that belong to no tensor.
    """
    size = source.stream.seek(0, 2)
    source.stream.seek(0)
    length = int.from_bytes(source.stream.read(_LENGTH_BYTES), "little")
    if not 0 < length <= min(size - _LENGTH_BYTES, source.limits.json_bytes):
        raise _refused(f"The header is said to have {length:,} bytes, of a file of {size:,}.", "header")
    header = strict_json.parse(source.stream.read(length), "header")
    if not isinstance(header, dict):
        raise _refused("The header is no object.", "header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _refused("The metadata are no texts.", "header: __metadata__")
    if len(header) > source.limits.tensors:
        raise refusal(
            "ART-02.too_large", f"There are {len(header):,} tensors; the limit is {source.limits.tensors:,}.", "header"
        )
    start = _LENGTH_BYTES + length
    tensors = sorted(
        (_tensor(name, entry, start, source.limits) for name, entry in header.items()),
        key=lambda tensor: (tensor.offset, tensor.size_bytes),
    )
    position = start
    for tensor in tensors:
        if tensor.offset != position:
            raise _refused(f"It begins at byte {tensor.offset:,}; the one before it ends at {position:,}.", tensor.name)
        position += tensor.size_bytes
    if position != size:
        raise _refused(f"The tensors end at byte {position:,}, the file at {size:,}.", f"byte {position:,}")
    return Tensors(tuple(tensors))


def _tensor(name: str, entry: Any, start: int, limits: Limits) -> _Tensor:
    if not 0 < len(name) <= limits.name_bytes or not name.isprintable():
        raise _refused(f"The name {shown(name)} is not plain.", "header")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refused("A tensor has `dtype`, `shape` and `data_offsets`.", name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _WIDTHS:
        raise _refused(f"The dtype {shown(dtype)} is not known.", name)
    if not _is_sizes(shape) or len(shape) > 64 or not _is_sizes(offsets) or len(offsets) != 2:
        raise _refused("Shape and offsets are lists of whole numbers from 0.", name)
    needed = math.prod(shape) * _WIDTHS[dtype]
    if offsets[1] - offsets[0] != needed:
        detail = f"A {dtype} tensor of shape {shown(shape)} needs {needed:,} bytes; {offsets[1] - offsets[0]:,} stand."
        raise _refused(detail, name)
    return _Tensor(name, dtype, tuple(shape), start + offsets[0], needed)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**48 for size in value)


def _pieces(stream: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    stream.seek(offset)
    while size:
        piece = stream.read(min(size, _CHUNK_BYTES))
        size -= len(piece)
        yield piece


def _refused(detail: str, place: str) -> RefusalError:
    return refusal("ART-02.weights", detail, place)
