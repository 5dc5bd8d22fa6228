"""A cleaning plan: the ordered steps that make a clean version out of a data set version.

A step says what to do and with which rows::

    {"action": "quarantine", "rule": {"type": "expect_column_values_to_be_between", "kwargs": {...}},
     "expectation": "the id of the rule in its suite", "priority": 0, "max_fraction": 0.25}
    {"action": "quarantine", "column": "income", "bounds": {"method": "iqr", "factor": 3}}
    {"action": "dedupe", "columns": ["patient_id"]}            without a rule: whole keys that come again
    {"action": "impute", "column": "age", "method": "median"}  without a rule: what is missing

Every rule is judged on the table as it came in. Steps run by what they do: first the rules that must hold (fail), then
rows leave (quarantine, drop), then repeated rows, then cells change (clip, impute), and flags come last. So a row that
is to be looked at is put aside as it was, no value is imputed from a row that is not trusted, and a cell changes once:
by the first step that names it. Within one kind the priority decides, then the order of the plan.

A plan that has run is *pinned*: bounds and imputed values that were taken from the data stand in it as numbers, so that
it can be run again with the same result. The standard library is enough here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from validators.engine.stated_bounds import place_of, problems_of_stated
from validators.engine.suites import (
    BOUNDS_FACTORS,
    DEFAULT_ACTION,
    UNIQUENESS_RULES,
    Problem,
    problems_of_action,
    problems_of_bounds,
    with_ids,
)

Step = dict[str, Any]
Rule = dict[str, Any]

#: The share of all rows that one step may remove where neither the suite nor the plan says more.
DEFAULT_MAX_FRACTION = 0.25
MAX_STEPS = 10_000

REMOVING = ("quarantine", "drop")
EDITING = ("clip", "impute")
Z_SCORES = "expect_column_value_z_scores_to_be_less_than"

_STRICT = {"min_value": "strict_min", "max_value": "strict_max"}
_PHASES = {"fail": 0, "quarantine": 1, "drop": 1, "dedupe": 2, "clip": 3, "impute": 4, "flag": 5}
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
        "bounds",
        "taken_from",
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
        if step["action"] == "clip" and step.get("bounds") is None:
            step.setdefault("lower", kwargs.get("min_value"))
            step.setdefault("upper", kwargs.get("max_value"))
        if step["action"] == "impute":
            step.setdefault("method", "median")
        steps.append(step)
    return ordered(steps)


def ordered(plan: list[Step]) -> list[Step]:
    """Return the steps in the order in which they run, whatever order they were written in."""
    return sorted(plan, key=lambda step: (_PHASES[step["action"]], step.get("priority", 0)))


def rule_of(step: Step) -> Rule | None:
    """Return the rule that says which rows a step is about; None for one that needs none.

    Bounds that are pinned stand in for the rule from which they were taken: they are the numbers that were applied.
    """
    rule: Rule | None = step.get("rule")
    if step["action"] in EDITING or (rule is not None and rule["type"] != Z_SCORES):
        return rule
    bounds = {name: step[key] for name, key in (("min_value", "lower"), ("max_value", "upper")) if _has(step, key)}
    if not bounds:
        return rule
    if rule is not None:
        # A z-score has to be below its threshold, so a value at the bound does not meet the rule.
        bounds |= {strict: True for name, strict in _STRICT.items() if name in bounds}
        bounds |= {key: rule["kwargs"][key] for key in ("mostly",) if key in rule["kwargs"]}
    return {"type": "expect_column_values_to_be_between", "kwargs": {"column": column_of(step), **bounds}}


def column_of(step: Step) -> str:
    """Return the one column that a step is about."""
    return str(step["column"] if "column" in step else step["rule"]["kwargs"]["column"])


def columns_of_key(step: Step) -> list[str]:
    """Return the columns in which rows have to be the same for ``dedupe``."""
    if "columns" in step:
        return list(step["columns"])
    kwargs: Mapping[str, Any] = step["rule"]["kwargs"]
    return [kwargs["column"]] if "column" in kwargs else list(kwargs["column_list"])


def check_plan(plan: Any) -> list[Problem]:
    """Return what is wrong with an explicit plan; empty when it can be run."""
    if not isinstance(plan, list) or not plan:
        return [Problem("plan", "A plan is a list with at least one step.")]
    if len(plan) > MAX_STEPS:
        return [Problem("plan", f"A plan has at most {MAX_STEPS:,} steps, not {len(plan):,}.")]
    problems = [
        Problem(f"plan[{index}]", sentence[0].upper() + sentence[1:])
        for index, step in enumerate(plan)
        for sentence in _problems_of_step(step)
    ]
    return problems or list(_contradictions(plan))


def _problems_of_step(step: Any) -> Iterator[str]:
    if not isinstance(step, Mapping) or "action" not in step:
        yield "a step is an object with `action`."
        return
    for key in step:
        if key not in _STEP_KEYS:
            yield f"a step has no key {key!r}; known are {', '.join(sorted(_STEP_KEYS))}."
    for key in ("column", "expectation"):
        if not isinstance(step.get(key), str | None):
            yield f"`{key}` is a text."
    if not isinstance(step.get("taken_from"), int | None):
        yield "`taken_from` is the number of values from which a pinned value was taken."
    rule = step.get("rule")
    if rule is None:
        yield from _problems_without_rule(step, step["action"])
    elif not isinstance(rule, Mapping) or not isinstance(rule.get("type"), str):
        yield "`rule` is an object with `type` and `kwargs`, as in a suite."
    elif not isinstance(rule.get("kwargs"), Mapping):
        yield "`kwargs` of a `rule` is an object."
    else:
        yield from problems_of_action(step, rule["type"], rule["kwargs"])
        if step["action"] == "dedupe" and "columns" in step:
            yield from _problems_of_key(step["columns"])


def _problems_without_rule(step: Mapping[str, Any], action: Any) -> Iterator[str]:
    if action == "dedupe":
        yield from _problems_of_key(step.get("columns"))
        yield from problems_of_action(step, UNIQUENESS_RULES[1], {"column_list": step.get("columns")})
    elif action in EDITING:
        if not isinstance(step.get("column"), str):
            yield f"`{action}` needs a `column`."
        yield from problems_of_action(step, "expect_column_values_to_not_be_null", {"column": step.get("column")})
    elif action in _PHASES and step.get("bounds") is not None:
        if not isinstance(step.get("column"), str):
            yield f"`{action}` by `bounds` needs a `column`."
        yield from problems_of_bounds(step["bounds"])
        yield from problems_of_stated(step.get("lower"), step.get("upper"))
        yield from problems_of_action(step, "expect_column_values_to_be_between", {})
    elif action in _PHASES:
        yield f"`{action}` needs a `rule` that says which rows, or a `column` with `bounds`."
    else:
        yield from problems_of_action(step, UNIQUENESS_RULES[0], {"column": ""})


def _problems_of_key(columns: Any) -> Iterator[str]:
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        yield "`dedupe` needs `columns`, the names of the columns that make a row the same."
    elif len(set(columns)) < len(columns):
        yield "`columns` names a column twice."


def _contradictions(plan: Sequence[Step]) -> Iterator[Problem]:
    """Find clips of one column that leave no value to clip to."""
    within: dict[str, tuple[list[Any], list[Any]]] = {}
    for index, step in enumerate(plan):
        if step["action"] != "clip":
            continue
        name = column_of(step)
        lowers, uppers = within.setdefault(name, ([], []))
        for bounds, key in ((lowers, "lower"), (uppers, "upper")):
            bounds += [step[key]] if _has(step, key) else []
        if len({isinstance(bound, str) for bound in (*lowers, *uppers)}) > 1:
            yield Problem(f"plan[{index}]", f"The column {name!r} is clipped to numbers and to moments.")
            return
        if not lowers or not uppers:
            continue
        lower, upper = max(lowers, key=place_of), min(uppers, key=place_of)
        if place_of(lower) > place_of(upper):
            detail = (
                f"The column {name!r} is clipped to at least {lower} and to at most {upper}; no value is within both."
            )
            yield Problem(f"plan[{index}]", detail)


def _has(step: Mapping[str, Any], key: str) -> bool:
    return step.get(key) is not None


def words_of_bounds(bounds: Mapping[str, Any]) -> str:
    """Say how bounds were taken from the data: "3 times the interquartile range beyond the quartiles"."""
    if bounds["method"] == "quantiles":
        return "the quantiles " + " and ".join(f"{bounds[key]:g}" for key in ("lower", "upper") if _has(bounds, key))
    factor = bounds.get("factor", BOUNDS_FACTORS[bounds["method"]])
    return {
        "iqr": f"{factor:g} times the interquartile range beyond the quartiles",
        "mad": f"{factor:g} times the scaled median absolute deviation around the median",
        "z_score": f"{factor:g} times the standard deviation around the mean",
    }[bounds["method"]]
