"""How cells change: numbers beyond a bound are clipped, what is missing or does not meet a rule is filled in.

A column is edited batch by batch. Its steps come one after the other, and a cell is changed by the first that names it,
so that every change has one reason and the value before it is the one that came in. A change never changes the type of
a column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.pinning import Part, is_number, with_bounds, with_value
from validators.engine.plans import Step, column_of
from validators.engine.stated_bounds import moment_of
from validators.engine.wording import words_of_clip, words_of_imputation
from workers.datasets.canonical import missing_rows
from workers.protocol import JobError

Rows = NDArray[np.int64]

CHANGES = pa.schema(
    [
        ("row", pa.int64()),
        *((name, pa.string()) for name in ("column", "before", "after", "reason", "expectation")),
        ("step", pa.int64()),
    ]
)

_INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Edit:
    """One step at work on its column.

    ``number`` is that of the step in the plan, ``rows`` are those that its rule names (None: the step needs no rule),
    and the values are scalars of the type of the column: the bounds of a clip, the one value of an imputation.
    """

    number: int
    step: Step
    rows: Rows | None
    reason: str
    what: str
    lower: pa.Scalar | None = None
    upper: pa.Scalar | None = None
    value: pa.Scalar | None = None

    def wanted(self, array: pa.Array, start: int) -> tuple[NDArray[np.bool_], pa.Array]:
        """Return which cells of a batch the step names, and what they would become."""
        is_named = np.ones(len(array), dtype=bool) if self.rows is None else rows_within(self.rows, start, len(array))
        if self.value is not None:
            if self.rows is None:
                is_named = missing_rows(array)
            return is_named, pa.repeat(self.value, len(array))
        after, is_beyond = array, np.zeros(len(array), dtype=bool)
        for bound, beyond in ((self.lower, pc.less), (self.upper, pc.greater)):
            if bound is not None:
                found = pc.fill_null(beyond(array, bound), False)
                is_beyond |= found.to_numpy(zero_copy_only=False)
                after = pc.if_else(found, bound, after)
        return is_named & is_beyond, after


@dataclass
class ColumnEdits:
    """Every edit of one column, in the order of the steps."""

    name: str
    edits: list[Edit] = field(default_factory=list)

    def apply(self, array: pa.Array, start: int, stays: NDArray[np.bool_]) -> tuple[pa.Array, list[tuple[Edit, Rows]]]:
        """Return a batch of the column as it becomes, and for each edit the places in the batch that it changed.

        Args:
            array: the cells as they came in.
            start: the number of the first of these rows.
            stays: which of these rows stay; a row that leaves is kept as it was.
        """
        after, is_free, changed = array, stays.copy(), []
        for edit in self.edits:
            wanted, values = edit.wanted(array, start)
            wanted &= is_free
            if wanted.any():
                same = pc.fill_null(pc.equal(values, array), False).to_numpy(zero_copy_only=False)
                wanted &= ~same
                after = pc.if_else(pa.array(wanted), values, after)
                is_free &= ~wanted
            changed.append((edit, np.flatnonzero(wanted).astype(np.int64)))
        if after.type != array.type:
            raise AssertionError(f"A step changed the type of {self.name!r} from {array.type} to {after.type}.")
        return after, changed

    def add(
        self, number: int, step: Step, rows: Rows | None, *, path: Path, data_type: pa.DataType, stays: Any
    ) -> Step:
        """Pin a step on top of the edits so far, have it edit from now on, and return it as it is run."""
        edit = _clip if step["action"] == "clip" else _impute
        made = edit(number, {**step, "column": self.name}, rows, path, data_type, self._left(stays, rows, step))
        self.edits.append(made)
        return made.step

    def _left(self, stays: NDArray[np.bool_], rows: Rows | None, step: Step) -> Part:
        """Return what picks the cells that a statistic is of: edited so far, in rows that stay and are trusted."""

        def part(array: pa.Array, start: int) -> pa.Array:
            picked = stays[start : start + len(array)]
            after, _ = self.apply(array, start, picked)
            if step["action"] == "impute":
                is_named = missing_rows(array) if rows is None else rows_within(rows, start, len(array))
                picked = picked & ~is_named
            return after.filter(pa.array(picked & ~missing_rows(after)))

        return part


def changes_of(
    name: str, before: pa.Array, after: pa.Array, changed: Sequence[tuple[Edit, Rows]], start: int
) -> list[pa.Table]:
    """Return the changed cells of a column in a batch, see ``CHANGES``; the texts give the values back exactly."""
    tables = []
    for edit, places in changed:
        if not len(places):
            continue
        taken = pa.array(places)
        count = len(places)
        columns = [
            pa.array(places + start),
            pa.repeat(name, count),
            pc.cast(before.take(taken), pa.string()),
            pc.cast(after.take(taken), pa.string()),
            pa.repeat(edit.reason, count),
            pa.repeat(edit.step.get("expectation", ""), count),
            pa.repeat(edit.number, count),
        ]
        tables.append(pa.table(columns, schema=CHANGES))
    return tables


def rows_within(rows: Rows, start: int, count: int) -> NDArray[np.bool_]:
    """Say for each row of a batch whether it is one of some rows, which come in order."""
    first, last = np.searchsorted(rows, (start, start + count))
    found = np.zeros(count, dtype=bool)
    found[rows[first:last] - start] = True
    return found


def _clip(number: int, step: Step, rows: Rows | None, path: Path, data_type: pa.DataType, part: Part) -> Edit:
    name = column_of(step)
    _demand_bounds_of_type(step, name, data_type)
    pinned = with_bounds(step, path, data_type, part)
    lower, upper = (_bound(pinned.get(key), data_type, is_lower=key == "lower") for key in ("lower", "upper"))
    if lower is not None and upper is not None and lower > upper:
        raise JobError(
            "clip_not_possible",
            f"No value of the type {data_type} lies between {pinned['lower']} and {pinned['upper']}, so the column "
            f"{name!r} cannot be clipped to it.",
            place=name,
        )
    if not pa.types.is_floating(data_type):
        pinned |= {"lower": _json_of(lower), "upper": _json_of(upper)}
    words = words_of_clip(pinned)
    scalars = (None if bound is None else pa.scalar(bound, data_type) for bound in (lower, upper))
    return Edit(number, pinned, rows, f"Clipped to {words}.", f"clipped to {words}", *scalars)


def _demand_bounds_of_type(step: Step, name: str, data_type: pa.DataType) -> None:
    """Refuse a clip of what has no order, and bounds of numbers for moments or of moments for numbers."""
    is_moment = pa.types.is_date(data_type) or pa.types.is_timestamp(data_type)
    if not is_number(data_type) and not is_moment:
        sentence = f"The column {name!r} holds no numbers and no moments, so nothing can be clipped."
        raise JobError("clip_not_possible", sentence, place=name)
    for bound in (step.get("lower"), step.get("upper")):
        if bound is not None and isinstance(bound, str) != is_moment:
            wanted = "days or moments, such as 2020-01-31" if is_moment else "numbers"
            sentence = f"The column {name!r} holds {data_type}; it is clipped to {wanted}, not to {bound!r}."
            raise JobError("clip_not_possible", sentence, place=name)


def _bound(bound: Any, data_type: pa.DataType, *, is_lower: bool) -> Any:
    """Return a bound as the column can hold it: within what was asked, whole in a column of integers or of days."""
    if bound is None or pa.types.is_floating(data_type):
        return None if bound is None else float(bound)
    if isinstance(bound, str):
        return _moment_bound(bound, data_type, is_lower=is_lower)
    if pa.types.is_decimal(data_type):
        exact = Decimal(repr(bound)) if isinstance(bound, float) else Decimal(bound)
        step = Decimal(1).scaleb(-data_type.scale)
        return (exact / step).to_integral_value("ROUND_CEILING" if is_lower else "ROUND_FLOOR") * step
    whole = math.ceil(bound) if is_lower else math.floor(bound)
    if (whole < _INT64[0]) if is_lower else (whole > _INT64[1]):
        # Beyond every integer of 64 bits, so no value is beyond it.
        return None
    if not _INT64[0] <= whole <= _INT64[1]:
        raise JobError("clip_not_possible", f"The bound {bound} is beyond every integer of 64 bits.", place="plan")
    return whole


def _moment_bound(text: str, data_type: pa.DataType, *, is_lower: bool) -> datetime | date:
    """Return the moment that a text names; in a column of days the first or last day that lies within it."""
    moment = moment_of(text)
    if moment is None:
        raise JobError("clip_not_possible", f"The bound {text!r} is no day and no moment.", place="plan")
    if pa.types.is_timestamp(data_type):
        return moment if data_type.tz is not None else moment.replace(tzinfo=None)
    return moment.date() + timedelta(days=int(is_lower and moment.time() != time.min))


def _json_of(bound: Any) -> Any:
    if isinstance(bound, date):
        return bound.isoformat()
    if not isinstance(bound, Decimal):
        return bound
    return int(bound) if bound == bound.to_integral_value() else float(bound)


def _impute(number: int, step: Step, rows: Rows | None, path: Path, data_type: pa.DataType, part: Part) -> Edit:
    pinned, value, count = with_value(step, path, data_type, part)
    words = words_of_imputation(pinned, count)
    if pa.types.is_decimal(data_type) and step.get("method", "median") in ("median", "mean") and count is not None:
        words += f", rounded to {data_type.scale} digits after the point (half to even)"
    shown = pc.cast(value, pa.string()).as_py()
    reason, what = f"Filled in with {words}.", f"filled in with {shown}, {words}"
    return Edit(number, pinned, rows, reason, what, value=value)
