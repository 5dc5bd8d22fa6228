"""Give the columns of an upload the types of a schema; without a schema, find the types from the content.

A NaN in a column of numbers is a missing value: NPZ has no other, and CSV and Parquet say it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets import cells
from workers.datasets.canonical import is_tensor, one_array, tensor_values
from workers.datasets.formats import Upload
from workers.datasets.schema import SPLITS, Column, Schema, SchemaError
from workers.protocol import JobError

#: Cells that are looked at to see that a column does not hold whole numbers only.
_SAMPLE_ROWS = 1_000
#: A text column with at most so many values, each of which comes twice or more on average, is a category.
MAX_CATEGORIES = 100

#: Where a schema states the type, a cell may say it less strictly: 1 is true, 3.0 is the integer 3.
_STATED_READERS: dict[str, Callable[[pa.Array], cells.Reading]] = {
    **cells.READERS,
    "boolean": partial(cells.booleans, also_digits=True),
    "integer": partial(cells.whole_numbers, also_points=True),
}
_TEXT_TYPES = ("category", "string", "text")
_TENSOR_TYPES = ("image", "tokens", "float", "integer")


def fit(upload: Upload, stated: Any | None) -> tuple[pa.Table, Schema]:
    """Return the table in the types of its schema, and the schema in the order of the file with the shapes filled in.

    Raises:
        JobError: codes ``schema_not_valid``, ``column_missing``, ``column_not_in_schema``, ``mixed_types``,
            ``value_does_not_fit_type`` (column, row and value), ``array_shape``.
    """
    table = upload.table
    if stated is None:
        return _inferred(upload)
    try:
        schema = Schema.from_json(stated)
    except SchemaError as error:
        raise JobError("schema_not_valid", str(error), place="schema") from error
    for name in schema.columns:
        if name not in table.column_names:
            raise JobError(
                "column_missing",
                f"The schema names the column {name!r}, which the file lacks; it has {_listed(table.column_names)}.",
                place=name,
            )
    for name in table.column_names:
        if name not in schema.columns:
            raise JobError(
                "column_not_in_schema",
                f"The file has the column {name!r}, which the schema does not name; a column that nothing should "
                "read has the role `ignore`.",
                place=name,
            )
    arrays, columns = [], {}
    for name in table.column_names:
        array, columns[name] = _cast(one_array(table.column(name)), schema.columns[name], name)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, names=table.column_names), Schema(schema.modality, columns)


def _inferred(upload: Upload) -> tuple[pa.Table, Schema]:
    arrays, columns = [], {}
    for name in upload.table.column_names:
        array = one_array(upload.table.column(name))
        if upload.kind == "csv":
            array = _read_texts(array, name)
        array, column = _described(_nan_to_null(array), name)
        arrays.append(array)
        columns[name] = column
    modality = "image" if any(column.type == "image" for column in columns.values()) else "tabular"
    return pa.Table.from_arrays(arrays, names=upload.table.column_names), Schema(modality, columns)


def _read_texts(texts: pa.Array, name: str) -> pa.Array:
    """Read a CSV column as the narrowest type that all of its cells fit.

    Where more than half of the cells fit a type and others do not, the column is mixed, and that is an error: to read
    it as texts would hide it.
    """
    count = len(texts) - texts.null_count
    if count == 0:
        return texts.cast(pa.float64())
    if cells.holds_codes(texts):
        return texts
    sample = texts.drop_null().slice(0, _SAMPLE_ROWS)
    for kind, reader in cells.READERS.items():
        if kind == "integer" and reader(sample)[1].any():
            continue
        values, wrong = reader(texts)
        if not wrong.any() and values.null_count < len(values):
            return values
        if kind == "integer":
            continue  # what is no whole number may be a number
        fitting = len(values) - values.null_count
        if fitting * 2 > count and wrong.any():
            row = int(np.argmax(wrong))
            raise JobError(
                "mixed_types",
                f"Row {row} (counted from 0) of the column {name!r} holds {_shown(texts[row].as_py())}, while "
                f"{fitting:,} of its {count:,} cells are of the type {kind}. Correct the cell, or state the type of "
                "the column in a schema.",
                place=f"{name}, row {row}",
            )
    return texts


def _described(array: pa.Array, name: str) -> tuple[pa.Array, Column]:
    """Describe a column by what it holds. Names say nothing here, with one exception.

    A column named ``split`` that holds nothing but train, validation and test has that role; all others are features
    until a schema says more.
    """
    data_type = array.type
    if is_tensor(data_type):
        shape = tuple(data_type.shape)
        whole = pa.types.is_integer(data_type.value_type)
        # One axis in a row is a vector of numbers; two or more are a picture.
        return array, Column("feature", "image" if len(shape) > 1 else "integer" if whole else "float", shape)
    if pa.types.is_string(data_type):
        distinct = pc.unique(array.drop_null()).to_pylist()
        if name.lower() == "split" and distinct and set(distinct) <= set(SPLITS) and not array.null_count:
            return array, Column("split", "category")
        is_category = len(distinct) <= MAX_CATEGORIES and 2 * len(distinct) <= len(array) - array.null_count
        return array, Column("feature", "category" if is_category else "string")
    if pa.types.is_integer(data_type):
        return array, Column("feature", "integer")
    if pa.types.is_boolean(data_type):
        return array, Column("feature", "boolean")
    return array, Column("feature", "datetime" if pa.types.is_timestamp(data_type) else "float")


def _cast(array: pa.Array, column: Column, name: str) -> tuple[pa.Array, Column]:
    if is_tensor(array.type):
        return array, _fitting_tensor(array, column, name)
    if column.type in ("image", "tokens") or column.shape:
        raise JobError(
            "array_shape",
            f"The column {name!r} is to hold arrays ({column.type} {list(column.shape)}), but the file has one value a "
            "row.",
            place=name,
        )
    if column.type in _TEXT_TYPES:
        return _texts(array), column
    if pa.types.is_string(array.type):
        values, wrong = _STATED_READERS[column.type](array)
    else:
        values, wrong = _numbers(array, column.type)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise JobError(
            "value_does_not_fit_type",
            f"Row {row} (counted from 0) of the column {name!r} holds {_shown(array[row].as_py())}, which is not of "
            f"the type {column.type} that the schema states.",
            place=f"{name}, row {row}",
        )
    return _nan_to_null(values), column


def _numbers(array: pa.Array, target: str) -> cells.Reading:
    """Cast a column that is no text to a type that holds the same values; say which rows do not fit."""
    array = _nan_to_null(array)
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_boolean(array.type)
    if target == "datetime" or not is_number:
        fits = target == "datetime" and pa.types.is_timestamp(array.type)
        return array, np.zeros(len(array), bool) if fits else _present(array)
    if target == "float":
        return array.cast(pa.float64(), safe=False), np.zeros(len(array), bool)
    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = (
            ~np.isin(values, (0, 1)) if target == "boolean" else (values != np.floor(values)) | (abs(values) >= 2**63)
        )
    if pa.types.is_integer(array.type) and target == "integer":
        wrong[:] = False
    wrong = wrong & _present(array)
    if wrong.any():
        return array, wrong
    return array.cast(pa.bool_() if target == "boolean" else pa.int64()), wrong


def _fitting_tensor(array: pa.Array, column: Column, name: str) -> Column:
    shape = tuple(array.type.shape)
    if column.type not in _TENSOR_TYPES:
        raise JobError(
            "array_shape", f"The column {name!r} holds arrays of shape {list(shape)}, not {column.type}.", place=name
        )
    if column.shape and column.shape != shape:
        raise JobError(
            "array_shape",
            f"The column {name!r} holds arrays of shape {list(shape)}; the schema states {list(column.shape)}.",
            place=name,
        )
    if column.type in ("tokens", "integer") and not pa.types.is_integer(array.type.value_type):
        values = tensor_values(array)
        wrong = (values != np.floor(values)).reshape(len(array), -1).any(axis=1)
        row = int(np.argmax(wrong)) if wrong.any() else 0
        raise JobError(
            "value_does_not_fit_type",
            f"The column {name!r} holds {array.type.value_type} numbers (row {row}); {column.type} values are "
            "whole numbers and are saved as integers.",
            place=f"{name}, row {row}",
        )
    return replace(column, shape=shape)


def _texts(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_floating(array.type):
        texts = [None if value is None or value != value else _text_of_number(value) for value in array.to_pylist()]
        return pa.array(texts, pa.string())
    return array.cast(pa.string())


def _text_of_number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _nan_to_null(array: pa.Array) -> pa.Array:
    if not pa.types.is_floating(array.type):
        return array
    is_nan = pc.is_nan(array)
    return pc.if_else(is_nan, pa.scalar(None, array.type), array) if pc.any(is_nan).as_py() else array


def _present(array: pa.Array) -> NDArray[np.bool_]:
    return np.array(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=bool)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
