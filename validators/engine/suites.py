"""What a suite of expectations has to look like before it is kept: its structure, and stable ids.

A suite is Great Expectations' own JSON: ``{"name", "expectations": [{"type", "kwargs", "severity", "meta", "id"}]}``.
Whether a type exists, a regular expression is valid or a column is there is told by the run, as an error of that
expectation alone. This module needs the standard library only, so that the control half can import it.

``meta.clean`` of an expectation says what becomes of the rows that do not meet it::

    {"action": "quarantine", "priority": 1, "max_fraction": 0.05}
    {"action": "clip", "lower": 0, "upper": 4000}   or   {"action": "clip", "bounds": {"method": "iqr", "factor": 3}}
    {"action": "impute", "method": "median"}   or   {"action": "impute", "method": "constant", "value": 0}
    {"action": "fail"}, {"action": "dedupe"}, {"action": "drop"}, {"action": "flag"}

Without an action it is ``quarantine``. ``priority`` orders the steps of a kind (low first), ``max_fraction`` is the
share of all rows that a step may remove, change or flag before the cleaning is refused. ``bounds`` says how bounds are
taken from the data: ``iqr`` (quartiles and ``factor`` times their distance, 3 where not given), ``mad`` (median and
``factor`` times the scaled median absolute deviation, 3.5), ``z_score`` (mean and ``factor`` times the standard
deviation, 3), or ``quantiles`` with ``lower`` and ``upper`` as shares.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from validators.engine.stated_bounds import is_number, problems_of_stated

SEVERITIES = ("critical", "warning", "info")
DEFAULT_SEVERITY = "critical"
ACTIONS = ("fail", "quarantine", "drop", "dedupe", "clip", "impute", "flag")
DEFAULT_ACTION = "quarantine"
IMPUTE_METHODS = ("median", "mean", "most_frequent", "constant")
#: How bounds are taken from the data, with the factor where none is given.
BOUNDS_FACTORS: Mapping[str, float] = {"iqr": 3.0, "mad": 3.5, "z_score": 3.0}
BOUNDS_METHODS = (*BOUNDS_FACTORS, "quantiles")
MAX_EXPECTATIONS = 10_000

#: Keys that Great Expectations writes; others are told as problems, since they are most likely misspelt.
_SUITE_KEYS = frozenset({"name", "id", "expectations", "meta", "notes"})
_EXPECTATION_KEYS = frozenset(
    {"type", "kwargs", "severity", "meta", "id", "notes", "description", "rendered_content", "expectation_context",
     "success_on_last_run", "windows"}
)  # fmt: skip
_CLEAN_KEYS = frozenset({"action", "priority", "max_fraction", "method", "value", "lower", "upper", "bounds"})
_IDENTITY = uuid.UUID("6c5dd0a4-6a0c-5c56-9a43-1f2f1b7a9a3e")

#: Expectations about the values of single rows begin so, but for those about the type of a column.
_ROW_RULES = (
    "expect_column_values_",
    "expect_column_value_lengths_",
    "expect_column_value_z_scores_",
    "expect_column_pair_values_",
    "expect_multicolumn_",
    "expect_compound_columns_",
    "expect_select_column_values_",
)
_COLUMN_TYPE_RULES = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
UNIQUENESS_RULES = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document: where, and a sentence."""

    place: str
    detail: str


def check_suite(document: Any) -> list[Problem]:
    """Return what is wrong with the structure of a suite; empty when it can be kept and run."""
    if not isinstance(document, Mapping):
        return [Problem("suite", "A suite is an object with `name` and `expectations`.")]
    if "expectation_suite_name" in document:
        return [Problem("suite", "This suite is of Great Expectations 0.x; 1.x writes `name`, `type` and `kwargs`.")]
    problems = [
        Problem(str(key), f"A suite has no key {key!r}; known are {', '.join(sorted(_SUITE_KEYS))}.")
        for key in document
        if key not in _SUITE_KEYS
    ]
    if not isinstance(document.get("name"), str) or not document["name"]:
        problems.append(Problem("name", "`name` of a suite is a text."))
    expectations = document.get("expectations")
    if not isinstance(expectations, list) or not expectations:
        return [*problems, Problem("expectations", "`expectations` is a list with at least one expectation.")]
    if len(expectations) > MAX_EXPECTATIONS:
        return [*problems, Problem("expectations", f"A suite has at most {MAX_EXPECTATIONS:,} expectations.")]
    seen: dict[str, int] = {}
    for index, entry in enumerate(expectations):
        place = f"expectations[{index}]"
        problems.extend(_problems_of_expectation(entry, place))
        identity = entry.get("id") if isinstance(entry, Mapping) else None
        if isinstance(identity, str) and seen.setdefault(identity, index) != index:
            problems.append(Problem(place, f"The id {identity!r} is that of expectations[{seen[identity]}] too."))
    return problems


