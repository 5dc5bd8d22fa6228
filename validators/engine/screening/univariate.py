"""Single values far from their column: by quartiles, and by the median."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.features import floats
from validators.engine.screening.screened import BLOCK_COLUMNS, BLOCK_VALUES, Screened, blocks
from validators.engine.validation import text_of
from workers.statistics import wilson
from workers.words import counted, listed, percent, share_with_interval

#: A normal column has this many standard deviations in one median absolute deviation (Iglewicz and Hoaglin, 1993).
NORMAL_MAD = 0.6745


#: How often the bounds of a skewed column are doubled, and with which share outside it is then given up.
DOUBLINGS = 3
MOST_OUTSIDE = 0.1


@dataclass(frozen=True)
class Bound:
    """Between what the values of a column lie: so many units below ``low`` and above ``high``."""

    column: str
    low: float
    high: float
    unit: float
    reach: float
    doublings: int = 0

    @property
    def lower(self) -> float:
        return self.low - self.reach * self.unit

    @property
    def upper(self) -> float:
        return self.high + self.reach * self.unit

    def doubled(self) -> Bound:
        return replace(self, reach=2 * self.reach, doublings=self.doublings + 1)

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column, "lower": self.lower, "upper": self.upper}


class _Univariate(Detector):
    """What both share: bounds from all values of each column, then every value outside of them."""

    #: What a distance is counted in, for the reason of a row.
    unit_word: str

    @abstractmethod
    def bounds(self, data: Screened, names: Sequence[str], reach: float) -> Iterator[Bound]:
        """Yield the bounds of those columns that have some; a column whose middle has no width has none."""

    @abstractmethod
    def reach(self, parameters: Any, column_count: int) -> float:
        """Return how many units bounds lie away, where so many columns are judged."""

    def remark(self, parameters: Any, column_count: int) -> str:  # noqa: ARG002 - the number of columns moves no bounds
        """Return what is to be said about how the number of columns moved the bounds."""
        return ""

    def run(self, context: ScreeningContext) -> Detection:
        data, names = context.data, context.data.numbers()
        if not names or not data.count:
            return not_applicable("No column holds measured numbers of ten or more different values.")
        bounds: list[Bound] = []
        size = max(1, min(BLOCK_COLUMNS, BLOCK_VALUES // data.count))
        reach = self.reach(context.parameters, len(names))
        for done, group in enumerate(blocks(names, size)):
            bounds += self.bounds(data, group, reach)
            context.tell(0.5 * min(1, (done + 1) * size / len(names)))
        if not bounds:
            return not_applicable("In every column of numbers the middle half is one value, which gives no unit.")
        bounds, outside = _widened(data, bounds, context.parameters.max_share)
        skewed = [bound for bound in bounds if outside[bound.column] > MOST_OUTSIDE * data.count]
        faulty = [bound for bound in bounds if outside[bound.column] and bound not in skewed]
        for start in range(0, len(faulty), BLOCK_COLUMNS):
            self._keep(context, faulty[start : start + BLOCK_COLUMNS])
            context.tell(0.5 + 0.5 * min(1, (start + BLOCK_COLUMNS) / len(faulty)))
        return self._told(context, bounds, faulty, skewed, outside)

    def _keep(self, context: ScreeningContext, bounds: Sequence[Bound]) -> None:
        values = [f"CAST({context.data.place(bound.column)} AS DOUBLE)" for bound in bounds]
        named = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values))
        outside = " OR ".join(f"(NOT isnan({value}) AND ({value} < ? OR {value} > ?))" for value in values)
        limits = [limit for bound in bounds for limit in (bound.lower, bound.upper)]
        sql = f"SELECT row, {named} FROM {context.data.relation} WHERE {outside} ORDER BY row"
        for batch in context.data.stream(sql, limits):
            rows = batch.column("row").to_numpy()
            for place, bound in enumerate(bounds):
                found = floats(batch.column(f"v{place}"))
                hit = np.flatnonzero((found < bound.lower) | (found > bound.upper))
                distances = [min(self._distance(bound, value), 1e300) for value in found[hit].tolist()]
                reasons = [
                    self._reason(bound, value, distance)
                    for value, distance in zip(found[hit].tolist(), distances, strict=True)
                ]
                context.rows.keep(rows[hit], scores=distances, reasons=reasons, column=bound.column)

    @staticmethod
    def _distance(bound: Bound, value: float) -> float:
        return max(bound.lower - value, value - bound.upper) / bound.unit

    def _reason(self, bound: Bound, value: float, distance: float) -> str:
        side, limit = ("below", bound.lower) if value < bound.lower else ("above", bound.upper)
        far = f"{distance:.3g} {self.unit_word} {side} {text_of(_short(limit))}"
        return f"{text_of(_short(value))} lies {far if math.isfinite(value) else 'at infinity'}."

    def _told(
        self,
        context: ScreeningContext,
        bounds: list[Bound],
        faulty: list[Bound],
        skewed: list[Bound],
        outside: dict[str, int],
    ) -> Detection:
        n, found = context.data.count, context.rows.count
        share = wilson(found, n)
        values = sum(outside[bound.column] for bound in faulty)
        sentence = (
            f"{counted(found, 'row')} of {n:,} ({share_with_interval(share)}) "
            f"{'has' if found == 1 else 'have'} {counted(values, 'value')} far outside, in "
            f"{counted(len(faulty), 'column')} of {len(bounds):,} that were judged."
            if found
            else f"No value of {counted(len(bounds), 'column')} lies far outside."
        )
        if skewed:
            sentence += (
                f" Not counted: {listed([bound.column for bound in skewed])}, of which more than "
                f"{percent(MOST_OUTSIDE)} lies outside wherever bounds are put; that is a mixture, or many faults."
            )
        widened = [bound.column for bound in bounds if bound.doublings and bound not in skewed]
        if widened:
            sentence += f" Bounds were widened for {counted(len(widened), 'skewed column')}."
        sentence += self.remark(context.parameters, len(context.data.numbers()))
        columns = [
            ColumnFinding(
                bound.column,
                outside[bound.column] / n,
                f"{counted(outside[bound.column], 'value')} outside {text_of(_short(bound.lower))} to "
                f"{text_of(_short(bound.upper))}{': not counted.' if bound in skewed else '.'}",
            )
            for bound in sorted([*faulty, *skewed], key=lambda bound: -outside[bound.column])
        ]
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            columns=columns,
            bounds=[bound.to_json() for bound in faulty],
            detail={
                "judged_columns": len(bounds),
                "reach": self.reach(context.parameters, len(context.data.numbers())),
                "widened": widened,
                "not_counted": [bound.column for bound in skewed],
            },
        )


class IqrOutliers(_Univariate):
    """Values more than k interquartile ranges outside the middle half of their column, and infinities.

    How: the quartiles of all finite values; bounds at k = 3 ranges below the first and above the third (the "outer
    fences" of Tukey, Exploratory Data Analysis, 1977). The bounds are pinned, so that a cleaning does not move them.

    Signs of high risk: values that no unit of the column can have (an age of 999), or many in one column.

    What it does not show: faults inside the usual range. A skewed column has values outside by its nature; where that
    is more than 0.5 % the bounds are doubled, at most three times, and smaller faults in it are missed.
    """

    entry = ENTRIES["iqr"]
    unit_word = "interquartile ranges"

    def reach(self, parameters: Any, column_count: int) -> float:  # noqa: ARG002 - two in a million are outside
        return float(parameters.k)

    def bounds(self, data: Screened, names: Sequence[str], reach: float) -> Iterator[Bound]:
        for name, found in zip(names, _quantiles(data, names, "[0.25, 0.75]"), strict=True):
            if found is not None and found[1] > found[0]:
                width = found[1] - found[0]
                yield Bound(name, found[0], found[1], width, reach)


class MadOutliers(_Univariate):
    """Values whose modified z-score is above 3.5: far from the median, in units of the median absolute deviation.

    How: 0.6745 (x - median) / MAD over all finite values (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
    1993). Up to half of the values may be faults before the bounds move.

    Signs of high risk: as for the quartiles; it is the sharper of the two on short tails.

    What it does not show: faults inside the usual range. In one normal column 0.05 % of clean values lie outside 3.5;
    with more columns the threshold grows (4.2 for 20, 4.7 for 200), so that it stays 0.05 % of the rows of the whole
    table (Bonferroni). Where more than 0.5 % of a column lies outside its bounds are doubled, at most three times, and
    smaller faults are missed. A column of which more than half is one value has no such unit.
    """

    entry = ENTRIES["mad"]
    unit_word = "median deviations"

    def reach(self, parameters: Any, column_count: int) -> float:
        return threshold_for(parameters.threshold, column_count) / NORMAL_MAD

    def remark(self, parameters: Any, column_count: int) -> str:
        if column_count < 2:
            return ""
        return (
            f" For {column_count:,} columns the threshold is {threshold_for(parameters.threshold, column_count):.2f}, "
            f"so that clean rows are named as seldom as by {parameters.threshold:g} in one column."
        )

    def bounds(self, data: Screened, names: Sequence[str], reach: float) -> Iterator[Bound]:
        medians = [None if found is None else found[0] for found in _quantiles(data, names, "[0.5]")]
        deviations = _quantiles(data, names, "[0.5]", about=[0.0 if median is None else median for median in medians])
        for name, median, found in zip(names, medians, deviations, strict=True):
            if median is not None and found is not None and found[0] > 0:
                yield Bound(name, median, median, found[0], reach)


def threshold_for(threshold: float, column_count: int) -> float:
    """Return the z-score that so many normal columns together exceed as often as one exceeds the threshold.

    Bonferroni: each column may have the share of values outside divided by the number of columns.
    """
    from scipy.stats import norm

    share = norm.sf(threshold) / max(1, column_count)
    # Of a threshold so high that no float holds its share, none is any higher.
    return float(norm.isf(share)) if share > 0 else threshold


def _quantiles(
    data: Screened, names: Sequence[str], shares: str, about: Sequence[float] | None = None
) -> list[list[float] | None]:
    """Return quantiles of the finite values of columns, or of their distances from a value each; None for no value."""
    parts = []
    for name in names:
        value = f"CAST({data.place(name)} AS DOUBLE)"
        measured = value if about is None else f"abs({value} - ?)"
        parts.append(f"quantile_cont({measured}, {shares}) FILTER (WHERE isfinite({value}))")
    return list(data.one(f"SELECT {', '.join(parts)} FROM {data.relation}", about or []))


def _widened(data: Screened, bounds: Sequence[Bound], max_share: float) -> tuple[list[Bound], dict[str, int]]:
    """Double the bounds of columns that have too many values outside, and return all with their counts."""
    found = {bound.column: bound for bound in bounds}
    outside = _counts_outside(data, bounds)
    for _ in range(DOUBLINGS):
        wide = [bound.doubled() for bound in found.values() if outside[bound.column] > max_share * data.count]
        if not wide:
            break
        found.update({bound.column: bound for bound in wide})
        outside.update(_counts_outside(data, wide))
    return list(found.values()), outside


def _counts_outside(data: Screened, bounds: Sequence[Bound]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(bounds), BLOCK_COLUMNS):
        group = bounds[start : start + BLOCK_COLUMNS]
        values = [f"CAST({data.place(bound.column)} AS DOUBLE)" for bound in group]
        counts = ", ".join(f"count(*) FILTER (WHERE NOT isnan({v}) AND ({v} < ? OR {v} > ?))" for v in values)
        limits = [limit for bound in group for limit in (bound.lower, bound.upper)]
        line = data.one(f"SELECT {counts} FROM {data.relation}", limits)
        found.update(zip([bound.column for bound in group], map(int, line), strict=True))
    return found


def _short(value: float) -> float:
    """Return a bound with as many digits as a reader needs."""
    return float(f"{value:.6g}")
