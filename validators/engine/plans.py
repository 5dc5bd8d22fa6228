"""A cleaning plan: the ordered steps that make a clean version out of a data set version.

A step says what to do and with which rows::

    {"action": "quarantine", "rule": {"type": "expect_column_values_to_be_between", "kwargs": {...}},
     "expectation": "the id of the rule in its suite", "priority": 0, "max_fraction": 0.25}
    {"action": "dedupe", "columns": ["patient_id"]}          without a rule: whole keys that come again
    {"action": "impute", "column": "age", "method": "median"}  without a rule: what is missing

Steps run by what they do: first rows leave (drop, quarantine), then repeated rows, then cells change (clip, impute),
and flags come last. So a row that is to be looked at is put aside as it was, and no value is imputed from a row that is
not trusted. Within one kind the priority decides, then the order of the plan. The standard library is enough here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from validators.engine.suites import (
    DEFAULT_ACTION,
    UNIQUENESS_RULES,
    Problem,
    problems_of_action,
    with_ids,
)

Step = dict[str, Any]

#: The share of all rows that one step may remove where neither the suite nor the plan says more.
DEFAULT_MAX_FRACTION = 0.25

_PHASES = {"quarantine": 0, "drop": 0, "dedupe": 1, "clip": 2, "impute": 3, "flag": 4}
_STEP_KEYS = frozenset(
    {
        "action",
        "rule",
        "expectation",
        "column",
        "columns",
        "priority",
        "max_fraction",
        "method",
        "value",
        "lower",
        "upper",
    }
)


def plan_from_suite(document: Mapping[str, Any]) -> list[Step]:
    """Return the steps that the suite's expectations ask for in ``meta.clean``, in the order in which they run."""
    steps = []
    for entry in with_ids(document)["expectations"]:
        clean = (entry.get("meta") or {}).get("clean")
        if clean is None:
            continue
        kind, kwargs = entry["type"], entry["kwargs"]
        step: Step = {
            **clean,
            "action": clean.get("action", DEFAULT_ACTION),
            "rule": {"type": kind, "kwargs": dict(kwargs)},
            "expectation": entry["id"],
        }
        if step["action"] == "dedupe":
            step["columns"] = [kwargs["column"]] if "column" in kwargs else list(kwargs["column_list"])
        elif "column" in kwargs:
            step["column"] = kwargs["column"]
        if step["action"] == "clip":
            step.setdefault("lower", kwargs.get("min_value"))
            step.setdefault("upper", kwargs.get("max_value"))
        if step["action"] == "impute":
            step.setdefault("method", "median")
        steps.append(step)
    return ordered(steps)


def ordered(plan: list[Step]) -> list[Step]:
    """Return the steps in the order in which they run, whatever order they were written in."""
    return sorted(plan, key=lambda step: (_PHASES[step["action"]], step.get("priority", 0)))


def check_plan(plan: Any) -> list[Problem]:
    """Return what is wrong with an explicit plan; empty when it can be run."""
    if not isinstance(plan, list) or not plan:
        return [Problem("plan", "A plan is a list with at least one step.")]
    return [
        Problem(f"plan[{index}]", sentence[0].upper() + sentence[1:])
        for index, step in enumerate(plan)
        for sentence in _problems_of_step(step)
    ]


def _problems_of_step(step: Any) -> Iterator[str]:
    if not isinstance(step, Mapping) or "action" not in step:
        yield "a step is an object with `action`."
        return
    for key in step:
        if key not in _STEP_KEYS:
            yield f"a step has no key {key!r}; known are {', '.join(sorted(_STEP_KEYS))}."
    rule, action = step.get("rule"), step["action"]
    if rule is not None:
        if not isinstance(rule, Mapping) or not isinstance(rule.get("type"), str):
            yield "`rule` is an object with `type` and `kwargs`, as in a suite."
        elif not isinstance(rule.get("kwargs"), Mapping):
            yield "`kwargs` of a `rule` is an object."
        else:
            yield from problems_of_action(step, rule["type"], rule["kwargs"])
        return
    if action == "dedupe":
        columns = step.get("columns")
        if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
            yield "`dedupe` needs `columns`, the names of the columns that make a row the same."
        else:
            yield from problems_of_action(step, UNIQUENESS_RULES[1], {"column_list": columns})
    elif action in ("clip", "impute"):
        if not isinstance(step.get("column"), str):
            yield f"`{action}` needs a `column`."
        yield from problems_of_action(step, "expect_column_values_to_not_be_null", {"column": step.get("column")})
    elif action in _PHASES:
        yield f"`{action}` needs a `rule` that says which rows."
    else:
        yield from problems_of_action(step, UNIQUENESS_RULES[0], {"column": ""})
