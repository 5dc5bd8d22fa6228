"""DuckDB over canonical Parquet: the one place where SQL meets a file, and where names of columns do not meet SQL.

Columns may be named anything: quotes, newlines, SQL, two that differ in case only. Queries therefore never see a name:
``relation_sql`` gives the columns as ``c0``, ``c1``, ... in the order of the file, and the number of the row as
``row``. Values go into queries as bound parameters.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: What one connection holds in memory before it spills into its folder.
MEMORY_BYTES = 1024**3


def connect(folder: Path, *, memory_bytes: int | None = None, threads: int | None = None) -> DuckDBPyConnection:
    """Open a database in memory that spills into ``folder`` (made if it is not there).

    SQL reads and writes files beside and below ``folder`` only, which in a job is the job's own folder; it installs
    and loads no extension, and moments with a zone are in UTC. The order of rows is not kept unless a query states one.

    Args:
        folder: where what does not fit into memory goes; it is empty again when the connection is closed.
        memory_bytes: the most that is held in memory (default: 1 GiB).
        threads: how many threads a query takes (default: the cores that this process may use).
    """
    import duckdb

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{MEMORY_BYTES if memory_bytes is None else memory_bytes} B",
            "threads": len(os.sched_getaffinity(0)) if threads is None else threads,
            "temp_directory": str(folder),
            # Outside of what may be written, so that INSTALL ends before it looks for a network.
            "extension_directory": os.devnull,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "preserve_insertion_order": "false",
        },
    )
    connection.execute(f"SET allowed_directories = [{_literal(str(folder.parent))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET TimeZone = 'UTC'")
    # The footer of a table with a thousand columns takes longer to read than one of its columns.
    connection.execute("SET parquet_metadata_cache = true")
    # The statistics of Parquet leave NaN out, and the optimizer concludes from them that there is none: isnan() of a
    # NaN comes out false.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    # Else a long query draws a bar on standard output, which is the log of the job.
    connection.execute("SET enable_progress_bar = false")
    return connection


def relation_sql(path: Path, names: Sequence[str]) -> str:
    """Return what stands after FROM to read a Parquet file: columns ``c0``, ``c1``, ... and ``row`` (BIGINT from 0).

    Args:
        path: a Parquet file that the connection may read.
        names: the columns of the file, all of them and in order, by which the caller knows what ``c0`` is.

    Raises:
        ValueError: when the file has other columns.
    """
    found = pq.read_schema(path).names
    if list(names) != found:
        raise ValueError(f"The file {path.name} has the columns {found[:20]}, not {list(names)[:20]}.")
    columns = ", ".join(f"c{number}" for number in range(len(found)))
    # Read as a virtual column: the option of the same name refuses a file with a column that is called so.
    file = f"read_parquet({_literal(str(path.resolve()))}, hive_partitioning = false)"
    return f"(SELECT *, file_row_number AS row FROM {file} AS file({columns})) AS data"  # noqa: S608 - quoted, and numbers


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
