"""Attributions as they come: each part checked, kept in the checkpoint of the job, and read back from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explanation.mapped import MappedArray
from workers.checkpoint import Checkpoint
from workers.protocol import JobError

#: What is kept of a part; which outputs its rows are explained for is known beforehand.
STREAMS = ("values", "errors", "base_values", "data", "evaluations", "hierarchy")

#: What the values of the rows of one task take. It is fixed, so that which rows are explained together, and with that
#: the last digits, do not depend on the memory that a job may use.
_SLAB_BYTES = 16 * 1024 * 1024
#: Rows of a slab are a multiple of this, so that an estimator that computes rows in groups has whole ones.
_ROWS_OF_A_GROUP = 64
_MOST_ROWS_OF_A_SLAB = 128 * _ROWS_OF_A_GROUP


@dataclass(frozen=True)
class KeptAttribution(Attribution):
    """Attributions that lie in files; see :class:`Attribution`."""

    maps: tuple[MappedArray, ...] = field(default=(), repr=False)

    def let_go(self) -> None:
        for mapped in self.maps:
            mapped.let_go()


class Keeper:
    """Takes the parts of one explanation, in the order of the rows.

    Attributes:
        row_count: rows that are explained and kept, of this attempt and of those before.
    """

    def __init__(self, checkpoint: Checkpoint, task: Task, explainer: Explainer) -> None:
        self._checkpoint = checkpoint
        self._task = task
        self._name = explainer.name
        self.row_count = int(checkpoint.note["rows"]) if checkpoint.piece_count else 0

    def add(self, part: Attribution) -> None:
        """Keep the attributions of the next rows.

        Raises:
            JobError: ``part_does_not_fit``, when a plug-in gives something else than it was asked for.
        """
        self._check(part)
        contents = {
            "values": part.values,
            "errors": part.errors,
            "base_values": part.base_values,
            "data": part.data,
            "evaluations": part.evaluations,
        }
        if not self.row_count and part.hierarchy is not None:
            contents["hierarchy"] = part.hierarchy
        self.row_count += part.row_count
        self._checkpoint.add(
            {name: np.asarray(array, _kind_of(name)).tobytes() for name, array in contents.items()},
            {"rows": self.row_count},
        )

    def attribution(self) -> KeptAttribution:
        """Return everything, once all rows are explained."""
        task, rows = self._task, self._task.row_count
        values = (rows, *task.players.grid, task.outputs.shape[1])
        shapes = {
            "values": values,
            "errors": values,
            "base_values": task.outputs.shape,
            "data": values[:-1],
            "evaluations": (rows,),
            "hierarchy": (self._checkpoint.size_bytes("hierarchy") // 32, 4),
        }
        maps = {name: MappedArray(self._checkpoint.path(name), shape, _kind_of(name)) for name, shape in shapes.items()}
        arrays: dict[str, Any] = {name: mapped.array for name, mapped in maps.items()}
        if not len(arrays["hierarchy"]):
            arrays["hierarchy"] = None
        return KeptAttribution(
            **arrays,
            feature_names=task.players.names,
            output_names=task.output_names,
            output_numbers=task.outputs,
            scale=task.scale,
            maps=tuple(maps.values()),
        )

    def _check(self, part: Attribution) -> None:
        first, left = self.row_count, self._task.row_count - self.row_count
        count = len(part.values)
        if not 0 < count <= left:
            raise self._misfit(f"gave {count:,} rows from row {first} on, of which {left:,} are left to explain")
        outputs = self._task.outputs[first : first + count]
        values = (count, *self._task.players.grid, outputs.shape[1])
        shapes = {
            "values": values,
            "errors": values,
            "base_values": outputs.shape,
            "data": values[:-1],
            "evaluations": (count,),
            "output_numbers": outputs.shape,
        }
        for name, shape in shapes.items():
            found = np.shape(getattr(part, name))
            if found != shape:
                raise self._misfit(f"gave {name} of shape {found} for {count:,} rows; they have the shape {shape}")
        for name in ("values", "errors", "base_values", "data"):
            if not np.isfinite(getattr(part, name)).all():
                raise self._misfit(f"gave {name} that are not all numbers, in rows {first} to {first + count - 1}")
        if (np.asarray(part.errors) < 0).any():
            raise self._misfit(f"gave errors below 0, in rows {first} to {first + count - 1}")
        if not np.array_equal(part.output_numbers, outputs):
            raise self._misfit(f"explained other outputs than it was asked to, in rows {first} to {first + count - 1}")

    def _misfit(self, what: str) -> JobError:
        return JobError("part_does_not_fit", f"The explainer {self._name!r} {what}.", place=self._name)


def explain(task: Task, explainer: Explainer, keeper: Keeper, *, let_go: Callable[[], None]) -> None:
    """Explain the rows that are not kept yet, a slab of rows after the other.

    An estimator may hold arrays over all rows of its task, so it gets a bounded number of them at a time. Its own
    parts, which are smaller, are what a kill loses.

    Args:
        let_go: called after each slab, to give back the memory of its inputs.

    Raises:
        JobError: ``part_does_not_fit``, or whatever the explainer says no to.
    """
    slab = rows_of_slab(task.players.count * task.outputs.shape[1] * 8)
    while keeper.row_count < task.row_count:
        start = keeper.row_count // slab * slab
        end = min(start + slab, task.row_count)
        for part in explainer.parts(rows_of(task, start, end), first=keeper.row_count - start):
            keeper.add(part)
        if keeper.row_count < end:
            raise JobError(
                "part_does_not_fit",
                f"The explainer {explainer.name!r} ended at row {keeper.row_count} of {task.row_count}.",
                place=explainer.name,
            )
        let_go()


def rows_of_slab(bytes_of_row: int) -> int:
    """Return how many rows are explained as one task."""
    groups = _SLAB_BYTES // max(1, bytes_of_row * _ROWS_OF_A_GROUP)
    return min(_MOST_ROWS_OF_A_SLAB, max(1, groups) * _ROWS_OF_A_GROUP)


def rows_of(task: Task, start: int, end: int) -> Task:
    """Return the task of some of the rows; its progress counts from the first row of all."""
    tell, count = task.progress, task.row_count
    return replace(
        task,
        rows={name: values[start:end] for name, values in task.rows.items()},
        outputs=task.outputs[start:end],
        progress=lambda done, _, message: tell(start + done, count, message),
    )


def _kind_of(name: str) -> np.dtype[Any]:
    return np.dtype(np.int64 if name == "evaluations" else np.float64)
