"""``attributions.npz``: every value with its error, and what is known of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explanation.archive import ArrayArchive
from audits.engine.explanation.reading import Rows, as_text
from audits.engine.explanation.scoring import Scored
from workers.protocol import JobError, Limits

_TEXTS_OF_A_BLOCK = 4096


def refuse_too_large(task: Task, limits: Limits) -> None:
    """Refuse, before anything is explained, what would not fit into the folder of the job.

    Raises:
        JobError: ``explanation_too_large``, with the number of rows that fits.
    """
    # Values and errors, in the checkpoint and again in the archive.
    row_bytes = 2 * 8 * task.players.count * task.outputs.shape[1]
    room = min(limits.file_bytes, limits.folder_bytes // 2) * 9 // 10
    if task.row_count * row_bytes > room:
        raise JobError(
            "explanation_too_large",
            f"{task.row_count:,} rows of {task.players.count:,} features and {task.outputs.shape[1]:,} outputs have "
            f"values and errors of {task.row_count * row_bytes:,} bytes; a job may write {room:,}. Explain at most "
            f"{room // row_bytes:,} rows, fewer outputs, or only the predicted one.",
            place="rows",
        )


def write_attributions(path: Path, rows: Rows, attribution: Attribution, scored: Scored) -> None:
    """Write ``attributions.npz``: every array in a stored member, a block at a time.

    Numbers are float64: errors are measured against values that are sums of many float32 scores, and an additivity of
    1e-4 would not be seen in float32 sums of a thousand features.
    """
    predicted = scored.predicted if scored.words.has_classes else np.full(scored.row_count, -1)
    with ArrayArchive(path) as archive:
        for name in ("values", "errors", "base_values", "data"):
            archive.add(name, getattr(attribution, name), let_go=attribution.let_go)
        archive.add("row_numbers", rows.numbers)
        archive.add("output_numbers", attribution.output_numbers.astype(np.int64, copy=False))
        archive.add("scores", scored.scores.array, let_go=scored.scores.let_go)
        archive.add("predicted", predicted.astype(np.int64, copy=False))
        archive.add("evaluations", attribution.evaluations)
        for name, texts in (("ids", rows.ids), ("targets", rows.targets)):
            _add_texts(archive, name, texts)
        archive.add("feature_names", np.asarray(attribution.feature_names, dtype=np.str_))
        archive.add("output_names", np.asarray(attribution.output_names, dtype=np.str_))
        if attribution.hierarchy is not None:
            archive.add("hierarchy", attribution.hierarchy)


def first_rows(
    rows: Rows, attribution: Attribution, scored: Scored, shown: NDArray[np.intp], *, count: int
) -> list[dict[str, Any]]:
    """Return what a chart of single rows shows of the first: who each is, its class, and the values of one output."""
    words = scored.words
    data = attribution.data.reshape(attribution.row_count, -1)
    entries = []
    for place in range(min(count, attribution.row_count)):
        column, predicted = int(shown[place]), int(scored.predicted[place])
        entries.append(
            {
                "row": int(rows.numbers[place]),
                "target": rows.targets[place],
                "predicted_label": words.label(predicted) if words.has_classes else None,
                "output_name": words.name(int(attribution.output_numbers[place, column])),
                "base": float(attribution.base_values[place, column]),
                "values": attribution.flat_values[place, :, column].tolist(),
                "data": data[place].tolist(),
            }
        )
    attribution.let_go()
    return entries


def _add_texts(archive: ArrayArchive, name: str, values: Sequence[Any]) -> None:
    longest = max(1, max((len(as_text(value)) for value in values), default=1))

    def blocks() -> Iterator[NDArray[Any]]:
        for start in range(0, len(values), _TEXTS_OF_A_BLOCK):
            yield np.asarray([as_text(value) for value in values[start : start + _TEXTS_OF_A_BLOCK]], f"U{longest}")

    archive.add_blocks(name, (len(values),), f"<U{longest}", blocks())
