"""Rules about the values of one column: missing or not, within bounds, far from the others."""

from __future__ import annotations

import math

from validators.engine.compiled.arguments import Arguments, Bounds, is_number
from validators.engine.compiled.columns import Column, literal
from validators.engine.compiled.moments import moment_bounds
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import Declined, RowRule, Rule, Values, Where, where


def not_null(arguments: Arguments) -> Rule:
    arguments.only("column")
    return _of_all_rows(arguments, arguments.column().is_missing)


def null(arguments: Arguments) -> Rule:
    arguments.only("column")
    return _of_all_rows(arguments, arguments.column().is_there)


def _of_all_rows(arguments: Arguments, fails: str) -> RowRule:
    elements = arguments.condition
    return RowRule(arguments.mostly, elements, elements or "TRUE", (where(fails),), tells_missing=False)


def between(arguments: Arguments) -> Rule:
    arguments.only("column", "min_value", "max_value", "strict_min", "strict_max")
    column, bounds = arguments.column(), arguments.bounds()
    if column.is_moment:
        return column_rule(arguments, column, where(outside(column, moment_bounds(bounds, column))))
    bounds.demand(int, float)
    bounds.demand_order()
    if not column.is_number:
        raise Declined
    return column_rule(arguments, column, where(outside(column, bounds)))


def outside(column: Column, bounds: Bounds) -> str:
    """Return SQL that holds where a value that is there lies outside of bounds.

    An integer meets an integer exactly, and everything else as a float of 64 bits, as in NumPy.
    """
    parts = []
    for bound, strict, signs in ((bounds.low, bounds.strict_low, "<"), (bounds.high, bounds.strict_high, ">")):
        if bound is None:
            continue
        value, sql = bound, column.sql
        if column.kind == "float":
            value = float(bound)
        elif column.kind == "integer" and isinstance(bound, float):
            sql = f"{sql}::DOUBLE"
        parts.append(f"{sql} {signs}{'=' if strict else ''} {literal(value)}")
    return " OR ".join(parts)


def z_score(arguments: Arguments) -> Rule:
    """Judge by the mean and the sample standard deviation of the values that are there."""
    arguments.only("column", "threshold", "double_sided")
    column, threshold = arguments.column(), arguments.number("threshold")
    sides = arguments.flag("double_sided", default=True)
    if not column.is_number or arguments.condition is not None:
        raise Declined

    def fails(values: Values) -> str:
        mean, deviation = _center(values)
        if deviation is None:
            return "FALSE"
        score = f"(({column.sql})::DOUBLE - {literal(mean)}) / {literal(deviation)}"
        return f"NOT (abs({score}) < {literal(abs(threshold))})" if sides else f"NOT ({score} < {literal(threshold)})"

    return column_rule(arguments, column, Where(fails, center_of(column)), unless=not_exact(column))


def not_outlier(arguments: Arguments) -> Rule:
    """Judge by Tukey's fences (``iqr``) or by standard deviations from the mean (``std``)."""
    arguments.only("column", "method", "multiplier")
    column, method = arguments.column(), arguments.word("method", "iqr", "std")
    multiplier = arguments.kwargs.get("multiplier", 1.5)
    if not column.is_number or arguments.condition is not None or not is_number(multiplier) or multiplier < 0:
        raise Declined
    value = f"({column.sql})::DOUBLE"

    def beyond_fences(values: Values) -> str:
        if None in values:
            return "FALSE"
        low, high = values
        reach = float(multiplier) * (high - low)
        return f"{value} < {literal(low - reach)} OR {value} > {literal(high + reach)}"

    def far_from_mean(values: Values) -> str:
        mean, deviation = _center(values)
        if deviation is None:
            return "FALSE"
        reach = float(multiplier) * deviation
        return f"{value} <> {literal(mean)}" if reach <= 0 else f"abs({value} - {literal(mean)}) >= {literal(reach)}"

    if method == "std":
        finder = Where(far_from_mean, center_of(column))
    else:
        quartiles = tuple(f"quantile_cont({value}, {share})" for share in (0.25, 0.75))
        finder = Where(beyond_fences, quartiles)
    return column_rule(arguments, column, finder, unless=not_exact(column))


def center_of(column: Column) -> tuple[str, str]:
    """Return the aggregates mean and sample standard deviation of the finite values of a column of numbers."""
    value = f"({column.sql})::DOUBLE"
    finite = f"FILTER (WHERE isfinite({value}))"
    return f"avg({value}) {finite}", f"stddev_samp({value}) {finite}"


def not_exact(column: Column) -> str:
    """Return an aggregate that is true where sums of floats need Great Expectations' own order to come out the same.

    That is where a value is infinite, where numbers are so large that sums round or overflow, and where all values are
    the same, so that a standard deviation is nothing but rounding. Of no integer at all it makes something of its own.
    """
    value = f"({column.sql})::DOUBLE"
    differ = f"coalesce(max(abs({value})) > 1e15 OR min({value}) = max({value}), FALSE)"
    return f"{differ} OR count({value}) = 0" if column.kind == "integer" else differ


def _center(values: Values) -> tuple[float, float | None]:
    mean, deviation = values
    if mean is None or deviation is None or not math.isfinite(deviation):
        return 0.0, None
    return mean, deviation
