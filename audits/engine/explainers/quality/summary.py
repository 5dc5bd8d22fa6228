"""What all rows of an explanation say of its quality, gathered as they come: additivity and stated errors."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, FloatArray, Scores, Task
from audits.engine.explainers.quality.base import Measure, finite
from audits.engine.measures import Bounds

#: Rows are scored anew in batches of a size that no explainer uses: a model that looks at its batch shows itself.
BATCH_ROWS = 17


class ErrorSummary:
    """Adds up parts of an attribution in the order of their rows, and keeps one number a row.

    It scores the rows of each part anew.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._scores = Scores(task.model, task.scale)
        background = self._scores.in_chunks(task.background, BATCH_ROWS)
        self._lowest, self._highest = float(background.min()), float(background.max())
        self._residual = 0.0
        self._relative_errors: list[FloatArray] = []
        self.row_count = 0
        self.evaluations = len(background)

    @classmethod
    def of_all(cls, task: Task, attribution: Attribution) -> Self:
        """Return the summary of a whole attribution, reading a few rows at a time."""
        summary = cls(task)
        for rows in attribution.blocks():
            summary.add(attribution.of_rows(np.arange(rows.start, rows.stop)))
        return summary

    def add(self, part: Attribution) -> None:
        """Take in the next rows."""
        rows = slice(self.row_count, self.row_count + part.row_count)
        scores = self._scores.in_chunks({name: values[rows] for name, values in self._task.rows.items()}, BATCH_ROWS)
        expected = np.take_along_axis(scores, part.output_numbers, axis=1)
        self._residual = max(self._residual, float(np.abs(part.scores - expected).max()))
        self._lowest = min(self._lowest, float(scores.min()))
        self._highest = max(self._highest, float(scores.max()))
        self._relative_errors.append(part.relative_errors())
        self.row_count += part.row_count
        self.evaluations += part.row_count

    @property
    def residual(self) -> float:
        """The largest difference of base and values to the score, over the range of all scores."""
        return self._residual / ((self._highest - self._lowest) or 1.0)

    @property
    def relative_errors(self) -> NDArray[np.float64]:
        """Two standard errors of each row's worst value over its largest value."""
        return np.concatenate(self._relative_errors)

    def measures(self, bounds: Bounds, *, is_additive: bool) -> list[Measure]:
        """Return additivity and estimation errors, over all rows.

        Args:
            bounds: of the explanation.
            is_additive: whether values and base add up by construction; otherwise a looser bound holds.
        """
        note = "largest difference of base plus values to the model's output, over the range of the outputs"
        if not is_additive:
            bounds = bounds.for_sampled()
            note += "; this method adds up within its error only, so that the bound is looser"
        relative = self.relative_errors
        note_of_errors = "two standard errors of a row's worst value over its largest value, as the method states them"
        return [
            Measure(
                "additivity_residual",
                note=note,
                value=finite(self.residual),
                bound=bounds.additivity_residual,
                n=self.row_count,
                evaluations=self.evaluations,
            ),
            Measure(
                "error_estimate",
                note=note_of_errors,
                value=finite(float(np.median(relative))),
                bound=bounds.error_estimate,
                n=self.row_count,
            ),
            Measure(
                "error_estimate_worst",
                note=note_of_errors,
                value=finite(float(relative.max())),
                bound=bounds.error_estimate_worst,
                n=self.row_count,
            ),
        ]
