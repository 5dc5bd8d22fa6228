"""The distribution of one column: how many different values, which are most frequent, quantiles and a histogram."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.datasets.profile.counts import Counts
from workers.datasets.profile.table import ProfiledTable, value_sql

BINS = 24
MOST_FREQUENT = 12
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Longer texts are cut in a profile.
_TEXT_LENGTH = 80

#: Values from the lowest to the highest, and how often each comes.
Ordered = Iterable[tuple[NDArray[Any], NDArray[np.int64]]]


def describe_numbers(table: ProfiledTable, place: int, data_type: pa.DataType, counts: Counts) -> dict[str, Any]:
    """Return ``distinct``, ``frequent``, ``median``, ``quantiles`` and ``histogram`` of a column of numbers."""
    is_decimal = pa.types.is_decimal(data_type)
    value = f"c{place}::DOUBLE" if is_decimal else value_sql(place, is_float=pa.types.is_floating(data_type))
    runs = _Runs()
    extent = counts.described
    shape = _Shape(extent["lowest"], extent["highest"], counts.present - counts.infinite)
    for values, numbers in table.ordered(value, grouped=counts.has_few_values):
        runs.add(values, numbers)
        shape.add(values, numbers)
    if is_decimal:  # two of them may be one float
        counted = describe_words(table, place, data_type)
    else:
        counted = {"frequent": runs.frequent(), "distinct": runs.distinct}
    return {**counted, **shape.described()}


def describe_words(table: ProfiledTable, place: int, data_type: pa.DataType) -> dict[str, Any]:
    """Return ``distinct`` and ``frequent`` of a column of any other type."""
    table.rows(
        "CREATE TEMP TABLE words AS "
        "SELECT c{place} AS v, count(*) AS n FROM {table} WHERE c{place} IS NOT NULL GROUP BY v",
        place=place,
    )
    distinct = table.rows("SELECT count(*) FROM words")[0][0]
    # One character more than is shown tells that there are more; a text may be a book.
    shown = f"left(v, {_TEXT_LENGTH + 1})" if pa.types.is_string(data_type) else "v"
    query = "SELECT {shown}, n FROM words ORDER BY n DESC, v LIMIT {count}"
    rows = table.rows(query, shown=shown, count=MOST_FREQUENT)
    table.rows("DROP TABLE words")
    return {"distinct": distinct, "frequent": [{"value": plain(value), "count": count} for value, count in rows]}


def quantiles_of(ordered: Ordered, count: int) -> list[dict[str, float]]:
    """Return the quantiles of ``count`` values, between two values by a straight line (NumPy's ``linear``)."""
    values = list(ordered)
    shape = _Shape(values[0][0][0], values[-1][0][-1], count)
    for batch in values:
        shape.add(*batch)
    return shape.quantiles()


def plain(value: Any) -> Any:
    """Return a value of a column as JSON has it."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_LENGTH else value[: _TEXT_LENGTH - 1] + "…"
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value.isoformat() if hasattr(value, "isoformat") else float(value)


class _Runs:
    """Counts different values and keeps the most frequent ones; of equally frequent ones the lowest comes first."""

    def __init__(self) -> None:
        self.distinct = 0
        self._last: tuple[Any, int] | None = None
        self._frequent: list[tuple[Any, int]] = []

    def add(self, values: NDArray[Any], numbers: NDArray[np.int64]) -> None:
        starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
        counts = np.add.reduceat(numbers, starts)
        if self._last is not None and self._last[0] == values[0]:
            counts[0] += self._last[1]
        elif self._last is not None:
            self._close([self._last])
        # The last run may go on in the next batch.
        least = self._frequent[-1][1] if len(self._frequent) == MOST_FREQUENT else 0
        rising = np.flatnonzero(counts[:-1] > least)
        if len(rising) > MOST_FREQUENT:
            rising = np.sort(rising[np.argsort(-counts[rising], kind="stable")[:MOST_FREQUENT]])
        self.distinct += len(counts) - 1 - len(rising)
        self._close([(values[starts[run]].item(), int(counts[run])) for run in rising])
        self._last = values[starts[-1]].item(), int(counts[-1])

    def frequent(self) -> list[dict[str, Any]]:
        """Return the most frequent values; no more come."""
        if self._last is not None:
            self._close([self._last])
            self._last = None
        return [{"value": plain(value), "count": count} for value, count in self._frequent]

    def _close(self, runs: list[tuple[Any, int]]) -> None:
        self.distinct += len(runs)
        # Sorting is stable and values come in order, so that the lower of two equally frequent ones stays in front.
        self._frequent = sorted(self._frequent + runs, key=lambda run: -run[1])[:MOST_FREQUENT]


class _Shape:
    """Finds quantiles and the counts of a histogram while the values go by in their order."""

    def __init__(self, lowest: Any, highest: Any, count: int) -> None:
        self._lowest, self._highest, self._count = lowest, highest, count
        self._edges = [] if lowest is None else _edges(float(lowest), float(highest))
        self._below = np.zeros(max(0, len(self._edges) - 2), np.int64)
        # The two neighbours of each quantile, by their numbers among the finite values.
        places = np.asarray(QUANTILES) * max(0, count - 1)
        self._wanted = np.stack([np.floor(places), np.ceil(places)]).astype(np.int64)
        self._parts = places - self._wanted[0]
        self._found = np.zeros(self._wanted.shape)
        self._seen = 0

    def add(self, values: NDArray[Any], numbers: NDArray[np.int64]) -> None:
        if values.dtype.kind == "f":
            is_finite = np.isfinite(values)
            values, numbers = values[is_finite], numbers[is_finite]
        if not len(values):
            return
        floats = values.astype(np.float64, copy=False)
        ends = self._seen + np.cumsum(numbers)
        inner = np.searchsorted(floats, self._edges[1:-1], side="left")
        self._below += np.concatenate([[0], ends - self._seen])[inner]
        here = (self._wanted >= self._seen) & (self._wanted < ends[-1])
        self._found[here] = floats[np.searchsorted(ends, self._wanted[here], side="right")]
        self._seen = int(ends[-1])

    def described(self) -> dict[str, Any]:
        if not self._seen:
            return {"histogram": [], "quantiles": []}
        quantiles = self.quantiles()
        counts = np.diff(np.concatenate([[0], self._below, [self._seen]])).tolist()
        histogram = [
            {"low": low, "high": high, "count": count}
            for low, high, count in zip(self._edges[:-1], self._edges[1:], counts, strict=True)
        ]
        if len(histogram) == 1:
            histogram = [{"low": self._lowest, "high": self._highest, "count": self._seen}]
        median = quantiles[QUANTILES.index(0.5)]["value"]
        return {"histogram": histogram, "quantiles": quantiles, "median": median}

    def quantiles(self) -> list[dict[str, float]]:
        low, high = self._found
        # Weighed one by one, since the difference of two floats may be beyond the largest.
        values = low * (1 - self._parts) + high * self._parts
        values = np.where(low == high, low, values)
        return [{"share": share, "value": float(value)} for share, value in zip(QUANTILES, values, strict=True)]


def _edges(lowest: float, highest: float) -> list[float]:
    """Return the edges of 24 bins, or of one where the values are too close together for more."""
    width = highest / BINS - lowest / BINS
    if width == 0 or not np.isfinite(width) or lowest + width == lowest:
        return [lowest, highest]
    # In halves, since the width of all bins together may be beyond the largest float.
    return [*((lowest / 2 + width / 2 * number) * 2 for number in range(BINS)), highest]
