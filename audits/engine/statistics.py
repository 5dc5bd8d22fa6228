"""Intervals that checks need beside those of `workers.statistics`: of a difference or ratio of shares, of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from workers.statistics import Interval, wilson


def difference_of_shares(first: int, first_n: int, second: int, second_n: int) -> Interval:
    """Return the difference of two independent shares with Newcombe's interval (both shares with Wilson's).

    Source: R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17 (1998), 873-890, method 10.
    """
    if not first_n or not second_n:
        return Interval(None, None, None, first_n + second_n, "a group has no rows")
    below_first, above_first = _arms(first, first_n)
    below_second, above_second = _arms(second, second_n)
    difference = first / first_n - second / second_n
    low = max(-1.0, difference - math.hypot(below_first, above_second))
    high = min(1.0, difference + math.hypot(above_first, below_second))
    return Interval(difference, low, high, first_n + second_n, "Newcombe, 95%")


def _arms(successes: int, n: int) -> tuple[float, float]:
    """Return how far Wilson's interval of a share of some rows reaches below and above it."""
    interval = wilson(successes, n)
    share = successes / n
    return share - (interval.low or 0.0), (share if interval.high is None else interval.high) - share


def ratio_of_shares(first: int, first_n: int, second: int, second_n: int, confidence: float = 0.95) -> Interval:
    """Return the ratio of two independent shares with the interval of its logarithm.

    Source: D. Katz et al., Obtaining confidence intervals for the risk ratio in cohort studies, Biometrics 34 (1978).
    """
    n = first_n + second_n
    if not first_n or not second_n or not second:
        return Interval(None, None, None, n, "the share below is 0")
    ratio = (first / first_n) / (second / second_n)
    if not first:
        return Interval(0.0, None, None, n, "no interval for a share of 0")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = math.exp(z * math.sqrt(1 / first - 1 / first_n + 1 / second - 1 / second_n))
    return Interval(ratio, ratio / spread, ratio * spread, n, f"Katz, {confidence:.0%}")


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Return the ends of Student's interval of a mean, for few numbers; None for fewer than two.

    Source: Student, The probable error of a mean, Biometrika 6 (1908), 1-25.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        return None, None
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half
