"""Rules about values, or combinations of values, that occur once."""

from __future__ import annotations

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.rows import column_rule, ignored_rows
from validators.engine.compiled.rules import Declined, Repeated, RowRule, Rule


def unique(arguments: Arguments) -> Rule:
    arguments.only("column")
    column = arguments.column()
    if column.kind == "other":
        raise Declined
    return column_rule(arguments, column, Repeated((column,)))


def compound_unique(arguments: Arguments) -> Rule:
    arguments.only("column_list", "ignore_row_if")
    columns = arguments.columns()
    if any(column.kind == "other" for column in columns) or len(columns) < 2:
        raise Declined
    considered = ignored_rows(arguments, columns, "all_values_are_missing", "any_value_is_missing", "never")
    return RowRule(arguments.mostly, arguments.condition, considered, (Repeated(tuple(columns)),))
