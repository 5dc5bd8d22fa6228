"""The globals that a pickle may name: exact pairs of module and name, and what each means for the values it is given.

A pair that is not here is refused with its name; so are aliases, attribute paths and names of another protocol. A
global is never imported: the function beside it checks the arguments and makes an inert value of them.

Source: ``torch/_weights_only_unpickler.py`` and ``torch/_utils.py`` of PyTorch 2.13, ``numpy/_core`` of NumPy 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.artifacts.pickles import tensors
from workers.artifacts.pickles.values import (
    ArgumentError,
    Device,
    NumpyArray,
    NumpyDtype,
    PickledDict,
    PickledList,
    PickledSet,
    Size,
    Word,
    whole_numbers,
)
from workers.artifacts.weights.dtypes import BY_NUMPY, DTYPES, STORAGES


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A global that a pickle may call: ``REDUCE`` gives ``make`` the tuple of arguments."""

    name: str
    make: Callable[[tuple[Any, ...]], Any]
    creates: bool = False  #: NEWOBJ may make it too: a class whose objects are their one argument


_DEVICE = re.compile(r"[a-z]{1,20}(?::[0-9]{1,3})?")
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
_SCHEMES = ("per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_affine_float_qparams")
_NUMPY_TEXT = re.compile(r"[US][0-9]{1,6}")


def is_device(name: Any) -> bool:
    """Tell whether this is the name of a device, as ``cuda:0``."""
    return isinstance(name, str) and _DEVICE.fullmatch(name) is not None


def _ordered_dict(arguments: tuple[Any, ...]) -> Any:
    if arguments:
        raise ArgumentError("an OrderedDict is made empty and filled then")
    return PickledDict(is_ordered=True)


