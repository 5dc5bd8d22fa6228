"""The rebuild functions of torch, as checks of their arguments: each returns a tensor that only names its bytes.

Hooks have to be empty, attributes plain, and a tensor has to lie inside its storage.
"""

from __future__ import annotations

import math
from typing import Any

from workers.artifacts.pickles.values import (
    ArgumentError,
    CompositeTensor,
    Device,
    MetaTensor,
    NumpyArray,
    PickledDict,
    PickledList,
    PickledSet,
    Size,
    Storage,
    Tensor,
    Word,
    whole_numbers,
)
from workers.artifacts.weights.dtypes import BY_NUMPY, DTYPES, QUANTISED, size_of

_MAX_INTEGER = 2**63 - 1


def plain(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_tensor`` and ``_rebuild_tensor_v2``: the dtype is that of the storage."""
    match arguments:
        case (Storage() as storage, offset, size, stride):
            return _view(storage, storage.dtype, offset, size, stride)
        case (Storage() as storage, offset, size, stride, bool(), hooks, *metadata) if len(metadata) <= 1:
            _settle_hooks(hooks)
            return _view(storage, storage.dtype, offset, size, stride, *metadata)
    raise ArgumentError("a tensor is made of storage, offset, size, stride, requires_grad, hooks and its marks")


def typed(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_tensor_v3``: the dtype stands beside a storage that has none."""
    match arguments:
        case (
            Storage(dtype="") as storage,
            offset,
            size,
            stride,
            bool(),
            hooks,
            Word(kind="dtype", name=dtype),
            *metadata,
        ) if len(metadata) <= 1:
            _settle_hooks(hooks)
            return _view(storage, dtype, offset, size, stride, *metadata)
    raise ArgumentError("a tensor is made of untyped storage, offset, size, stride, requires_grad, hooks and a dtype")


def parameter(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_parameter``: the tensor itself."""
    match arguments:
        case (Tensor() | CompositeTensor() | MetaTensor() as data, bool(), hooks):
            _settle_hooks(hooks)
            return data
    raise ArgumentError("a parameter is made of a tensor, requires_grad and hooks")


def parameter_with_state(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_parameter_with_state``: a parameter with attributes."""
    if len(arguments) != 4:
        raise ArgumentError("a parameter with attributes is made of a tensor, requires_grad, hooks and attributes")
    settle_attributes(arguments[3])
    return parameter(arguments[:3])


def sparse(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_sparse_tensor``: indices, values and the size of the whole."""
    match arguments:
        case (
            Word(kind="layout", name="sparse_coo"),
            (Tensor(dtype="int64") as indices, Tensor() as values, Size() as size, *coalesced),
        ) if all(mark is None or isinstance(mark, bool) for mark in coalesced) and len(coalesced) <= 1:
            return CompositeTensor("sparse_coo", {"indices": indices, "values": values, "size": size})
        case (
            Word(kind="layout", name="sparse_csr" | "sparse_csc" | "sparse_bsr" | "sparse_bsc" as layout),
            (
                Tensor(dtype="int64" | "int32") as outer,
                Tensor(dtype="int64" | "int32") as inner,
                Tensor() as values,
                Size() as size,
            ),
        ):
            by_row = layout in ("sparse_csr", "sparse_bsr")
            names = ("crow_indices", "col_indices") if by_row else ("ccol_indices", "row_indices")
            return CompositeTensor(layout, {names[0]: outer, names[1]: inner, "values": values, "size": size})
    raise ArgumentError("a sparse tensor is made of its layout and of (indices, values, size)")


def quantised(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_qtensor``: whole numbers, and the scale and zero point of each channel or of all."""
    match arguments:
        case (Storage() as storage, offset, size, stride, tuple() as parameters, bool(), hooks) if (
            storage.dtype in QUANTISED
        ):
            _settle_hooks(hooks)
            numbers = _view(storage, QUANTISED[storage.dtype], offset, size, stride)
            return CompositeTensor("quantised", {"int_repr": numbers, **_quantiser(parameters, numbers)})
    raise ArgumentError("a quantised tensor is made of storage, offset, size, stride, its scales and hooks")


def meta(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_meta_tensor_no_storage``: a shape without values."""
    match arguments:
        case (Word(kind="dtype", name=dtype), size, stride, bool()):
            whole_numbers(stride)
            return MetaTensor(dtype, whole_numbers(size))
    raise ArgumentError("a tensor without values is made of dtype, size, stride and requires_grad")


def from_cpu(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_device_tensor_from_cpu_tensor``: the tensor itself, if it is not also converted."""
    match arguments:
        case (Tensor() as data, Word(kind="dtype", name=dtype), str() | Device(), bool()) if dtype == data.dtype:
            return data
    raise ArgumentError("a tensor of a device is made of a tensor of the same dtype, a device and requires_grad")


def from_numpy(arguments: tuple[Any, ...]) -> Any:
    """``_rebuild_device_tensor_from_numpy``: the array itself, if it is not also converted."""
    match arguments:
        case (NumpyArray(dtype=kind) as data, Word(kind="dtype", name=dtype), str() | Device(), bool()) if (
            kind is not None and kind.code in BY_NUMPY and BY_NUMPY[kind.code].name == dtype
        ):
            return data
    raise ArgumentError("a tensor of a device is made of an array of the same dtype, a device and requires_grad")


def settle_attributes(state: Any) -> None:
    """Refuse attributes of a tensor that are more than plain values: torch sets whatever stands here.

    Raises:
        ArgumentError: an attribute has no plain name, or holds a tensor or a container of more than plain values.
    """
    if not isinstance(state, PickledDict):
        raise ArgumentError("the attributes of a tensor are a dict")
    state.settled = True
    for name, value in state.entries.items():
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise ArgumentError("an attribute of a tensor has a plain name")
        if isinstance(value, PickledSet | PickledList):
            value.settled = True
        items = value.items if isinstance(value, PickledSet | PickledList) else value
        for item in items if isinstance(items, list | tuple) else (items,):
            if item is not None and not isinstance(item, bool | int | float | str):
                raise ArgumentError("an attribute of a tensor is a plain value")


def _settle_hooks(hooks: Any) -> None:
    if not isinstance(hooks, PickledDict) or not hooks.is_ordered or hooks.entries or hooks.has_state:
        raise ArgumentError("the hooks of a tensor are an empty OrderedDict")
    hooks.settled = True


def _view(storage: Storage, dtype: str, offset: Any, size: Any, stride: Any, metadata: Any = None) -> Tensor:
    """Return a tensor that lies inside its storage."""
    if dtype not in DTYPES:
        raise ArgumentError("a plain tensor has a storage with a type")
    sizes, strides = whole_numbers(size), whole_numbers(stride)
    if type(offset) is not int or offset < 0 or len(sizes) != len(strides):
        raise ArgumentError("offset, size and stride of a tensor go together")
    width = DTYPES[dtype].size_bytes
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    count = math.prod(sizes)
    if count * width > _MAX_INTEGER:
        raise ArgumentError("a tensor fits into 64 bits of memory")
    if count and (last + 1) * width > storage.count * size_of(storage.dtype):
        raise ArgumentError("a tensor lies inside its storage")
    marks = _marks(metadata)
    kind = DTYPES[dtype]
    if ("conj" in marks and not kind.real) or ("neg" in marks and kind.numpy in ("", "b1")):
        raise ArgumentError(f"a tensor of {dtype} is not marked as conjugate or negative")
    return Tensor(dtype, storage, offset, sizes, strides, "conj" in marks, "neg" in marks)


def _marks(metadata: Any) -> set[str]:
    if metadata is None:
        return set()
    if not isinstance(metadata, PickledDict):
        raise ArgumentError("the marks of a tensor are a dict")
    metadata.settled = True
    for name, value in metadata.entries.items():
        if name not in ("conj", "neg") or not isinstance(value, bool):
            raise ArgumentError("the marks of a tensor are `conj` and `neg`")
    return {str(name) for name, value in metadata.entries.items() if value}


def _quantiser(parameters: tuple[Any, ...], numbers: Tensor) -> dict[str, Any]:
    match parameters:
        case (Word(kind="scheme", name="per_tensor_affine"), float() as scale, int() as zero_point) if (
            -_MAX_INTEGER <= zero_point <= _MAX_INTEGER
        ):
            return {"scale": scale, "zero_point": zero_point}
        case (
            Word(kind="scheme", name="per_channel_affine" | "per_channel_affine_float_qparams"),
            Tensor() as scales,
            Tensor() as zero_points,
            int() as axis,
        ) if 0 <= axis < len(numbers.size) and scales.size == zero_points.size == (numbers.size[axis],):
            return {"scales": scales, "zero_points": zero_points, "axis": axis}
    raise ArgumentError("the scales of a quantised tensor go with its size")
