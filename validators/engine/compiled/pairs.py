"""Rules about two columns of a row."""

from __future__ import annotations

from collections.abc import Sequence

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Column
from validators.engine.compiled.rows import ignored_rows
from validators.engine.compiled.rules import Declined, RowRule, Rule, where
from validators.engine.compiled.sets import member

#: Pairs that are written into SQL; more are left to Great Expectations.
_MOST_PAIRS = 1_000
_WORDS = ("both_values_are_missing", "either_value_is_missing", "neither")


def equal(arguments: Arguments) -> Rule:
    arguments.only("column_A", "column_B", "ignore_row_if")
    one, other = columns = _comparable(arguments)
    return _rule(arguments, columns, f"({one.sql} = {other.sql}) IS NOT TRUE")


def greater(arguments: Arguments) -> Rule:
    arguments.only("column_A", "column_B", "ignore_row_if", "or_equal")
    one, other = columns = _comparable(arguments)
    or_equal = arguments.kwargs.get("or_equal") or False
    if not isinstance(or_equal, bool) or one.kind in ("string", "boolean"):
        raise Declined
    return _rule(arguments, columns, f"({one.sql} {'>=' if or_equal else '>'} {other.sql}) IS NOT TRUE")


def in_set(arguments: Arguments) -> Rule:
    arguments.only("column_A", "column_B", "ignore_row_if", "value_pairs_set")
    columns = [arguments.column("column_A"), arguments.column("column_B")]
    pairs = arguments.kwargs.get("value_pairs_set")
    if arguments.condition is not None:
        # Great Expectations filters its rows in one place and not in the other.
        raise Declined
    if not isinstance(pairs, list) or not 0 < len(pairs) <= _MOST_PAIRS or columns[0] == columns[1]:
        raise Declined
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Declined
    met = " OR ".join(
        " AND ".join(_is(value, column) for value, column in zip(pair, columns, strict=True)) for pair in pairs
    )
    return _rule(arguments, columns, f"({met}) IS NOT TRUE")


def _rule(arguments: Arguments, columns: Sequence[Column], fails: str) -> RowRule:
    considered = ignored_rows(arguments, columns, *_WORDS)
    return RowRule(arguments.mostly, arguments.condition, considered, (where(fails),), unless=too_large(columns))


def _is(value: object, column: Column) -> str:
    return column.is_missing if value is None else f"{column.sql} = {member(value, column)}"


def _comparable(arguments: Arguments) -> list[Column]:
    columns = [arguments.column("column_A"), arguments.column("column_B")]
    demand_one_family(columns)
    return columns


def demand_one_family(columns: Sequence[Column]) -> None:
    """Decline columns that are not all numbers, or all of one other kind."""
    families = {"number" if column.is_number else column.kind for column in columns}
    if len(families) != 1 or "other" in families or len(set(columns)) != len(columns):
        raise Declined


def too_large(columns: Sequence[Column]) -> str | None:
    """Return an aggregate that is true where an integer is not exact as a float, which it may become next to others."""
    integers = [f"max(abs({column.sql}::DOUBLE)) > 9e15" for column in columns if column.kind == "integer"]
    return f"coalesce({' OR '.join(integers)}, FALSE)" if integers else None
