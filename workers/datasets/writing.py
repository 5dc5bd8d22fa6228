"""Write a table that never is in memory as a whole: canonical Parquet, its digest and its number of rows in one go."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import (
    CHUNK_ROWS,
    canonical_batch,
    canonical_schema,
    digest_of_tree,
    is_tensor,
    leaf_digest,
    thread_count,
    type_word,
)
from workers.datasets.reading import row_bytes
from workers.datasets.stored import StoredArrayType, as_stored, stored_schema

#: Rows that Arrow encodes at once, and the arrays of one page in bytes.
_ENCODED_ROWS, _PAGE_BYTES = 1024, 1024**2
#: The output of a job in which the digest tree of its table is kept, to tell where two versions differ.
TREE_FILE = "tree.json"
MAX_TREE_ENTRIES = 200_000
#: A larger chunk is finished before the next one is gathered, so that one of them is in memory.
_PIPELINED_BYTES = 128 * 1024**2


class TableWriter:
    """Takes batches of any size and writes row groups of 65,536 rows, which are the chunks of the digest as well.

    The same content gives the same bytes, whatever the batches were, with the same version of Arrow. While one chunk is
    encoded and hashed, the next one is gathered: two chunks are in memory at most, and one of large rows. Used in a
    ``with`` block; when that ends with an error, the file is removed. Digest and tree are whole after the block.

    Args:
        path: where the Parquet goes.
        schema: canonical, as ``canonical_schema`` makes it.

    Raises:
        ValueError: when the schema is not canonical, or a batch has other columns.
        JobError: code ``value_does_not_fit_type`` with column and row, for a batch of other types that does not fit.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        if not schema.equals(canonical_schema(schema), check_metadata=True):
            raise ValueError(f"The schema is not canonical: {schema}")
        self.path = path
        self.schema = schema
        self.row_count = 0
        self._tree: dict[str, list[str]] = {field.name: [type_word(field.type)] for field in schema}
        self._file = _parquet_writer(path, schema)
        self._hashing = ThreadPoolExecutor(thread_count(), "digest")
        self._encoding = ThreadPoolExecutor(1, "parquet")
        self._gathered: list[pa.RecordBatch] = []
        self._gathered_rows = 0
        self._leaves: list[Future[str]] = []
        self._written: Future[None] | None = None

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take the next rows."""
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else (rows,):
            if batch.schema.names != self.schema.names:
                raise ValueError(f"The rows have the columns {batch.schema.names}, not {self.schema.names}")
            self._gather(canonical_batch(batch, first_row=self.row_count))

    @property
    def tree(self) -> dict[str, list[str]]:
        """The digest tree (see ``canonical.digest_tree``)."""
        return self._tree

    @property
    def content_digest(self) -> str:
        """``sha256:<hex>`` of the content."""
        return digest_of_tree(self._tree)

    def write_tree(self, path: Path) -> None:
        """Write the digest tree as JSON: column -> [canonical type, digest of each chunk].

        A tree of more than 200,000 chunks (1,000 columns of 13 million rows) is larger than the JSON that a job may
        leave, and is not written; the digest does without it, and so does everybody who reads both tables.
        """
        if sum(map(len, self._tree.values())) <= MAX_TREE_ENTRIES:
            path.write_text(json.dumps(self._tree, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._gathered_rows or not self.row_count:
                    self._flush()
                self._settle()
        except BaseException:
            kind = BaseException
            raise
        finally:
            self._hashing.shutdown(cancel_futures=True)
            self._encoding.shutdown(cancel_futures=True)
            self._file.close()
            if kind is not None:
                self.path.unlink(missing_ok=True)

    def _gather(self, batch: pa.RecordBatch) -> None:
        self.row_count += batch.num_rows
        while batch.num_rows:
            part = batch.slice(0, CHUNK_ROWS - self._gathered_rows)
            self._gathered.append(part)
            self._gathered_rows += part.num_rows
            batch = batch.slice(part.num_rows)
            if self._gathered_rows == CHUNK_ROWS:
                self._flush()

    def _flush(self) -> None:
        """Give what is gathered to the threads, once they have finished with the chunk before."""
        chunk = pa.Table.from_batches(self._gathered, self.schema)
        self._gathered, self._gathered_rows = [], 0
        self._settle()
        self._written = self._encoding.submit(self._file.write_table, as_stored(chunk), CHUNK_ROWS)
        empty = [pa.array([], pa.null())]
        self._leaves = [self._hashing.submit(leaf_digest, column.chunks or empty) for column in chunk.columns]
        if chunk.nbytes > _PIPELINED_BYTES:
            self._settle()

    def _settle(self) -> None:
        for name, leaf in zip(self._tree, self._leaves, strict=False):
            self._tree[name].append(leaf.result())
        self._leaves = []
        if self._written is not None:
            self._written.result()
            self._written = None


def _parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file for canonical tables. Pictures get a fast compression, and arrays no dictionary: both save little.

    Arrow cuts no page within what it encodes at once, which is bounded where arrays make a row wide.
    """
    stored = stored_schema(schema)
    pictures = {field.name for field in stored if isinstance(field.type, StoredArrayType)}
    return pq.ParquetWriter(
        path,
        stored,
        compression={name: "snappy" if name in pictures else "zstd" for name in stored.names},
        use_dictionary=[field.name for field in schema if not is_tensor(field.type)],
        write_batch_size=max(1, min(_ENCODED_ROWS, _PAGE_BYTES // row_bytes(stored))),
        version="2.6",
    )
