"""Rules about the table: its columns and their types, the number of rows, the number of different values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from validators.engine.suggestion.candidate import Candidate
from validators.engine.suggestion.profile import ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import LARGEST_SAMPLE, SMALLEST_SAMPLE

#: Different values from which half as many are met in any next sample.
_LEAST_DISTINCT = 20


def rules(table: TableProfile) -> Iterator[Candidate]:
    """Propose the columns and the number of rows."""
    names = [column.name for column in table.columns]
    yield Candidate(
        "expect_table_columns_to_match_set",
        {"column_set": names, "exact_match": True},
        "critical",
        "",
        f"The data set has {len(names):,} column{'s' * (len(names) != 1)}; training finds them by name.",
        {"columns": len(names)},
    )
    low, high = math.floor(table.rows * SMALLEST_SAMPLE), math.ceil(table.rows * LARGEST_SAMPLE)
    yield Candidate(
        "expect_table_row_count_to_be_between",
        {"min_value": max(low, 1), "max_value": max(high, 1)},
        "info",
        "",
        f"There are {table.rows:,}. One version cannot tell how many come next; the other rules were made for two "
        "thirds to three halves of them.",
        {"rows": table.rows},
    )


def type_rule(column: ColumnProfile) -> Candidate | None:
    """Propose the type of a column, in the words of the engine that checks it; None where it has no word."""
    words = _type_words(column.arrow_type)
    if not words or column.present == 0:
        return None
    if column.kind == "text":
        kind = "expect_column_values_to_be_of_type"
        kwargs: dict[str, Any] = {"column": column.name, "type_": words[0]}
    else:
        kind, kwargs = "expect_column_values_to_be_in_type_list", {"column": column.name, "type_list": words}
    why = "It was read as this type; training reads it so."
    return Candidate(kind, kwargs, "critical", column.name, why, {"type": str(column.arrow_type)})


def different_values(column: ColumnProfile) -> Candidate | None:
    """Propose that a column goes on to have many different values, so that one gone constant is found."""
    if column.distinct < _LEAST_DISTINCT or column.kind in ("array", "other"):
        return None
    return Candidate(
        "expect_column_unique_value_count_to_be_between",
        {"column": column.name, "min_value": column.distinct // 2},
        "info",
        column.name,
        f"About {column.distinct:,} different values in {column.fit_present:,} rows.",
        {"rows": column.fit_present, "different": column.distinct},
    )


def _type_words(data_type: pa.DataType) -> list[str]:
    types = pa.types
    if types.is_integer(data_type):
        return ["int64", "Int64Dtype"]
    if types.is_floating(data_type):
        return ["float64"]
    if types.is_boolean(data_type):
        return ["bool", "BooleanDtype"]
    if types.is_timestamp(data_type) and data_type.tz is None:
        return ["datetime64[us]"]
    return ["str"] if types.is_string(data_type) else []
