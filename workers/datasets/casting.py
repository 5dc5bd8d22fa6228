"""Give one column the type of a schema, or say which cell does not fit.

A NaN in a column of numbers is a missing value: NPZ has no other, and CSV and Parquet say it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets import cells
from workers.datasets.canonical import DECIMAL_DIGITS, is_tensor
from workers.datasets.schema import Column
from workers.datasets.survey import DecimalSurvey, Kind, Survey, ZoneSurvey, shown
from workers.protocol import JobError

#: Takes a column of one batch and the number of its first row; returns the column in the type of the schema.
Caster = Callable[[pa.Array, int], pa.Array]

TEXT_TYPES = ("category", "string", "text")
_TENSOR_TYPES = ("image", "tokens", "float", "integer")
_INFERRED_READERS: dict[Kind, Callable[[pa.Array], cells.Reading]] = {
    "integer": cells.whole_numbers,
    "float": cells.numbers,
    "boolean": cells.booleans,
    "date": cells.dates,
    "datetime": cells.moments,
    "zoned": partial(cells.moments, zoned=True),
}


def caster_of_kind(kind: Kind, name: str) -> Caster:
    """Return what casts the cells of a CSV to the kind that a survey found."""
    if kind == "text":
        return unchanged
    if kind == "empty":
        return lambda array, _first_row: array.cast(pa.float64())
    return _reader(_INFERRED_READERS[kind], kind, name)


def stated_caster(data_type: pa.DataType, column: Column, name: str, survey: Survey | None) -> tuple[Caster, Column]:
    """Return what casts a column to the type that a schema states, and the schema's entry with the shape filled in.

    Where a schema states the type, a cell may say it less strictly: 1 is true, 3.0 is the integer 3. ``survey`` is of
    texts that are to be moments or decimals.

    Raises:
        JobError: codes ``array_shape``, ``value_does_not_fit_type``; the caster raises the second with row and value.
    """
    if is_tensor(data_type):
        return unchanged, _fitting_tensor(data_type, column, name)
    if column.type in ("image", "tokens") or column.shape:
        raise JobError(
            "array_shape",
            f"The column {name!r} is to hold arrays ({column.type} {list(column.shape)}), but the file has one value a "
            "row.",
            place=name,
        )
    if column.type in TEXT_TYPES:
        return lambda array, _first_row: _texts(array), column
    if not pa.types.is_string(data_type):
        return _reader(partial(_values, target=column.type), column.type, name), column
    readers: dict[str, Callable[[pa.Array], cells.Reading]] = {
        "integer": partial(cells.whole_numbers, also_points=True),
        "float": cells.numbers,
        "decimal": partial(cells.decimals, scale=survey.scale if isinstance(survey, DecimalSurvey) else 0),
        "boolean": partial(cells.booleans, also_digits=True),
        "date": cells.dates,
        "datetime": partial(cells.moments, zoned=isinstance(survey, ZoneSurvey) and survey.is_zoned),
    }
    return _reader(readers[column.type], column.type, name), column


def unchanged(array: pa.Array, first_row: int) -> pa.Array:  # noqa: ARG001 - a caster is called with both
    """Cast to what it is; a NaN becomes a missing value."""
    return _nan_to_null(array)


def _reader(read: Callable[[pa.Array], cells.Reading], kind: str, name: str) -> Caster:
    def cast(array: pa.Array, first_row: int) -> pa.Array:
        values, wrong = read(array)
        if wrong.any():
            place = int(np.argmax(wrong))
            _refuse(name, first_row + place, shown(array[place].as_py()), kind)
        return _nan_to_null(values)

    return cast


def _refuse(name: str, row: int, value: str, kind: str) -> NoReturn:
    raise JobError(
        "value_does_not_fit_type",
        f"Row {row} (counted from 0) of the column {name!r} holds {value}, which is not of the type {kind} that the "
        "schema states.",
        place=f"{name}, row {row}",
    )


def _values(array: pa.Array, *, target: str) -> cells.Reading:
    """Cast a column that is no text to a type that holds the same values; say which rows do not fit."""
    array = _nan_to_null(array)
    fits_all = np.zeros(len(array), bool)
    if target in ("date", "datetime"):
        return _moments(array, target)
    if pa.types.is_temporal(array.type):
        return _none_fits(array, target)
    if target == "float":
        return array.cast(pa.float64(), safe=False), fits_all
    if target == "decimal":
        return _decimals(array)
    if pa.types.is_integer(array.type) and target == "integer":
        return array, fits_all
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = (
            ~np.isin(numbers, (0, 1))
            if target == "boolean"
            else (numbers != np.floor(numbers)) | (abs(numbers) >= 2**63)
        )
    wrong = wrong & _present(array)
    if wrong.any():
        return array, wrong
    if pa.types.is_decimal(array.type):
        # Through floats an integer of 17 digits would change.
        array = array.cast(pa.int64())
    return array.cast(pa.bool_() if target == "boolean" else pa.int64()), wrong


def _moments(array: pa.Array, target: str) -> cells.Reading:
    if pa.types.is_date(array.type):
        return (array if target == "date" else array.cast(pa.timestamp("us"))), np.zeros(len(array), bool)
    if not pa.types.is_timestamp(array.type):
        return _none_fits(array, target)
    if target == "datetime":
        return array, np.zeros(len(array), bool)
    plain = array.cast(pa.timestamp("us"))
    days = plain.cast(pa.date32(), safe=False)
    differs = pc.not_equal(days.cast(pa.timestamp("us")), plain)
    return days, np.array(pc.fill_null(differs, False).to_numpy(zero_copy_only=False), dtype=bool)


def _decimals(array: pa.Array) -> cells.Reading:
    """Take decimals and integers; a float has been rounded already, so that only a text would say it exactly."""
    if pa.types.is_decimal(array.type):
        return array, np.zeros(len(array), bool)
    if pa.types.is_integer(array.type):
        return array.cast(pa.decimal128(DECIMAL_DIGITS, 0)), np.zeros(len(array), bool)
    return _none_fits(array, "decimal")


def _none_fits(array: pa.Array, target: str) -> cells.Reading:
    """Say that no value of a column is of a type; one that has none is still of that type."""
    types = {
        "float": pa.float64(),
        "integer": pa.int64(),
        "decimal": pa.decimal128(DECIMAL_DIGITS, 0),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us"),
    }
    return pa.nulls(len(array), types[target]), _present(array)


def _fitting_tensor(data_type: pa.FixedShapeTensorType, column: Column, name: str) -> Column:
    shape = tuple(data_type.shape)
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
    if column.type in ("tokens", "integer") and not pa.types.is_integer(data_type.value_type):
        raise JobError(
            "value_does_not_fit_type",
            f"The column {name!r} holds {data_type.value_type} numbers; {column.type} values are whole numbers and are "
            "saved as integers.",
            place=name,
        )
    return replace(column, shape=shape)


def _texts(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array
    if not pa.types.is_floating(array.type):
        return array.cast(pa.string())
    # Written value by value, but each once: codes that came as floats are few.
    words = _nan_to_null(array).dictionary_encode()
    texts = pa.array([_text_of_number(value) for value in words.dictionary.to_pylist()], pa.string())
    return texts.take(words.indices)


def _text_of_number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _nan_to_null(array: pa.Array) -> pa.Array:
    if not pa.types.is_floating(array.type):
        return array
    is_nan = pc.is_nan(array)
    return pc.if_else(is_nan, pa.scalar(None, array.type), array) if pc.any(is_nan).as_py() else array


def _present(array: pa.Array) -> NDArray[np.bool_]:
    return np.array(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=bool)
