"""What explainers share that follow gradients from background rows to explained rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Task
from workers.frameworks.paths import Paths
from workers.protocol import JobError

#: Rows of one part, at the most; and values of one part with all that is kept for their errors.
MOST_ROWS_TOGETHER = 64
MOST_VALUES_TOGETHER = 2**20


def paths_of(task: Task, rows: NDArray[np.intp]) -> Paths:
    """Return the paths from each background row to some rows of a task; no others go to the device."""
    names = task.players.assignment
    return Paths(
        rows={name: np.asarray(task.rows[name][rows]) for name in names},
        background={name: np.asarray(task.background[name]) for name in names},
        features=names,
        feature_count=task.players.count,
    )


def rows_together(values_of_row: int) -> int:
    """Return how many rows are one part: fixed by the task, so that a part is the same whoever asks for it."""
    return max(1, min(MOST_ROWS_TOGETHER, MOST_VALUES_TOGETHER // max(1, values_of_row)))


def demand_logits(task: Task, method: str, reason: str) -> None:
    """Refuse to explain probabilities by a method that explains logits only.

    Raises:
        JobError: ``scale_not_supported``.
    """
    if task.scale != "logits":
        raise JobError(
            "scale_not_supported",
            f"{method} explains logits only: {reason}. Explain logits, or use 'permutation' for probabilities.",
            place="scale",
        )
