"""Put rows that a cleaning took out back to their places, as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from validators.engine.removals import MARKS, Rows
from workers.context import JobContext
from workers.datasets.profile import profile_of
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch, shape_of
from workers.datasets.schema import Schema
from workers.datasets.showing import show
from workers.datasets.writing import TREE_FILE, TableWriter
from workers.protocol import JobError

TABLE_FILE = "table.parquet"


def run(context: JobContext) -> dict[str, Any]:
    """Make a table with some rows back.

    Inputs: ``base`` (the cleaned table, or one that has some rows back), ``quarantine`` (every row that left in the
    cleaning). Parameters: ``rows`` (the numbers of those that go back), ``restored`` (those that ``base`` has back),
    ``schema``. Outputs: ``table.parquet``, in the order of the table that was cleaned, ``tree.json``, and
    ``images-N.png`` with some pictures of each image column.

    Returns:
        ``content_digest``, ``row_count``, ``schema``, ``profile`` and ``media`` (``workers.datasets.showing``).

    Raises:
        JobError: code ``rows_unknown``, when a row is not in the quarantine or is back already.
    """
    wanted = np.unique(np.asarray(context.parameters["rows"], dtype=np.int64))
    restored = np.asarray(context.parameters["restored"], dtype=np.int64)
    base = context.input("base")
    types, base_count = shape_of(base)
    removed, back = _quarantined(context.input("quarantine"), types, wanted)
    unknown = np.union1d(np.setdiff1d(wanted, removed), np.intersect1d(wanted, restored))
    if len(unknown):
        detail = f"The rows {', '.join(map(str, unknown[:20]))} are not in the quarantine, or are back already."
        raise JobError("rows_unknown", detail, place="rows")
    numbers = _numbers_left(np.setdiff1d(removed, restored), base_count)
    schema, table = Schema.from_json(context.parameters["schema"]), context.output(TABLE_FILE)
    with TableWriter(table, types) as writer:
        start = 0
        for batch in read_batches(base, batch_rows=rows_of_batch(row_bytes(types))):
            context.progress(start, base_count, "rows", "putting rows back")
            stop = start + batch.num_rows
            # The rows that go before this batch's first one were taken along with the last batch.
            first = 0 if start == 0 else np.searchsorted(wanted, numbers[start])
            last = len(wanted) if stop == base_count else np.searchsorted(wanted, numbers[stop])
            writer.write(_merged(batch, numbers[start:stop], back.slice(first, last - first), wanted[first:last]))
            start = stop
        if not base_count:
            writer.write(back)
    writer.write_tree(context.output(TREE_FILE))
    return {
        "content_digest": writer.content_digest,
        "row_count": writer.row_count,
        "schema": schema.to_json(),
        "profile": profile_of(table, work=context.folder / "work", schema=schema, tell=context.progress),
        "media": show(table, schema, output=context.output),
    }


def _quarantined(path: Path, types: pa.Schema, wanted: Rows) -> tuple[Rows, pa.Table]:
    """Return the numbers of all rows that left, and those rows that are wanted, in order and without their marks."""
    names = pq.read_schema(path).names
    numbers: list[Rows] = []
    rows: list[pa.Table] = []
    columns = [names[0], *names[len(MARKS.names) :]]
    for batch in read_batches(path, columns=columns, batch_rows=rows_of_batch(row_bytes(types))):
        found = np.asarray(batch.column(0).to_numpy())
        numbers.append(found)
        own = pa.Table.from_batches([batch]).select(range(1, batch.num_columns))
        rows.append(own.filter(pa.array(np.isin(found, wanted))))
    together = pa.concat_tables([types.empty_table(), *rows])
    return np.concatenate([np.empty(0, dtype=np.int64), *numbers]), together


def _numbers_left(gone: Rows, count: int) -> Rows:
    """Return the numbers, in the table that was cleaned, of ``count`` rows that are left when some are gone."""
    stays = np.ones(count + len(gone), dtype=bool)
    stays[gone] = False
    return np.flatnonzero(stays).astype(np.int64)


def _merged(batch: pa.RecordBatch, numbers: Rows, back: pa.Table, wanted: Rows) -> pa.Table:
    """Return the rows of both, in the order of their numbers."""
    rows = pa.Table.from_batches([batch])
    if not len(wanted):
        return rows
    order = np.argsort(np.concatenate([numbers, wanted]), kind="stable")
    return pa.concat_tables([rows, back]).combine_chunks().take(pa.array(order))
