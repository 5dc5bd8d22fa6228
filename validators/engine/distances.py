"""How far apart two columns are spread, with what chance alone would make of it.

For numbers and moments the Kolmogorov-Smirnov statistic: the largest difference of the two cumulative shares. For other
values the total variation distance: half the sum of the differences of all shares. Both lie between 0 (alike) and 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

#: Of a larger side every n-th row is taken, so that at most twice as many values are held.
SAMPLE_ROWS = 500_000
#: A column of more different values than this has no distance of its categories.
MOST_VALUES = 1_000
MOST_NAMED = 20

#: The column of one side: a FROM clause with the columns ``c0, c1, ...`` and ``row``, and the name of the column.
Place = tuple[str, str]


@dataclass(frozen=True)
class Distance:
    """A distance with its numbers of values.

    Attributes:
        chance: what two samples of one source stay under. For Kolmogorov-Smirnov the bound that 95 % keep
            (1.358 sqrt((n + m) / nm), Smirnov 1948); for total variation the mean under no change.
        gained, lost: values that stand only in the later, or only in the earlier version (at most 20).
    """

    name: str
    value: float
    chance: float
    n_before: int
    n_after: int
    gained: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def distance_of(connection: duckdb.DuckDBPyConnection, before: Place, after: Place) -> Distance | None:
    """Return the distance of two columns of one type; None where neither sort of distance fits."""
    kind = connection.execute(f"SELECT typeof({before[1]}) FROM {before[0]} LIMIT 1").fetchall()
    if not kind:
        return None
    if kind[0][0] in ("VARCHAR", "BOOLEAN"):
        return _total_variation(connection, before, after)
    number = "epoch({})" if kind[0][0].startswith(("TIMESTAMP", "DATE")) else "CAST({} AS DOUBLE)"
    return kolmogorov_smirnov(_numbers(connection, before, number), _numbers(connection, after, number))


def kolmogorov_smirnov(before: NDArray[np.float64], after: NDArray[np.float64]) -> Distance | None:
    """Return the two-sample statistic of two arrays of any order, without missing values."""
    n, m = len(before), len(after)
    if not n or not m:
        return None
    before, after = np.sort(before), np.sort(after)
    values = np.concatenate([before, after])
    gaps = np.searchsorted(before, values, side="right") / n - np.searchsorted(after, values, side="right") / m
    return Distance(
        "Kolmogorov-Smirnov", float(np.abs(gaps).max()), min(1.0, 1.358 * math.sqrt((n + m) / (n * m))), n, m
    )


def _numbers(connection: duckdb.DuckDBPyConnection, place: Place, number: str) -> NDArray[np.float64]:
    source, column = place
    count = connection.execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    step = max(1, count // SAMPLE_ROWS)
    found = connection.execute(
        f"SELECT {number.format(column)} AS value FROM {source} "
        f"WHERE {column} IS NOT NULL AND NOT isnan({number.format(column)}) AND row % {step} = 0"
    ).fetchnumpy()["value"]
    return np.asarray(found, dtype=np.float64)


def _total_variation(connection: duckdb.DuckDBPyConnection, before: Place, after: Place) -> Distance | None:
    sides = []
    for source, column in (before, after):
        about = connection.execute(f"SELECT approx_count_distinct({column}) FROM {source}").fetchall()[0][0]
        if about > 2 * MOST_VALUES:
            return None
        counted = connection.execute(
            f"SELECT CAST({column} AS VARCHAR), count(*) FROM {source} WHERE {column} IS NOT NULL "
            f"GROUP BY ALL LIMIT {MOST_VALUES + 1}"
        ).fetchall()
        if not counted or len(counted) > MOST_VALUES:
            return None
        sides.append(dict(counted))
    one, other = sides
    n, m = sum(one.values()), sum(other.values())
    values = sorted(one.keys() | other.keys())
    share = [(one.get(value, 0) / n, other.get(value, 0) / m) for value in values]
    pooled = [(one.get(value, 0) + other.get(value, 0)) / (n + m) for value in values]
    chance = 0.5 * sum(math.sqrt(2 / math.pi * p * (1 - p) * (1 / n + 1 / m)) for p in pooled)
    return Distance(
        "total variation",
        0.5 * math.fsum(abs(p - q) for p, q in share),
        min(1.0, chance),
        n,
        m,
        gained=[value for value in values if value not in one][:MOST_NAMED],
        lost=[value for value in values if value not in other][:MOST_NAMED],
    )
