"""Read the table of a data set version a batch at a time, for jobs that never hold all of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import CHUNK_ROWS, canonical_batch, canonical_schema, is_tensor
from workers.datasets.stored import StoredArrayType
from workers.protocol import JobError

#: What the values of one batch take at most, where one can choose; a few of them are in memory at once.
BATCH_BYTES = 64 * 1024**2
#: Read at once from a file, of all columns together and of one.
_BUFFER_BYTES = 64 * 1024**2
_MAX_COLUMN_BUFFER_BYTES = 1024**2
#: What a text is taken to need, of which the type says nothing.
_TEXT_BYTES = 32


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
    columns = max(1, pq.read_metadata(path).num_columns)
    buffer = min(_MAX_COLUMN_BUFFER_BYTES, max(1, _BUFFER_BYTES // columns))
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=buffer, page_checksum_verification=True)


def row_bytes(schema: pa.Schema) -> int:
    """Return about what one row takes in memory."""
    return sum(_value_bytes(field.type) for field in schema)


def rows_of_batch(bytes_of_row: int) -> int:
    """Return how many rows of a size one batch has, at most a chunk of them."""
    return max(1, min(CHUNK_ROWS, BATCH_BYTES // max(1, bytes_of_row)))


def _value_bytes(data_type: pa.DataType) -> int:
    if is_tensor(data_type):
        return int(math.prod(data_type.shape)) * _value_bytes(data_type.value_type)
    if isinstance(data_type, StoredArrayType):
        return int(data_type.storage_type.byte_width)
    if pa.types.is_fixed_size_list(data_type):
        return int(data_type.list_size) * _value_bytes(data_type.value_type)
    try:
        return max(1, int(data_type.bit_width) // 8)
    except ValueError:  # what Arrow says of a type whose values differ in size
        return _TEXT_BYTES


def shape_of(path: Path) -> tuple[pa.Schema, int]:
    """Return the canonical Arrow schema of a table and its number of rows; no row is read.

    Raises:
        JobError: code ``table_damaged``, when the file is no Parquet.
    """
    try:
        with open_table(path) as file:
            return canonical_schema(file.schema_arrow), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise JobError(
            "table_damaged", f"The table of the data set cannot be read: {error}.", place=path.name
        ) from error
