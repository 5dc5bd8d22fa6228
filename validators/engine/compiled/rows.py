"""What rules about single rows have in common: which rows they are about, and which of those are judged."""

from __future__ import annotations

from collections.abc import Sequence

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Column
from validators.engine.compiled.rules import Repeated, RowRule, Scan, Where


def column_rule(
    arguments: Arguments, column: Column, *finders: Where | Repeated | Scan, unless: str | None = None
) -> RowRule:
    """Return a rule about the values of one column that are there."""
    elements = arguments.condition
    return RowRule(arguments.mostly, elements, both(elements, column.is_there), finders, unless)


def ignored_rows(arguments: Arguments, columns: Sequence[Column], *words: str) -> str:
    """Return SQL of the rows that ``ignore_row_if`` leaves; ``words`` are its values for all, any and none missing."""
    all_missing, any_missing, _ = words
    word = arguments.word("ignore_row_if", *words)
    if word == all_missing:
        kept = " OR ".join(column.is_there for column in columns)
    else:
        kept = " AND ".join(column.is_there for column in columns) if word == any_missing else "TRUE"
    return both(arguments.condition, f"({kept})")


def both(one: str | None, other: str) -> str:
    return other if one is None else f"({one}) AND ({other})"
