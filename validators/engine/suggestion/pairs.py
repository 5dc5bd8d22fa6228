"""Rules about two columns: one is at least the other, equals it, or is there whenever the other is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.missing import LEAST_ROWS
from validators.engine.suggestion.profile import ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import TOUCHES, mostly_of

#: Rows that have both values; the share that would break the rule if the columns had nothing to do with each other.
_LEAST_BOTH, _LEAST_TELLING = 100, 0.05
#: Rows of the sample that every pair is first looked at on, columns that are paired, and pairs that are proposed.
_FIRST_LOOK, _MOST_COLUMNS, _MOST_PAIRS = 512, 400, 40
_MISSING = {"ignore_row_if": "either_value_is_missing"}


@dataclass(frozen=True)
class _Order:
    """``greater`` is at least ``lesser`` in all ``rows`` of the sample; ``equal`` of them touch."""

    greater: ColumnProfile
    lesser: ColumnProfile
    rows: int
    equal: int
    telling: float


def rules(table: TableProfile, keys: Sequence[str]) -> Iterator[Candidate]:
    """Propose what holds between two columns, as few rules as say it."""
    orders = _orders(table, keys)
    equal = [order for order in orders if order.equal == order.rows]
    yield from (_equality(order) for order in equal if order.greater.place < order.lesser.place)
    alike = {order.lesser.place for order in equal if order.greater.place < order.lesser.place}
    strict = [
        order
        for order in orders
        if order.equal < order.rows and order.greater.place not in alike and order.lesser.place not in alike
    ]
    kept = sorted(_without_implied(strict), key=lambda order: (-order.telling, order.greater.place))[:_MOST_PAIRS]
    yield from (_order_rule(table, order) for order in kept)
    yield from _presence(table)


def _orders(table: TableProfile, keys: Sequence[str]) -> list[_Order]:
    found: list[_Order] = []
    for kinds in (("integer", "number"), ("moment",)):
        columns = [
            column
            for column in table.columns
            if column.kind in kinds
            and column.distinct > 2
            and not column.infinite
            and column.role not in ("ignore", "metadata")
            and column.name not in keys
        ][:_MOST_COLUMNS]
        for greater, lesser in _first_look(columns):
            order = _examined(table, greater, lesser)
            if order is not None:
                found.append(order)
    return found


def _first_look(columns: Sequence[ColumnProfile]) -> Iterator[tuple[ColumnProfile, ColumnProfile]]:
    """Yield the ordered pairs that no row of a first few speaks against."""
    if len(columns) < 2:
        return
    rows = slice(0, _FIRST_LOOK)
    values = np.stack([column.values[rows].astype(np.float64) for column in columns])
    values[~np.stack([column.is_present[rows] for column in columns])] = np.nan
    for place, column in enumerate(columns):
        with np.errstate(invalid="ignore"):
            speaks_against = (values[place] < values).any(axis=1)
        for other in np.flatnonzero(~speaks_against).tolist():
            if other != place:
                yield column, columns[other]


def _examined(table: TableProfile, greater: ColumnProfile, lesser: ColumnProfile) -> _Order | None:
    both = greater.is_present & lesser.is_present & table.is_fit
    high, low = greater.values[both], lesser.values[both]
    count = len(high)
    if count < _LEAST_BOTH or bool((high < low).any()):
        return None
    equal = int(np.count_nonzero(high == low))
    telling = 1.0 if equal == count else _broken_if_unrelated(high, low)
    return _Order(greater, lesser, count, equal, telling) if telling >= _LEAST_TELLING else None


def _broken_if_unrelated(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Return the share of rows that would break the order if each value met any other: what the rule tells."""
    return float((len(low) - np.searchsorted(np.sort(low), high, side="right")).mean() / len(low))


