"""The data as Great Expectations reads it: pandas columns that keep what Arrow holds, and numbers about arrays.

Integers stay integers next to missing values, texts are objects, moments keep their microseconds. A rule about images
(or other arrays) goes through columns that are derived from them::

    image.minimum  image.maximum  image.mean    over the values of one row that are not NaN
    image.missing                               how many values of the row are NaN (all of them in a missing row)

The array column itself says only whether it is there: ``expect_column_values_to_not_be_null`` works on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workers.datasets.canonical import canonical_array, is_tensor, one_array, tensor_values
from workers.protocol import JobError

if TYPE_CHECKING:
    import pandas as pd

DERIVED = ("minimum", "maximum", "mean", "missing")

#: Integers up to here are exact as floats.
_EXACT = 2**53


def with_derived_columns(table: pa.Table) -> pa.Table:
    """Return the table with four columns of numbers for each array column."""
    for name in table.column_names:
        if not is_tensor(table.schema.field(name).type):
            continue
        for word, values in _derived(one_array(table.column(name))).items():
            if f"{name}.{word}" in table.column_names:
                raise JobError(
                    "duplicate_columns",
                    f"The column {f'{name}.{word}'!r} has the name of the {word} that is derived from {name!r}.",
                    place=f"{name}.{word}",
                )
            table = table.append_column(f"{name}.{word}", values)
    return table


def frame_of(table: pa.Table, *, comparable: bool = False) -> pd.DataFrame:
    """Return a frame whose index is the row number.

    ``comparable`` is for rules that compare columns with each other, where Great Expectations trips over pandas'
    missing integers: integers and booleans next to missing values become floats there, as long as that changes no
    value.
    """
    import pandas as pd

    columns = {name: _series(one_array(table.column(name)), name, comparable) for name in table.column_names}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)


def _series(array: pa.Array, name: str, comparable: bool) -> Any:
    import pandas as pd

    array = canonical_array(array, name=name)
    if is_tensor(array.type):
        present = pc.is_valid(array).to_numpy(zero_copy_only=False)
        return pd.Series(["array" if is_there else None for is_there in present], dtype=object)
    if pa.types.is_string(array.type):
        return pd.Series(array.to_numpy(zero_copy_only=False), dtype=object)
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_timestamp(array.type):
        return pd.Series(array.to_pandas())
    if array.null_count == 0 or pa.types.is_floating(array.type):
        return pd.Series(array.to_numpy(zero_copy_only=False))
    missing = pc.is_null(array).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(array.type):
        values = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
        return _as_floats(values, missing) if comparable else pd.Series(pd.arrays.BooleanArray(values, missing))
    values = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
    if comparable and (not len(values) or (values.max() <= _EXACT and values.min() >= -_EXACT)):
        return _as_floats(values, missing)
    return pd.Series(pd.arrays.IntegerArray(values, missing))


def _as_floats(values: Any, missing: Any) -> pd.Series:
    import pandas as pd

    floats = values.astype(np.float64)
    floats[missing] = np.nan
    return pd.Series(floats)


def _derived(array: pa.Array) -> dict[str, pa.Array]:
    values = tensor_values(array).reshape(len(array), -1)
    absent = pc.is_null(array).to_numpy(zero_copy_only=False)
    is_nan = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
    is_nan[absent] = True
    known = (~is_nan).sum(axis=1)
    empty = known == 0
    lowest = np.where(is_nan, np.inf, values).min(axis=1)
    highest = np.where(is_nan, -np.inf, values).max(axis=1)
    total = np.where(is_nan, 0, values).sum(axis=1, dtype=np.float64)
    numbers = {"minimum": lowest, "maximum": highest, "mean": total / np.maximum(known, 1)}
    columns = {word: pa.array(column.astype(np.float64), mask=empty) for word, column in numbers.items()}
    return columns | {"missing": pa.array(is_nan.sum(axis=1).astype(np.int64))}
