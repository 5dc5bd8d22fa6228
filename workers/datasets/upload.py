"""What every format gives: the columns of an upload, and its rows a batch at a time, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

import pyarrow as pa

from workers.datasets.schema import Schema

#: Is told how much of a file is read before its rows come, in files or in bytes: ``progress(done, total)``.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Upload:
    """An upload that was opened, not read.

    Attributes:
        kind: ``csv``, ``parquet``, ``arrow``, ``npz`` or ``files``.
        schema: the columns in the order of the file, in canonical types; those of a CSV are all texts.
        batches: starts one pass over all rows, in canonical types.
        row_count: None where only a pass tells.
        known: of an archive of files, the schema of all columns as the reader knows them: it holds where no other is
            stated, and its metadata in any case.
        notes: what the reader did to a column, as a sentence.
    """

    kind: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    row_count: int | None = None
    known: Schema | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def without(self, names: Set[str]) -> Upload:
        """Return the upload without some of its columns."""
        kept = [name for name in self.names if name not in names]
        if len(kept) == len(self.names):
            return self
        schema = pa.schema([self.schema.field(name) for name in kept])
        return replace(self, schema=schema, batches=lambda: (batch.select(kept) for batch in self.batches()))
