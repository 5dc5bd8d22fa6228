"""From a table to the arrays that a model takes: parts of the rows, inputs by a signature, targets by its classes.

Rows are counted from 0, here and in every message and file about rows.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workers.datasets import canonical
from workers.datasets.schema import SPLITS, Schema
from workers.datasets.writing import TableWriter
from workers.protocol import JobError
from workers.signature import Signature, TensorSpec

Task = Literal["classification", "regression"]


def read_table(path: Path) -> pa.Table:
    """Read the canonical Parquet of a data set version.

    Raises:
        JobError: code ``table_damaged``, when the file is not whole.
    """
    try:
        return canonical.canonical_table(pq.read_table(path))
    except (pa.ArrowException, OSError) as error:
        raise JobError(
            "table_damaged", f"The table of the data set cannot be read: {error}.", place=path.name
        ) from error


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table in canonical form; the same content gives the same bytes with the same version of Arrow."""
    with TableWriter(path, canonical.canonical_schema(table.schema)) as writer:
        writer.write(table)


def select(table: pa.Table, schema: Schema, split: str | None) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the rows of one part (None for all of them) and their numbers in the whole table.

    Raises:
        JobError: code ``split_unknown``, when the data set has no split column or no row of that part.
    """
    if split is None:
        return table, np.arange(table.num_rows, dtype=np.int64)
    if split not in SPLITS:
        raise JobError("split_unknown", f"The split {split!r} is not one of {', '.join(SPLITS)}.", place=split)
    if schema.split is None:
        raise JobError(
            "split_unknown",
            f"The rows of the part {split!r} were asked for, but no column of the data set has the role `split`.",
            place=split,
        )
    _demand(table, schema.split)
    mask = pc.fill_null(pc.equal(table.column(schema.split).cast(pa.string()), split), False)
    numbers = np.flatnonzero(mask.to_numpy()).astype(np.int64)
    if not len(numbers):
        raise JobError("split_unknown", f"No row of the column {schema.split!r} says {split!r}.", place=schema.split)
    return table.take(pa.array(numbers)), numbers


def model_inputs(table: pa.Table, schema: Schema, signature: Signature) -> dict[str, NDArray[Any]]:
    """Return input name -> array of shape (rows, *row shape) in the input's dtype (``bfloat16`` comes as float32).

    Raises:
        JobError: codes ``inputs_do_not_fit`` (names and shapes), ``missing_value`` (column and row) and
            ``value_does_not_fit_dtype`` (column, row and value).
    """
    misfits = signature.misfits(schema)
    if misfits:
        raise JobError("inputs_do_not_fit", " ".join(misfits), place=signature.inputs[0].name)
    return {spec.name: _input(table, spec) for spec in signature.inputs}


def targets(table: pa.Table, schema: Schema, signature: Signature, task: Task) -> NDArray[Any]:
    """Return class numbers (int64) by the class labels of the first output, or values (float64) for a regression.

    A label matches a class as text. Integers stand for class numbers where the classes are numbers in order, are words,
    or are not given.

    Raises:
        JobError: codes ``no_target``, ``missing_value``, ``target_not_a_number`` and ``label_outside_classes`` (with
            value and row).
    """
    name = schema.target
    if name is None:
        raise JobError("no_target", "No column of the data set has the role `target`.", place="schema")
    _demand(table, name)
    column = canonical.canonical_array(_whole(table, name), name=name)
    _refuse_missing(column, name, "the target")
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if canonical.is_tensor(column.type) or pa.types.is_temporal(column.type):
        raise JobError("target_not_a_number", f"The target {name!r} is of the type {column.type}.", place=name)
    if task == "regression":
        if pa.types.is_string(column.type):
            raise JobError(
                "target_not_a_number", f"A regression needs numbers; the target {name!r} holds texts.", place=name
            )
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return _class_numbers(column, name, signature)


def digest_of_rows(table: pa.Table) -> list[str]:
    """Return the hex SHA-256 of each row, whatever the order of the columns."""
    return canonical.digest_of_rows(table)


def numbers_of(column: pa.Array) -> NDArray[Any]:
    """Return a canonical numeric column without missing values as numbers of shape (rows, *shape).

    Decimals become 64-bit floats, which is what models compute with.
    """
    if canonical.is_tensor(column.type):
        return canonical.tensor_values(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _input(table: pa.Table, spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype("float32" if spec.dtype == "bfloat16" else spec.dtype)
    names = spec.columns or (spec.name,)
    joined = np.empty((table.num_rows, spec.width), dtype=dtype)
    at = 0
    for name in names:
        _demand(table, name)
        column = canonical.canonical_array(_whole(table, name), name=name)
        _refuse_missing(column, name, f"the input {spec.name!r}")
        values = numbers_of(column)
        values = values.reshape(table.num_rows, math.prod(values.shape[1:]))
        if at + values.shape[1] > spec.width:
            raise JobError(
                "inputs_do_not_fit",
                f"The columns of the input {spec.name!r} give more than the {spec.width} values a row of its shape.",
                place=name,
            )
        joined[:, at : at + values.shape[1]] = _cast(values, dtype, name, spec)
        at += values.shape[1]
    if at != spec.width:
        raise JobError(
            "inputs_do_not_fit",
            f"The columns of the input {spec.name!r} give {at} values a row; its shape holds {spec.width}.",
            place=spec.name,
        )
    return joined.reshape(table.num_rows, *spec.row_shape)


def _cast(values: NDArray[Any], dtype: np.dtype[Any], name: str, spec: TensorSpec) -> NDArray[Any]:
    """Cast to the dtype of an input; only the rounding of one float type to another is let through."""
    with np.errstate(invalid="ignore", over="ignore"):
        cast = values.astype(dtype)
    if dtype.kind == "f":
        wrong = ~np.isfinite(cast) & np.isfinite(values) if values.dtype.kind == "f" else ~np.isfinite(cast)
    else:
        # Compared in the wider of both types: 3.5 in an int32, 300 in a uint8 and -1 in a bool come back changed.
        wrong = (cast != values) | (cast.astype(values.dtype) != values)
    rows = np.flatnonzero(wrong.any(axis=1))
    if len(rows):
        row = int(rows[0])
        value = values[row][wrong[row]][0]
        raise JobError(
            "value_does_not_fit_dtype",
            f"Row {row} of the column {name!r} holds {value}, which the input {spec.name!r} of dtype {spec.dtype} "
            "does not hold.",
            place=f"{name}, row {row}",
        )
    return cast


def _class_numbers(column: pa.Array, name: str, signature: Signature) -> NDArray[np.int64]:
    output = signature.output
    labels = output.classes or tuple(str(number) for number in range(output.class_count))
    if not labels:
        raise JobError(
            "no_target",
            f"The output {output.name!r} is of the kind {output.kind}, which has no classes; the task is a regression.",
            place=output.name,
        )
    by_text = {label: number for number, label in enumerate(labels)}
    are_words = not any(_is_whole(label) for label in labels)
    known: dict[Any, int] = {}
    for value in pc.unique(column).to_pylist():
        number = by_text.get(_text_of(value))
        if number is None and are_words and not isinstance(value, str) and float(value).is_integer():
            number = int(value) if 0 <= value < len(labels) else None
        if number is None:
            row = int(pc.index(column, pa.scalar(value, column.type)).as_py())
            raise JobError(
                "label_outside_classes",
                f"Row {row} of the target {name!r} holds {_text_of(value)!r}, which is none of the model's classes "
                f"({', '.join(labels[:12])}{', ...' * (len(labels) > 12)}).",
                place=f"{name}, row {row}",
            )
        known[value] = number
    return np.asarray([known[value] for value in column.to_pylist()], dtype=np.int64)


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_whole(label: str) -> bool:
    return label.lstrip("-").isdigit()


def _demand(table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        raise JobError("column_missing", f"The table has no column {name!r}, which its schema names.", place=name)


def _whole(table: pa.Table, name: str) -> pa.Array:
    return canonical.one_array(table.column(name))


def _refuse_missing(column: pa.Array, name: str, where: str) -> None:
    missing = canonical.missing_rows(column)
    count = int(missing.sum())
    if count:
        row = int(np.argmax(missing))
        raise JobError(
            "missing_value",
            f"The column {name!r} feeds {where} and has {count:,} missing value{'s' * (count != 1)}, the first in row "
            f"{row}; clean the data first.",
            place=f"{name}, row {row}",
        )
