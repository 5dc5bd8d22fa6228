"""How far a second sample of the same source may go: bounds that a clean one keeps with known chance.

A rule is made from *n* rows and has to hold on the next sample, which may be smaller or larger: ``SMALLEST_SAMPLE``
and ``LARGEST_SAMPLE`` say by how much. Each rule may fail by chance with a probability that is so small that a suite of
them all fails seldom (Bonferroni over the columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from workers.statistics import wilson

#: The chance that any rule of a suite fails on a clean sample, as far as chance can be computed.
SUITE_ERROR = 0.01
#: About as many tails of rules as a column has.
_TAILS = 10
#: Sizes of the next sample, in relation to this one, that the bounds hold for.
SMALLEST_SAMPLE, LARGEST_SAMPLE = 2 / 3, 3 / 2
#: A value met so often at the end of a range is the end: by chance none beyond it would be seen with 2 ** -14.
TOUCHES = 14
#: Contiguous blocks of rows that have to look alike before a mean or a quantile is called stable.
_BLOCKS = 20


def deviations_for(columns: int) -> float:
    """Return how many standard deviations a bound lies away, for a table of so many columns."""
    return NormalDist().inv_cdf(1 - SUITE_ERROR / (_TAILS * max(columns, 1)))


def wilson_lower(successes: int, trials: int, deviations: float) -> float:
    """Return the lower end of Wilson's score interval of a share; 0 without trials."""
    return wilson(successes, trials, confidence=2 * NormalDist().cdf(deviations) - 1).low or 0.0


def mostly_of(successes: int, trials: int, deviations: float) -> float:
    """Return the share that the next sample reaches, rounded down to four digits.

    Where nothing failed, Wilson's bound is also what exchangeability gives without any assumption: of *k* failures
    among two samples of a size all lie in the second with at most ``2 ** -k``. Where something failed, the next sample
    varies as this one did, and the bound takes both.
    """
    if successes < trials:
        deviations *= math.sqrt(1 + 0.8 / SMALLEST_SAMPLE)
    return math.floor(wilson_lower(successes, trials, deviations) * 10_000) / 10_000


def quantile_ranks(share: float, seen: int, next_size: float, deviations: float) -> tuple[int, int] | None:
    """Return the ranks (from 0) between which the next sample's quantile lies; None where the ends are not seen."""
    spread = deviations * math.sqrt(share * (1 - share) * (1 / seen + 1 / next_size))
    low, high = math.floor((share - spread) * seen) - 1, math.ceil((share + spread) * seen) + 1
    return (low, high) if low >= 0 and high < seen else None


def mean_bounds(values: NDArray[np.float64], next_size: float, deviations: float) -> tuple[float, float] | None:
    """Return bounds of the next sample's mean; None where a single value could move it, so that it is not stable."""
    count = len(values)
    middle, deviation = float(values.mean()), float(values.std())
    if not math.isfinite(deviation) or deviation == 0:
        return None
    if float(np.abs(values - middle).max()) > 0.25 * deviation * math.sqrt(count):
        return None
    spread = 1.2 * deviations * deviation * math.sqrt(1 / count + 1 / next_size)
    return middle - spread, middle + spread


def is_stable(values: NDArray[np.float64]) -> bool:
    """Tell whether contiguous blocks of rows have alike values: no trend, no order, no clusters.

    A Kruskal-Wallis test of 20 blocks; only what passes it may be said to come from one distribution again.
    """
    count = len(values)
    ranks = np.empty(count)
    ordered, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(ordered) < 2:
        return True
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    middle, variance = ranks.mean(), ranks.var()
    statistic = sum(len(block) * (block.mean() - middle) ** 2 for block in np.array_split(ranks, _BLOCKS)) / variance
    degrees = _BLOCKS - 1
    return bool(statistic < degrees + 4 * math.sqrt(2 * degrees))


@dataclass(frozen=True)
class End:
    """One end of a range: the bound that no value passes, and whether the source itself ends there."""

    bound: float
    is_natural: bool


def upper_end(
    highest: Sequence[float], error: float, *, natural: Sequence[float] = (), skewed: bool = False
) -> End | None:
    """Return how far up values may lie, from the highest ones (descending); None where too few.

    The source ends at the highest value where that is met often, and at a natural bound where values crowd before it.
    Else the tail is continued: a generalised Pareto distribution is fitted to the excesses (Zhang and Stephens, 2009),
    its shape is taken two standard errors heavier and never lighter than an exponential tail, and the bound is what a
    next sample passes with the chance ``error``.
    """
    with np.errstate(all="ignore"):  # what overflows is no bound, and is told by `isfinite`
        return _upper_end(np.asarray(highest, dtype=np.float64), error, natural, skewed)


