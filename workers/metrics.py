"""Task metrics as weighted statistics, so that one resampling of the rows serves all of them.

Each function takes what is fixed for the rows and returns a ``WeightedStatistic``: weights of shape (draws, rows) to
one value a draw. On weights of 1 they are scikit-learn's metrics of the same names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.protocol import JobError
from workers.signature import OutputSpec
from workers.statistics import WeightedStatistic, mean_of

#: Metrics of which more is better; of all others less is.
RISING = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "r2")

#: Probabilities of a row may add up to one only within this.
SUM_TOLERANCE = 1e-3


def probabilities_of(answer: NDArray[Any], output: OutputSpec) -> NDArray[np.float64]:
    """Return class probabilities of shape (rows, classes) from a classifier's output of shape (rows, outputs).

    A single output is the probability, or the logit, of class 1.

    Raises:
        JobError: ``output_not_finite`` or ``output_not_probabilities``, with the row.
    """
    scores = np.asarray(answer, dtype=np.float64)
    check_finite(scores, output)
    if output.kind == "logits":
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(scores / scores.sum(1, keepdims=True))
    if scores.shape[1] == 1:
        scores = np.concatenate([1 - scores, scores], axis=1)
    wrong = np.flatnonzero((np.abs(scores.sum(1) - 1) > SUM_TOLERANCE) | (scores.min(1) < -SUM_TOLERANCE))
    if len(wrong):
        row = int(wrong[0])
        raise JobError(
            "output_not_probabilities",
            f"The output {output.name!r} is said to give probabilities, and those of row {row:,} are "
            f"{np.round(scores[row], 4).tolist()}, which are not shares of 1. Is its kind `logits`?",
            place=f"row {row}",
        )
    return scores


def check_finite(answer: NDArray[Any], output: OutputSpec) -> None:
    """Raise JobError ``output_not_finite`` with the row where a model gives NaN or an infinity."""
    wrong = np.flatnonzero(~np.isfinite(answer).all(1))
    if len(wrong):
        row = int(wrong[0])
        raise JobError(
            "output_not_finite",
            f"The output {output.name!r} is not a number in row {row:,} (and {len(wrong) - 1:,} more); has the data "
            "missing or extreme values there?",
            place=f"row {row}",
        )


def classification(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, WeightedStatistic]:
    """Return the metrics of a classifier: class numbers (rows,), probabilities (rows, classes).

    ``brier`` is the mean squared distance to the true class's unit vector, halved for two classes (as usual).
    ``roc_auc`` is one against the rest, averaged over the classes; it is not defined where a class is missing.
    """
    predicted = probabilities.argmax(1)
    class_count = probabilities.shape[1]
    truth = np.eye(class_count)[targets]
    answers = np.eye(class_count)[predicted]
    likelihood = np.clip(probabilities[np.arange(len(targets)), targets], np.finfo(np.float64).eps, 1.0)
    distance = ((probabilities - truth) ** 2).sum(1)
    return {
        "accuracy": mean_of(predicted == targets),
        "balanced_accuracy": balanced_accuracy(truth, answers),
        "f1_macro": f1_macro(truth, answers),
        "roc_auc": roc_auc(targets, probabilities),
        "log_loss": mean_of(-np.log(likelihood)),
        "brier": mean_of(distance / 2 if class_count == 2 else distance),
    }


def regression(targets: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, WeightedStatistic]:
    """Return the metrics of a regression: targets and values of shape (rows, outputs), averaged over the outputs."""
    error = values - targets
    square = mean_of((error**2).mean(1))

    def rmse(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(square(weights)))

    return {"rmse": rmse, "mae": mean_of(np.abs(error).mean(1)), "r2": r2(targets, values)}


def balanced_accuracy(truth: NDArray[Any], answers: NDArray[Any]) -> WeightedStatistic:
    """Return the mean recall over the classes that occur; one-hot arrays of shape (rows, classes)."""
    hits = truth * answers

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _mean_where_defined(weights @ hits, weights @ truth)

    return statistic


def f1_macro(truth: NDArray[Any], answers: NDArray[Any]) -> WeightedStatistic:
    """Return the mean F1 over the classes that occur or are predicted; one-hot arrays of shape (rows, classes)."""
    hits, both = truth * answers, truth + answers

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _mean_where_defined(2 * (weights @ hits), weights @ both)

    return statistic


def roc_auc(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> WeightedStatistic:
    """Return the area under the ROC curve (rank statistic, ties counted half), one class against the rest, averaged."""
    class_count = probabilities.shape[1]
    curves = [_Ranks(targets == k, probabilities[:, k]) for k in ([1] if class_count == 2 else range(class_count))]

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.mean([curve.area(weights) for curve in curves], axis=0))

    return statistic


def r2(targets: NDArray[np.float64], values: NDArray[np.float64]) -> WeightedStatistic:
    """Return the share of variance explained, averaged over outputs; not defined where targets do not vary."""
    residual, square = (values - targets) ** 2, targets**2

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights.sum(1, keepdims=True)
        spread = weights @ square - (weights @ targets) ** 2 / total
        # Rounding leaves a little spread where every drawn target is the same.
        varies = spread > 1e-12 * np.maximum(weights @ square, 1e-300)
        share = np.full_like(spread, np.nan)
        np.divide(weights @ residual, spread, out=share, where=varies)
        return np.asarray(1 - share.mean(1))

    return statistic


class _Ranks:
    """Rows sorted by score, with the places where a new score begins."""

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._positive = positive[self._order]

    def area(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = weights[:, self._order]
        positive = np.add.reduceat(ordered * self._positive, self._starts, axis=1)
        negative = np.add.reduceat(ordered * ~self._positive, self._starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        pairs = positive.sum(1) * negative.sum(1)
        area = np.full(len(weights), np.nan)
        np.divide((positive * (below + negative / 2)).sum(1), pairs, out=area, where=pairs > 0)
        return area


def _mean_where_defined(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over classes of part / whole, of those whose whole is not 0."""
    occurs = whole > 0
    ratio = np.zeros_like(part)
    np.divide(part, whole, out=ratio, where=occurs)
    return np.asarray(ratio.sum(1) / np.maximum(occurs.sum(1), 1))