def _counter(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (PickledDict() as counts,):
            counts.settled = True
            return PickledDict(entries=counts.entries, settled=True)
    raise ArgumentError("a Counter is made of one dict")


def _set(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (PickledList() as items,):
            items.settled = True
            made = PickledSet()
            made.extend(items.items)
            made.settled = True
            return made
    raise ArgumentError("a set is made of one list")


def _complex(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (float() as real, float() as imaginary):
            return complex(real, imaginary)
    raise ArgumentError("a complex number is made of two floats")


def _bytearray(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case ():
            return b""
        case (bytes() as content,):
            return content
    raise ArgumentError("a bytearray is made of bytes")


def _bytes(arguments: tuple[Any, ...]) -> Any:
    if arguments:
        raise ArgumentError("bytes are made by `_codecs.encode`, or empty")
    return b""


def _encode(arguments: tuple[Any, ...]) -> Any:
    """Return the bytes that protocol 2 keeps as the text with these code points."""
    match arguments:
        case (str() as text, "latin1"):
            try:
                return text.encode("latin1")
            except UnicodeEncodeError:
                raise ArgumentError("bytes are kept as a text whose letters are bytes") from None
    raise ArgumentError("bytes are kept as a text and 'latin1'")


def _size(arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 1:
        raise ArgumentError("a Size is made of one tuple")
    return Size(whole_numbers(arguments[0]))


def _device(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (str() as name,) if is_device(name):
            return Device(name)
        case (str() as name, int() as index) if is_device(name) and ":" not in name and 0 <= index < 1000:
            return Device(f"{name}:{index}")
    raise ArgumentError("a device is made of its name and number")


def _layout(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (str() as name,) if name.startswith("torch.") and name[6:] in _LAYOUTS:
            return Word("layout", name[6:])
    raise ArgumentError("a layout is one of torch's own")


def _version(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (str() as version,):
            return version
    raise ArgumentError("a version is made of one text")


def _dtype(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (str() as code, False, True) if code in BY_NUMPY or _NUMPY_TEXT.fullmatch(code):
            return NumpyDtype(code)
    raise ArgumentError("a dtype of NumPy is one of plain numbers or of texts; objects and records are not taken")


def _scalar(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (NumpyDtype() as dtype, bytes() as content):
            made = NumpyArray()
            made.fill(dtype, (), False, content)
            return made
    raise ArgumentError("a scalar of NumPy is made of a dtype and bytes")


def _reconstruct(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (Word(kind="class", name="ndarray"), (0,), b"b"):
            return NumpyArray()
    raise ArgumentError("an array of NumPy is made empty and filled then")


def _from_buffer(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (bytes() as content, NumpyDtype() as dtype, tuple() as shape, "C" | "F" as order):
            made = NumpyArray()
            made.fill(dtype, shape, order == "F", content)
            return made
    raise ArgumentError("an array of NumPy is made of bytes, a dtype, a shape and an order")


def _numpy() -> dict[tuple[str, str], Any]:
    known: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): Function("numpy.dtype", _dtype),
        ("numpy", "ndarray"): Word("class", "ndarray"),
    }
    for core in ("numpy._core", "numpy.core"):  # NumPy 2 and 1
        known[core + ".multiarray", "scalar"] = Function("numpy scalar", _scalar)
        known[core + ".multiarray", "_reconstruct"] = Function("numpy _reconstruct", _reconstruct)
        known[core + ".numeric", "_frombuffer"] = Function("numpy _frombuffer", _from_buffer)
    return known


def _builtins(module: str) -> dict[tuple[str, str], Any]:
    makers = {"set": _set, "frozenset": _set, "complex": _complex, "bytearray": _bytearray, "bytes": _bytes}
    return {(module, name): Function(name, make) for name, make in makers.items()}


_REBUILD = {
    name: Function(name, make)
    for name, make in {
        "_rebuild_tensor": tensors.plain,
        "_rebuild_tensor_v2": tensors.plain,
        "_rebuild_tensor_v3": tensors.typed,
        "_rebuild_parameter": tensors.parameter,
        "_rebuild_parameter_with_state": tensors.parameter_with_state,
        "_rebuild_sparse_tensor": tensors.sparse,
        "_rebuild_qtensor": tensors.quantised,
        "_rebuild_meta_tensor_no_storage": tensors.meta,
        "_rebuild_device_tensor_from_cpu_tensor": tensors.from_cpu,
        "_rebuild_device_tensor_from_numpy": tensors.from_numpy,
    }.items()
}


def _from_type(arguments: tuple[Any, ...]) -> Any:
    """Make a tensor that has attributes; of classes, only torch's own two are known."""
    match arguments:
        case (Function() as rebuild, Word(kind="class", name="Tensor" | "Parameter"), tuple() as inner, state) if (
            rebuild in _REBUILD.values()
        ):
            tensors.settle_attributes(state)
            return rebuild.make(inner)
    raise ArgumentError("a tensor with attributes is made by a rebuild function, for torch.Tensor or Parameter")


_COMMON: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Function("OrderedDict", _ordered_dict),
    ("collections", "Counter"): Function("Counter", _counter),
    ("_codecs", "encode"): Function("_codecs.encode", _encode),
    ("torch", "Size"): Function("torch.Size", _size),
    ("torch", "device"): Function("torch.device", _device),
    ("torch", "Tensor"): Word("class", "Tensor"),
    ("torch.nn.parameter", "Parameter"): Word("class", "Parameter"),
    ("torch.serialization", "_get_layout"): Function("_get_layout", _layout),
    ("torch.torch_version", "TorchVersion"): Function("TorchVersion", _version, creates=True),
    ("torch._tensor", "_rebuild_from_type_v2"): Function("_rebuild_from_type_v2", _from_type),
    **{("torch._utils", name): function for name, function in _REBUILD.items()},
    **{("torch", name): Word("dtype", name) for name in DTYPES},
    **{("torch", name): Word("scheme", name) for name in _SCHEMES},
    **{("torch", name): Word("storage", name) for name in STORAGES if name != "UntypedStorage"},
    ("torch.storage", "UntypedStorage"): Word("storage", "UntypedStorage"),
    **_numpy(),
}

#: What protocol 2 calls ``__builtin__`` is ``builtins`` from protocol 3 on; each name stands in its own protocol only.
_OLD = {**_COMMON, **_builtins("__builtin__")}
_NEW = {**_COMMON, **_builtins("builtins")}


def known_globals(protocol: int) -> Mapping[tuple[str, str], Any]:
    """Return what a pickle of this protocol may name."""
    return _OLD if protocol == 2 else _NEW
