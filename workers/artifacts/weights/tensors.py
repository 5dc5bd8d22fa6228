"""Named tensors of an upload: where the bytes of each lie, and how they are read in the order of its values."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from workers.artifacts import strict_json
from workers.artifacts.findings import refusal
from workers.artifacts.limits import Limits
from workers.artifacts.source import Source
from workers.artifacts.weights.dtypes import DTYPES, Dtype

PIECE_BYTES = 4 * 1024 * 1024
#: Views may name the same bytes many times; more than this much of what is stored is a bomb.
_MAX_GROWTH = 16
_FREE_GROWTH_BYTES = 64 * 1024**2
_RESERVED_NAME = "__metadata__"
#: What the header of the canonical copy needs at most for a tensor besides its name, and for each of its sizes.
_ENTRY_BYTES, _SIZE_BYTES = 100, 21


@dataclass(frozen=True)
class Block:
    """Bytes of an upload: of the file itself, of an entry of its container, or of what was parsed.

    Attributes:
        offset: first byte, in the file, in the entry, or in ``content``.
    """

    size_bytes: int
    offset: int = 0
    entry: str = ""
    content: bytes | None = None


@dataclass(frozen=True)
class StoredTensor:
    """A tensor and where its values lie.

    Attributes:
        dtype: a name of ``dtypes.DTYPES`` with a code of safetensors.
        offset: of the first value in the block, in bytes.
        strides: in values; None when the values lie side by side in the order of rows.
        is_swapped: the bytes of each number are in big-endian order.
        is_conjugate: what is meant is the complex conjugate of what is stored.
        is_negative: what is meant is the negative of what is stored.
    """

    dtype: str
    shape: tuple[int, ...]
    block: Block
    offset: int = 0
    strides: tuple[int, ...] | None = None
    is_swapped: bool = False
    is_conjugate: bool = False
    is_negative: bool = False

    @property
    def kind(self) -> Dtype:
        return DTYPES[self.dtype]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """What the tensor needs when its values lie side by side."""
        return self.count * self.kind.size_bytes

    @property
    def is_plain(self) -> bool:
        """Tell whether the bytes of the block can be copied as they are."""
        return self.strides is None and not (self.is_swapped or self.is_conjugate or self.is_negative)


def row_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in values, of values that lie side by side in the order of rows."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if shape else ()


def is_side_by_side(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Tell whether strides say nothing: a stride along one value or in an empty tensor does not count."""
    expected = row_strides(shape)
    return not math.prod(shape) or all(
        size == 1 or ours == theirs for size, ours, theirs in zip(shape, strides, expected, strict=True)
    )


class TensorNames:
    """Collects tensors by name: every name plain and there once, all of them within the limits."""

    def __init__(self, limits: Limits, stored_bytes: int) -> None:
        self._limits = limits
        self._allowed_bytes = min(limits.total_bytes, max(_FREE_GROWTH_BYTES, _MAX_GROWTH * stored_bytes))
        self._total_bytes = 0
        self._header_bytes_left = min(limits.json_bytes, strict_json.MAX_BYTES)
        self.tensors: dict[str, StoredTensor] = {}

    def add(self, name: str, tensor: StoredTensor) -> None:
        check_name(name, self._limits)
        if name in self.tensors:
            raise refusal("ART-02.tensors", "Two tensors have this name.", name)
        if len(self.tensors) >= self._limits.tensors:
            raise refusal("ART-02.too_large", f"The file has more than {self._limits.tensors:,} tensors.", name)
        named = len(json.dumps(name, ensure_ascii=False).encode())
        self._header_bytes_left -= named + _ENTRY_BYTES + _SIZE_BYTES * len(tensor.shape)
        if self._header_bytes_left < 0:
            detail = f"Names and shapes up to here need more than the {self._limits.json_bytes:,} bytes of a header."
            raise refusal("ART-02.too_large", detail, name)
        self._total_bytes += tensor.size_bytes
        if self._total_bytes > self._allowed_bytes:
            detail = f"The tensors up to here need more than {self._allowed_bytes:,} bytes, the most for this file."
            raise refusal("ART-02.too_large", detail, name)
        self.tensors[name] = tensor


