"""The one inner loop of all explainers: scores of rows in which some features come from a background row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray, Task
from workers.frameworks.coalitions import GROUP_ROWS, MEMORY_BYTES, Game

#: Scores kept until they are summed up stay below this.
SCORE_BYTES = 64 * 1024 * 1024

__all__ = ["GROUP_ROWS", "MEMORY_BYTES", "SCORE_BYTES", "Coalitions"]


class Coalitions:
    """The rows of a task, composed with its background and scored by the framework of its model.

    Every answer depends on the arguments of the call only, bit for bit, and not on ``memory_bytes``.
    """

    def __init__(self, task: Task, *, memory_bytes: int = MEMORY_BYTES) -> None:
        game = Game(
            rows=task.rows,
            background=task.background,
            assignment=task.players.assignment,
            features=task.players.count,
            outputs=task.outputs,
            scale=task.scale,
        )
        self._scorer = task.model.coalition_scorer(game, memory_bytes=memory_bytes)

    def of_rows(self) -> FloatArray:
        """Return the scores of the explained rows themselves, shape (rows, outputs)."""
        return self._scorer.of_rows()

    def scored(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return how many composed rows went through the model for walks of each row until now."""
        return self._scorer.scored(rows)

    def of_background(self) -> FloatArray:
        """Return all scores of the background rows, shape (background rows, all outputs of the model)."""
        return self._scorer.of_background()

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
        return self._scorer.of_coalitions(rows, masks, background_rows)

    def walks(
        self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]
    ) -> Iterator[FloatArray]:
        """Credit features with the change that each makes along permutations and along their reverses.

        Args:
            rows: numbers of explained rows, shape (rows,); at most ``GROUP_ROWS``.
            ranks: the place of each feature in each permutation, shape (background rows, permutations, features).
            background_rows: where the walks start, shape (background rows,).

        Yields:
            The mean of both directions for consecutive background rows, as many as fit the memory: shape (rows,
            background rows, permutations, features, outputs).
        """
        return self._scorer.walks(rows, ranks, background_rows)
