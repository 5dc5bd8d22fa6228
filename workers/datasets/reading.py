"""Read the table of a data set version a batch at a time, for jobs that never hold all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import CHUNK_ROWS, canonical_batch
from workers.protocol import JobError

#: Read at once from the file of one column.
_BUFFER_BYTES = 1024**2


def read_batches(
    path: Path, *, columns: Sequence[str] | None = None, batch_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield canonical batches in the order of the rows, of ``batch_rows`` rows but for the last one.

    Args:
        path: the canonical Parquet of a data set version.
        columns: the names of those that are needed, in the order that is wanted; None for all.

    Raises:
        JobError: codes ``table_damaged``, when the file is not whole, and ``column_missing``.
    """
    try:
        with open_table(path) as file:
            names = list(file.schema_arrow.names if columns is None else columns)
            for name in names:
                if name not in file.schema_arrow.names:
                    raise JobError("column_missing", f"The table has no column {name!r}.", place=name)
            first_row = 0
            for batch in file.iter_batches(batch_size=batch_rows, columns=names):
                # Parquet takes "image" for "image.width" as well, so that more may come than was asked for.
                yield canonical_batch(batch.select(names), first_row=first_row)
                first_row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise JobError(
            "table_damaged", f"The table of the data set cannot be read: {error}.", place=path.name
        ) from error


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file so that reading it holds a few pages of a column, not whole row groups."""
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
