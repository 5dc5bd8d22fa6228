"""Read a Parquet file: whole, with flat columns or arrays of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from workers.datasets.canonical import canonical_batch, canonical_schema
from workers.datasets.formats.limits import RunningBytes, check_bytes, check_columns, check_names
from workers.datasets.reading import open_table, row_bytes, rows_of_batch
from workers.datasets.upload import Upload
from workers.protocol import JobError

_MAGIC = b"PAR1"


def open_upload(path: Path) -> Upload:
    """Read the footer; the rows come in canonical types.

    Raises:
        JobError: codes ``parquet_cut``, ``parquet_damaged``, ``too_many_columns``, ``too_large``,
            ``duplicate_columns``, ``type_not_supported`` (column); from the rows, ``value_does_not_fit_type`` (row).
    """
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(_MAGIC)))
        if stream.read() != _MAGIC or path.stat().st_size < 12:
            raise JobError(
                "parquet_cut",
                f"The Parquet file is cut: it begins as one, but ends after {path.stat().st_size:,} bytes without its "
                "footer. Upload it again.",
                place=f"byte {path.stat().st_size}",
            )
    try:
        with open_table(path) as file:
            metadata = file.metadata
            check_columns(metadata.num_columns)
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
            check_bytes(sum(group.total_byte_size for group in groups))
            found = file.schema_arrow
            check_names(list(found.names))
    except (pa.ArrowException, OSError, UnicodeError) as error:  # also names that are not UTF-8
        raise _damaged(str(error)) from error
    return Upload("parquet", canonical_schema(found), lambda: _batches(path, metadata.num_rows), metadata.num_rows)


def _batches(path: Path, row_count: int) -> Iterator[pa.RecordBatch]:
    unpacked = RunningBytes()
    rows = 0
    try:
        with open_table(path) as file:
            for batch in file.iter_batches(batch_size=rows_of_batch(row_bytes(file.schema_arrow))):
                batch.validate(full=True)  # texts that are not UTF-8, offsets that point outside
                unpacked.add(batch.nbytes)
                yield canonical_batch(batch, first_row=rows)
                rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(str(error)) from error
    if rows != row_count:
        raise _damaged(f"its footer says {row_count:,} rows and its pages hold {rows:,}")


def _damaged(why: str) -> JobError:
    return JobError("parquet_damaged", f"The Parquet file is damaged: {why}.", place="file")
