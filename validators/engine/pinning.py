"""Take from the data what a plan leaves to it, as numbers: bounds, and the values that fill in what is missing.

A step that is pinned is run by its numbers, the first time as ever after. One column is read at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.plans import Z_SCORES, Step, column_of
from validators.engine.suites import BOUNDS_FACTORS
from workers.datasets.canonical import is_tensor, missing_rows
from workers.datasets.reading import read_batches, shape_of
from workers.protocol import JobError

Floats = NDArray[np.float64]

#: Returns the part of a batch of one column, whose first row is given, from which a number is taken.
Part = Callable[[pa.Array, int], pa.Array]

#: The median absolute deviation of a normal distribution times this is its standard deviation.
_MAD_SCALE = 1.482602218505602
#: Tables of counts that wait to be added up.
_COUNTS_HELD = 16


def is_number(data_type: pa.DataType) -> bool:
    """Tell whether a canonical column holds single numbers."""
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type) or pa.types.is_decimal(data_type))


def with_bounds(step: Step, path: Path, data_type: pa.DataType, part: Part) -> Step:
    """Return the step with ``lower`` and ``upper`` as numbers where it says only how they are taken from the data.

    Raises:
        JobError: code ``bounds_not_possible``, when the column holds no numbers, or no finite ones.
    """
    description = _description(step)
    if description is None or any(step.get(key) is not None for key in ("lower", "upper")):
        return step
    name = column_of(step)
    if not is_number(data_type):
        if step.get("bounds") is None:
            # The rule says so itself when it is judged.
            return step
        raise JobError(
            "bounds_not_possible",
            f"The column {name!r} of the type {data_type} holds no numbers, so no bounds can be taken from it.",
            place=name,
        )
    values = numbers(path, name, part)
    is_z_score = step.get("bounds") is None
    if is_z_score and not np.isfinite(values).all():
        # Great Expectations takes the mean of infinities as it is, and then no value has a z-score.
        return step
    if not np.isfinite(values).all():
        values = values[np.isfinite(values)]
    if not len(values) and is_z_score:
        return step
    if not len(values):
        raise JobError(
            "bounds_not_possible", f"The column {name!r} has no finite number to take bounds from.", place=name
        )
    lower, upper = _bounds(values, description)
    if not all(bound is None or math.isfinite(bound) for bound in (lower, upper)):
        if is_z_score:
            return step
        raise JobError(
            "bounds_not_possible", f"The numbers of {name!r} are too large to take bounds from them.", place=name
        )
    return {**step, "column": name, "lower": lower, "upper": upper}


def _description(step: Step) -> dict[str, Any] | None:
    """Return how the bounds of a step are taken from the data; a z-score of the whole column is one such way."""
    if step.get("bounds") is not None:
        return dict(step["bounds"])
    rule = step.get("rule")
    if (
        rule is None
        or rule["type"] != Z_SCORES
        or set(rule["kwargs"]) - {"column", "threshold", "double_sided", "mostly"}
    ):
        return None
    threshold, is_double = rule["kwargs"].get("threshold"), rule["kwargs"].get("double_sided", True)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not isinstance(is_double, bool):
        return None
    return {"method": "z_score", "factor": abs(threshold) if is_double else threshold, "upper_only": not is_double}


def _bounds(values: Floats, description: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the bounds of some numbers, whose order and values are lost by it: they may be many."""
    with np.errstate(over="ignore", invalid="ignore"):
        if description["method"] == "quantiles":
            shares = [description.get(key) for key in ("lower", "upper")]
            lower, upper = (
                None if share is None else float(np.quantile(values, share, overwrite_input=True)) for share in shares
            )
            return lower, upper
        factor = description.get("factor", BOUNDS_FACTORS[description["method"]])
        if description["method"] == "iqr":
            low, high = (float(bound) for bound in np.quantile(values, (0.25, 0.75), overwrite_input=True))
            return low - factor * (high - low), high + factor * (high - low)
        if description["method"] == "mad":
            lowest, highest = float(values.min()), float(values.max())
            middle = float(np.median(values, overwrite_input=True))
            np.abs(np.subtract(values, middle, out=values), out=values)
            spread = _MAD_SCALE * float(np.median(values, overwrite_input=True))
        else:
            lowest, highest = float(values.min()), float(values.max())
            middle = float(np.mean(values))
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    if spread == 0:
        # Without a spread no value is far away; the bounds hold every one.
        return (None, None) if description.get("upper_only") is not None else (lowest, highest)
    lower = None if description.get("upper_only") else middle - factor * spread
    return lower, middle + factor * spread


