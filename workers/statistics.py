"""Intervals for numbers that were measured on rows: Wilson for shares, the bootstrap for everything else.

Every function takes its random generator; nothing here draws from a global one. Resampling is over rows, so an interval
tells how much a number would move with other rows of the same kind, not how it would move with another training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A vectorised statistic: weights of shape (resamples, rows), how often each row was drawn, to (resamples,) values.
WeightedStatistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

RESAMPLES = 2000

#: Numbers held at once while resampling: resamples go in blocks of about this many weights.
BLOCK_VALUES = 2**22


@dataclass(frozen=True)
class Interval:
    """A value with its interval, the number of rows it was measured on, and how the interval was made.

    ``low`` and ``high`` are None where no interval can be given (no rows, one row, a constant sample); ``method`` then
    says why.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "method": self.method}


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return a share with Wilson's score interval.

    It keeps its coverage for small n and for shares near 0 and 1, where the normal approximation leaves [0, 1].

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212;
    recommended by Brown, Cai and DasGupta, Interval estimation for a binomial proportion, Statistical Science 16
    (2001), 101-133.

    Raises:
        ValueError: when the successes are not between 0 and n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a share.")
    if n == 0:
        return Interval(None, None, None, 0, "no rows")
    share, z = successes / n, _quantile(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n, f"Wilson, {confidence:.0%}")


@dataclass(frozen=True)
class Resamples:
    """Several statistics of the same n rows, each with its values on the same resamples.

    ``values`` has each statistic of the rows themselves, ``drawn`` its values on the resamples, shape (resamples,). A
    statistic is NaN where it is not defined (a class is missing, a sample is constant).
    """

    n: int
    values: Mapping[str, float]
    drawn: Mapping[str, NDArray[np.float64]]
    confidence: float = 0.95

    def interval(self, name: str) -> Interval:
        """Return one statistic with its percentile bootstrap interval."""
        return self._percentile(self.values[name], self.drawn[name], "percentile bootstrap")

    def difference(self, first: str, second: str) -> Interval:
        """Return ``first - second`` with its paired interval."""
        difference = self.values[first] - self.values[second]
        return self._percentile(difference, self.drawn[first] - self.drawn[second], "paired percentile bootstrap")

    def _percentile(self, value: float, drawn: NDArray[np.float64], kind: str) -> Interval:
        n = self.n
        if n == 0:
            return Interval(None, None, None, 0, "no rows")
        if not math.isfinite(value):
            return Interval(None, None, None, n, "not defined on these rows")
        if n == 1:
            return Interval(value, None, None, n, "no interval from one row")
        defined = drawn[np.isfinite(drawn)]
        undefined = len(drawn) - len(defined)
        if undefined > len(drawn) / 2:
            return Interval(value, None, None, n, f"not defined on {undefined:,} of {len(drawn):,} resamples")
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        method = f"{kind}, {self.confidence:.0%}, {len(drawn):,} resamples"
        if undefined:
            method += f", {undefined:,} of them not defined"
        return Interval(value, float(low), float(high), n, method)


def resample(
    statistics: Mapping[str, WeightedStatistic],
    n: int,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Resamples:
    """Draw n rows with replacement, ``resamples`` times, and take every statistic on each draw.

    A statistic is given how often each row was drawn, an array of shape (draws, n), and returns one value a draw;
    weights of 1 give its value on the rows themselves. All see the same draws, so that their differences are paired.
    """
    if n == 0:
        return Resamples(0, dict.fromkeys(statistics, math.nan), dict.fromkeys(statistics, np.empty(0)), confidence)
    values = {name: float(statistic(np.ones((1, n)))[0]) for name, statistic in statistics.items()}
    drawn = {name: np.empty(resamples) for name in statistics}
    block = max(1, min(resamples, BLOCK_VALUES // n))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        rows = generator.integers(0, n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(rows.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
        for name, statistic in statistics.items():
            drawn[name][start : start + count] = statistic(weights)
    return Resamples(n, values, drawn, confidence)


def bootstrap(
    statistic: WeightedStatistic,
    n: int,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Return a statistic of n rows with its percentile bootstrap interval; see ``resample`` for its form.

    Resamples on which it is not defined are left out, and ``method`` says how many.

    Source: B. Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979), 1-26; Efron and
    Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    drawn = resample({"value": statistic}, n, generator=generator, resamples=resamples, confidence=confidence)
    return drawn.interval("value")


def bootstrap_mean(
    values: NDArray[Any],
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of one number a row, shape (rows,), with its percentile bootstrap interval."""
    return bootstrap(mean_of(values), len(values), generator=generator, resamples=resamples, confidence=confidence)


def paired_bootstrap(
    first: WeightedStatistic,
    second: WeightedStatistic,
    n: int,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Return the difference ``first - second`` of two statistics on the same n rows, with its interval.

    Both see the same resamples, so what the rows do to both cancels out: the interval is as narrow as the pairing
    allows. An interval that holds 0 means "not shown to differ".

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8; for two classifiers on one test
    set, P. Koehn, Statistical significance tests for machine translation evaluation, EMNLP (2004), 388-395.
    """
    drawn = resample(
        {"first": first, "second": second}, n, generator=generator, resamples=resamples, confidence=confidence
    )
    return drawn.difference("first", "second")


def mean_of(values: NDArray[Any]) -> WeightedStatistic:
    """Return the statistic "mean of these numbers, one a row"."""
    column = np.asarray(values, dtype=np.float64)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights @ column / weights.sum(1), dtype=np.float64)

    return mean


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def area_under_curve(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], confidence: float = 0.95
) -> Interval:
    """Return the chance that a positive scores above a negative (ties count half), with DeLong's interval.

    Source: DeLong, DeLong, Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44 (1988), 837-845.
    """
    n = len(positives) + len(negatives)
    if not len(positives) or not len(negatives):
        return Interval(None, None, None, n, "a side has no rows")
    of_positives, of_negatives = _placements(positives, negatives), 1 - _placements(negatives, positives)
    area = float(of_positives.mean())
    if len(positives) == 1 or len(negatives) == 1:
        return Interval(area, None, None, n, "no interval from one row")
    variance = of_positives.var(ddof=1) / len(positives) + of_negatives.var(ddof=1) / len(negatives)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return Interval(area, max(0.0, area - half), min(1.0, area + half), n, f"DeLong, {confidence:.0%}")


def _placements(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the others that each value lies above, ties counted half."""
    ordered = np.sort(among)
    below, upto = np.searchsorted(ordered, values, side="left"), np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / (2 * len(among)), dtype=np.float64)
