"""Rules about the length of texts, in characters."""

from __future__ import annotations

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Column, literal
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import Declined, Rule, where


def between(arguments: Arguments) -> Rule:
    arguments.only("column", "min_value", "max_value", "strict_min", "strict_max")
    column, bounds = _texts(arguments), arguments.bounds()
    bounds.demand(int)
    bounds.demand_order()
    length = f"length({column.sql})"
    parts = []
    if bounds.low is not None:
        parts.append(f"{length} {'<=' if bounds.strict_low else '<'} {literal(bounds.low)}")
    if bounds.high is not None:
        parts.append(f"{length} {'>=' if bounds.strict_high else '>'} {literal(bounds.high)}")
    return column_rule(arguments, column, where(" OR ".join(parts)))


def equal(arguments: Arguments) -> Rule:
    arguments.only("column", "value")
    column = _texts(arguments)
    return column_rule(arguments, column, where(f"length({column.sql}) <> {literal(arguments.number('value'))}"))


def _texts(arguments: Arguments) -> Column:
    column = arguments.column()
    if column.kind != "string":
        raise Declined
    return column
