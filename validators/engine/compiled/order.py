"""Rules about the order of values: each next one, of those that are there, is higher or lower than the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import Declined, FindFailing, Rule, Scan


def increasing(arguments: Arguments) -> Rule:
    return _in_order(arguments, lambda difference: difference >= 0, lambda difference: difference > 0)


def decreasing(arguments: Arguments) -> Rule:
    return _in_order(arguments, lambda difference: difference <= 0, lambda difference: difference < 0)


_InOrder = Callable[[NDArray[Any]], NDArray[np.bool_]]


def _in_order(arguments: Arguments, loosely: _InOrder, strictly: _InOrder) -> Rule:
    arguments.only("column", "strictly")
    column = arguments.column()
    strict = arguments.kwargs.get("strictly") or False
    if not (column.is_number or column.is_moment) or not isinstance(strict, bool):
        raise Declined
    in_order = strictly if strict else loosely
    too_far = f"coalesce(max(abs({column.sql}::DOUBLE)) > 4e18, FALSE)" if column.kind == "integer" else None
    return column_rule(arguments, column, Scan((column,), lambda: _failing_of(in_order)), unless=too_far)


def _failing_of(in_order: _InOrder) -> FindFailing:
    last: list[Any] = []

    def find(arrays: Sequence[pa.Array]) -> NDArray[np.bool_]:
        values = arrays[0]
        numbers = (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_numpy()
        is_first = not last
        with np.errstate(invalid="ignore"):
            differences = np.diff(numbers, prepend=numbers[0] if is_first else last[0])
        last[:] = [numbers[-1]]
        # Two infinities of one sign differ by NaN, which is in no order and let through, as in pandas.
        failing = ~(in_order(differences) | np.isnan(differences))
        if is_first:
            failing[0] = False
        return np.asarray(failing)

    return find
