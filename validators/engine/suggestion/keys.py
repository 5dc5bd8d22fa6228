"""Rules about what never repeats: keys of one column, and of two or three together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validators.engine.suggestion.candidate import Candidate
from validators.engine.suggestion.profile import ColumnProfile, Reader, TableProfile

_LEAST_ROWS = 20
#: Expected repetitions: so many that there would be some by chance, or so few that there will be none.
_BY_DESIGN, _NEVER = 14, 1e-6
#: Columns that may be parts of a key, columns of a key, and keys that are proposed.
_MOST_PARTS, _MOST_COLUMNS, _MOST_KEYS = 10, 3, 2
_READ_FOR_LETTERS = 5_000


def single(table: TableProfile, reader: Reader) -> Iterator[Candidate]:
    """Propose columns that identify a row: by their role, or since no chance makes so many values differ."""
    for column in table.columns:
        if not _may_be_key(table, column):
            continue
        repeated = _repeated(reader, [column])
        if repeated:
            continue
        yield Candidate(
            "expect_column_values_to_be_unique",
            {"column": column.name},
            "critical" if column.role == "id" else "warning",
            column.name,
            f"All {column.present:,} values differ.",
            {"rows": column.present, "repeated": repeated},
        )


def compound(table: TableProfile, reader: Reader, keys: Sequence[str]) -> Iterator[Candidate]:
    """Propose the columns that identify a row together, where none does alone."""
    if keys or table.rows < 5 * _LEAST_ROWS:
        return
    parts = _parts(table)
    found: list[set[str]] = []
    for size in range(2, _MOST_COLUMNS + 1):
        for chosen in combinations(parts, size):
            names = {column.name for column in chosen}
            if len(found) >= _MOST_KEYS or any(key <= names for key in found):
                continue
            if not _is_by_design(table.rows, [column.distinct for column in chosen]) or _repeats_in_sample(chosen):
                continue
            if _repeated(reader, chosen):
                continue
            found.append(names)
            yield Candidate(
                "expect_compound_columns_to_be_unique",
                {"column_list": [column.name for column in chosen], "ignore_row_if": "any_value_is_missing"},
                "warning",
                chosen[0].name,
                f"In {table.rows:,} rows no two are alike; by chance some would be.",
                {"rows": table.rows, "different": {column.name: column.distinct for column in chosen}, "repeated": 0},
            )


def _may_be_key(table: TableProfile, column: ColumnProfile) -> bool:
    if column.kind not in ("integer", "text") or column.present < _LEAST_ROWS or column.is_known_text:
        return False
    if column.role == "id":
        return True
    values = table.of_sample(column)
    if column.role == "target" or column.distinct < 0.9 * column.fit_present or len(set(values)) < len(values):
        return False
    size = float(column.highest[0]) - float(column.lowest[0]) + 1 if column.kind == "integer" else _possible(values)
    expected = column.present**2 / (2 * size)
    return expected >= _BY_DESIGN or expected <= _NEVER


def _possible(values: NDArray[Any]) -> float:
    """Return how many different texts the letters at each place allow; prose (with spaces) has no such number."""
    texts = list(values[:_READ_FOR_LETTERS])
    if any(" " in text for text in texts):
        return math.nan
    shortest = min(len(text) for text in texts)
    return math.prod(float(len({text[place] for text in texts})) for place in range(min(shortest, 40)))


def _parts(table: TableProfile) -> list[ColumnProfile]:
    """Return the columns that may be part of a key, ids first, then those with the most different values."""
    usable = [
        column
        for column in table.columns
        if column.kind in ("integer", "text", "moment")
        and column.role not in ("target", "metadata", "ignore", "split")
        and column.present == table.rows
        and column.distinct > 1
        and not column.is_known_text
    ]
    return sorted(usable, key=lambda column: (column.role != "id", -column.distinct, column.place))[:_MOST_PARTS]


def _is_by_design(rows: int, different: Sequence[int]) -> bool:
    return rows**2 / (2 * math.prod(float(count) for count in different)) >= _BY_DESIGN


def _repeats_in_sample(columns: Sequence[ColumnProfile]) -> bool:
    codes = np.zeros(len(columns[0].values), dtype=np.int64)
    for column in columns:
        _, inverse = np.unique(column.values, return_inverse=True)
        _, codes = np.unique(codes * (int(inverse.max(initial=0)) + 1) + inverse, return_inverse=True)
    return len(np.unique(codes)) < len(codes)


def _repeated(reader: Reader, columns: Sequence[ColumnProfile]) -> int:
    """Return how many values (or combinations) come more than once, over all rows."""
    names = ", ".join(column.sql for column in columns)
    present = " AND ".join(f"NOT {column.missing_sql}" for column in columns)
    statement = (
        f"SELECT count(*) FROM (SELECT 1 FROM {reader.source} WHERE {present} GROUP BY {names} HAVING count(*) > 1)"
    )
    row = reader.connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
