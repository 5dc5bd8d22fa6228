"""Rules about several columns of a row."""

from __future__ import annotations

from collections.abc import Sequence

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Column, literal
from validators.engine.compiled.pairs import demand_one_family, too_large
from validators.engine.compiled.rows import ignored_rows
from validators.engine.compiled.rules import Declined, RowRule, Rule, where

#: NumPy adds up to here from left to right, as SQL does; more in another order, so that sums round differently.
_MOST_ADDED = 7
_WORDS = ("all_values_are_missing", "any_value_is_missing", "never")


def sum_equals(arguments: Arguments) -> Rule:
    arguments.only("column_list", "ignore_row_if", "sum_total")
    columns, total = arguments.columns(), arguments.number("sum_total")
    if len(columns) > _MOST_ADDED or not all(column.is_number for column in columns):
        raise Declined
    added = " + ".join(f"({column.sql})::DOUBLE" for column in columns)
    return _rule(arguments, columns, f"({added} = {literal(total)}) IS NOT TRUE")


def all_equal(arguments: Arguments) -> Rule:
    arguments.only("column_list", "ignore_row_if")
    columns = arguments.columns()
    demand_one_family(columns)
    differs = " OR ".join(f"{columns[0].sql} IS DISTINCT FROM {column.sql}" for column in columns)
    return _rule(arguments, columns, differs)


def all_different(arguments: Arguments) -> Rule:
    arguments.only("column_list", "ignore_row_if")
    columns = arguments.columns()
    demand_one_family(columns)
    if columns[0].kind == "boolean":
        raise Declined
    types = "::DOUBLE" if columns[0].is_number else ""
    listed = ", ".join(f"({column.sql}){types}" for column in columns)
    # A list's distinct values leave out NULL, which counts as one value here.
    distinct = f"len(list_distinct([{listed}])) + CASE WHEN {_any_missing(columns)} THEN 1 ELSE 0 END"
    return _rule(arguments, columns, f"{distinct} < {len(columns)}")


def _any_missing(columns: Sequence[Column]) -> str:
    return " OR ".join(column.is_missing for column in columns)


def _rule(arguments: Arguments, columns: Sequence[Column], fails: str) -> RowRule:
    considered = ignored_rows(arguments, columns, *_WORDS)
    return RowRule(arguments.mostly, arguments.condition, considered, (where(fails),), unless=too_large(columns))
