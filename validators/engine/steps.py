"""The steps of a cleaning at work: which rows leave, which cells change and to what.

Rows are named by their numbers in the table that came in, whatever has left before. A step never changes the type of a
column, and a bound or an imputed value is pinned in the step as it is run, so that the plan that comes out can be run
again with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.plans import DEFAULT_MAX_FRACTION, Step
from validators.engine.sentences import sentence_of
from validators.engine.through_gx import GreatExpectations
from validators.engine.validation import text_of
from workers.datasets.canonical import digest_of_rows, is_tensor, missing_rows, one_array
from workers.protocol import JobError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Removal:
    """One row that left: by which action, for which rule, and why."""

    row: int
    action: str
    expectation: str
    reason: str


@dataclass(frozen=True)
class Change:
    """One cell that changed, as texts."""

    row: int
    column: str
    before: str | None
    after: str
    reason: str
    expectation: str


@dataclass
class Cleaned:
    """A table on its way: what is left, what has happened to the rest, and the steps as they were run."""

    table: pa.Table
    numbers: Rows
    rows_in: int
    plan: list[Step] = field(default_factory=list)
    removals: dict[int, Removal] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, table: pa.Table) -> Cleaned:
        return cls(table=table, numbers=np.arange(table.num_rows, dtype=np.int64), rows_in=table.num_rows)


def remove(cleaned: Cleaned, steps: list[Step]) -> None:
    """Put aside or drop the rows that do not meet the steps' rules, all judged on the table as it came in.

    A row that several steps name leaves by the first of them, and its reason names every one.
    """
    evaluator = GreatExpectations(cleaned.table)
    reasons: dict[int, list[str]] = {}
    first: dict[int, Step] = {}
    counts = []
    for step in steps:
        hit = _failing(evaluator, step)
        before = len(first)
        for row in hit.tolist():
            first.setdefault(row, step)
            reasons.setdefault(row, []).append(_rule_sentence(step))
        counts.append(len(first) - before)
        _demand_fraction(cleaned, step, len(hit), default=DEFAULT_MAX_FRACTION)
    for row in sorted(first):
        step = first[row]
        reason = f"Not met: {'; '.join(reasons[row])}."
        cleaned.removals[row] = Removal(row, step["action"], step.get("expectation", ""), reason)
    _keep(cleaned, ~np.isin(cleaned.numbers, list(first)))
    for step, count in zip(steps, counts, strict=True):
        verb = "put into quarantine" if step["action"] == "quarantine" else "dropped"
        _report(cleaned, step, rows=count, sentence=f"{_rows(count)} {verb}; not met: {_rule_sentence(step)}.")


def dedupe(cleaned: Cleaned, step: Step) -> None:
    """Keep the first of the rows that are the same in the step's columns; a row that has nothing in them stays."""
    columns: list[str] = step["columns"] if "columns" in step else _columns_of_rule(step)
    for name in columns:
        _demand_column(cleaned.table, name)
    if step.get("rule"):
        places = _failing(GreatExpectations(cleaned.table), step)
    else:
        missing = [missing_rows(one_array(cleaned.table.column(name))) for name in columns]
        places = np.flatnonzero(~np.logical_and.reduce(missing)).astype(np.int64)
    keys = digest_of_rows(cleaned.table.select(columns).take(pa.array(places)))
    seen: dict[str, int] = {}
    stays = np.ones(cleaned.table.num_rows, dtype=bool)
    for place, key in zip(places.tolist(), keys, strict=True):
        kept = seen.setdefault(key, place)
        if kept == place:
            continue
        stays[place] = False
        row = int(cleaned.numbers[place])
        reason = f"The same as row {int(cleaned.numbers[kept])}, which is kept, in {', '.join(columns)}."
        cleaned.removals[row] = Removal(row, "dedupe", step.get("expectation", ""), reason)
    count = int((~stays).sum())
    _demand_fraction(cleaned, step, count, default=DEFAULT_MAX_FRACTION)
    _keep(cleaned, stays)
    sentence = f"{_rows(count)} left out that repeat an earlier one in {', '.join(columns)}."
    _report(cleaned, {**step, "columns": columns}, rows=count, sentence=sentence)


