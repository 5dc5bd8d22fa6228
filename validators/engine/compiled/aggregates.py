"""Rules about one number of a column: its mean, its extremes, how many values it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from validators.engine.compiled.arguments import Arguments, Bounds, is_number
from validators.engine.compiled.columns import Column, literal
from validators.engine.compiled.moments import moment_bounds
from validators.engine.compiled.rules import Declined, Judgement, Rule, TableRule, Values
from validators.engine.compiled.values import not_exact

_BOUNDS = ("column", "min_value", "max_value", "strict_min", "strict_max")


def mean(arguments: Arguments) -> Rule:
    return _of_floats(arguments, lambda value, rows: f"avg({value}){rows}")


def median(arguments: Arguments) -> Rule:
    return _of_floats(arguments, lambda value, rows: f"median({value}){rows}")


def standard_deviation(arguments: Arguments) -> Rule:
    return _of_floats(arguments, lambda value, rows: f"stddev_samp({value}){rows}")


def total(arguments: Arguments) -> Rule:
    return _of_floats(arguments, lambda value, rows: f"coalesce(sum({value}){rows}, 0)")


def minimum(arguments: Arguments) -> Rule:
    return _extreme(arguments, "min")


def maximum(arguments: Arguments) -> Rule:
    return _extreme(arguments, "max")


def distinct_count(arguments: Arguments) -> Rule:
    column, rows = _any_column(arguments)
    return _between(arguments, lambda values: values[0], f"count(DISTINCT {column.sql}){rows}")


def unique_proportion(arguments: Arguments) -> Rule:
    column, rows = _any_column(arguments)

    def share(values: Values) -> float:
        distinct, there = values
        return distinct / there if there else 0

    return _between(arguments, share, f"count(DISTINCT {column.sql}){rows}", f"count({column.sql}){rows}")


def non_null_proportion(arguments: Arguments) -> Rule:
    arguments.only(*_BOUNDS)
    column, rows = arguments.column(), _filter(arguments)

    def share(values: Values) -> float:
        there, count = values
        return there / count if count else 0

    return _between(arguments, share, f"count({column.sql}){rows}", f"count(*){rows}")


def quantiles(arguments: Arguments) -> Rule:
    """Judge each quantile, which is a value that occurs: the nearest one, the even one of two."""
    arguments.only("column", "quantile_ranges", "allow_relative_error")
    column, ranges = arguments.column(), arguments.kwargs.get("quantile_ranges")
    if arguments.kwargs.get("allow_relative_error") not in (None, False) or not column.is_number:
        raise Declined
    if arguments.condition is not None or not isinstance(ranges, dict):
        raise Declined
    match ranges:
        case {"quantiles": [_, *_] as shares, "value_ranges": [_, *_] as limits} if len(shares) == len(limits):
            pass
        case _:
            raise Declined
    if not all(is_number(share) and 0 <= share <= 1 for share in shares):
        raise Declined
    bounds = [_range(limit) for limit in limits]

    def judge(values: Values) -> Judgement:
        *found, is_apart = values
        if is_apart or None in found:
            raise Declined
        met = [limit.hold(value) for limit, value in zip(bounds, found, strict=True)]
        return Judgement(all(met), {"quantiles": shares, "values": found}, details={"success_details": met})

    asked = [_nearest(column, float(share)) for share in shares]
    return TableRule(judge, (*asked, f"count({column.sql}) = 0"))


def _range(limit: Any) -> Bounds:
    match limit:
        case [low, high]:
            bounds = Bounds(low, high, strict_low=False, strict_high=False)
            bounds.demand(int, float)
            if low is None or high is None or low <= high:
                return bounds
    raise Declined


def _nearest(column: Column, share: float) -> str:
    """Return an aggregate of the value at the nearest place of ``share`` of the way; NumPy takes the even of two."""
    ordered = f"list({column.sql} ORDER BY {column.sql}) FILTER (WHERE {column.is_there})"
    # pandas makes a percentage of the share and NumPy a share of the percentage, which may round.
    share = share * 100 / 100
    return f"{ordered}[round_even((count({column.sql}) - 1) * {literal(share)}, 0)::BIGINT + 1]"


def _any_column(arguments: Arguments) -> tuple[Column, str]:
    arguments.only(*_BOUNDS)
    column = arguments.column()
    if column.kind == "other":
        raise Declined
    return column, _filter(arguments)


def _of_floats(arguments: Arguments, write: Callable[[str, str], str]) -> Rule:
    arguments.only(*_BOUNDS)
    column = arguments.column()
    if not column.is_number:
        raise Declined
    value = f"({column.sql})::DOUBLE"

    def found(values: Values) -> float | None:
        number, is_not_exact = values
        if is_not_exact:
            raise Declined
        return None if number is None else float(number)

    return _between(arguments, found, write(value, _filter(arguments)), not_exact(column))


def _extreme(arguments: Arguments, word: str) -> Rule:
    arguments.only(*_BOUNDS)
    column = arguments.column()
    asked = f"{word}({column.sql}){_filter(arguments)}"
    if column.is_moment:
        return _judged(moment_bounds(arguments.bounds(), column), lambda values: values[0], asked, told=_told(column))
    if not column.is_number:
        raise Declined
    return _between(arguments, lambda values: values[0], asked)


def _told(column: Column) -> Callable[[datetime], datetime]:
    """Return what gives a moment of a column with zones its zone back."""
    return (lambda moment: moment.replace(tzinfo=UTC)) if column.kind == "zoned" else (lambda moment: moment)


def _between(arguments: Arguments, find: Callable[[Values], Any], *aggregates: str) -> Rule:
    bounds = arguments.bounds()
    bounds.demand(int, float)
    if bounds.low is not None and bounds.high is not None and bounds.low > bounds.high:
        raise Declined
    return _judged(bounds, find, *aggregates)


def _judged(
    bounds: Bounds, find: Callable[[Values], Any], *aggregates: str, told: Callable[[Any], Any] = lambda value: value
) -> Rule:
    """Return a rule that holds a number or a moment against bounds; ``told`` makes of it what a reader sees."""

    def judge(values: Values) -> Judgement:
        found = find(values)
        return Judgement(False) if found is None else Judgement(bounds.hold(found), observed=told(found))

    return TableRule(judge, aggregates)


def _filter(arguments: Arguments) -> str:
    return "" if arguments.condition is None else f" FILTER (WHERE {arguments.condition})"
