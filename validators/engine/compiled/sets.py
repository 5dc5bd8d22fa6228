"""Rules about sets of values: each value of a column in a set, and its distinct values against a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.compiled.arguments import Arguments, is_number
from validators.engine.compiled.columns import Column, literal
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import (
    Declined,
    FindFailing,
    Judgement,
    Rule,
    Scan,
    TableRule,
    Values,
    Where,
    where,
)

#: Distinct values that Great Expectations lists beside a result.
_LISTED = 20
#: Values of a set that are written into SQL; DuckDB takes seconds to read a hundred thousand.
_MOST_WRITTEN = 1_000


def in_set(arguments: Arguments) -> Rule:
    arguments.only("column", "value_set")
    column = arguments.column()
    return column_rule(arguments, column, _membership(arguments, column, fails_inside=False))


def not_in_set(arguments: Arguments) -> Rule:
    arguments.only("column", "value_set")
    column = arguments.column()
    return column_rule(arguments, column, _membership(arguments, column, fails_inside=True))


def _membership(arguments: Arguments, column: Column, *, fails_inside: bool) -> Where | Scan:
    members = _members(arguments, column)
    if len(members) <= _MOST_WRITTEN:
        is_member = f"{column.sql} IN ({', '.join(members)})"
        return where(is_member if fails_inside else f"NOT ({is_member})")

    def start() -> FindFailing:
        wanted: pa.Array | None = None

        def find(arrays: Sequence[pa.Array]) -> NDArray[np.bool_]:
            nonlocal wanted
            if wanted is None:
                wanted = pa.array(arguments.kwargs["value_set"], arrays[0].type)
            is_member = pc.is_in(arrays[0], wanted).to_numpy(zero_copy_only=False)
            return np.asarray(is_member == fails_inside)

        return find

    return Scan((column,), start)


def distinct_in_set(arguments: Arguments) -> Rule:
    return _distinct(arguments, "unexpected")


def distinct_contain_set(arguments: Arguments) -> Rule:
    return _distinct(arguments, "missing")


def distinct_equal_set(arguments: Arguments) -> Rule:
    return _distinct(arguments, "unexpected", "missing")


def _distinct(arguments: Arguments, *tells: str) -> Rule:
    """Return a rule broken by values outside of the set (``unexpected``) or members that do not occur (``missing``)."""
    arguments.only("column", "value_set")
    column = arguments.column()
    members = _members(arguments, column)
    if len(members) > _MOST_WRITTEN:
        raise Declined
    size = len(set(arguments.kwargs["value_set"]))
    rows = "TRUE" if arguments.condition is None else arguments.condition
    is_member = f"{column.sql} IN ({', '.join(members)})"

    def judge(values: Values) -> Judgement:
        unexpected, present, examples = values
        counts = {"unexpected": unexpected, "missing": size - present}
        details: dict[str, Any] = {}
        if "missing" in tells:
            details["missing_count"] = size - present
        if "unexpected" in tells:
            details["partial_unexpected_list"] = examples or []
        return Judgement(
            not any(counts[name] for name in tells),
            unexpected_count=unexpected if "unexpected" in tells else None,
            details=details,
        )

    return TableRule(
        judge,
        (
            f"count(DISTINCT {column.sql}) FILTER (WHERE ({rows}) AND NOT {is_member})",
            f"count(DISTINCT {column.sql}) FILTER (WHERE ({rows}) AND {is_member})",
            f"min(DISTINCT {column.sql}, {_LISTED}) FILTER (WHERE ({rows}) AND NOT {is_member})",
        ),
    )


def most_common(arguments: Arguments) -> Rule:
    arguments.only("column", "value_set", "ties_okay")
    column, ties = arguments.column(), arguments.kwargs.get("ties_okay") or False
    if not isinstance(ties, bool) or arguments.condition is not None:
        raise Declined
    _members(arguments, column)
    wanted = set(arguments.kwargs["value_set"])

    def judge(values: Values) -> Judgement:
        modes = values[0] or []
        met = len(wanted.intersection(modes))
        return Judgement(met > 0 if ties else len(modes) == 1 and met == 1, observed=modes)

    return TableRule(judge, (modes_of(column, arguments.table.source),))


def modes_of(column: Column, source: str) -> str:
    """Return an aggregate of the values that occur most often, in order."""
    # Numbered columns and a quoted file; no value is in it.
    counted = f"SELECT {column.sql} AS value, count(*) AS times FROM {source} GROUP BY ALL"
    counted = f"SELECT *, max(times) OVER () AS most FROM ({counted}) WHERE value IS NOT NULL"
    return f"(SELECT list(value ORDER BY value) FROM ({counted}) WHERE times = most)"


def _members(arguments: Arguments, column: Column) -> list[str]:
    """Return each value of a set as SQL, where they are of the type of the column."""
    values = arguments.kwargs.get("value_set")
    if not isinstance(values, list) or not values:
        raise Declined
    return [member(value, column) for value in values]


def member(value: Any, column: Column) -> str:
    """Return one value as SQL of the type of a column."""
    match column.kind:
        case "string" if isinstance(value, str):
            return literal(value)
        case "integer" if isinstance(value, int) and is_number(value):
            return literal(value)
        case "float" if is_number(value) and abs(value) <= 2**53:
            return literal(float(value))
        case "boolean" if isinstance(value, bool):
            return str(value).upper()
    raise Declined
