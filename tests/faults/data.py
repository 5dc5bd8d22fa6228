"""A runner that queries a data set with little memory, to see what DuckDB does in the sandbox of a job."""

from __future__ import annotations

from typing import Any

import duckdb

from workers.context import JobContext
from workers.datasets.duck import connect, relation_sql


def run(context: JobContext) -> dict[str, Any]:
    """Sort more than fits into memory; answer how much was spilled and what a look outside came to."""
    work = context.folder / "work"
    table = relation_sql(context.input("dataset"), ["n"])
    with connect(work, memory_bytes=24 * 1024**2) as connection:
        connection.execute(f"CREATE TEMP TABLE large AS SELECT md5(c0::VARCHAR) AS text, row FROM {table}, range(5)")
        spilled = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
        rows = connection.execute("SELECT count(DISTINCT text) FROM large").fetchall()[0][0]
        try:
            connection.execute("SELECT * FROM read_text('/etc/hostname')")
            outside = "read"
        except duckdb.Error as error:
            outside = type(error).__name__
    return {"rows": rows, "spilled_bytes": spilled, "outside": outside}
