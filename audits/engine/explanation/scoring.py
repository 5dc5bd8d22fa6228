"""What the model gives for the rows themselves: scores in a file, classes, and which outputs are explained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import CHUNK_ROWS, Scores
from audits.engine.explainers.outputs import OutputWords
from audits.engine.explainers.request import Request
from audits.engine.explanation.mapped import MappedArray
from audits.engine.explanation.reading import Rows
from workers.frameworks.base import Model
from workers.protocol import JobError

#: Inputs that are scored at once stay below this.
CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Scored:
    """The scores of all rows.

    Attributes:
        scores: shape (rows, all outputs of the model), on the scale that is explained.
        predicted: the class that each row is given, 0 where there are no classes, shape (rows,).
    """

    words: OutputWords
    scores: MappedArray
    predicted: NDArray[np.intp]

    @property
    def row_count(self) -> int:
        return len(self.predicted)

    def shown_columns(self, outputs: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return for each row the explained column of its predicted class, or the first where that is not explained."""
        parts = [
            self.words.shown_columns(outputs[start : start + CHUNK_ROWS], self.predicted[start : start + CHUNK_ROWS])
            for start in range(0, self.row_count, CHUNK_ROWS)
        ]
        return np.concatenate(parts)


def score(model: Model, rows: Rows, request: Request, *, folder: Path) -> Scored:
    """Score all rows, some at a time; without a row nothing is scored, and the task says so."""
    scores_of = Scores(model, request.scale)
    count = len(rows.numbers)
    row_bytes = sum(
        values.dtype.itemsize * math.prod(values.shape[1:]) for values in map(np.asarray, rows.inputs.values())
    )
    step = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(1, row_bytes)))
    kept: MappedArray | None = None
    predicted = np.empty(count, dtype=np.intp)
    for start in range(0, count, step):
        some = slice(start, start + step)
        scores = scores_of({name: np.asarray(values[some]) for name, values in rows.inputs.items()})
        words = OutputWords(request.signature, count=scores.shape[1], scale=request.scale)
        if kept is None:
            kept = MappedArray(folder / "scores", (count, scores.shape[1]), np.float64, is_new=True)
        kept.array[some], predicted[some] = scores, words.predicted(scores)
        kept.let_go()
        rows.let_go()
    if kept is None:
        raise JobError("no_rows", "There is no row to explain; choose a split that has rows.", place="rows")
    return Scored(words, kept, predicted)


def chosen_outputs(request: Request, scored: Scored) -> NDArray[np.intp]:
    """Return the outputs to explain for each row, shape (rows, outputs); where all rows have the same, without a copy.

    Raises:
        JobError: ``no_predicted_output``, where there are no classes, or ``output_not_there``.
    """
    words = scored.words
    if request.outputs == "predicted":
        if not words.has_classes and words.count > 1:
            raise JobError(
                "no_predicted_output",
                f"The output {request.signature.output.name!r} has {words.count} values and no classes, so none of "
                "them is the predicted one; name the outputs by number.",
                place="outputs",
            )
        return words.column_of(scored.predicted)[:, None]
    chosen = range(words.count) if request.outputs == "all" else request.outputs
    for number in chosen:
        if number >= words.count:
            raise JobError(
                "output_not_there",
                f"The model has no output {number}; its {words.count} outputs are numbered from 0.",
                place="outputs",
            )
    return np.broadcast_to(np.asarray(list(chosen), dtype=np.intp), (scored.row_count, len(chosen)))
