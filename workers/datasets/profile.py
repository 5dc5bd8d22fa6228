"""What stands in each column: counts, range, quantiles, a histogram or the most frequent values.

Deterministic: the same content gives the same profile. Numbers that JSON does not have are left out of it: a profile
counts infinite values and describes the finite ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.canonical import canonical_array, is_tensor, missing_rows, one_array, tensor_values

BINS = 24
MOST_FREQUENT = 12
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Longer texts are cut in a profile.
_TEXT_LENGTH = 80


def profile_of(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Return column name -> description.

    A scalar column has ``missing``, ``distinct``, ``lowest``, ``highest``, ``median``, ``mean``, ``most_frequent``,
    ``most_frequent_share`` (of the rows that are not missing), and ``histogram`` (24 bins; the last one holds its upper
    edge) with ``quantiles`` for numbers or ``values`` for others. An array column has ``missing`` (rows), ``shape``,
    ``lowest``, ``highest`` and ``mean``.
    """
    return {name: _column(canonical_array(one_array(table.column(name)), name=name)) for name in table.column_names}


def _column(array: pa.Array) -> dict[str, Any]:
    if is_tensor(array.type):
        return _tensor(array)
    missing = missing_rows(array)
    present = array.filter(pa.array(~missing)) if missing.any() else array
    counts = pc.value_counts(present)
    description: dict[str, Any] = {
        "missing": int(missing.sum()),
        "distinct": len(counts),
        **dict.fromkeys(("lowest", "highest", "median", "mean", "most_frequent", "most_frequent_share")),
    }
    frequent = _frequent(counts) if len(present) else []
    if frequent:
        description["most_frequent"] = frequent[0]["value"]
        description["most_frequent_share"] = frequent[0]["count"] / len(present)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return description | _numbers(present)
    if pa.types.is_timestamp(array.type) and len(present):
        bounds = pc.min_max(present).as_py()
        description |= {"lowest": bounds["min"].isoformat(), "highest": bounds["max"].isoformat()}
    if pa.types.is_boolean(array.type) and len(present):
        description["mean"] = pc.mean(present).as_py()
    return description | {"values": frequent}


def _numbers(present: pa.Array) -> dict[str, Any]:
    values = np.asarray(present.to_numpy(zero_copy_only=False))
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    described: dict[str, Any] = {"histogram": [], "quantiles": [], "infinite": len(values) - len(finite)}
    if not len(finite):
        return described
    lowest, highest = finite.min().item(), finite.max().item()
    # Beyond half of the largest float a sum or a difference of two values is infinite, though their mean is not.
    scale = float(max(abs(lowest), abs(highest)))
    scale = scale if scale > 1e300 else 1.0
    scaled = finite / scale if scale > 1 else finite
    return described | {
        "lowest": lowest,
        "highest": highest,
        "median": float(np.median(scaled)) * scale,
        "mean": float(np.mean(scaled)) * scale,
        "histogram": _histogram(finite.astype(np.float64), float(lowest), float(highest)),
        "quantiles": [
            {"share": share, "value": float(value) * scale}
            for share, value in zip(QUANTILES, np.quantile(scaled, QUANTILES), strict=True)
        ],
    }


def _histogram(finite: NDArray[np.float64], lowest: float, highest: float) -> list[dict[str, Any]]:
    width = highest / BINS - lowest / BINS
    if width == 0 or not np.isfinite(width) or lowest + width == lowest:
        return [{"low": lowest, "high": highest, "count": len(finite)}]
    # In halves, since the width of all bins together may be beyond the largest float.
    edges = [(lowest / 2 + width / 2 * number) * 2 for number in range(BINS)] + [highest]
    # Binned against the edges that are told, so that a reader who counts again finds the same.
    numbers = np.clip(np.searchsorted(edges, finite, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    return [{"low": edges[n], "high": edges[n + 1], "count": int(counts[n])} for n in range(BINS)]


def _frequent(counts: pa.StructArray) -> list[dict[str, Any]]:
    """Return the most frequent values with their counts; of equally frequent ones the lowest comes first."""
    table = pa.table({"value": counts.field("values"), "count": counts.field("counts")})
    order = pc.select_k_unstable(table, MOST_FREQUENT, [("count", "descending"), ("value", "ascending")])
    return [{"value": _plain(row["value"]), "count": row["count"]} for row in table.take(order).to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT_LENGTH else value[: _TEXT_LENGTH - 1] + "…"
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value.isoformat()


def _tensor(array: pa.Array) -> dict[str, Any]:
    missing = missing_rows(array)
    values = tensor_values(array)
    values = values[~missing] if missing.any() else values
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    described: dict[str, Any] = {"missing": int(missing.sum()), "shape": list(array.type.shape)}
    if not finite.size:
        return described | dict.fromkeys(("lowest", "highest", "mean"))
    mean = float(np.mean(finite, dtype=np.float64))
    return described | {"lowest": finite.min().item(), "highest": finite.max().item(), "mean": mean}
