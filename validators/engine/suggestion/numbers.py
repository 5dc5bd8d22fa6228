"""Rules about numbers: what may be at all, what is usual, and where the middle lies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.profile import ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import (
    SMALLEST_SAMPLE,
    SUITE_ERROR,
    End,
    is_stable,
    lower_end,
    mean_bounds,
    mostly_of,
    quantile_ranks,
    rounded_range,
    upper_end,
)

#: Rows below which a range, or a middle, is a guess.
_LEAST_FOR_RANGE, _LEAST_FOR_MIDDLE = 50, 200
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Where numbers often end by their nature: shares and percentages.
_NATURAL_TOPS = (1.0, 100.0)
#: All positive, and the upper side so long that a symmetric lower one would have crossed zero.
_SKEWED = 2.5
_INT64 = 2**63


def rules(table: TableProfile, column: ColumnProfile, *, is_list: bool) -> Iterator[Candidate]:
    """Propose ranges (but for a list of codes, which has its own rule) and the mean and the quantiles."""
    if not is_list and column.fit_present >= _LEAST_FOR_RANGE:
        yield from _ranges(table, column)
    yield from _middle(table, column)


def _ranges(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    if not column.lowest:
        return
    low, high = _ends(table, column)
    seen_low, seen_high = column.lowest[0], column.highest[0]
    evidence = {"rows": column.fit_present, "lowest": _plain(column, seen_low), "highest": _plain(column, seen_high)}
    if column.infinite == 0 and low is not None and high is not None:
        bounds = _between(column, low.bound, high.bound, rounded=not (low.is_natural and high.is_natural))
        why = f"Seen {_shown(seen_low)} to {_shown(seen_high)}; {_reason_of_ends(low, high)}"
        yield _candidate(column, bounds, why, evidence | {"natural": [low.is_natural, high.is_natural]})
        if low.is_natural and high.is_natural:
            return
    within = column.fit_present - min(column.infinite, column.fit_present)
    mostly = mostly_of(within, column.fit_present, table.deviations)
    if mostly >= 0.5:
        bounds = _between(column, seen_low, seen_high, rounded=True)
        why = f"None of {column.fit_present:,} values is outside; a next sample of the source stays within that share."
        if column.infinite:
            why = f"{column.infinite:,} values are infinite; no other lies outside."
        yield _candidate(column, {**bounds, "mostly": mostly}, why, evidence | {"wilson_lower": mostly})


def _ends(table: TableProfile, column: ColumnProfile) -> tuple[End | None, End | None]:
    error = SUITE_ERROR / (10 * len(table.columns))
    lowest, highest = [float(value) for value in column.lowest], [float(value) for value in column.highest]
    values = table.of_sample(column).astype(np.float64)
    skewed = bool(
        len(values) and lowest[0] >= 0 and np.quantile(values, 0.95) >= _SKEWED * max(np.quantile(values, 0.5), 1e-300)
    )
    low = lower_end(lowest, error, natural=(0.0,), skewed=skewed)
    tops = [top for top in _NATURAL_TOPS if lowest[0] >= 0 and highest[0] <= top]
    return low, upper_end(highest, error, natural=tops[:1])


def _between(column: ColumnProfile, low: float, high: float, *, rounded: bool) -> dict[str, Any]:
    if rounded:
        natural_low, natural_high = (low == 0), (high in _NATURAL_TOPS)
        wide_low, wide_high = rounded_range(float(low), float(high))
        low = low if natural_low else wide_low
        high = high if natural_high else wide_high
    if pa.types.is_decimal(column.arrow_type):
        # The float of a decimal may lie on its wrong side: one step of the scale further is surely beyond it.
        step, digits = 10.0**-column.arrow_type.scale, column.arrow_type.scale
        low = low if float(low).is_integer() else round(low - step, digits)
        high = high if float(high).is_integer() else round(high + step, digits)
    if column.kind == "integer":
        low, high = max(math.floor(low), -_INT64), min(math.ceil(high), _INT64 - 1)
        low, high = min(low, column.lowest[0]), max(high, column.highest[0])
    return {"min_value": low, "max_value": high}


def _candidate(column: ColumnProfile, bounds: dict[str, Any], why: str, evidence: dict[str, Any]) -> Candidate:
    return Candidate(
        "expect_column_values_to_be_between",
        {"column": column.name, **bounds},
        "warning",
        column.name,
        why,
        evidence,
        RowTest(
            f"NOT {column.missing_sql}",
            f"({column.sql} < ? OR {column.sql} > ?)",
            [bounds["min_value"], bounds["max_value"]],
        ),
    )


def _reason_of_ends(low: End, high: End) -> str:
    if low.is_natural and high.is_natural:
        return "the source ends there."
    if low.is_natural:
        return "below it ends there, above the tail is continued to what one sample in many thousands reaches."
    if high.is_natural:
        return "above it ends there, below the tail is continued to what one sample in many thousands reaches."
    return "both tails are continued to what one sample in many thousands reaches."


def _middle(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    """Propose where mean and quantiles lie, where the rows look alike from the first to the last."""
    values = table.of_sample(column).astype(np.float64)
    if len(values) < _LEAST_FOR_MIDDLE or column.infinite or not is_stable(values):
        return
    next_size = SMALLEST_SAMPLE * column.present
    held = table.of_sample(column, fit=False).astype(np.float64)
    if column.distinct > 2:
        yield from _quantiles(table, column, np.sort(values), np.sort(held), next_size)
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = mean_bounds(values, next_size, table.deviations)
        mean = float(held.mean()) if len(held) else math.nan
    if bounds is not None:
        low, high = rounded_range(*bounds)
        yield Candidate(
            "expect_column_mean_to_be_between",
            {"column": column.name, "min_value": low, "max_value": high},
            "info",
            column.name,
            f"The mean of {len(values):,} values is {_shown(float(values.mean()))}, and no single value moves it.",
            {
                "rows": len(values),
                "observed": float(values.mean()),
                "holdout_observed": None if math.isnan(mean) else mean,
            },
            holds=math.isnan(mean) or low <= mean <= high,
        )


def _quantiles(
    table: TableProfile,
    column: ColumnProfile,
    values: NDArray[np.float64],
    held: NDArray[np.float64],
    next_size: float,
) -> Iterator[Candidate]:
    shares, ranges, holds = [], [], True
    for share in _QUANTILES:
        ranks = quantile_ranks(share, len(values), next_size, table.deviations)
        if ranks is None:
            continue
        low, high = float(values[ranks[0]]), float(values[ranks[1]])
        shares.append(share)
        ranges.append([low, high])
        holds = holds and (not len(held) or low <= _nearest(held, share) <= high)
    if shares:
        yield Candidate(
            "expect_column_quantile_values_to_be_between",
            {"column": column.name, "quantile_ranges": {"quantiles": shares, "value_ranges": ranges}},
            "info",
            column.name,
            f"From the first row to the last the {len(values):,} values look alike.",
            {
                "rows": len(values),
                "quantiles": {f"{share:g}": _nearest(values, share) for share in shares},
                "holdout_quantiles": {f"{share:g}": _nearest(held, share) for share in shares} if len(held) else {},
            },
            holds=holds,
        )


def _nearest(ordered: NDArray[np.float64], share: float) -> float:
    return float(ordered[round(share * (len(ordered) - 1))])


def _plain(column: ColumnProfile, value: Any) -> int | float:
    return int(value) if column.kind == "integer" else float(value)


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.6g}"
