"""The one inner loop of all explainers: scores of rows in which some features come from a background row."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import CHUNK_ROWS, FloatArray, Scores, Task

#: Composed inputs of one chunk stay below this.
CHUNK_BYTES = 64 * 1024 * 1024
#: Scores kept until they are summed up stay below this.
SCORE_BYTES = 64 * 1024 * 1024


class Coalitions:
    """Composes and scores rows for coalitions of features, in chunks of bounded size.

    A composed row has the values of the explained row where the coalition holds the feature and those of a background
    row elsewhere: ``z * x + (1 - z) * b``, where the second product is shared by all explained rows.
    """

    def __init__(self, task: Task, *, chunk_rows: int = CHUNK_ROWS) -> None:
        self._scores = Scores(task.model, task.scale)
        self._players = task.players
        self._rows = {name: np.asarray(task.rows[name]) for name in task.players.assignment}
        self._background = {name: np.asarray(task.background[name]) for name in task.players.assignment}
        self._outputs = task.outputs
        self._are_all: bool | None = None
        row_bytes = sum(values.itemsize * math.prod(values.shape[1:]) for values in self._rows.values())
        self._chunk_rows = max(1, min(chunk_rows, CHUNK_BYTES // max(1, row_bytes)))

    def of_rows(self) -> FloatArray:
        """Return the scores of the explained rows themselves, shape (rows, outputs)."""
        scores = self._scores.in_chunks(self._rows, self._chunk_rows)
        return np.take_along_axis(scores, self._outputs, axis=1)

    def of_background(self) -> FloatArray:
        """Return all scores of the background rows, shape (background rows, all outputs of the model)."""
        return self._scores.in_chunks(self._background, self._chunk_rows)

    def evaluate(
        self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]
    ) -> FloatArray:
        """Score every row under every mask.

        Args:
            rows: numbers of explained rows, shape (rows,).
            masks: which features come from the explained row, shape (masks, features).
            background_rows: the background row under each mask, shape (masks,).

        Returns:
            Scores of shape (rows, masks, outputs).
        """
        answer = np.empty((len(rows), len(masks), self._outputs.shape[1]))
        mask_step = max(1, min(len(masks), self._chunk_rows // min(len(rows), 16)))
        row_step = max(1, self._chunk_rows // mask_step)
        for first_mask in range(0, len(masks), mask_step):
            of_masks = slice(first_mask, first_mask + mask_step)
            kept, filled = self._prepare(masks[of_masks], background_rows[of_masks])
            for first_row in range(0, len(rows), row_step):
                chosen = rows[first_row : first_row + row_step]
                composed = {}
                for name, mask in kept.items():
                    values = self._rows[name][chosen][:, None] * mask[None]
                    values += filled[name][None]
                    composed[name] = values.reshape(-1, *mask.shape[1:])
                scores = self._scores(composed)
                scores = scores.reshape(len(chosen), len(scores) // len(chosen), -1)
                if not self._takes_all(scores.shape[-1]):
                    scores = np.take_along_axis(scores, self._outputs[chosen][:, None, :], axis=2)
                answer[first_row : first_row + row_step, of_masks] = scores
        return answer

    def _takes_all(self, output_count: int) -> bool:
        """Tell whether every row is explained for all outputs in order, so that there is nothing to pick."""
        if self._are_all is None:
            self._are_all = bool(
                np.array_equal(self._outputs, np.tile(np.arange(output_count), (len(self._outputs), 1)))
            )
        return self._are_all

    def _prepare(
        self, masks: NDArray[np.bool_], background_rows: NDArray[np.intp]
    ) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]:
        """Return the masks over input values, and the background's share of each composed row."""
        kept, filled = {}, {}
        for name, players in self._players.assignment.items():
            over_values = masks[:, players]
            background = self._background[name][background_rows]
            kept[name] = over_values.astype(background.dtype)
            filled[name] = np.where(over_values, np.zeros((), background.dtype), background)
        return kept, filled
