"""What the steps of a cleaning did, in words: for the report, for each row that left and for each cell that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from validators.engine.plans import Step, column_of, rule_of, words_of_bounds
from validators.engine.sentences import sentence_of

_VERBS = {"quarantine": "put into quarantine", "drop": "dropped", "flag": "flagged and kept"}


def words_of_rule(step: Step) -> str:
    """Say which rule a step is about, and where its bounds come from."""
    rule = step.get("rule") or rule_of(step)
    if rule is None:
        return ", ".join(step.get("columns") or [str(step.get("column"))])
    words = sentence_of(rule["type"], rule["kwargs"])
    bounds: Mapping[str, Any] | None = step.get("bounds")
    return words if bounds is None else f"{words} ({words_of_bounds(bounds)})"


def words_of_clip(step: Step) -> str:
    """Say to which bounds a step clips: "at least 0 and at most 120"."""
    named = (("at least", step.get("lower")), ("at most", step.get("upper")))
    words = " and ".join(f"{word} {bound}" for word, bound in named if bound is not None)
    bounds: Mapping[str, Any] | None = step.get("bounds")
    return words if bounds is None else f"{words} ({words_of_bounds(bounds)})"


def words_of_imputation(step: Step, count: int | None) -> str:
    """Say what a value that fills in is: "the median of the 4 others"."""
    if step["method"] == "constant" or count is None:
        return "a constant"
    return f"the {step['method'].replace('_', ' ')} of the {count:,} others"


def words_of_removal(step: Step, count: int) -> str:
    """Say how many rows a step removed or flagged, and by which rule."""
    if step["action"] == "dedupe":
        return f"{rows(count)} left out that repeat an earlier one in {', '.join(step['columns'])}."
    return f"{rows(count)} {_VERBS[step['action']]}; not met: {words_of_rule(step)}."


def words_of_edit(step: Step, count: int, what: str) -> str:
    """Say how many cells a step changed, and to what."""
    return f"{count:,} cell{'s' * (count != 1)} of {column_of(step)} {what}."


def rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
