"""Rules about the order of the rows: columns that only rise, or only fall, from row to row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from validators.engine.suggestion.candidate import Candidate
from validators.engine.suggestion.profile import ColumnProfile, Reader, TableProfile

#: Rows and different values from which an order is none of chance.
_LEAST_ROWS, _LEAST_DISTINCT = 50, 20


def rules(table: TableProfile, reader: Reader, keys: Sequence[str]) -> Iterator[Candidate]:
    """Propose columns that rise or fall through the whole file; only in a key no value may come twice in a row."""
    columns = [(column, direction) for column in table.columns if (direction := _direction(table, column))]
    if not columns:
        return
    # Windows without an order keep that of the file and stream, where rows are read in order.
    expressions, asked = [], []
    for column, direction in columns:
        before, here = f"before{column.place}", column.sql
        sign = ">" if direction > 0 else "<"
        expressions += [f"count(*) FILTER (WHERE {before} {sign} {here})", f"count(*) FILTER (WHERE {before} = {here})"]
        asked.append(f"{column.sql}, lag({column.sql}) OVER () AS {before}")
    row = reader.in_order(f"SELECT {', '.join(expressions)} FROM (SELECT {', '.join(asked)} FROM {{relation}})")
    for place, (column, direction) in enumerate(columns):
        against, equal = row[2 * place], row[2 * place + 1]
        if against:
            continue
        kwargs = {"column": column.name} | ({"strictly": True} if column.name in keys and not equal else {})
        yield Candidate(
            f"expect_column_values_to_be_{'increasing' if direction > 0 else 'decreasing'}",
            kwargs,
            "info",
            column.name,
            f"From the first to the last of {table.rows:,} rows it never goes the other way.",
            {"rows": table.rows, "against": against, "equal": equal},
        )


def _direction(table: TableProfile, column: ColumnProfile) -> int:
    """Return 1 or -1 for a column whose sample rises or falls, 0 for any other."""
    if column.kind not in ("integer", "number", "moment") or column.missing or table.rows < _LEAST_ROWS:
        return 0
    if column.distinct < _LEAST_DISTINCT or column.role in ("target", "metadata") or column.infinite:
        return 0
    before, after = column.values[:-1], column.values[1:]
    if bool(np.all(before <= after)):
        return 1
    return -1 if bool(np.all(before >= after)) else 0
