"""Divide a data set into parts by a plan, and write it again with a column that says the part of each row.

A row goes where a hash sends it: the first 52 bits of SHA-256 over the salt and the value of the deciding column, as a
number from 0 to 1, against the shares in the order train, validation, test. Equal values go the same way, and so do
equal rows where the whole row decides, so that no copy of a training row is tested on. By time, the earliest rows train
and rows of one moment stay together; the moments are pinned in the plan that comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validators.engine.partition import Parts, parts_of, refuse_part
from validators.engine.split_plans import SplitPlan
from workers.context import JobContext
from workers.datasets.canonical import canonical_schema, is_tensor
from workers.datasets.profile import profile_of
from workers.datasets.reading import read_batches, shape_of
from workers.datasets.schema import SPLITS, Column, Schema
from workers.datasets.showing import show
from workers.datasets.writing import TREE_FILE, TableWriter

TABLE_FILE = "split.parquet"
#: A target of at most this many values is told by the share of each in every part.
MOST_CLASSES = 50


def run(context: JobContext) -> dict[str, Any]:
    """Split a data set.

    Inputs: ``dataset``. Parameters: ``plan`` (JSON), ``schema``. Outputs: ``split.parquet``, the same rows in the same
    order with a column of the parts, ``tree.json``, its digests, and ``images-N.png`` with some pictures of each image
    column. The table goes through in batches, twice or three times.

    Returns:
        ``plan`` (with the moments of its cuts pinned), ``report`` (``parts``, and ``classes`` or ``means`` of the
        target by part), ``content_digest``, ``row_count``, ``schema``, ``profile`` and ``media``
        (``workers.datasets.showing``).

    Raises:
        JobError: codes ``value_missing`` (column and row), ``group_spans_time``, ``part_empty``, ``cut_not_readable``.
    """
    plan = SplitPlan.from_json(context.parameters["plan"])
    schema = Schema.from_json(context.parameters["schema"])
    path = context.input("dataset")
    if plan.replace and schema.split is not None:
        schema = Schema(schema.modality, {name: kept for name, kept in schema.columns.items() if kept.role != "split"})
    row_count = shape_of(path)[1]
    parts, plan = parts_of(
        path,
        plan,
        list(schema.columns),
        work=context.folder / "work",
        tell=lambda rows: context.progress(rows, row_count, "rows", "dividing the rows"),
    )
    _refuse_empty(parts, plan)
    written = context.output(TABLE_FILE)
    writer = _write(context, path, written, list(schema.columns), parts, plan)
    writer.write_tree(context.output(TREE_FILE))
    described = Schema(schema.modality, {**schema.columns, plan.column: Column(role="split", type="category")})
    return {
        "plan": plan.to_json(),
        "report": report_of(path, schema.target, parts, plan),
        "content_digest": writer.content_digest,
        "row_count": writer.row_count,
        "schema": described.to_json(),
        "profile": profile_of(written, work=context.folder / "work", schema=described, tell=context.progress),
        "media": show(written, described, output=context.output),
    }


def _write(
    context: JobContext, path: Path, to: Path, columns: Sequence[str], parts: Parts, plan: SplitPlan
) -> TableWriter:
    """Write the rows as they are, with the column of the parts behind the others."""
    whole = shape_of(path)[0]
    kept = canonical_schema(pa.schema([whole.field(name) for name in columns]))
    words = pa.array(SPLITS)
    with TableWriter(to, kept.append(pa.field(plan.column, pa.string()))) as writer:
        for batch in read_batches(path, columns=columns):
            context.progress(writer.row_count, len(parts), "rows", "writing the rows")
            numbers = pa.array(parts[writer.row_count : writer.row_count + batch.num_rows])
            writer.write(pa.Table.from_batches([batch]).append_column(plan.column, words.take(numbers)))
    return writer


def _refuse_empty(parts: Parts, plan: SplitPlan) -> None:
    asked = list(plan.fractions) or [SPLITS[0], *plan.cuts]
    counts = np.bincount(parts, minlength=len(SPLITS))
    for part in asked:
        if not counts[SPLITS.index(part)]:
            refuse_part(part)


def report_of(path: Path, target: str | None, parts: Parts, plan: SplitPlan) -> dict[str, Any]:
    """Return how many rows each part has, what was asked, and how the target's values are spread over the parts."""
    counts = np.bincount(parts, minlength=len(SPLITS))
    names = [part for number, part in enumerate(SPLITS) if counts[number]]
    described = [
        {
            "part": part,
            "rows": int(counts[SPLITS.index(part)]),
            "share": float(counts[SPLITS.index(part)] / len(parts)),
            "asked": plan.fractions.get(part),
        }
        for part in names
    ]
    return {"parts": described, "target": None if target is None else _target_by_part(path, target, parts, names)}


def _target_by_part(path: Path, target: str, parts: Parts, names: Sequence[str]) -> dict[str, Any] | None:
    data_type = shape_of(path)[0].field(target).type
    if is_tensor(data_type):
        return None
    spread = _Spread(names, is_number=pa.types.is_integer(data_type) or pa.types.is_floating(data_type))
    start = 0
    for batch in read_batches(path, columns=[target]):
        spread.add(batch.column(0), parts[start : start + batch.num_rows])
        start += batch.num_rows
    return {"column": target, **spread.to_json()}


class _Spread:
    """Counts the values of a target by part while they are few, and adds up those that are numbers."""

    def __init__(self, names: Sequence[str], *, is_number: bool) -> None:
        self._names = names
        self._is_number = is_number
        self._counts: dict[str, Counter[str | None]] = {name: Counter() for name in names}
        self._has_classes = True
        self._sums = dict.fromkeys(names, 0.0)
        self._present = dict.fromkeys(names, 0)

    def add(self, values: pa.Array, parts: Parts) -> None:
        for name in self._names:
            of_part = values.filter(pa.array(parts == SPLITS.index(name)))
            if self._has_classes:
                self._count(name, of_part)
            if self._is_number:
                self._sums[name] += pc.sum(of_part.cast(pa.float64(), safe=False), min_count=0).as_py()
                self._present[name] += len(of_part) - of_part.null_count

    def to_json(self) -> dict[str, Any]:
        if self._has_classes:
            known: set[str | None] = set().union(*self._counts.values())
            rows = {name: max(1, counts.total()) for name, counts in self._counts.items()}
            ordered = sorted(known, key=lambda value: (value is None, value or ""))
            return {
                "classes": [
                    {"value": value, "shares": {name: self._counts[name][value] / rows[name] for name in self._names}}
                    for value in ordered
                ]
            }
        if not self._is_number:
            return {}
        means = {name: self._sums[name] / self._present[name] if self._present[name] else None for name in self._names}
        return {"means": means}

    def _count(self, name: str, values: pa.Array) -> None:
        counted = pc.value_counts(values)
        self._has_classes = len(counted) <= MOST_CLASSES
        if self._has_classes:
            for entry in counted.to_pylist():
                self._counts[name][None if entry["values"] is None else str(entry["values"])] += entry["counts"]
            self._has_classes = len(set().union(*self._counts.values())) <= MOST_CLASSES
