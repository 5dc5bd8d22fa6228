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
from audits.engine.explainers.coalitions import SCORE_BYTES, Coalitions
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
        coalitions = Coalitions(task)
        masks, weights = _coalitions(features)
        row_scores, background_scores = coalitions.of_rows(), coalitions.of_background()
        base = background_scores.mean(axis=0)
        output_count = task.outputs.shape[1]
        inner = masks[1:-1]
        together = max(1, SCORE_BYTES // max(1, len(masks) * output_count * 8))
        background_count = len(background_scores)
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            worths = np.zeros((len(chosen), len(masks), output_count))
            for number in range(background_count if len(inner) else 0):
                worths[:, 1:-1] += coalitions.evaluate(chosen, inner, np.full(len(inner), number, dtype=np.intp))
                task.progress(start, task.row_count, f"background row {number + 1} of {background_count}")
            worths /= background_count
            outputs = task.outputs[chosen]
            worths[:, 0] = base[outputs]
            worths[:, -1] = row_scores[chosen]
            shape = (len(chosen), *task.players.grid, output_count)
            yield Attribution(
                values=np.einsum("fs,rso->rfo", weights, worths).reshape(shape),
                base_values=base[outputs],
                errors=np.zeros(shape),
                data=task.players.data({name: values[chosen] for name, values in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=np.full(len(chosen), len(inner) * background_count + 1, dtype=np.int64),
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")


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
