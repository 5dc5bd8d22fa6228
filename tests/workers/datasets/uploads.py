"""Uploads, tables and profiles as a whole, for tests that look at all of it at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from workers.datasets.arrays import write_table
from workers.datasets.canonical import canonical_table
from workers.datasets.fitting import fit
from workers.datasets.formats import Upload
from workers.datasets.formats import open_upload as opened
from workers.datasets.profile import profile_of
from workers.datasets.schema import Schema


def read_upload(path: Path, *, filename: str, stated_columns: frozenset[str] = frozenset()) -> pa.Table:
    """Read all rows of an upload."""
    upload = opened(path, filename=filename, stated_columns=stated_columns)
    table = pa.Table.from_batches(upload.batches(), upload.schema)
    assert upload.row_count in (None, table.num_rows)
    return table


def upload_of(kind: str, table: pa.Table, *, batch_rows: int | None = None) -> Upload:
    """Return an upload that holds a table."""
    table = canonical_table(table)
    return Upload(kind, table.schema, lambda: iter(table.to_batches(batch_rows)), table.num_rows)


def fitted(
    kind: str, table: pa.Table, stated: Any | None = None, *, batch_rows: int | None = None
) -> tuple[pa.Table, Schema]:
    """Return the table of an upload in the types of its schema, and the schema."""
    fitting = fit(upload_of(kind, table, batch_rows=batch_rows), stated)
    return pa.Table.from_batches(fitting.batches(), fitting.types), fitting.schema()


def profile_of_table(table: pa.Table, schema: Schema | None = None) -> dict[str, dict[str, Any]]:
    """Profile a table through a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(table, path)
        return profile_of(path, work=Path(folder) / "work", schema=schema)