def clip(cleaned: Cleaned, step: Step) -> None:
    """Bring numbers beyond a bound to the bound."""
    name = _column_of(cleaned, step)
    array = one_array(cleaned.table.column(name))
    is_integer = pa.types.is_integer(array.type)
    if not is_integer and not pa.types.is_floating(array.type):
        raise JobError(
            "clip_not_possible", f"The column {name!r} holds no numbers, so nothing can be clipped.", place=name
        )
    lower, upper = step.get("lower"), step.get("upper")
    if is_integer:
        # Within the bounds and still whole.
        lower, upper = lower if lower is None else math.ceil(lower), upper if upper is None else math.floor(upper)
    allowed = _places(cleaned, step)
    after = array
    for bound, is_beyond in ((lower, pc.less), (upper, pc.greater)):
        if bound is not None:
            beyond = pc.and_(pc.fill_null(is_beyond(after, bound), False), allowed)
            after = pc.if_else(beyond, pa.scalar(bound, array.type), after)
    pinned = {**step, "column": name, "lower": lower, "upper": upper}
    bounds = " and ".join(
        f"{word} {bound}" for word, bound in (("at least", lower), ("at most", upper)) if bound is not None
    )
    _replace(cleaned, pinned, after, reason=f"Clipped to {bounds}.", what=f"clipped to {bounds}")


def impute(cleaned: Cleaned, step: Step) -> None:
    """Fill in what is missing, or what does not meet the rule, with one value, which is pinned in the plan."""
    name = _column_of(cleaned, step)
    array = one_array(cleaned.table.column(name))
    if is_tensor(array.type):
        raise JobError(
            "imputation_not_possible", f"The column {name!r} holds arrays; no value stands for one.", place=name
        )
    places = _places(cleaned, step) if step.get("rule") else pa.array(missing_rows(array))
    method = step.get("method", "median")
    present = array.filter(pc.and_(pc.invert(places), pa.array(~missing_rows(array))))
    value = (
        _pinned(step["value"], array.type, name) if step.get("value") is not None else _statistic(present, method, name)
    )
    after = pc.if_else(places, value, array)
    shown = text_of(value.as_py())
    origin = "a constant" if method == "constant" else f"the {method.replace('_', ' ')} of the {len(present):,} others"
    pinned = {**step, "column": name, "method": method, "value": _json_of(value)}
    _replace(cleaned, pinned, after, reason=f"Filled in with {origin}.", what=f"filled in with {shown}, {origin}")


def flag(cleaned: Cleaned, step: Step) -> None:
    """Count the rows that do not meet a rule and leave them as they are."""
    count = len(_failing(GreatExpectations(cleaned.table), step))
    _demand_fraction(cleaned, step, count, default=None)
    _report(cleaned, step, rows=count, sentence=f"{_rows(count)} flagged and kept; not met: {_rule_sentence(step)}.")


def _failing(evaluator: GreatExpectations, step: Step) -> Rows:
    outcome = evaluator.evaluate(step["rule"])
    if outcome.status == "error":
        raise JobError(
            "rule_cannot_run",
            f"The rule of a step ({step['action']}; {_rule_sentence(step)}) cannot be run: {outcome.error}",
            place=step.get("expectation") or step["rule"]["type"],
        )
    return outcome.rows


def _places(cleaned: Cleaned, step: Step) -> pa.Array:
    """Say for each row that is left whether the step may change it."""
    allowed = np.full(cleaned.table.num_rows, not step.get("rule"))
    if step.get("rule"):
        allowed[_failing(GreatExpectations(cleaned.table), step)] = True
    return pa.array(allowed)


def _replace(cleaned: Cleaned, step: Step, after: pa.Array, *, reason: str, what: str) -> None:
    name = step["column"]
    before = one_array(cleaned.table.column(name))
    if after.type != before.type:
        raise AssertionError(f"A step changed the type of {name!r} from {before.type} to {after.type}.")
    differs = pc.or_(pc.xor(pc.is_null(before), pc.is_null(after)), pc.fill_null(pc.not_equal(before, after), False))
    places = np.flatnonzero(differs.to_numpy(zero_copy_only=False))
    _demand_fraction(cleaned, step, len(places), default=None)
    old, new = before.take(pa.array(places)).to_pylist(), after.take(pa.array(places)).to_pylist()
    for place, one, other in zip(places.tolist(), old, new, strict=True):
        cleaned.changes.append(
            Change(
                row=int(cleaned.numbers[place]),
                column=name,
                before=None if one is None else text_of(one),
                after=text_of(other),
                reason=reason,
                expectation=step.get("expectation", ""),
            )
        )
    cleaned.table = cleaned.table.set_column(cleaned.table.column_names.index(name), name, after)
    count = len(places)
    sentence = f"{count:,} cell{'s' * (count != 1)} of {name} {what}."
    _report(cleaned, step, rows=count, cells=count, sentence=sentence)


