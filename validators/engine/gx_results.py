"""The result of a validation as Great Expectations writes one, so that its own classes and renderers read it.

This is the JSON of ``ExpectationSuiteValidationResult.to_json_dict``, with results of the format SUMMARY: the first
failing rows of each expectation. All of them, with all their reasons, are in the Parquet file beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from validators.engine.failing_rows import Example
from validators.engine.outcomes import Outcome, plain
from validators.engine.suites import is_row_rule

_NOT_RAISED = {"raised_exception": False, "exception_traceback": None, "exception_message": None}


def result_document(
    suite_name: str, outcomes: Sequence[Outcome], examples: Mapping[int, Sequence[Example]]
) -> dict[str, Any]:
    """Return the document of a suite's outcomes; ``examples`` are first failing rows, by the place of an outcome."""
    successful = sum(outcome.status == "passed" for outcome in outcomes)
    return {
        "success": successful == len(outcomes),
        "results": [_result(outcome, examples.get(number, ())) for number, outcome in enumerate(outcomes)],
        "suite_name": suite_name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(outcomes),
            "successful_expectations": successful,
            "unsuccessful_expectations": len(outcomes) - successful,
            "success_percent": successful / len(outcomes) * 100 if outcomes else None,
        },
        "meta": {
            "great_expectations_version": version("great_expectations"),
            "active_batch_definition": {
                "datasource_name": "assay",
                "data_connector_name": "assay",
                "data_asset_name": "dataset",
                "batch_identifiers": {},
            },
        },
        "id": None,
    }


def _result(outcome: Outcome, examples: Sequence[Example]) -> dict[str, Any]:
    expectation = outcome.expectation
    return {
        "success": outcome.status == "passed",
        "expectation_config": {
            "type": expectation["type"],
            "kwargs": expectation["kwargs"],
            "meta": expectation.get("meta") or {},
            "severity": outcome.severity,
            **_identity(expectation["id"]),
        },
        "result": {} if outcome.status == "error" else _found(outcome, examples),
        "meta": {"expectation_id": expectation["id"]},
        "exception_info": _raised(outcome.error) if outcome.status == "error" else _NOT_RAISED,
    }


def _identity(identity: str) -> dict[str, str]:
    """Return the id of an expectation where it is one for Great Expectations, which takes UUIDs only."""
    try:
        uuid.UUID(identity)
    except ValueError:
        return {}
    return {"id": identity}


def _raised(sentence: str) -> dict[str, Any]:
    return {"raised_exception": True, "exception_traceback": "", "exception_message": sentence}


def _found(outcome: Outcome, examples: Sequence[Example]) -> dict[str, Any]:
    if not is_row_rule(outcome.expectation["type"]) or outcome.element_count is None:
        counted = {} if outcome.unexpected_count is None else {"unexpected_count": outcome.unexpected_count}
        return {"observed_value": outcome.observed, **counted, **outcome.details}
    return {
        "element_count": outcome.element_count,
        "unexpected_count": outcome.unexpected_count,
        "unexpected_percent": outcome.unexpected_percent,
        "partial_unexpected_list": [_value(example) for example in examples],
        "partial_unexpected_index_list": [example.row for example in examples],
        **_missing(outcome),
    }


def _missing(outcome: Outcome) -> dict[str, Any]:
    count, missing, unexpected = outcome.element_count, outcome.missing_count, outcome.unexpected_count
    if missing is None or not count or unexpected is None:
        return {}
    return {
        "missing_count": missing,
        "missing_percent": missing / count * 100,
        "unexpected_percent_total": unexpected / count * 100,
        "unexpected_percent_nonmissing": outcome.unexpected_percent,
    }


def _value(example: Example) -> Any:
    """Return one failing value as Great Expectations lists it: alone, or with those of the other columns."""
    values = plain(example.values)
    if len(values) == 1:
        return next(iter(values.values()))
    return list(values.values()) if len(values) == 2 else values
