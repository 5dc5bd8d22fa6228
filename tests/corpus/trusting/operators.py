"""An operator of TensorFlow that somebody's library registers: it writes the file that the graph names.

Source: TensorFlow's C interface for operators and kernels (``tensorflow/c/ops.h``, ``kernels.h``). It is reached by
ctypes, so that nothing has to be compiled.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_Pointer = ctypes.c_void_p
_Kernel = ctypes.CFUNCTYPE(None, _Pointer, _Pointer)
#: Functions of the interface that return a pointer; the others return nothing or a number.
_POINTERS = (
    "TF_NewKernelBuilder",
    "TF_NewOpDefinitionBuilder",
    "TF_NewStatus",
    "TF_StringGetDataPointer",
    "TF_TensorData",
)


def _interface() -> Any:
    import tensorflow as tf

    library = ctypes.CDLL(str(Path(tf.__file__).parent / "python" / "_pywrap_tensorflow_internal.so"))
    for name in _POINTERS:
        getattr(library, name).restype = _Pointer
    library.TF_StringGetSize.restype = ctypes.c_size_t
    return library


def _checked(library: Any, status: ctypes.c_void_p) -> None:
    code = library.TF_GetCode(status)
    if code:
        raise RuntimeError(f"TensorFlow does not register the operator: code {code}.")


def _writing(library: Any, status: ctypes.c_void_p) -> Callable[[int | None, int], None]:
    """Return what the operator does: it makes the file whose path is its first input."""

    def write(_: int | None, context: int) -> None:
        tensor = _Pointer()
        library.TF_GetInput(_Pointer(context), 0, ctypes.byref(tensor), status)
        text = _Pointer(library.TF_TensorData(tensor))
        place = _Pointer(library.TF_StringGetDataPointer(text))
        Path(ctypes.string_at(place, library.TF_StringGetSize(text)).decode()).touch()

    return write


@contextmanager
def registered_writer(name: str) -> Iterator[None]:
    """Register an operator with the inputs of ``WriteFile``; it works as long as the context is open."""
    library = _interface()
    status = _Pointer(library.TF_NewStatus())
    definition = _Pointer(library.TF_NewOpDefinitionBuilder(name.encode()))
    for stated in (b"filename: string", b"contents: string"):
        library.TF_OpDefinitionBuilderAddInput(definition, stated)
    library.TF_OpDefinitionBuilderSetIsStateful(definition, True)
    library.TF_RegisterOpDefinition(definition, status)
    _checked(library, status)
    # TensorFlow keeps the function's address only: the object has to live as long as graphs call it.
    kernel = _Kernel(_writing(library, status))
    builder = _Pointer(library.TF_NewKernelBuilder(name.encode(), b"CPU", None, kernel, None))
    library.TF_RegisterKernelBuilder(name.encode(), builder, status)
    _checked(library, status)
    yield
    del kernel
