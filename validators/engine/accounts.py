"""The report of a cleaning: where each row went, what each step did, and how the rules stand before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from validators.engine import wording
from validators.engine.cleaner import Cleaner, key_of
from validators.engine.expectations import Outcome
from validators.engine.plans import EDITING, Step
from validators.engine.sentences import sentence_of
from validators.engine.suites import severity_of

#: How a rule stands on a table: its status, and how many rows do not meet it (None where it is not about rows).
Standing = dict[str, Any]


def report_of(
    cleaner: Cleaner,
    *,
    content_digest: str,
    before: Sequence[Outcome],
    validation: Mapping[str, Any] | None,
    again: Sequence[Outcome],
) -> dict[str, Any]:
    """Return the report.

    Args:
        before: what came of the rules of the suite on the table as it came in.
        validation: the value of the validation of the clean table, with a suite.
        again: what came of the other rules of the plan on the clean table.

    Returns:
        ``rows_in = rows_out + rows_quarantined``, ``rows_by_action`` (of the quarantined rows), ``rows_flagged``,
        ``cells_changed``, ``columns`` (cells changed in each), ``content_digest``, ``steps``, ``rules`` (each rule of
        the suite before and after) and ``rules_not_met`` (counts before and after; None without a suite).
    """
    plan, counts = cleaner.plan, cleaner.counts
    by_action = dict.fromkeys(("quarantine", "drop", "dedupe"), 0)
    for number, step in enumerate(plan):
        if step["action"] in by_action:
            by_action[step["action"]] += cleaner.removals.count_by(number)
    cells = {edit.number: counts.get(edit.number, 0) for column in cleaner.edits.values() for edit in column.edits}
    quarantined = sum(by_action.values())
    if cleaner.row_count != cleaner.rows_out + quarantined:
        raise AssertionError(f"{cleaner.row_count} rows are not {cleaner.rows_out} and {quarantined}.")
    after = _standings(validation, again)
    rules = (
        []
        if validation is None
        else [_rule(one, other) for one, other in zip(before, validation["results"], strict=True)]
    )
    not_met = {side: sum(rule[side]["status"] != "passed" for rule in rules) for side in ("before", "after")}
    columns = {name: sum(cells[edit.number] for edit in column.edits) for name, column in cleaner.edits.items()}
    return {
        "rows_in": cleaner.row_count,
        "rows_out": cleaner.rows_out,
        "rows_quarantined": quarantined,
        "rows_by_action": by_action,
        "rows_flagged": len(np.unique(np.concatenate([*cleaner.flags.values(), np.empty(0, np.int64)]))),
        "cells_changed": sum(cells.values()),
        "columns": {name: count for name, count in columns.items() if count},
        "content_digest": content_digest,
        "steps": [_step(cleaner, number, step, after) for number, step in enumerate(plan)],
        "rules": rules,
        "rules_not_met": None if validation is None else not_met,
    }


def _standings(validation: Mapping[str, Any] | None, again: Sequence[Outcome]) -> dict[str, Standing]:
    """Return how each rule stands on the clean table, by what it expects."""
    results = [] if validation is None else validation["results"]
    found = {key_of(result): _standing(result["status"], result.get("unexpected_count")) for result in results}
    return found | {key_of(one.expectation): _standing(one.status, one.unexpected_count) for one in again}


def _standing(status: str, count: int | None) -> Standing:
    return {"status": status, "unexpected_count": count}


def _rule(before: Outcome, after: Mapping[str, Any]) -> dict[str, Any]:
    expectation = before.expectation
    return {
        "id": expectation["id"],
        "severity": severity_of(expectation),
        "sentence": sentence_of(expectation["type"], expectation["kwargs"]),
        "before": _standing(before.status, before.unexpected_count),
        "after": _standing(after["status"], after.get("unexpected_count")),
    }


def _step(cleaner: Cleaner, number: int, step: Step, after: Mapping[str, Standing]) -> dict[str, Any]:
    """Say what a step did, and whether the rule that it stands for holds now."""
    action, count = step["action"], cleaner.counts.get(number, 0)
    if action in EDITING:
        (what,) = (edit.what for edit in cleaner.edits[step["column"]].edits if edit.number == number)
        sentence = wording.words_of_edit(step, count, what)
    elif action == "fail":
        sentence = f"It holds, as it has to: {wording.words_of_rule(step)}."
    else:
        count = count if action == "flag" else cleaner.removals.count_by(number)
        sentence = wording.words_of_removal(step, count)
    rule = cleaner.rule_to_prove(step)
    standing = None if rule is None else after[key_of(rule)]
    return {
        "number": number,
        "action": action,
        "column": step.get("column") or ", ".join(step.get("columns", [])),
        "expectation": step.get("expectation", ""),
        "rows": count,
        "cells": count if action in EDITING else 0,
        "holds": None if standing is None else standing["status"] == "passed",
        "sentence": sentence + _remark(action, standing),
    }


def _remark(action: str, standing: Standing | None) -> str:
    """Say that a step could not make its rule hold."""
    if standing is None or standing["status"] == "passed" or action == "flag":
        return ""
    if standing["status"] == "error":
        return " Whether the rule holds now cannot be told: it could not be run on what is left."
    left = standing["unexpected_count"]
    return " The rule still does not hold" + (f", for {wording.rows(left)}." if left else ".")
