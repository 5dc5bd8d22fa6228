"""Values as rows, changes and messages show them, a whole column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workers.datasets.canonical import is_tensor, one_array


def text_of(value: Any) -> str:
    """Return one value as rows and changes show it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def texts_of(array: pa.Array) -> pa.Array:
    """Return a column as texts; what is missing, NaN among numbers too, is null."""
    types = pa.types
    if is_tensor(array.type):
        return pc.if_else(pc.is_valid(array), "array", pa.scalar(None, pa.string()))
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_floating(array.type):
        return pc.if_else(pc.is_null(array, nan_is_null=True), pa.scalar(None, pa.string()), array.cast(pa.string()))
    if types.is_boolean(array.type):
        return pc.if_else(array, "True", "False")
    if types.is_timestamp(array.type):
        zone = "" if array.type.tz is None else "+00:00"
        texts = pc.strftime(array.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
        texts = pc.replace_substring_regex(texts, r"\.0+$", "")
        return pc.binary_join_element_wise(texts, zone, "") if zone else texts
    return array.cast(pa.string())


def row_texts(table: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Return what stands in the columns of each row: the value, or ``a = 1, b = 2`` for several columns."""
    texts = [texts_of(one_array(table.column(name))) for name in columns]
    if len(columns) == 1:
        return texts[0]
    named = [
        pc.binary_join_element_wise(f"{name} = ", pc.fill_null(text, "missing"), "")
        for name, text in zip(columns, texts, strict=True)
    ]
    return pc.binary_join_element_wise(*named, ", ")


def values_as_text(table: pa.Table, columns: Sequence[str], rows: Any) -> list[str | None]:
    """Return what stands in the columns of some rows, as ``row_texts`` has it."""
    texts: list[str | None] = row_texts(table.select(list(columns)).take(pa.array(rows)), columns).to_pylist()
    return texts
