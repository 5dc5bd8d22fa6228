"""Writes safetensors: a header of JSON that says where each tensor is, then the tensors, one behind the other.

Source: the format as `safetensors` 0.8 reads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_ITEM_BYTES = {"BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}
_ITEM_BYTES |= {"I64": 8, "U64": 8, "F64": 8}
_ALIGNMENT = 8


@dataclass(frozen=True)
class Tensor:
    """One tensor to write.

    Attributes:
        dtype: the name that safetensors has for it.
        pieces: gives the bytes of the tensor in order, little-endian, the last index fastest.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[bytes]]

    @property
    def size_bytes(self) -> int:
        return _ITEM_BYTES[self.dtype] * math.prod(self.shape)


def write_safetensors(target: Path, tensors: Iterable[Tensor]) -> None:
    """Write a file with the tensors in the order of their names; the same tensors give the same bytes.

    Wider types come first, as each tensor has to begin at a multiple of its item's size.
    """
    ordered = sorted(tensors, key=lambda tensor: (-_ITEM_BYTES[tensor.dtype], tensor.name))
    header: dict[str, object] = {}
    end = 0
    for tensor in ordered:
        start, end = end, end + tensor.size_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with target.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            for piece in tensor.pieces():
                out.write(piece)
