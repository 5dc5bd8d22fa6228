"""Validate a data set against a suite: a result for each expectation, and every row that fails with all its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from validators.engine.expectations import Evaluator, Outcome
from validators.engine.sentences import sentence_of
from validators.engine.suites import SEVERITIES, check_suite, columns_of, with_ids
from workers.context import JobContext
from workers.datasets.arrays import read_table
from workers.datasets.canonical import is_tensor, one_array
from workers.protocol import JobError

ROWS_FILE = "rows.parquet"
ROWS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        *((name, pa.string()) for name in ("expectation_id", "expectation", "column", "value", "reason")),
    ]
)

_EXAMPLES = 3


def run(context: JobContext) -> dict[str, Any]:
    """Validate a data set.

    Inputs: ``dataset``. Parameters: ``suite`` (JSON), ``schema``. Outputs: ``rows.parquet`` with one line for each row
    and expectation that it does not meet: ``row`` (counted from 0), ``expectation_id``, ``expectation`` (its type),
    ``column``, ``value`` (as text) and ``reason``.

    Returns:
        ``success`` (no expectation of severity critical failed or broke), ``statistics``, ``results`` in the order of
        the suite, and ``row_count``, the number of rows that fail at least one expectation.

    Raises:
        JobError: code ``suite_not_valid``; an expectation that cannot be run is a result, not an error.
    """
    suite = context.parameters["suite"]
    problems = check_suite(suite)
    if problems:
        raise JobError("suite_not_valid", problems[0].detail, place=problems[0].place)
    evaluator = Evaluator(read_table(context.input("dataset")))
    outcomes = []
    expectations = with_ids(suite)["expectations"]
    for number, expectation in enumerate(expectations):
        sentence = sentence_of(expectation["type"], expectation["kwargs"])
        context.progress(number, len(expectations), "expectations", sentence)
        outcomes.append(evaluator.evaluate(expectation))
    rows = failing_rows(evaluator.table, outcomes)
    pq.write_table(rows, context.output(ROWS_FILE), compression="zstd")
    return {
        "success": not any(outcome.severity == "critical" and outcome.status != "passed" for outcome in outcomes),
        "statistics": _statistics(outcomes),
        "results": [result_of(evaluator.table, outcome) for outcome in outcomes],
        "row_count": pc.count_distinct(rows.column("row")).as_py(),
    }


def result_of(table: pa.Table, outcome: Outcome) -> dict[str, Any]:
    """Return one outcome as the record keeps it."""
    expectation = outcome.expectation
    kwargs = expectation["kwargs"]
    return {
        "id": expectation["id"],
        "type": expectation["type"],
        "kwargs": kwargs,
        "severity": outcome.severity,
        "status": outcome.status,
        "observed": outcome.observed,
        "unexpected_count": outcome.unexpected_count,
        "element_count": outcome.element_count,
        "unexpected_percent": outcome.unexpected_percent,
        "mostly": kwargs.get("mostly"),
        "message": _message(table, outcome),
        "sentence": sentence_of(expectation["type"], kwargs),
    }


def failing_rows(table: pa.Table, outcomes: Sequence[Outcome]) -> pa.Table:
    """Return every row that does not meet a row rule, once for each rule, in the order of the rows.

    A rule that is met by most of its values as asked (``mostly``) names the others here all the same.
    """
    parts = [_failing_rows_of(table, outcome) for outcome in outcomes if len(outcome.rows)]
    rows = pa.concat_tables(parts) if parts else ROWS_SCHEMA.empty_table()
    order = np.argsort(rows.column("row").to_numpy(), kind="stable")
    return rows.take(pa.array(order)).combine_chunks()


def values_as_text(table: pa.Table, columns: Sequence[str], rows: Any) -> list[str | None]:
    """Return what stands in the columns of some rows: the value, or ``a = 1, b = 2`` for several columns."""
    taken = [_texts(table.column(name).take(pa.array(rows))) for name in columns]
    if len(columns) == 1:
        return taken[0]
    return [
        ", ".join(f"{name} = {'missing' if text is None else text}" for name, text in zip(columns, texts, strict=True))
        for texts in zip(*taken, strict=True)
    ]


def _failing_rows_of(table: pa.Table, outcome: Outcome) -> pa.Table:
    expectation, count = outcome.expectation, len(outcome.rows)
    columns = columns_of(expectation["kwargs"])
    values = values_as_text(table, columns, outcome.rows) if columns else [None] * count
    sentence = sentence_of(expectation["type"], expectation["kwargs"])
    reasons = [f"Expected: {sentence}. Found: {'missing' if value is None else value}." for value in values]
    columns_text = ", ".join(columns)
    return pa.table(
        [
            outcome.rows,
            [expectation["id"]] * count,
            [expectation["type"]] * count,
            [columns_text] * count,
            pa.array(values, pa.string()),
            reasons,
        ],
        schema=ROWS_SCHEMA,
    )


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    array = one_array(column)
    if is_tensor(array.type):
        return [None if missing else "array" for missing in pc.is_null(array).to_pylist()]
    return [None if value is None else text_of(value) for value in array.to_pylist()]


def text_of(value: Any) -> str:
    """Return a value as rows and changes show it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _message(table: pa.Table, outcome: Outcome) -> str:
    if outcome.status == "error":
        return outcome.error
    if outcome.unexpected_count is None or outcome.element_count is None:
        observed = "" if outcome.observed is None else f" Observed: {outcome.observed}."
        return f"It is {'met' if outcome.status == 'passed' else 'not met'}.{observed}"
    if outcome.unexpected_count == 0:
        return f"All {outcome.element_count:,} rows meet it."
    columns = columns_of(outcome.expectation["kwargs"])
    first = outcome.rows[:_EXAMPLES]
    values = values_as_text(table, columns, first) if columns else [None] * len(first)
    examples = "; ".join(
        f"row {row}: {'missing' if value is None else value}" for row, value in zip(first, values, strict=True)
    )
    share = "" if outcome.unexpected_percent is None else f" ({outcome.unexpected_percent:.3g} % of the values)"
    more = ", ..." if len(outcome.rows) > _EXAMPLES else ""
    return f"{outcome.unexpected_count:,} of {outcome.element_count:,} rows do not meet it{share}: {examples}{more}"


def _statistics(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "evaluated": len(outcomes),
        **_counts(outcomes),
        "by_severity": {
            severity: _counts([outcome for outcome in outcomes if outcome.severity == severity])
            for severity in SEVERITIES
        },
    }


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    words = {"passed": "passed", "failed": "failed", "error": "errored"}
    return {word: sum(outcome.status == status for outcome in outcomes) for status, word in words.items()}