def _statistic(present: pa.Array, method: str, name: str) -> pa.Scalar:
    if not len(present):
        raise JobError(
            "imputation_not_possible",
            f"The column {name!r} has no value left to take the {method.replace('_', ' ')} of; impute a constant.",
            place=name,
        )
    if method == "most_frequent":
        counts = pc.value_counts(present)
        table = pa.table({"value": counts.field("values"), "count": counts.field("counts")})
        return table.sort_by([("count", "descending"), ("value", "ascending")]).column("value")[0]
    is_integer = pa.types.is_integer(present.type)
    if not is_integer and not pa.types.is_floating(present.type):
        raise JobError(
            "imputation_not_possible",
            f"The column {name!r} holds no numbers, so it has no {method}; impute the most frequent one or a constant.",
            place=name,
        )
    values = present.to_numpy(zero_copy_only=False)
    number = float(np.median(values) if method == "median" else np.mean(values))
    if not math.isfinite(number):
        detail = f"The {method} of the column {name!r} is not finite; clean its infinite values first."
        raise JobError("imputation_not_possible", detail, place=name)
    return pa.scalar(round(number) if is_integer else number, present.type)


def _pinned(value: Any, data_type: pa.DataType, name: str) -> pa.Scalar:
    try:
        if pa.types.is_temporal(data_type) or pa.types.is_decimal(data_type):
            return pa.scalar(str(value), pa.string()).cast(data_type)
        if pa.types.is_integer(data_type) and (isinstance(value, bool) or value != int(value)):
            raise pa.ArrowInvalid("it is not a whole number")
        return pa.scalar(value, data_type)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise JobError(
            "imputation_not_possible",
            f"The value {value!r} cannot stand in the column {name!r} of the type {data_type}: {error}.",
            place=name,
        ) from error


def _json_of(value: pa.Scalar) -> Any:
    plain = value.as_py()
    if isinstance(plain, Decimal):
        return str(plain)  # which is read back as it was
    return plain.isoformat() if hasattr(plain, "isoformat") else plain


def _column_of(cleaned: Cleaned, step: Step) -> str:
    name = str(step["column"] if "column" in step else step["rule"]["kwargs"]["column"])
    _demand_column(cleaned.table, name)
    return name


def _columns_of_rule(step: Step) -> list[str]:
    kwargs: Mapping[str, Any] = step["rule"]["kwargs"]
    return [kwargs["column"]] if "column" in kwargs else list(kwargs["column_list"])


def _demand_column(table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        raise JobError(
            "column_missing",
            f"A step is about the column {name!r}, which the data set does not have.",
            place=name,
        )


def _demand_fraction(cleaned: Cleaned, step: Step, count: int, *, default: float | None) -> None:
    limit = step.get("max_fraction", default)
    if limit is not None and count > limit * cleaned.rows_in:
        raise JobError(
            "too_many_rows",
            f"The step {step['action']} ({_rule_sentence(step)}) takes {count:,} of {cleaned.rows_in:,} rows; at most "
            f"{limit * 100:g} % may be. Look at the data, or raise `max_fraction`.",
            place=step.get("expectation") or step["action"],
        )


def _rule_sentence(step: Step) -> str:
    rule = step.get("rule")
    if rule:
        return sentence_of(rule["type"], rule["kwargs"])
    return ", ".join(step.get("columns") or [str(step.get("column"))])


def _keep(cleaned: Cleaned, stays: NDArray[np.bool_]) -> None:
    if not stays.all():
        cleaned.table = cleaned.table.filter(pa.array(stays)).combine_chunks()
        cleaned.numbers = cleaned.numbers[stays]


def _report(cleaned: Cleaned, step: Step, *, rows: int, sentence: str, cells: int = 0) -> None:
    cleaned.plan.append(step)
    cleaned.reports.append(
        {
            "action": step["action"],
            "column": step.get("column") or ", ".join(step.get("columns", [])),
            "expectation": step.get("expectation", ""),
            "rows": rows,
            "cells": cells,
            "sentence": sentence,
        }
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
