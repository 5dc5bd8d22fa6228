"""Worths of coalitions against the whole background, and values that are weighted sums of them: exact ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import CHUNK_ROWS, Attribution, FloatArray, Task
from audits.engine.explainers.coalitions import SCORE_BYTES, Coalitions

#: A value below this share of the row's largest worth is what rounding leaves of a sum that is 0.
ROUNDING = 2.0**-44
#: Explained rows that are enumerated together, so that progress is told now and then.
ROWS_TOGETHER = 64


class Worths:
    """What coalitions are worth: the mean score of the explained row composed with each of *all* background rows."""

    def __init__(self, task: Task) -> None:
        self._coalitions = Coalitions(task)
        self._outputs = task.outputs
        background_scores = self._coalitions.of_background()
        self.background_count = len(background_scores)
        #: The worth of the empty and of the full coalition, shape (rows, outputs).
        self.of_none: FloatArray = background_scores.mean(axis=0)[task.outputs]
        self.of_all = self._coalitions.of_rows()

    def __call__(self, rows: NDArray[np.intp], masks: NDArray[np.bool_]) -> FloatArray:
        """Return the worth of every mask for every row, shape (rows, masks, outputs).

        The sums are taken in the order of the background rows, one by one, so that they do not depend on how many
        masks and background rows are scored in one pass.
        """
        output_count = self._outputs.shape[1]
        answer = np.zeros((len(rows), len(masks), output_count))
        score_limit = max(1, SCORE_BYTES // (8 * max(1, len(rows) * output_count)))
        for first in range(0, len(masks), score_limit):
            some = masks[first : first + score_limit]
            together = max(1, min(CHUNK_ROWS, score_limit) // len(some))
            for number in range(0, self.background_count, together):
                numbers = np.arange(number, min(number + together, self.background_count))
                scores = self._coalitions.evaluate(
                    rows, np.tile(some, (len(numbers), 1)), numbers.repeat(len(some)).astype(np.intp)
                )
                for part in np.split(scores, len(numbers), axis=1):
                    answer[:, first : first + score_limit] += part
        answer /= self.background_count
        return answer


def enumerated(
    task: Task,
    masks: NDArray[np.bool_],
    weights: FloatArray,
    *,
    first: int = 0,
    hierarchy: FloatArray | None = None,
) -> Iterator[Attribution]:
    """Yield values that are weighted sums of worths: exact but for rounding.

    Args:
        masks: every coalition that counts, shape (masks, features).
        weights: the weight of each worth in the value of each feature, shape (features, masks).
    """
    worths = Worths(task)
    output_count = task.outputs.shape[1]
    sizes = masks.sum(axis=1)
    is_none, is_all = sizes == 0, sizes == task.players.count
    inner = ~(is_none | is_all)
    together = max(1, min(ROWS_TOGETHER, SCORE_BYTES // (8 * len(masks) * output_count)))
    for start in range(first, task.row_count, together):
        task.progress(start, task.row_count, f"{int(inner.sum()):,} coalitions")
        chosen = np.arange(start, min(start + together, task.row_count))
        known = np.empty((len(chosen), len(masks), output_count))
        known[:, is_none] = worths.of_none[chosen][:, None]
        known[:, is_all] = worths.of_all[chosen][:, None]
        if inner.any():
            known[:, inner] = worths(chosen, masks[inner])
        values = np.einsum("fs,rso->rfo", weights, known)
        largest = np.maximum(known.max(axis=1, keepdims=True), -known.min(axis=1, keepdims=True))
        values[np.abs(values) < ROUNDING * largest] = 0
        shape = (len(chosen), *task.players.grid, output_count)
        yield Attribution(
            values=values.reshape(shape),
            base_values=worths.of_none[chosen],
            errors=np.zeros(shape),
            data=task.players.data({name: values[chosen] for name, values in task.rows.items()}),
            feature_names=task.players.names,
            output_names=task.output_names,
            output_numbers=task.outputs[chosen],
            evaluations=np.full(len(chosen), int(inner.sum()) * worths.background_count + 1, dtype=np.int64),
            scale=task.scale,
            hierarchy=hierarchy,
        )
    task.progress(task.row_count, task.row_count, "")
