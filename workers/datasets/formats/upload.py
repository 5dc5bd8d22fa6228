"""What every format gives: the columns of an upload, and its rows a batch at a time, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

#: Rows of one batch; fewer where the values of a row are large.
BATCH_ROWS = 65_536
#: What the values of one batch take at most, where a format can choose.
BATCH_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Upload:
    """An upload that was opened, not read.

    Attributes:
        kind: ``csv``, ``parquet``, ``arrow`` or ``npz``.
        schema: the columns in the order of the file, in canonical types; those of a CSV are all texts.
        batches: starts one pass over all rows, in canonical types.
        row_count: None where only a pass tells.
    """

    kind: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    row_count: int | None = None

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)


def batch_rows(row_bytes: int) -> int:
    """Return how many rows of a size one batch has."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, row_bytes)))