def _without_implied(orders: Sequence[_Order]) -> list[_Order]:
    """Leave out what follows from two others: A >= C where A >= B and B >= C."""
    above: dict[int, set[int]] = {}
    for order in orders:
        above.setdefault(order.greater.place, set()).add(order.lesser.place)
    return [
        order
        for order in orders
        if not any(
            order.lesser.place in above.get(between, ())
            for between in above[order.greater.place]
            if between != order.lesser.place
        )
    ]


def _equality(order: _Order) -> Candidate:
    one, other = order.greater, order.lesser
    return Candidate(
        "expect_column_pair_values_to_be_equal",
        {"column_A": one.name, "column_B": other.name, **_MISSING},
        "info",
        one.name,
        f"They are equal in all {order.rows:,} rows that have both; one of them may be enough.",
        {"rows": order.rows, "equal": order.equal},
        RowTest(_both(one, other), f"{one.sql} <> {other.sql}"),
    )


def _order_rule(table: TableProfile, order: _Order) -> Candidate:
    one, other = order.greater, order.lesser
    kwargs = {"column_A": one.name, "column_B": other.name, "or_equal": True, **_MISSING}
    evidence = {"rows": order.rows, "equal": order.equal, "broken_if_unrelated": order.telling}
    mostly = 1.0 if order.equal >= TOUCHES else mostly_of(order.rows, order.rows, table.deviations)
    if mostly < 1:
        kwargs["mostly"] = mostly
        evidence["wilson_lower"] = mostly
    return Candidate(
        "expect_column_pair_values_a_to_be_greater_than_b",
        kwargs,
        "warning",
        one.name,
        f"In all of {order.rows:,} rows, {order.equal:,} of them equal; if they had nothing to do with each other "
        f"{order.telling:.0%} of the rows would break it.",
        evidence,
        RowTest(_both(one, other), f"{one.sql} < {other.sql}"),
    )


def _both(one: ColumnProfile, other: ColumnProfile) -> str:
    return f"(NOT {one.missing_sql} AND NOT {other.missing_sql})"


def _presence(table: TableProfile) -> Iterator[Candidate]:
    """Propose that a column is there wherever another is: what is missing together, or only with something else."""
    partly = [column for column in table.columns if column.missing >= LEAST_ROWS and column.present >= LEAST_ROWS]
    shown: set[int] = set()
    for column in partly[:_MOST_COLUMNS]:
        for other in partly[:_MOST_COLUMNS]:
            if other.place == column.place or (column.place in shown and other.place in shown):
                continue
            rule = _presence_rule(table, column, other)
            if rule is not None:
                shown |= {column.place, other.place} if _same(column, other) else set()
                yield rule


def _same(one: ColumnProfile, other: ColumnProfile) -> bool:
    return bool(np.array_equal(one.is_present, other.is_present))


def _presence_rule(table: TableProfile, column: ColumnProfile, other: ColumnProfile) -> Candidate | None:
    there = other.is_present & table.is_fit
    rows = int(np.count_nonzero(there))
    if rows < LEAST_ROWS or bool((there & ~column.is_present).any()):
        return None
    expected = rows * float((~column.is_present).mean())
    if expected < LEAST_ROWS:
        return None
    kwargs: dict[str, Any] = {
        "column": column.name,
        "row_condition": {"type": "nullity", "column": {"name": other.name}, "is_null": False},
        "condition_parser": "great_expectations",
    }
    evidence: dict[str, Any] = {"rows": rows, "missing": 0, "missing_if_unrelated": round(expected)}
    if not _same(column, other):
        kwargs["mostly"] = evidence["wilson_lower"] = mostly_of(rows, rows, table.deviations)
    return Candidate(
        "expect_column_values_to_not_be_null",
        kwargs,
        "warning",
        column.name,
        f"In all of {rows:,} rows that have {other.name}; unrelated, {expected:,.0f} of them would lack it.",
        evidence,
        RowTest(f"NOT {other.missing_sql}", column.missing_sql),
    )
