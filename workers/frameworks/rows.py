"""Rows on their way into a model: in the signature's order, dtype and shape, in chunks that fit the caches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workers.protocol import JobError
from workers.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from workers.frameworks.base import Inputs

#: A chunk has at most this many rows and, unless one row is larger, this many values: giant batches are slower a row.
CHUNK_ROWS = 2048
CHUNK_VALUES = 2**20
SMALLEST_CHUNK_ROWS = 16
#: A gradient keeps what every layer gave: of points that are differentiated fewer go through at once.
GRADIENT_CHUNK_VALUES = 2**16


def conform(inputs: Inputs, signature: Signature) -> list[NDArray[Any]]:
    """Return one array an input, in the signature's order, cast to its dtype.

    Raises:
        JobError: code ``inputs_do_not_fit``, when an input is missing or has another row shape or row count.
    """
    arrays = [_conform_one(inputs, spec) for spec in signature.inputs]
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        told = ", ".join(f"{spec.name} {len(array):,}" for spec, array in zip(signature.inputs, arrays, strict=True))
        raise JobError("inputs_do_not_fit", f"The inputs have different numbers of rows: {told}.")
    return arrays


def conform_for_training(inputs: Inputs, signature: Signature) -> list[NDArray[Any]]:
    """Do what ``conform`` does, and refuse NaN: TensorFlow's ReLU turns it into 0, and nobody would be told.

    Raises:
        JobError: also with the code ``inputs_not_finite``, with the row.
    """
    arrays = conform(inputs, signature)
    for spec, array in zip(signature.inputs, arrays, strict=True):
        if not is_differentiable(spec):
            continue
        wrong = np.flatnonzero(~np.isfinite(array).reshape(len(array), spec.width).all(1))
        if len(wrong):
            row = int(wrong[0])
            raise JobError(
                "inputs_not_finite",
                f"The input {spec.name!r} has a value that is not a number in row {row:,} ({len(wrong):,} such rows).",
                place=f"{spec.name}, row {row}",
            )
    return arrays


def demand_signature(found: Signature, stated: Signature, *, place: str) -> None:
    """Check a version's signature against what its artefact says.

    Raises:
        JobError: code ``signature_does_not_fit``, with what differs.
    """
    differences = found.differences(stated)
    if differences:
        raise JobError("signature_does_not_fit", " ".join(differences), place=place)


def chunk_rows(signature: Signature, chunk_values: int = CHUNK_VALUES) -> int:
    """Return how many rows go through the model at once."""
    width = sum(spec.width for spec in signature.inputs)
    return int(min(CHUNK_ROWS, max(SMALLEST_CHUNK_ROWS, chunk_values // max(1, width))))


def chunks(row_count: int, size: int) -> Iterator[slice]:
    """Cut ``row_count`` rows into slices of ``size``; the last may be shorter."""
    for start in range(0, row_count, size):
        yield slice(start, min(start + size, row_count))


def is_differentiable(spec: TensorSpec) -> bool:
    """Tell whether a gradient can be taken for an input: only for floating-point numbers."""
    return spec.dtype in ("float16", "bfloat16", "float32", "float64")


def class_numbers(targets: NDArray[Any], signature: Signature) -> NDArray[np.int64]:
    """Return targets as class numbers of shape (rows,).

    Raises:
        JobError: code ``label_outside_classes`` with value and row, when one is not a class of the output.
    """
    labels = np.asarray(targets).reshape(len(targets))
    count = signature.output.class_count
    outside = np.flatnonzero(~((labels >= 0) & (labels < count) & (labels == np.floor(labels))))
    if len(outside):
        row = int(outside[0])
        raise JobError(
            "label_outside_classes",
            f"Row {row:,} has the label {labels[row]}; the output {signature.output.name!r} tells {count} classes "
            f"apart, 0 to {count - 1}.",
            place=f"row {row}",
        )
    return labels.astype(np.int64)


def target_values(targets: NDArray[Any], signature: Signature) -> NDArray[np.float32]:
    """Return targets of a regression as float32 of shape (rows, outputs).

    Raises:
        JobError: code ``targets_do_not_fit``, when a row has another number of values than the output.
    """
    width = math.prod(signature.output.shape[1:])
    values = np.asarray(targets, dtype=np.float32)
    values = values[:, None] if values.ndim == 1 else values.reshape(len(values), math.prod(values.shape[1:]))
    if values.shape[1] != width:
        raise JobError(
            "targets_do_not_fit",
            f"A target has {values.shape[1]} values; the output {signature.output.name!r} has {width}.",
            place=signature.output.name,
        )
    return values


def _conform_one(inputs: Inputs, spec: TensorSpec) -> NDArray[Any]:
    if spec.name not in inputs:
        raise JobError(
            "inputs_do_not_fit",
            f"The model has an input {spec.name!r}; the rows come with {', '.join(map(repr, inputs)) or 'none'}.",
            place=spec.name,
        )
    array = np.asarray(inputs[spec.name])
    if array.shape[1:] != spec.row_shape:
        raise JobError(
            "inputs_do_not_fit",
            f"The input {spec.name!r} takes rows of shape {list(spec.row_shape)}; these have {list(array.shape[1:])}.",
            place=spec.name,
        )
    # NumPy has no bfloat16 of its own: such an input travels as float32 and is narrowed by the framework.
    return np.ascontiguousarray(array, dtype="float32" if spec.dtype == "bfloat16" else spec.dtype)


def filled_up(count: int) -> int:
    """Return the power of two that holds so many rows: programs of a fixed shape are few then."""
    return 1 << (count - 1).bit_length()
