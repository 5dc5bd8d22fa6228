"""A data set version as detectors read it: whole by SQL, or a sample of its rows as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from validators.engine.validation import text_of
from workers.datasets.canonical import canonical_array, is_tensor, one_array
from workers.datasets.duck import relation_sql
from workers.datasets.schema import Column, Schema

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Rows read at once.
BLOCK_ROWS = 65_536
#: Values that one statement aggregates at once where it has to hold them: some 160 MB.
BLOCK_VALUES = 20_000_000
#: Columns that one statement reads.
BLOCK_COLUMNS = 100
#: Numbers that a sample holds at most: some 240 MB.
SAMPLE_VALUES = 30_000_000
#: Whole numbers of more different values than this are measured, not named.
MOST_INTEGER_CLASSES = 50
MOST_CLASSES = 1_000
#: With fewer different values a column of numbers is a set of codes.
FEWEST_NUMBERS = 10

NUMBER_TYPES = ("float", "integer", "decimal")
MOMENT_TYPES = ("date", "datetime")
#: What says something about a row; an id, a time, a part and what was derived at import are told apart.
CONTENT_ROLES = ("feature", "protected")


@dataclass(frozen=True)
class Sample:
    """Some rows of a version: which, and their columns."""

    table: pa.Table
    rows: NDArray[np.int64]
    is_whole: bool

    @property
    def count(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.Array:
        """Return a column in canonical form, in one piece."""
        return canonical_array(one_array(self.table.column(name)), name=name)


@dataclass(frozen=True)
class Target:
    """The classes of the target, most frequent first, or why it has none."""

    name: str
    counts: dict[str, int]
    why_not: str = ""


class Screened:
    """One version: its file, its schema, and a connection that reads it.

    Attributes:
        ref: as people write it.
        count: rows in all.
    """

    def __init__(self, path: Path, schema: Schema, duck: DuckDBPyConnection, *, ref: str) -> None:
        self.path = path
        self.schema = schema
        self.ref = ref
        self._duck = duck
        self._file = pq.ParquetFile(path)
        # Asked for once: Arrow makes the schema anew at every look.
        self._arrow: pa.Schema = self._file.schema_arrow
        self.names: list[str] = self._arrow.names
        self._places = {name: f"c{number}" for number, name in enumerate(self.names)}
        self.count: int = self._file.metadata.num_rows
        self.relation = relation_sql(path, self.names)

    # ------------------------------------------------------------------------------------------------- columns
    def place(self, name: str) -> str:
        """Return what a column is called in SQL."""
        return self._places[name]

    def columns(self, *, roles: Sequence[str], types: Sequence[str] = ()) -> list[str]:
        """Return the columns of some roles and types (all when there are none), in the order of the file."""
        described = self.schema.columns
        return [
            name
            for name in self.names
            if name in described and described[name].role in roles and (not types or described[name].type in types)
        ]

    def described(self, name: str) -> Column:
        return self.schema.columns[name]

    def stored_as(self, name: str) -> pa.DataType:
        return self._arrow.field(name).type

    def is_scalar(self, name: str) -> bool:
        """Tell whether a column holds one value a row, and not an array."""
        return not is_tensor(self.stored_as(name))

    def is_text(self, name: str) -> bool:
        """Tell whether a column holds one text a row."""
        kind = self.stored_as(name)
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))

    def numbers(self, roles: Sequence[str] = (*CONTENT_ROLES, "metadata")) -> list[str]:
        """Return the columns that hold one measured number a row: codes of few values are none."""
        names = [name for name in self.columns(roles=roles, types=NUMBER_TYPES) if self.is_scalar(name)]
        return [name for name in names if self.distinct[name] >= FEWEST_NUMBERS]

    @cached_property
    def distinct(self) -> dict[str, int]:
        """About how many different values each scalar column has (HyperLogLog)."""
        names = [name for name in self.names if self.is_scalar(name)]
        found: dict[str, int] = {}
        for group in blocks(names, BLOCK_COLUMNS):
            counts = ", ".join(f"approx_count_distinct({self.place(name)})" for name in group)
            found.update(zip(group, self.one(f"SELECT {counts} FROM {self.relation}"), strict=True))
        return found

    @cached_property
    def target(self) -> Target | None:
        """The classes that the target names; None where no column is the target."""
        name = self.schema.target
        if name is None or name not in self.names:
            return None
        described = self.described(name)
        most = MOST_INTEGER_CLASSES if described.type in NUMBER_TYPES else MOST_CLASSES
        if not self.is_scalar(name) or described.type in MOMENT_TYPES:
            return Target(name, {}, f"The target {name!r} is of the type {described.type}, which names no class.")
        place = self.place(name)
        lines = self.all(
            f"SELECT {place}, count(*) FROM {self.relation} WHERE {place} IS NOT NULL "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {most + 1}"
        )
        counts = {text_of(value): int(count) for value, count in lines}
        if len(counts) > most or (len(counts) > 2 and len(counts) > self.count / 2):
            return Target(name, {}, f"The target {name!r} has too many different values to be classes.")
        return Target(name, counts)

    # ----------------------------------------------------------------------------------------------------- SQL
    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return every line of a statement; values are bound, never written."""
        return self._duck.execute(sql, list(parameters)).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Return the one line of a statement."""
        (line,) = self.all(sql, parameters)
        return line

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the lines of a statement in batches."""
        yield from self._duck.sql(sql, params=list(parameters)).to_arrow_reader(BLOCK_ROWS)

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement for what it makes."""
        self._duck.execute(sql, list(parameters))

    # ---------------------------------------------------------------------------------------------------- rows
    def sample(self, names: Sequence[str], limit: int, generator: np.random.Generator) -> Sample:
        """Return columns of at most so many rows, drawn without replacement and kept in their order."""
        limit = self.sample_size(names, limit)
        if limit >= self.count:
            rows = np.arange(self.count, dtype=np.int64)
        else:
            rows = np.sort(generator.choice(self.count, limit, replace=False, shuffle=False)).astype(np.int64)
        parts = []
        for first, batch in self.batches(names):
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if high > low:
                parts.append(batch.take(pa.array(rows[low:high] - first)))
        schema = pa.schema([self._arrow.field(name) for name in names])
        return Sample(pa.Table.from_batches(parts, schema), rows, limit >= self.count)

    def sample_size(self, names: Sequence[str], limit: int) -> int:
        """Return how many rows a sample of columns has: at most so many, and no more than memory is meant to hold."""
        width = sum(max(1, self.described(name).width) if name in self.schema.columns else 1 for name in names)
        return min(limit, self.count, max(1, SAMPLE_VALUES // max(1, width)))

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the number of the first row and the columns, block by block."""
        first = 0
        for group in range(self._file.num_row_groups):
            read = self._file.read_row_group(group, columns=list(names)).select(list(names))
            for batch in read.to_batches(max_chunksize=BLOCK_ROWS):
                yield first, batch
                first += batch.num_rows


def blocks(names: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield names in groups of at most so many."""
    for start in range(0, len(names), size):
        yield list(names[start : start + size])
