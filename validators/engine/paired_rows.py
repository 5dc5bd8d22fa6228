"""Two tables whose rows are paired, read beside each other block by block, so that no join holds both of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import canonical_schema
from workers.datasets.duck import relation_sql
from workers.datasets.reading import row_bytes
from workers.datasets.schema import Schema

#: Rows of the earlier table whose columns are held at once have so many bytes.
BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Side:
    """One of the two tables: its file, its schema, and the name that each column has in SQL."""

    path: Path
    schema: Schema
    types: dict[str, pa.DataType]
    row_count: int

    @classmethod
    def of(cls, path: Path, schema: Schema) -> Self:
        file = pq.ParquetFile(path)
        arrow = canonical_schema(file.schema_arrow)
        return cls(path, schema, dict(zip(arrow.names, arrow.types, strict=True)), file.metadata.num_rows)

    @property
    def sql(self) -> str:
        return f"(SELECT * FROM {relation_sql(self.path, list(self.types))})"

    def column(self, name: str) -> str:
        return f"c{list(self.types).index(name)}"

    def between(self, first: int, last: int) -> str:
        """Return what stands after FROM to read some rows; the others are skipped in the file."""
        return f"(SELECT * FROM {self.sql} WHERE row BETWEEN {first} AND {last})"


@dataclass(frozen=True)
class Block:
    """Some paired rows: the first and the last of them in each table."""

    before: tuple[int, int]
    after: tuple[int, int]


def blocks(connection: duckdb.DuckDBPyConnection, before: Side) -> list[Block]:
    """Return the blocks of the table ``pairs`` (before, after), in the order of the earlier table.

    Where the order of the rows is the same in both tables, each block is a short stretch of either; else a block looks
    for its rows in all of the later one.
    """
    rows = max(1, BLOCK_BYTES // max(1, row_bytes(pa.schema(before.types.items()))))
    found = connection.execute(
        "SELECT min(before), max(before), min(after), max(after) FROM pairs "
        f"GROUP BY before // {rows} ORDER BY before // {rows}"
    ).fetchall()
    return [Block((first, last), (low, high)) for first, last, low, high in found]


def beside(connection: duckdb.DuckDBPyConnection, block: Block, before: Side, after: Side, names: Sequence[str]) -> str:
    """Return what stands after FROM to read the pairs of a block: as ``b`` with ``before``, ``after`` and some columns
    of the earlier table, and as ``a`` the later one.

    What the earlier table has of the block is held until the next one is asked for.
    """
    columns = ", ".join(f"t.{before.column(name)}" for name in names)
    first, last = block.before
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE block AS SELECT p.before, p.after, {columns} FROM "
        f"(SELECT * FROM pairs WHERE before BETWEEN {first} AND {last}) AS p "
        f"JOIN {before.between(first, last)} AS t ON t.row = p.before"
    )
    return f"FROM block AS b JOIN {after.between(*block.after)} AS a ON a.row = b.after"
