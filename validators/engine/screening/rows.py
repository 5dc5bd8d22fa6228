"""Every row that detectors name, in one Parquet file: row, detector, column, score, reason."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

ROWS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("detector", pa.string()),
        ("column", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
    ]
)

#: A sentence a row, also as Arrow has them.
Reasons: TypeAlias = "Sequence[str] | pa.StringArray"

#: Rows of a detector that its result shows; the file has all of them.
TOP_ROWS = 20


class RowsFile:
    """Writes named rows as they come, and knows how many different rows have been named."""

    def __init__(self, path: Path, row_count: int) -> None:
        self._writer = pq.ParquetWriter(path, ROWS_SCHEMA, compression="zstd")
        self._named = np.zeros(row_count, dtype=np.bool_)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    @property
    def named_count(self) -> int:
        """How many different rows any detector has named."""
        return int(self._named.sum())

    def write(self, rows: NDArray[np.int64], detector: str, column: str, scores: Any, reasons: Reasons) -> None:
        if not len(rows):
            return
        self._named[rows] = True
        texts = [pa.repeat(text, len(rows)) for text in (detector, column)]
        columns = [rows, *texts, np.asarray(scores, dtype=np.float64), reasons]
        self._writer.write_table(pa.table([pa.array(values) for values in columns], schema=ROWS_SCHEMA))


class DetectorRows:
    """The rows of one detector: all go to the file, the highest scores are kept to be shown."""

    def __init__(self, file: RowsFile, detector: str, row_count: int) -> None:
        self._file = file
        self._detector = detector
        self._named = np.zeros(row_count, dtype=np.bool_)
        self._top: list[tuple[float, int, str, str]] = []

    @property
    def count(self) -> int:
        """How many different rows the detector has named."""
        return int(self._named.sum())

    def keep(self, rows: Any, *, scores: Any, reasons: Reasons, column: str = "") -> None:
        """Keep rows by number, each with a score (higher is worse, finite) and a sentence."""
        numbers = np.asarray(rows, dtype=np.int64)
        values = np.asarray(scores, dtype=np.float64)
        self._file.write(numbers, self._detector, column, values, reasons)
        self._named[numbers] = True
        for place in np.argsort(-values, kind="stable")[:TOP_ROWS]:
            entry = (float(values[place]), -int(numbers[place]), column, str(reasons[place]))
            if len(self._top) < TOP_ROWS:
                heapq.heappush(self._top, entry)
            else:
                heapq.heappushpop(self._top, entry)

    def top(self) -> list[dict[str, Any]]:
        """Return the rows with the highest scores, highest first."""
        return [
            {"row": -row, "column": column, "score": score, "reason": reason}
            for score, row, column, reason in sorted(self._top, reverse=True)
        ]
