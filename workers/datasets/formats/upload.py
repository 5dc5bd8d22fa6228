"""What every format gives: the columns of an upload, and its rows a batch at a time, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa


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
