"""Whether removing features in the order of their values changes the output as the values say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, FloatArray
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.quality.base import Measure, Sample, finite
from audits.engine.statistics import mean_interval

#: Points of a curve between no feature and all of them.
STEPS = 10
#: Background rows that removed features are taken from.
BACKGROUND_ROWS = 16
#: Random orders that the curves are held against.
RANDOM_ORDERS = 4
#: Values that promise less than this share of their sizes are all the same but for rounding.
NO_ORDER = 1e-9


def faithfulness(sample: Sample, generator: np.random.Generator) -> Measure:
    """Compare the curves of deletion and insertion with each other and with those of random orders.

    Features are taken from background rows one after another in the order of their values for one output, from the one
    that raises the score most (deletion), or come back in that order (insertion). The area between both curves is
    divided by the area that the values themselves promise: 1 means that the output changes as the values say, 0 that
    the order is no better than a random one, between whose two curves there is no area on average. The order is by
    value and not by size, since on one curve values of both signs would cancel.

    Sources: Petsiuk, Das, Saenko, "RISE" (2018), for the curves; Hooker et al., "A Benchmark for Interpretability
    Methods in Deep Neural Networks" (2019), for random orders as the baseline.
    """
    if sample.task.players.count < 2:
        return _not_applicable(sample, "a single feature has no order")
    values = values_of_one_output(sample.attribution)
    points = _points(values.shape[1])
    promised = _area(np.cumsum(_descending(values), axis=1), np.cumsum(-_descending(-values), axis=1), points - 1)
    has_order = promised > NO_ORDER * np.abs(values).sum(axis=1)
    if not has_order.any():
        return _not_applicable(sample, "the features of these rows have one and the same value, and so no order")
    curves = _Curves(sample, generator)
    places: list[int] = np.flatnonzero(has_order).tolist()
    orders = np.argsort(-values, axis=1, kind="stable")
    gained = np.array([curves.gap(place, orders[place], points) for place in places])
    ratios = gained / promised[has_order]
    by_chance = np.array(
        [
            [curves.gap(place, order, points) / promised[place] for place in places]
            for order in (generator.permutation(values.shape[1]) for _ in range(RANDOM_ORDERS))
        ]
    ).mean(axis=1)
    low, high = mean_interval(ratios)
    return Measure(
        "faithfulness",
        note=(
            "area between the curves of insertion and deletion (Petsiuk et al., 2018) over the area that the values "
            f"promise, with its interval over rows; 0 is no better than random, and {RANDOM_ORDERS} random orders "
            f"reached {by_chance.min():.2f} to {by_chance.max():.2f}"
        ),
        value=finite(float(ratios.mean())),
        low=low,
        high=high,
        bound=sample.bound("faithfulness"),
        n=len(ratios),
        evaluations=curves.evaluations,
    )


class _Curves:
    """Scores rows of the sample with some features kept and the others from background rows."""

    def __init__(self, sample: Sample, generator: np.random.Generator) -> None:
        task = sample.task_of(outputs=_one_output(sample.attribution))
        count = min(BACKGROUND_ROWS, task.background_count)
        self._background = np.sort(generator.choice(task.background_count, count, replace=False)).astype(np.intp)
        self._coalitions = Coalitions(task)
        self.evaluations = 0

    def gap(self, row: int, order: NDArray[np.intp], points: NDArray[np.intp]) -> float:
        """Return how much higher a row scores, on average, with the first features of an order than with the last."""
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        first = ranks < points[:, None]
        last = ranks >= len(order) - points[:, None]
        masks = np.concatenate([first, last])
        scores = self._coalitions.evaluate(
            np.array([row], dtype=np.intp),
            masks.repeat(len(self._background), axis=0),
            np.tile(self._background, len(masks)),
        )
        self.evaluations += scores.shape[1]
        means = scores.reshape(2, -1).mean(axis=1)
        return float(means[0] - means[1])


def values_of_one_output(attribution: Attribution) -> FloatArray:
    """Return the values of each row for its output with the highest score, shape (rows, features)."""
    places = attribution.scores.argmax(axis=1)
    values: FloatArray = np.take_along_axis(attribution.flat_values, places[:, None, None], axis=2)[:, :, 0]
    return values


def _one_output(attribution: Attribution) -> NDArray[np.intp]:
    return np.take_along_axis(attribution.output_numbers, attribution.scores.argmax(axis=1)[:, None], axis=1)


def _points(features: int) -> NDArray[np.intp]:
    """Return how many features are kept at each point of a curve."""
    return np.unique(np.linspace(1, features - 1, min(STEPS, features - 1)).round().astype(np.intp))


def _descending(values: FloatArray) -> FloatArray:
    return -np.sort(-values, axis=1)


def _area(first: FloatArray, last: FloatArray, places: NDArray[np.intp]) -> FloatArray:
    area: FloatArray = (first[:, places] - last[:, places]).mean(axis=1)
    return area


def _not_applicable(sample: Sample, why: str) -> Measure:
    return Measure("faithfulness", note=why, value=None, bound=sample.bound("faithfulness"), n=0, is_applicable=False)