def _upper_end(values: NDArray[np.float64], error: float, natural: Sequence[float], skewed: bool) -> End | None:
    if len(values) and _ends_here(values):
        return End(float(values[0]), True)
    count = len(values) - 1
    if count < 10:
        return None
    threshold = values[-1]
    excesses = values[:-1] - threshold
    mean = float(excesses.mean())
    if mean <= 0 or not math.isfinite(mean):
        return None
    for bound in natural:
        if values[0] <= bound and (skewed or _crowds(values, bound, mean)):
            return End(bound, True)
    shape, scale = _pareto(excesses)
    margin = 1 + 2 / math.sqrt(count)
    shape = max(0.0, shape + 2 * (1 + max(shape, 0.0)) / math.sqrt(count))
    reach = math.log(count * LARGEST_SAMPLE / error)
    try:
        factor = reach if shape < 1e-6 else math.expm1(shape * reach) / shape
    except OverflowError:
        return None
    bound = float(threshold) + (scale if shape > 0 else mean) * margin * factor
    return End(bound, False) if math.isfinite(bound) else None


def lower_end(
    lowest: Sequence[float], error: float, *, natural: Sequence[float] = (), skewed: bool = False
) -> End | None:
    """Return how far down values may lie, from the lowest ones (ascending): the mirror of ``upper_end``."""
    end = upper_end([-value for value in lowest], error, natural=[-bound for bound in natural], skewed=skewed)
    return None if end is None else End(-end.bound + 0.0, end.is_natural)


def is_closed(last: int, before: int) -> bool:
    """Tell whether nothing comes after a value that is met ``last`` times, next to one that is met ``before`` times.

    Were the counts to go on falling as they did, the next value would be met at least 14 times, and was not.
    """
    return last >= TOUCHES and last * last >= TOUCHES * before


def _ends_here(values: NDArray[np.float64]) -> bool:
    last = int(np.count_nonzero(values == values[0]))
    others = values[last:]
    return is_closed(last, int(np.count_nonzero(others == others[0])) if len(others) else 0)


def _crowds(values: NDArray[np.float64], bound: float, mean_excess: float) -> bool:
    """Tell whether so many values lie close before a bound that a smooth tail would have passed it."""
    return len(values) > TOUCHES + 3 and bound - float(values[TOUCHES + 2]) <= 0.8 * mean_excess


def _pareto(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto distribution (Zhang and Stephens, Technometrics 51, 2009)."""
    ordered = np.sort(excesses[excesses > 0])
    count = len(ordered)
    if count < 5:
        return 0.0, float(excesses.mean())
    grid = 30 + int(math.sqrt(count))
    quartile = ordered[int(count / 4 + 0.5) - 1] if count >= 4 else ordered[0]
    places = np.arange(1, grid + 1)
    thetas = 1 / ordered[-1] + (1 - np.sqrt(grid / (places - 0.5))) / (3 * quartile)
    shapes = np.log1p(-thetas[:, None] * ordered[None, :]).mean(axis=1)
    likelihood = np.nan_to_num(count * (np.log(-thetas / shapes) - shapes - 1), nan=-np.inf)
    weights = 1 / np.exp(np.clip(likelihood[None, :] - likelihood[:, None], -700, 700)).sum(axis=1)
    theta = float((thetas * weights).sum() / weights.sum())
    shape = float(np.log1p(-theta * ordered).mean())
    return shape, -shape / theta if theta else float(ordered.mean())


def rounded_range(low: float, high: float) -> tuple[float, float]:
    """Widen a range to numbers of few digits, by at most about one part in a hundred of its width."""
    width = high - low
    if width <= 0 or not math.isfinite(width):
        return low, high
    exponent = math.floor(math.log10(width)) - 2
    return _rounded(low, exponent, ROUND_FLOOR), _rounded(high, exponent, ROUND_CEILING)


def _rounded(value: float, exponent: int, rounding: str) -> float:
    step = Decimal(1).scaleb(exponent)
    with localcontext(prec=800):  # enough for every digit of any float
        return float((Decimal(value) / step).to_integral_value(rounding=rounding) * step)