def check_name(name: str, limits: Limits) -> None:
    """Refuse a name of a tensor that is empty, too long, unprintable, or reserved by safetensors."""
    if not name.isprintable() or not 0 < len(name.encode()) <= limits.name_bytes or name == _RESERVED_NAME:
        detail = f"A tensor has a printable name of 1 to {limits.name_bytes} bytes; this one is {ascii(name)[:80]}."
        raise refusal("ART-02.tensors", detail, ascii(name)[:200])


@dataclass
class TensorBytes:
    """Reads the values of tensors; compressed entries are unpacked into temporary files once."""

    source: Source
    folder: str
    _unpacked: dict[str, BinaryIO] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def pieces(self, tensor: StoredTensor) -> Iterator[bytes]:
        """Yield the values in the order of rows, little-endian, in pieces of a bounded size."""
        if not tensor.size_bytes:
            return
        if tensor.is_plain:
            yield from self._copied(tensor.block, tensor.offset, tensor.size_bytes)
            return
        for values in _parts(self._view(tensor)):
            yield _resolved(values, tensor).tobytes()

    def _copied(self, block: Block, offset: int, length: int) -> Iterator[bytes]:
        if block.content is not None:
            yield block.content[block.offset + offset : block.offset + offset + length]
            return
        stream, start = self._opened(block)
        for at in range(0, length, PIECE_BYTES):
            stream.seek(start + offset + at)
            yield stream.read(min(PIECE_BYTES, length - at))

    def _view(self, tensor: StoredTensor) -> NDArray[Any]:
        """Return the stored values as an array over the block, which is mapped and not read."""
        dtype = np.dtype(f"u{tensor.kind.size_bytes}" if tensor.kind.size_bytes <= 8 else "V16")
        strides = row_strides(tensor.shape) if tensor.strides is None else tensor.strides
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, strides, strict=True))
        length = (last + 1) * dtype.itemsize
        if tensor.block.content is not None:
            flat: NDArray[Any] = np.frombuffer(
                tensor.block.content, "u1", count=length, offset=tensor.block.offset + tensor.offset
            )
        else:
            stream, start = self._opened(tensor.block)
            flat = np.memmap(stream, "u1", mode="r", offset=start + tensor.offset, shape=(length,))
        return np.lib.stride_tricks.as_strided(
            flat.view(dtype), tensor.shape, [stride * dtype.itemsize for stride in strides], writeable=False
        )

    def _opened(self, block: Block) -> tuple[BinaryIO, int]:
        """Return a file and where in it the block begins."""
        if not block.entry:
            return self.source.stream, block.offset
        region = self.source.entries.offset_of(block.entry)
        if region is not None:
            return self.source.stream, region + block.offset
        if block.entry not in self._unpacked:
            unpacked = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - the stack of files closes it
            file = self._files.enter_context(unpacked)
            self._unpacked[block.entry] = file
            for piece in self.source.entries.chunks(block.entry):
                file.write(piece)
            file.flush()
        return self._unpacked[block.entry], block.offset


def _parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array in parts of a bounded size, in the order of rows."""
    if values.nbytes <= PIECE_BYTES or not values.shape:
        yield values
        return
    rows = max(1, PIECE_BYTES * len(values) // values.nbytes)
    for at in range(0, len(values), rows):
        part = values[at : at + rows]
        yield from _parts(part[0]) if rows == 1 else iter([part])


def _resolved(values: NDArray[Any], tensor: StoredTensor) -> NDArray[Any]:
    """Return the numbers that are meant: bytes in little-endian order, signs as the tensor is marked."""
    values = np.ascontiguousarray(values)
    if tensor.is_swapped and tensor.kind.swapped_bytes > 1:
        values = values.view("u1").reshape(-1, tensor.kind.swapped_bytes)[:, ::-1].copy().view("u1")
    if tensor.is_conjugate or tensor.is_negative:
        numbers = values.reshape(-1).view("<" + tensor.kind.numpy)
        numbers = np.conjugate(numbers) if tensor.is_conjugate else numbers
        values = np.negative(numbers) if tensor.is_negative else numbers
    return values
