"""Exact Shapley values by enumeration of all coalitions, for models of few features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import (
    Attribution,
    Explainer,
    FloatArray,
    Task,
)
from audits.engine.explainers.enumeration import enumerated
from workers.protocol import JobError

MAXIMUM_FEATURES = 12


@dataclass(frozen=True)
class ExactParameters:
    """The exact values leave nothing to choose."""


class ExactExplainer(Explainer):
    """Interventional Shapley values without estimation: every coalition against every background row.

    The worth of a coalition is the mean score over the background rows of the row composed with each. A value is the
    sum over all coalitions S without the feature of ``|S|! (n - |S| - 1)! / n!`` times what the feature adds to S: one
    matrix product for all features. Costs ``2^n`` times the background rows in model evaluations a row. The error
    is 0 but for rounding, and the seed is not used.
    """

    name = "exact"
    parameters = ExactParameters

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        features = task.players.count
        if features > MAXIMUM_FEATURES:
            raise JobError(
                "too_many_features",
                f"Exact values of {features} features need 2^{features} coalitions a row; the method 'exact' "
                f"takes up to {MAXIMUM_FEATURES}. Use 'permutation', which gives the error of every value.",
                place="method",
            )
        masks, weights = _coalitions(features)
        yield from enumerated(task, masks, weights, first=first)


def _coalitions(features: int) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return all coalitions, empty first and full last, and the weight of each one's worth in each feature's value."""
    numbers = np.arange(2**features)
    masks = (numbers[:, None] >> np.arange(features)) & 1 == 1
    sizes = masks.sum(axis=1)
    share = np.array(
        [
            math.factorial(size) * math.factorial(features - size - 1) / math.factorial(features)
            for size in range(features)
        ]
    )
    with_feature, without_feature = share[np.maximum(sizes - 1, 0)], share[np.minimum(sizes, features - 1)]
    weights: FloatArray = np.where(masks.T, with_feature, -without_feature)
    return masks, weights
