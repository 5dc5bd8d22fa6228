"""The arguments of an expectation, read strictly: what is not as expected is left to Great Expectations to judge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from validators.engine.compiled.columns import Column, Table
from validators.engine.compiled.conditions import Condition
from validators.engine.compiled.rules import Declined

#: An integer that a column can hold.
_INTEGERS = range(-(2**63), 2**63)

Found = TypeVar("Found")

_ABOUT_ROWS = frozenset({"mostly", "row_condition", "condition_parser"})


@dataclass(frozen=True)
class Arguments:
    """The arguments of one expectation on one table.

    ``side_by_side`` tells of an expectation that compares columns with each other.
    """

    kwargs: Mapping[str, Any]
    table: Table
    side_by_side: bool = False

    def only(self, *names: str) -> None:
        """Decline when there is an argument that the rule does not know."""
        if not _ABOUT_ROWS.union(names).issuperset(self.kwargs):
            raise Declined

    def column(self, name: str = "column") -> Column:
        return _found(self.table.column(self.kwargs.get(name)))

    def columns(self) -> list[Column]:
        """Return the columns of ``column_list``, each named once."""
        names = self.kwargs.get("column_list")
        if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
            raise Declined
        return _found(self.table.several(names))

    @property
    def mostly(self) -> float:
        return self._bounded("mostly", 1.0)

    def _bounded(self, name: str, default: float) -> float:
        value = self.kwargs.get(name, default)
        if not is_number(value) or not 0 <= value <= 1:
            raise Declined
        return float(value)

    @property
    def condition(self) -> str | None:
        """The row condition as SQL that holds in the rows the expectation is about; None without one."""
        if self.kwargs.get("row_condition") in (None, ""):
            return None
        parser = self.kwargs.get("condition_parser")
        return Condition(self.table, self.side_by_side).sql(self.kwargs["row_condition"], parser)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.kwargs.get(name, default)
        if not isinstance(value, bool):
            raise Declined
        return value

    def word(self, name: str, *words: str) -> str:
        """Return a word that is one of some; the first where it is not given."""
        value = self.kwargs.get(name, words[0])
        if value not in words:
            raise Declined
        return str(value)

    def number(self, name: str) -> float:
        value = self.kwargs.get(name)
        if not is_number(value):
            raise Declined
        return float(value)

    def bounds(self) -> Bounds:
        return Bounds(
            self.kwargs.get("min_value"), self.kwargs.get("max_value"), self.flag("strict_min"), self.flag("strict_max")
        )


@dataclass(frozen=True)
class Bounds:
    """``min_value`` and ``max_value`` (None: open), each with whether the bound itself is out."""

    low: Any
    high: Any
    strict_low: bool
    strict_high: bool

    def demand(self, *types: type) -> None:
        """Decline bounds that are no numbers of these types."""
        for bound in (self.low, self.high):
            if bound is None:
                continue
            # Great Expectations makes a float of an integer, which from here on is another number.
            if not isinstance(bound, types) or not is_number(bound) or abs(bound) >= 2**53:
                raise Declined

    def demand_order(self) -> None:
        """Decline where there is no bound, or the low one is above the high one."""
        if self.low is None and self.high is None:
            raise Declined
        if self.low is not None and self.high is not None and self.low > self.high:
            raise Declined

    def hold(self, value: Any) -> bool:
        """Tell whether a value lies within the bounds."""
        above = self.low is None or (value > self.low if self.strict_low else value >= self.low)
        below = self.high is None or (value < self.high if self.strict_high else value <= self.high)
        return bool(above and below)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether a value is an integer of 64 bits or a finite float, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and is_plain(value)


def is_plain(value: Any) -> bool:
    if isinstance(value, int):
        return value in _INTEGERS
    return math.isfinite(value) if isinstance(value, float) else True


def _found(value: Found | None) -> Found:
    if value is None:
        raise Declined
    return value
