"""The tensors of a checkpoint by their dotted names, and what is said about everything that is no plain tensor.

``{"optimizer": {"state": {0: {"exp_avg": ...}}}}`` has a tensor ``optimizer.state.0.exp_avg``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from workers.artifacts.findings import Finding, finding, refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.pickles.values import (
    CompositeTensor,
    Device,
    MetaTensor,
    NumpyArray,
    NumpyDtype,
    PickledDict,
    PickledList,
    PickledSet,
    Size,
    Storage,
    Tensor,
    Word,
)
from workers.artifacts.weights.dtypes import BY_NUMPY, DTYPES, QUANTISED
from workers.artifacts.weights.tensors import Block, StoredTensor, TensorNames, is_side_by_side, row_strides

#: Where the bytes of a storage lie.
Blocks = Mapping[str, Block]

_ONLY_TENSOR = "tensor"
#: A value that stands at several places is walked at each of them; more often than this a value is a bomb.
_MAX_VISITS = 2_000_000
_SHOWN_NAMES = 5
_FLOAT = struct.Struct("<d")
#: Values of a checkpoint that are no tensors and hold none.
_PLAIN = (type(None), bool, int, float, complex, str, bytes, Size, Device, PickledSet)

#: What is said of values that are not carried over as they are.
_SENTENCES: dict[str, tuple[str, str]] = {
    "plain": (
        "ART-03.left_out",
        "Values that are no tensors (numbers, texts, settings) are left out of the canonical copy",
    ),
    "meta": ("ART-03.left_out", "Tensors of the device `meta` have no values and are left out of the canonical copy"),
    "storage": ("ART-03.rearranged", "Storages, which have no shape, are written as one row of values"),
    "pairs": (
        "ART-03.rearranged",
        "Complex numbers of a type that safetensors has not are written as pairs of real ones",
    ),
    "resolved": ("ART-03.rearranged", "Conjugate and negative views are written as the numbers that they mean"),
    "tied": ("ART-03.rearranged", "Tensors that share their values with another one are written once for each name"),
    "sparse": ("ART-03.rearranged", "Sparse tensors are written as their parts: indices, values and size"),
    "quantised": (
        "ART-03.rearranged",
        "Quantised tensors are written as their parts: whole numbers, scales and zero points",
    ),
    "array": ("ART-03.rearranged", "Arrays of NumPy are written as tensors"),
    "scalar": ("ART-03.rearranged", "Numbers of NumPy are written as tensors without dimensions"),
}


class _Note:
    """How many values something is said of, and the first few of their names."""

    def __init__(self) -> None:
        self.count = 0
        self._names: list[str] = []

    def add(self, parts: tuple[str, ...]) -> None:
        self.count += 1
        if self.count <= _SHOWN_NAMES:
            self._names.append(shown(".".join(part for part in parts if part)))

    @property
    def names(self) -> str:
        return ", ".join(self._names) + (" and more" if self.count > _SHOWN_NAMES else "")


class Tree:
    """Walks what a pickle says and collects its tensors."""

    def __init__(self, blocks: Blocks, limits: Limits, *, stored_bytes: int, is_swapped: bool, place: str) -> None:
        self._blocks = blocks
        self._limits = limits
        self._is_swapped = is_swapped
        self._place = place
        self._names = TensorNames(limits, stored_bytes)
        self._visits_left = _MAX_VISITS
        self._seen: dict[tuple[object, ...], str] = {}
        self._notes: dict[str, _Note] = {}

    def collect(self, value: Any) -> dict[str, StoredTensor]:
        """Return the tensors of a value by name.

        Raises:
            RefusalError: a value that is no data, names that do not tell tensors apart, more than the limits.
        """
        self._walk(value, "", 0)
        if not self._names.tensors:
            raise refusal("ART-02.tensors", "The file holds no tensor.", self._place)
        return self._names.tensors

    def findings(self) -> tuple[Finding, ...]:
        """Say of each kind of value that is not carried over as it is what became of it."""
        return tuple(
            finding(_SENTENCES[kind][0], f"{_SENTENCES[kind][1]}; {note.count:,}: {note.names}.", self._place)
            for kind, note in self._notes.items()
        )

    def _walk(self, value: Any, name: str, depth: int) -> None:
        self._visit(name, depth)
        inner = _children(value)
        if inner is None:
            self._take(value, name or _ONLY_TENSOR)
            return
        for key, child in inner:
            if isinstance(child, _PLAIN):  # by far the most of a large checkpoint's values
                self._visit(name, depth)
                self._note("plain", name, key)
            else:
                self._walk(child, self._joined(name, key), depth + 1)

    def _visit(self, name: str, depth: int) -> None:
        self._visits_left -= 1
        if self._visits_left < 0 or depth > self._limits.json_depth:
            detail = f"Values are nested deeper than {self._limits.json_depth}, or repeated millions of times."
            raise refusal("ART-02.too_large", detail, name[:200])

    def _joined(self, name: str, key: str) -> str:
        joined = f"{name}.{key}" if name else key
        if len(joined) > self._limits.name_bytes:
            detail = f"The name has more than {self._limits.name_bytes:,} bytes."
            raise refusal("ART-02.tensors", detail, ascii(joined)[:200])
        return joined

    def _take(self, value: Any, name: str) -> None:
        match value:
            case Tensor():
                self._add_tensor(name, value)
            case CompositeTensor():
                self._add_parts(name, value)
            case NumpyArray():
                self._add_array(name, value)
            case Storage():
                whole = Tensor(_values_of(value), value, 0, (value.count,), (1,))
                self._add_tensor(name, whole)
                self._note("storage", name)
            case MetaTensor():
                self._note("meta", name)
            case _ if isinstance(value, _PLAIN):
                self._note("plain", name)
            case Word(kind="dtype" | "layout" | "scheme") | NumpyDtype(order="<" | ">" | "|"):
                self._note("plain", name)
            case _:
                detail = "The checkpoint holds, as a value, something that is no data: a function, a class or the like."
                raise refusal("ART-01.pickle", detail, f"{self._place}: {name}")

    def _add_tensor(self, name: str, tensor: Tensor) -> None:
        kind = DTYPES[tensor.dtype]
        size, stride, dtype, offset = tensor.size, tensor.stride, tensor.dtype, tensor.offset
        if self._is_swapped and not tensor.storage.dtype and kind.swapped_bytes > 1:
            # torch swaps by the type of the storage, and this one has none.
            detail = f"The file is big-endian and keeps {dtype} without its type; save it on a little-endian machine."
            raise refusal("ART-02.tensors", detail, name)
        if kind.real and not kind.code:
            if tensor.is_conjugate or tensor.is_negative:
                # A sign would have to be changed in one half of each pair.
                detail = f"A {dtype} tensor is stored as a conjugate view; call resolve_conj() before it is saved."
                raise refusal("ART-02.tensors", detail, name)
            size, stride = (*size, 2), (*(2 * step for step in stride), 1)
            dtype, offset = kind.real, 2 * offset
            self._note("pairs", name)
        if tensor.is_conjugate or tensor.is_negative:
            self._note("resolved", name)
        region = (tensor.storage.key, offset, size, stride)
        if tensor.storage.count and self._seen.setdefault(region, name) != name:
            self._note("tied", name)
        self._names.add(
            name,
            StoredTensor(
                dtype=dtype,
                shape=size,
                block=self._blocks[tensor.storage.key],
                offset=offset * DTYPES[dtype].size_bytes,
                strides=None if is_side_by_side(size, stride) else stride,
                is_swapped=self._is_swapped,
                is_conjugate=tensor.is_conjugate,
                is_negative=tensor.is_negative,
            ),
        )

    def _add_parts(self, name: str, tensor: CompositeTensor) -> None:
        """Write a sparse or quantised tensor as what it is made of, each number among its parts as a tensor too."""
        self._note(tensor.kind if tensor.kind == "quantised" else "sparse", name)
        for part, value in tensor.parts.items():
            inner = f"{name}.{part}"
            match value:
                case Tensor():
                    self._add_tensor(inner, value)
                case Size():
                    numbers = b"".join(size.to_bytes(8, "little") for size in value.sizes)
                    self._names.add(inner, _made("int64", (len(value.sizes),), numbers))
                case float():
                    self._names.add(inner, _made("float64", (), _FLOAT.pack(value)))
                case _:
                    self._names.add(inner, _made("int64", (), int(value).to_bytes(8, "little", signed=True)))

    def _add_array(self, name: str, array: NumpyArray) -> None:
        if array.dtype is None or array.content is None:
            raise refusal("ART-01.pickle", "An array of NumPy is used before it has values.", f"{self._place}: {name}")
        kind = BY_NUMPY.get(array.dtype.code)
        if kind is None:
            self._note("plain", name)
            return
        shape, dtype, content = array.shape, kind.name, array.content
        strides: tuple[int, ...] | None = _column_strides(shape) if array.is_fortran else None
        if not kind.code:
            strides = None if strides is None else (*(2 * step for step in strides), 1)
            shape, dtype = (*shape, 2), kind.real
            self._note("pairs", name)
        block = Block(len(content), content=content)
        self._note("array" if array.shape else "scalar", name)
        self._names.add(name, StoredTensor(dtype, shape, block, 0, strides, is_swapped=array.dtype.order == ">"))

    def _note(self, kind: str, *name: str) -> None:
        if kind not in self._notes:
            self._notes[kind] = _Note()
        self._notes[kind].add(name)


def _children(value: Any) -> Iterator[tuple[str, Any]] | None:
    """Return what a container holds, by key; None for a value that is none."""
    match value:
        case PickledDict():
            return ((key if isinstance(key, str) else key.decode(), child) for key, child in value.entries.items())
        case PickledList():
            return ((str(index), child) for index, child in enumerate(value.items))
        case tuple():
            return ((str(index), child) for index, child in enumerate(value))
    return None


def _values_of(storage: Storage) -> str:
    return QUANTISED.get(storage.dtype, storage.dtype) or "uint8"


def _column_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reversed(row_strides(tuple(reversed(shape)))))


def _made(dtype: str, shape: tuple[int, ...], content: bytes) -> StoredTensor:
    return StoredTensor(dtype, shape, Block(len(content), content=content))
