"""The table that is profiled, as DuckDB sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class ProfiledTable:
    """A connection and what stands after FROM (see ``duck.relation_sql``)."""

    connection: DuckDBPyConnection
    relation: str

    def rows(self, query: str, **parts: str | int) -> list[tuple[Any, ...]]:
        """Run a query, written with ``{table}`` and the names of other parts in it; none of them is a value."""
        return self.connection.execute(query.format(table=self.relation, **parts)).fetchall()

    def ordered(self, expression: str, *, grouped: bool) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Yield the values of a column that are there from the lowest to the highest, and how often each comes.

        ``grouped`` is for columns with few different values; for others it is cheaper to order all of them, and a
        value that comes twice is yielded twice.
        """
        sql = f"SELECT v, count(*) AS n FROM (SELECT {expression} AS v FROM {self.relation}) GROUP BY v"  # noqa: S608
        if not grouped:
            sql = f"SELECT {expression} AS v, 1::BIGINT AS n FROM {self.relation}"  # noqa: S608
        query = f"SELECT v, n FROM ({sql}) WHERE v IS NOT NULL ORDER BY v"  # noqa: S608 - columns are numbered
        for batch in self.connection.sql(query).to_arrow_reader(_BATCH_ROWS):
            yield batch.column(0).to_numpy(), batch.column(1).to_numpy()


def value_sql(place: int, *, is_float: bool) -> str:
    """Return the values of a column, with NaN as a missing value and one zero."""
    return f"CASE WHEN isnan(c{place}) THEN NULL ELSE c{place} + 0.0 END" if is_float else f"c{place}"
