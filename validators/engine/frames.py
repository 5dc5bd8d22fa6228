"""The data as Great Expectations reads it: pandas columns that keep what Arrow holds.

Integers stay integers next to missing values, texts are objects, moments keep their microseconds. Of an array it can
be asked only whether it is there (``expect_column_values_to_not_be_null``); a rule about images goes through the
columns of their metadata (``workers.datasets.images.columns``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workers.datasets.canonical import canonical_array, is_tensor, one_array

if TYPE_CHECKING:
    import pandas as pd

#: Integers up to here are exact as floats.
_EXACT = 2**53


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
        # By way of the digits: Arrow's own cast multiplies by a power of ten and is off by the last bit in one of ten.
        array = array.cast(pa.string()).cast(pa.float64())
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
