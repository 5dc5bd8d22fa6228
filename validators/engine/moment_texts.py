"""Write the moments that an expectation names as its columns need them: a date with its time, a zone where one belongs.

Great Expectations makes a date of ``"2020-01-01"`` and compares it with no moment, and a text without a zone with no
moment that has one. A person who writes a date alone means its beginning, and the moments of a version are in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WITHOUT_ZONE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?", re.ASCII)
_SINGLE, _SEVERAL = ("min_value", "max_value"), ("value_set",)


def with_times(expectation: Mapping[str, Any], types: Mapping[str, pa.DataType]) -> Mapping[str, Any]:
    """Return an expectation whose bounds, sets and row condition hold moments that its columns can be compared with.

    Args:
        types: of the columns of the table, by name.
    """
    kwargs = dict(expectation["kwargs"])
    data_type = types.get(kwargs["column"]) if isinstance(kwargs.get("column"), str) else None
    if data_type is not None and _is_moment(data_type):
        for key in _SINGLE:
            if key in kwargs:
                kwargs[key] = _timed(kwargs[key], data_type)
        for key in _SEVERAL:
            if isinstance(kwargs.get(key), list):
                kwargs[key] = [_timed(value, data_type) for value in kwargs[key]]
    if isinstance(kwargs.get("row_condition"), Mapping):
        kwargs["row_condition"] = _condition(kwargs["row_condition"], types)
    return expectation if kwargs == expectation["kwargs"] else {**expectation, "kwargs": kwargs}


def _condition(condition: Mapping[str, Any], types: Mapping[str, pa.DataType]) -> Mapping[str, Any]:
    """Return a condition object with the moments of all its comparisons written out."""
    match condition:
        case {"type": "comparison", "column": {"name": str(name)}, "parameter": value} if _is_moment(types.get(name)):
            if isinstance(value, list):
                return {**condition, "parameter": [_timed(entry, types[name]) for entry in value]}
            return {**condition, "parameter": _timed(value, types[name])}
        case {"conditions": list(parts)}:
            written = [_condition(part, types) if isinstance(part, Mapping) else part for part in parts]
            return {**condition, "conditions": written}
    return condition


def _is_moment(data_type: pa.DataType | None) -> bool:
    return data_type is not None and bool(pa.types.is_date(data_type) or pa.types.is_timestamp(data_type))


def _timed(value: Any, data_type: pa.DataType) -> Any:
    if not isinstance(value, str):
        return value
    if _DATE.fullmatch(value):
        value += "T00:00:00"
    has_zone = pa.types.is_timestamp(data_type) and data_type.tz is not None
    return f"{value}+00:00" if has_zone and _WITHOUT_ZONE.fullmatch(value) else value