def with_value(step: Step, path: Path, data_type: pa.DataType, part: Part) -> tuple[Step, pa.Scalar, int | None]:
    """Return an imputation with its ``value`` pinned, the value as the column holds it, and from how many it was taken.

    Raises:
        JobError: code ``imputation_not_possible``, when there is no such value or the column cannot hold it.
    """
    name, method = column_of(step), step.get("method", "median")
    if is_tensor(data_type):
        raise JobError(
            "imputation_not_possible", f"The column {name!r} holds arrays; no value stands for one.", place=name
        )
    if step.get("value") is not None:
        value, count = scalar_of(step["value"], data_type, name), step.get("taken_from")
    else:
        value, count = _statistic(path, name, data_type, part, method)
    pinned = {**step, "column": name, "method": method, "value": _json_of(value)}
    return pinned | ({} if count is None else {"taken_from": count}), value, count


def _statistic(path: Path, name: str, data_type: pa.DataType, part: Part, method: str) -> tuple[pa.Scalar, int]:
    if method != "most_frequent" and not is_number(data_type):
        raise JobError(
            "imputation_not_possible",
            f"The column {name!r} holds no numbers, so it has no {method}; impute the most frequent one or a constant.",
            place=name,
        )
    if method == "most_frequent":
        value, count = _most_frequent(path, name, part)
    else:
        values = numbers(path, name, part)
        value, count = None, len(values)
        if count:
            with np.errstate(over="ignore", invalid="ignore"):
                found = float(np.median(values, overwrite_input=True) if method == "median" else np.mean(values))
            if not math.isfinite(found):
                detail = f"The {method} of the column {name!r} is not finite; clean its infinite values first."
                raise JobError("imputation_not_possible", detail, place=name)
            value = scalar_of(round(found) if pa.types.is_integer(data_type) else found, data_type, name)
    if value is None:
        raise JobError(
            "imputation_not_possible",
            f"The column {name!r} has no value left to take the {method.replace('_', ' ')} of; impute a constant.",
            place=name,
        )
    return value, count


def _most_frequent(path: Path, name: str, part: Part) -> tuple[pa.Scalar | None, int]:
    """Return the most frequent value (of equally frequent ones the lowest) and of how many."""
    held: list[pa.Table] = []

    def added_up() -> pa.Table:
        summed = pa.concat_tables(held).group_by("value").aggregate([("count", "sum")])
        return summed.rename_columns({"count_sum": "count"})

    start = 0
    for batch in read_batches(path, columns=[name]):
        counts = pc.value_counts(part(batch.column(0), start))
        held.append(pa.table({"value": counts.field("values"), "count": counts.field("counts")}))
        start += batch.num_rows
        if len(held) > _COUNTS_HELD:
            held = [added_up()]
    if not held or not sum(table.num_rows for table in held):
        return None, 0
    counted = added_up()
    first = pc.select_k_unstable(counted, 1, [("count", "descending"), ("value", "ascending")])
    return counted.column("value")[first[0].as_py()], pc.sum(counted.column("count")).as_py()


def numbers(path: Path, name: str, part: Part) -> Floats:
    """Return the numbers of one column that are not missing, as floats."""
    # Filled in place: parts that are put together in the end are in memory twice.
    values, count, start = np.empty(shape_of(path)[1]), 0, 0
    for batch in read_batches(path, columns=[name]):
        array = part(batch.column(0), start)
        start += batch.num_rows
        present = array.filter(pa.array(~missing_rows(array)))
        if pa.types.is_decimal(present.type):
            # By way of the digits, since Arrow's own cast is off by the last bit in one of ten.
            present = present.cast(pa.string())
        values[count : count + len(present)] = present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        count += len(present)
    return values[:count]


def scalar_of(value: Any, data_type: pa.DataType, name: str) -> pa.Scalar:
    """Return a value that a plan names as the column holds it.

    Raises:
        JobError: code ``imputation_not_possible``, when the column cannot hold it.
    """
    try:
        if pa.types.is_temporal(data_type):
            return pa.scalar(str(value), pa.string()).cast(data_type)
        if pa.types.is_decimal(data_type):
            exact = Decimal(repr(value) if isinstance(value, float) else str(value))
            return pa.scalar(round(exact, data_type.scale), data_type)
        if pa.types.is_integer(data_type) and (isinstance(value, bool) or value != int(value)):
            raise pa.ArrowInvalid("it is not a whole number")
        return pa.scalar(int(value) if pa.types.is_integer(data_type) else value, data_type)
    except (pa.ArrowException, TypeError, ValueError, ArithmeticError) as error:
        raise JobError(
            "imputation_not_possible",
            f"The value {value!r} cannot stand in the column {name!r} of the type {data_type}: {error}.",
            place=name,
        ) from error


def _json_of(value: pa.Scalar) -> Any:
    plain = value.as_py()
    if isinstance(plain, Decimal):
        return str(plain)
    return plain.isoformat() if hasattr(plain, "isoformat") else plain