def with_ids(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in which each expectation has an id; one without gets an id that follows from what it expects.

    The same expectation has the same id in every suite, whatever its severity and meta; the second of two equal ones in
    one suite gets another.
    """
    taken = {entry["id"] for entry in document["expectations"] if entry.get("id")}
    expectations = []
    for entry in document["expectations"]:
        identity = entry.get("id")
        count = 0
        while not identity:
            text = json.dumps([entry["type"], entry["kwargs"], count], sort_keys=True, ensure_ascii=False)
            candidate = str(uuid.uuid5(_IDENTITY, text))
            count += 1
            if candidate not in taken:
                identity = candidate
        taken.add(identity)
        expectations.append({**entry, "id": identity})
    return {**document, "expectations": expectations}


def severity_of(expectation: Mapping[str, Any]) -> str:
    """Return the severity of an expectation: critical where it states none."""
    return str(expectation.get("severity") or DEFAULT_SEVERITY)


def is_row_rule(kind: str) -> bool:
    """Tell whether an expectation is about single rows, so that a row can fail it."""
    return kind.startswith(_ROW_RULES) and kind not in _COLUMN_TYPE_RULES


def columns_of(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the columns that an expectation reads by name."""
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if isinstance(kwargs.get(key), str)]
    several = kwargs.get("column_list")
    return names + ([name for name in several if isinstance(name, str)] if isinstance(several, list) else [])


