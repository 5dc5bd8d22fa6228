"""The files that a cleaning leaves, written as the rows come."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import CHUNK_ROWS

CLEAN_FILE = "clean.parquet"
QUARANTINE_FILE = "quarantine.parquet"
CHANGES_FILE = "changes.parquet"
FLAGS_FILE = "flags.parquet"
REPORT_FILE = "report.json"

FLAGS = pa.schema(
    [
        ("row", pa.int64()),
        ("clean_row", pa.int64()),
        ("step", pa.int64()),
        ("expectation", pa.string()),
        ("reason", pa.string()),
    ]
)


class EvidenceWriter:
    """Takes small tables as they come and writes them as Parquet in row groups of 65,536 rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", version="2.6")
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        if self._pending_rows >= CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending), row_group_size=CHUNK_ROWS)
        self._pending, self._pending_rows = [], 0


def marked_schema(marks: pa.Schema, table: pa.Schema) -> pa.Schema:
    """Return the columns of rows that left: the marks, named unlike any column of the table, then its own."""
    prefix = ""
    while any(f"{prefix}{name}" in table.names for name in marks.names):
        prefix += "_"
    return pa.schema([*(field.with_name(f"{prefix}{field.name}") for field in marks), *table])
