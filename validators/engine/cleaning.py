"""Clean a data set by a plan, and prove it: what is left, every removed row and every changed cell with its reason.

The table goes through once, in batches: rules are judged before by the validation engine, rows that leave are a mask,
and the clean table is written and digested in one go and then validated again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from validators.engine.accounts import report_of
from validators.engine.cleaner import Cleaner
from validators.engine.edits import CHANGES
from validators.engine.judging import judge
from validators.engine.outputs import (
    CHANGES_FILE,
    CLEAN_FILE,
    FLAGS,
    FLAGS_FILE,
    QUARANTINE_FILE,
    REPORT_FILE,
    EvidenceWriter,
    marked_schema,
)
from validators.engine.plans import EDITING, Step, check_plan, column_of, ordered, plan_from_suite
from validators.engine.removals import MARKS
from validators.engine.suites import check_suite, with_ids
from validators.engine.validation import RESULTS_FILE, ROWS_FILE, validate
from workers.context import JobContext
from workers.datasets.profile import profile_of
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch, shape_of
from workers.datasets.schema import Schema
from workers.datasets.showing import show
from workers.datasets.writing import TREE_FILE, TableWriter
from workers.protocol import JobError, canonical_json


def run(context: JobContext) -> dict[str, Any]:
    """Clean a data set.

    Inputs: ``dataset``. Parameters: ``suite`` (its ``meta.clean`` is the plan, unless there is one), ``plan`` (explicit
    steps, see ``validators.engine.plans``), ``schema``. Outputs, in which row numbers are those of the input:

    - ``clean.parquet``: what is left, in order, with the types that came in.
    - ``quarantine.parquet``: every row that left, as it was, with ``_row``, ``_action``, ``_expectation``, ``_reason``
      (every reason) and ``_steps`` (the numbers of the steps that named it) before its own columns.
    - ``changes.parquet``: ``row``, ``column``, ``before``, ``after``, ``reason``, ``expectation`` and ``step``; the
      texts give the values back exactly.
    - ``flags.parquet``: ``row``, ``clean_row`` (its number in the clean table), ``step``, ``expectation``, ``reason``.
    - ``rows.parquet`` and ``results.json``, with a suite: what is left that fails, as a validation leaves it.
    - ``report.json``, and ``tree.json``, the digest of each chunk of each column of the clean table.
    - ``images-N.png``: some pictures of each image column of the clean table.

    The clean rows, the quarantine and the changes together are the input, exactly. The same plan on the same content
    gives the same digest, and so does the plan that comes back, in which every bound and imputed value is pinned.

    Returns:
        ``plan``, ``report``, ``content_digest``, ``row_count``, ``schema``, ``profile``, ``media``
        (``workers.datasets.showing``) and ``validation`` (the value of a validation of the clean table against the
        suite; None without a suite).

    Raises:
        JobError: codes ``plan_not_valid``, ``rule_cannot_run``, ``rule_not_met`` (of a step ``fail``),
            ``too_many_rows``, ``column_missing``, ``column_not_editable``, ``bounds_not_possible``,
            ``clip_not_possible``, ``imputation_not_possible``.
    """
    suite, plan = _asked(context.parameters)
    schema = Schema.from_json(context.parameters["schema"])
    _demand_editable(plan, schema)
    path, work = context.input("dataset"), context.folder / "work"
    cleaner = Cleaner.of(path, work, plan)

    def told(done: int, total: int, message: str) -> None:
        context.progress(done, total, "rows", message)

    before = cleaner.judge(suite, told)
    cleaner.decide()
    digest = _write(context, cleaner)
    cleaner.demand_limits_of_edits()
    clean = context.output(CLEAN_FILE)
    if shape_of(clean) != (cleaner.schema, cleaner.rows_out):
        raise AssertionError(
            f"{shape_of(clean)} was written where {cleaner.rows_out} rows of {cleaner.schema} were left."
        )
    validation = None
    if suite is not None:
        validation = validate(
            clean,
            suite,
            context.output(ROWS_FILE),
            work=work,
            told=told,
            results_file=context.output(RESULTS_FILE),
        )
    again = judge(clean, cleaner.rules_beside(suite), work=work, told=told)
    report = report_of(cleaner, content_digest=digest, before=before, validation=validation, again=again)
    document = {"report": report, "plan": cleaner.plan, "validation": validation}
    # In order, so that a replay of a plan that a database has kept leaves the same bytes.
    context.output(REPORT_FILE).write_bytes(canonical_json(document))
    return {
        "plan": cleaner.plan,
        "report": report,
        "content_digest": digest,
        "row_count": cleaner.rows_out,
        "schema": schema.to_json(),
        "profile": profile_of(clean, work=work, schema=schema, tell=context.progress),
        "media": show(clean, schema, output=context.output),
        "validation": validation,
    }


def _asked(parameters: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[Step]]:
    """Return the suite, if there is one, and the plan in the order in which it runs."""
    suite, plan = parameters.get("suite"), parameters.get("plan")
    if suite is not None:
        problems = check_suite(suite)
        if problems:
            raise JobError("suite_not_valid", problems[0].detail, place=problems[0].place)
        suite = with_ids(suite)
    if plan is None:
        if suite is None:
            raise JobError("plan_not_valid", "A cleaning takes a suite or a plan; the job has neither.", place="plan")
        plan = plan_from_suite(suite)
        if not plan:
            detail = "No expectation of the suite says in `meta.clean` what becomes of the rows that fail it."
            raise JobError("plan_not_valid", detail, place="suite")
    problems = check_plan(plan)
    if problems:
        raise JobError("plan_not_valid", problems[0].detail, place=problems[0].place)
    return suite, ordered(plan)


def _demand_editable(plan: list[Step], schema: Schema) -> None:
    """Refuse to change what was measured of an image or a text: it would no longer be true of it."""
    for step in plan:
        name = column_of(step) if step["action"] in EDITING else ""
        column = schema.columns.get(name)
        if column is not None and column.role == "metadata":
            raise JobError(
                "column_not_editable",
                f"The column {name!r} describes another one; rows can leave by it, but {step['action']} would make it "
                "say what is not so.",
                place=name,
            )


def _write(context: JobContext, cleaner: Cleaner) -> str:
    """Write the clean table, what left, what changed and what is flagged; return the digest of the clean content."""
    kept_schema = marked_schema(MARKS, cleaner.schema)
    marks = cleaner.removals.marks(cleaner.plan)
    with (
        TableWriter(context.output(CLEAN_FILE), cleaner.schema) as clean,
        EvidenceWriter(context.output(QUARANTINE_FILE), kept_schema) as quarantine,
        EvidenceWriter(context.output(CHANGES_FILE), CHANGES) as changes,
        EvidenceWriter(context.output(FLAGS_FILE), FLAGS) as flags,
    ):
        start = 0
        for batch in read_batches(cleaner.path, batch_rows=rows_of_batch(row_bytes(cleaner.schema))):
            context.progress(start, cleaner.row_count, "rows", "writing the clean table")
            stop = start + batch.num_rows
            stays = cleaner.removals.by[start:stop] < 0
            edited, changed = cleaner.edit(batch, start, stays)
            changes.write(changed)
            flags.write(cleaner.flags_between(start, stop))
            if stays.all():
                clean.write(edited)
            else:
                clean.write(edited.filter(pa.array(stays)))
                left = batch.filter(pa.array(~stays))
                columns = [*marks.between(start, stop).columns, *left.columns]
                quarantine.write(pa.Table.from_arrays(columns, schema=kept_schema))
            start = stop
    clean.write_tree(context.output(TREE_FILE))
    return clean.content_digest