def problems_of_action(step: Mapping[str, Any], kind: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a cleaning action for a rule of this kind."""
    action = step.get("action", DEFAULT_ACTION)
    if action not in ACTIONS:
        yield f"the action {action!r} is not one of {', '.join(ACTIONS)}."
        return
    if action == "fail":
        # Of the table as a whole, too: a cleaning of the wrong table is not worth its result.
        yield from _problems_of_limits(step)
        return
    if not is_row_rule(kind):
        yield f"`{kind}` is about the table as a whole, so there is no row to {action}."
    elif action == "dedupe" and kind not in UNIQUENESS_RULES:
        yield f"`dedupe` goes with {' or '.join(UNIQUENESS_RULES)}, not with `{kind}`."
    elif action in ("clip", "impute") and "column" not in kwargs:
        yield f"`{action}` changes one column; `{kind}` is about several."
    if action == "clip":
        yield from _problems_of_clip(step, kind, kwargs)
    if action == "impute":
        method = step.get("method", "median")
        if method not in IMPUTE_METHODS:
            yield f"the method {method!r} is not one of {', '.join(IMPUTE_METHODS)}."
        elif method == "constant" and step.get("value") is None:
            yield "`method` constant needs a `value`."
    yield from _problems_of_limits(step)


def problems_of_bounds(bounds: Any) -> Iterator[str]:
    """Say what is wrong with a description of how bounds are taken from the data."""
    if not isinstance(bounds, Mapping) or bounds.get("method") not in BOUNDS_METHODS:
        yield f"`bounds` is an object whose `method` is one of {', '.join(BOUNDS_METHODS)}."
        return
    keys = {"lower", "upper"} if bounds["method"] == "quantiles" else {"factor"}
    for key in sorted(map(str, set(bounds) - keys - {"method"})):
        yield f"`bounds` of the method {bounds['method']} has no key {key!r}; known are {', '.join(sorted(keys))}."
    if bounds["method"] != "quantiles":
        factor = bounds.get("factor", 1)
        if not (is_number(factor) and factor > 0):
            yield "`factor` of `bounds` is a number above 0."
        return
    shares = [bounds[key] for key in ("lower", "upper") if bounds.get(key) is not None]
    if not shares or not all(is_number(share) and 0 <= share <= 1 for share in shares) or shares != sorted(shares):
        yield "`lower` and `upper` of `bounds` are shares from 0 to 1 in this order; one of them may be left out."


def _problems_of_clip(step: Mapping[str, Any], kind: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    bounds = [step.get("lower", kwargs.get("min_value")), step.get("upper", kwargs.get("max_value"))]
    if kind == "expect_column_values_to_be_between" and (kwargs.get("strict_min") or kwargs.get("strict_max")):
        yield "a value clipped to a strict bound would still fail; leave `strict_min` and `strict_max` out."
    if step.get("bounds") is not None:
        yield from problems_of_bounds(step["bounds"])
    elif all(bound is None for bound in bounds):
        yield "`clip` needs `lower` or `upper`, or `bounds` that say how they are taken from the data."
    yield from problems_of_stated(*bounds)


def _problems_of_limits(step: Mapping[str, Any]) -> Iterator[str]:
    fraction = step.get("max_fraction")
    if fraction is not None and step.get("action") == "fail":
        yield "`fail` takes no `max_fraction`; `mostly` of its rule says for which share of the values it has to hold."
    elif fraction is not None and not (is_number(fraction) and 0 < fraction <= 1):
        yield "`max_fraction` is a number above 0 and at most 1."
    priority = step.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        yield "`priority` is a whole number."


def _problems_of_expectation(entry: Any, place: str) -> Iterator[Problem]:
    if not isinstance(entry, Mapping):
        yield Problem(place, "An expectation is an object with `type` and `kwargs`.")
        return
    for key in entry:
        if key not in _EXPECTATION_KEYS:
            hint = " (Great Expectations 1.x writes `type`)" if key == "expectation_type" else ""
            yield Problem(f"{place}.{key}", f"An expectation has no key {key!r}{hint}.")
    kind, kwargs, meta = entry.get("type"), entry.get("kwargs"), entry.get("meta")
    if not isinstance(kind, str) or not kind.isidentifier() or kind.lower() != kind:
        yield Problem(f"{place}.type", f"`type` is a name like expect_column_values_to_not_be_null, not {kind!r}.")
    if not isinstance(kwargs, Mapping):
        yield Problem(f"{place}.kwargs", "`kwargs` is an object.")
    elif not _is_finite(kwargs):
        yield Problem(f"{place}.kwargs", "A number is NaN or infinite, which JSON does not have.")
    if entry.get("severity") not in (None, *SEVERITIES):
        yield Problem(f"{place}.severity", f"`severity` is one of {', '.join(SEVERITIES)}, not {entry['severity']!r}.")
    if not isinstance(entry.get("id"), str | None):
        yield Problem(f"{place}.id", "`id` is a text.")
    if not isinstance(meta, Mapping | None):
        yield Problem(f"{place}.meta", "`meta` is an object.")
    elif meta and "clean" in meta and isinstance(kind, str) and isinstance(kwargs, Mapping):
        yield from _problems_of_clean(meta["clean"], kind, kwargs, f"{place}.meta.clean")


def _problems_of_clean(clean: Any, kind: str, kwargs: Mapping[str, Any], place: str) -> Iterator[Problem]:
    if not isinstance(clean, Mapping):
        yield Problem(place, "`clean` is an object with `action`.")
        return
    for key in clean:
        if key not in _CLEAN_KEYS:
            yield Problem(place, f"`clean` has no key {key!r}; known are {', '.join(sorted(_CLEAN_KEYS))}.")
    for sentence in problems_of_action(clean, kind, kwargs):
        yield Problem(place, sentence[0].upper() + sentence[1:])


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_finite(entry) for entry in value.values())
    if isinstance(value, list):
        return all(_is_finite(entry) for entry in value)
    return not isinstance(value, float) or math.isfinite(value)
