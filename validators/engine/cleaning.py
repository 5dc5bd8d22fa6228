"""Clean a data set by a plan: what is left, every removed row and every changed cell with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from validators.engine import steps
from validators.engine.plans import Step, check_plan, ordered, plan_from_suite
from validators.engine.suites import check_suite
from validators.engine.validation import values_as_text
from workers.context import JobContext
from workers.datasets.arrays import read_table, write_table
from workers.datasets.canonical import canonical_schema
from workers.datasets.profile import profile_of
from workers.datasets.schema import Schema
from workers.datasets.writing import TREE_FILE, TableWriter
from workers.protocol import JobError

CLEAN_FILE = "clean.parquet"
QUARANTINE_FILE = "quarantine.parquet"
CHANGES_FILE = "changes.parquet"

#: The share of all rows that may leave in all steps together.
MAX_REMOVED_FRACTION = 0.5
EXAMPLES = 50
#: Columns of a row that an example shows; the files have them all.
_EXAMPLE_COLUMNS = 40
_CHANGES_SCHEMA = pa.schema(
    [("row", pa.int64()), *((name, pa.string()) for name in ("column", "before", "after", "reason", "expectation"))]
)


def run(context: JobContext) -> dict[str, Any]:
    """Clean a data set.

    Inputs: ``dataset``. Parameters: ``suite`` (its ``meta.clean`` is the plan) or ``plan`` (explicit steps, see
    ``validators.engine.plans``), ``schema``. Outputs: ``clean.parquet``; ``quarantine.parquet``, every row that left
    as it was, with ``_row``, ``_action``, ``_expectation`` and ``_reason`` before its own columns; ``changes.parquet``
    with ``row``, ``column``, ``before``, ``after``, ``reason`` and ``expectation``; ``tree.json``, the digest of each
    chunk of each column of the clean table. Row numbers are those of the input.

    The same plan on the same content gives the same digest, and so does the plan that comes back, in which every bound
    and imputed value is pinned.

    Returns:
        ``plan``, ``report``, ``content_digest``, ``row_count``, ``schema``, ``profile`` and ``examples``.

    Raises:
        JobError: codes ``plan_not_valid``, ``rule_cannot_run``, ``too_many_rows``, ``column_missing``,
            ``clip_not_possible``, ``imputation_not_possible``.
    """
    plan = _plan(context.parameters)
    original = read_table(context.input("dataset"))
    cleaned = steps.Cleaned.of(original)
    removing = [step for step in plan if step["action"] in ("quarantine", "drop")]
    if removing:
        context.progress(0, len(plan), "steps", "finding the rows that leave")
        steps.remove(cleaned, removing)
    verbs = {"dedupe": steps.dedupe, "clip": steps.clip, "impute": steps.impute, "flag": steps.flag}
    for number, step in enumerate(plan[len(removing) :], start=len(removing)):
        context.progress(number, len(plan), "steps", step["action"])
        verbs[step["action"]](cleaned, step)
    report = _report(original, cleaned)
    context.progress(len(plan), len(plan), "steps", "writing the tables")
    quarantine = _quarantine(original, cleaned)
    clean = context.output(CLEAN_FILE)
    with TableWriter(clean, canonical_schema(cleaned.table.schema)) as writer:
        writer.write(cleaned.table)
    writer.write_tree(context.output(TREE_FILE))
    write_table(quarantine, context.output(QUARANTINE_FILE))
    pq.write_table(_changes(cleaned), context.output(CHANGES_FILE), compression="zstd")
    schema = Schema.from_json(context.parameters["schema"])
    return {
        "plan": cleaned.plan,
        "report": report,
        "content_digest": writer.content_digest,
        "row_count": cleaned.table.num_rows,
        "schema": schema.to_json(),
        "profile": profile_of(clean, work=context.folder / "work", schema=schema, tell=context.progress),
        "examples": _examples(original, cleaned),
    }


def _plan(parameters: dict[str, Any]) -> list[Step]:
    suite, plan = parameters.get("suite"), parameters.get("plan")
    if plan is None:
        if suite is None:
            raise JobError("plan_not_valid", "A cleaning takes a suite or a plan; the job has neither.", place="plan")
        problems = check_suite(suite)
        if problems:
            raise JobError("suite_not_valid", problems[0].detail, place=problems[0].place)
        plan = plan_from_suite(suite)
        if not plan:
            detail = "No expectation of the suite says in `meta.clean` what becomes of the rows that fail it."
            raise JobError("plan_not_valid", detail, place="suite")
    problems = check_plan(plan)
    if problems:
        raise JobError("plan_not_valid", problems[0].detail, place=problems[0].place)
    return ordered(plan)


def _report(original: pa.Table, cleaned: steps.Cleaned) -> dict[str, Any]:
    quarantined = sum(removal.action == "quarantine" for removal in cleaned.removals.values())
    dropped = len(cleaned.removals) - quarantined
    rows_in, rows_out = original.num_rows, cleaned.table.num_rows
    if rows_in != rows_out + quarantined + dropped or cleaned.table.schema != original.schema:
        raise AssertionError(
            f"{rows_in} rows came in, {rows_out} went out, {quarantined} were put aside and {dropped} dropped: the "
            "rows or their types do not add up."
        )
    if len(cleaned.removals) > MAX_REMOVED_FRACTION * rows_in or not rows_out:
        raise JobError(
            "too_many_rows",
            f"All steps together take {len(cleaned.removals):,} of {rows_in:,} rows; at most "
            f"{MAX_REMOVED_FRACTION * 100:g} % may leave in one cleaning. Look at the data first.",
            place="plan",
        )
    return {
        "rows_in": rows_in,
        "rows_out": rows_out,
        "rows_quarantined": quarantined,
        "rows_dropped": dropped,
        "cells_changed": len(cleaned.changes),
        "steps": cleaned.reports,
    }


def _quarantine(original: pa.Table, cleaned: steps.Cleaned) -> pa.Table:
    removals = [cleaned.removals[row] for row in sorted(cleaned.removals)]
    rows = pa.array([removal.row for removal in removals], pa.int64())
    columns: dict[str, Any] = {
        "_row": rows,
        "_action": pa.array([removal.action for removal in removals], pa.string()),
        "_expectation": pa.array([removal.expectation for removal in removals], pa.string()),
        "_reason": pa.array([removal.reason for removal in removals], pa.string()),
    }
    while any(name in original.column_names for name in columns):
        columns = {f"_{name}": values for name, values in columns.items()}
    taken = original.take(rows)
    return pa.table({**columns, **{name: taken.column(name) for name in original.column_names}})


def _changes(cleaned: steps.Cleaned) -> pa.Table:
    ordered_changes = sorted(cleaned.changes, key=lambda change: change.row)
    return pa.table(
        {
            name: pa.array([getattr(change, name) for change in ordered_changes], _CHANGES_SCHEMA.field(name).type)
            for name in _CHANGES_SCHEMA.names
        }
    )


def _examples(original: pa.Table, cleaned: steps.Cleaned) -> dict[str, Any]:
    removals = [cleaned.removals[row] for row in sorted(cleaned.removals)[:EXAMPLES]]
    rows = np.asarray([removal.row for removal in removals], dtype=np.int64)
    shown = {name: values_as_text(original, [name], rows) for name in original.column_names[:_EXAMPLE_COLUMNS]}
    changes = sorted(cleaned.changes, key=lambda change: change.row)[:EXAMPLES]
    return {
        "quarantined": [
            {**vars(removal), "values": {name: texts[place] for name, texts in shown.items()}}
            for place, removal in enumerate(removals)
        ],
        "changed": [dict(vars(change)) for change in changes],
    }
