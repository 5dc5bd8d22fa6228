"""Validate a data set against a suite: a result for each expectation, and every row that fails with all its reasons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from validators.engine.cell_texts import text_of, values_as_text
from validators.engine.expectations import Evaluator, Outcome
from validators.engine.failing_rows import Example, write_failing_rows
from validators.engine.gx_results import result_document
from validators.engine.sentences import sentence_of
from validators.engine.suites import SEVERITIES, check_suite, with_ids
from workers.context import JobContext
from workers.protocol import JobError

__all__ = ["run", "text_of", "validate", "values_as_text"]

ROWS_FILE = "rows.parquet"
RESULTS_FILE = "results.json"

_SHOWN_EXAMPLES = 3

#: Told on the way: rows that are done, rows that there are (each once a pass), and what comes.
Told = Callable[[int, int, str], None]


def run(context: JobContext) -> dict[str, Any]:
    """Validate a data set.

    Inputs: ``dataset``. Parameters: ``suite`` (JSON), ``schema``. Outputs: ``rows.parquet`` with one line for each row
    and expectation that it does not meet: ``row`` (counted from 0), ``expectation_id``, ``expectation`` (its type),
    ``column``, ``value`` (as text) and ``reason``; ``results.json`` with the result as Great Expectations writes one.

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

    def told(done: int, total: int, message: str) -> None:
        context.progress(done, total, "rows", message)

    work = context.folder / "work"
    try:
        return validate(
            context.input("dataset"),
            suite,
            context.output(ROWS_FILE),
            work=work,
            told=told,
            results_file=context.output(RESULTS_FILE),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def validate(
    path: Path,
    suite: Mapping[str, Any],
    rows_file: Path,
    *,
    work: Path,
    told: Told | None = None,
    results_file: Path | None = None,
) -> dict[str, Any]:
    """Run a suite on the table of a file, write the failing rows, and return the value of a validation: see ``run``.

    Args:
        work: a folder for what does not fit into memory.
        results_file: where the result goes as Great Expectations writes one, if it is wanted.
    """
    evaluator = Evaluator(path, work=work)
    expectations = with_ids(suite)["expectations"]
    outcomes = evaluator.evaluate_all(expectations, told)

    def tell_rows(done: int) -> None:
        if told is not None:
            told(done, evaluator.row_count, "writing the rows that fail")

    written = write_failing_rows(path, outcomes, rows_file, tell_rows)
    if results_file is not None:
        document = result_document(suite["name"], outcomes, written.examples)
        results_file.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return {
        "success": not any(outcome.severity == "critical" and outcome.status != "passed" for outcome in outcomes),
        "statistics": _statistics(outcomes),
        "results": [result_of(outcome, written.examples.get(number, [])) for number, outcome in enumerate(outcomes)],
        "row_count": written.row_count,
    }


def result_of(outcome: Outcome, examples: Sequence[Example]) -> dict[str, Any]:
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
        "message": _message(outcome, examples),
        "sentence": sentence_of(expectation["type"], kwargs),
    }


def _message(outcome: Outcome, examples: Sequence[Example]) -> str:
    if outcome.status == "error":
        return outcome.error
    if outcome.unexpected_count is None or outcome.element_count is None:
        observed = "" if outcome.observed is None else f" Observed: {outcome.observed}."
        return f"It is {'met' if outcome.status == 'passed' else 'not met'}.{observed}"
    if outcome.unexpected_count == 0:
        return f"All {outcome.element_count:,} rows meet it."
    shown = "; ".join(
        f"row {example.row}: {'missing' if example.text is None else example.text}"
        for example in examples[:_SHOWN_EXAMPLES]
    )
    share = "" if outcome.unexpected_percent is None else f" ({outcome.unexpected_percent:.3g} % of the values)"
    more = ", ..." if outcome.unexpected_count > _SHOWN_EXAMPLES else ""
    return f"{outcome.unexpected_count:,} of {outcome.element_count:,} rows do not meet it{share}: {shown}{more}"


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
