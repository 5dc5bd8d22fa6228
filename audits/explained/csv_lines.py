"""Lines of CSV that no spreadsheet takes for anything but text and numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions.arrays import Floats

_DIGITS = "%.8g"


def csv_lines(
    head: Sequence[str], rows: Iterable[Sequence[str | int | float]], numbers: Iterable[NDArray[np.floating[Any]]]
) -> Iterator[bytes]:
    """Yield the head and a line for each row: who it is, then its numbers, of which there may be thousands.

    A text that a spreadsheet would run gets an apostrophe.
    """
    yield _line(head)
    for who, cells in zip(rows, numbers, strict=True):
        written = ",".join([_DIGITS] * len(cells)) % tuple(cells.tolist())
        yield _line(who).rstrip(b"\n") + b"," + written.encode() + b"\n"


def interleaved(*arrays: Floats) -> Iterator[Floats]:
    """Yield for each row the first number of each array, then the second of each; arrays are (rows, features)."""
    for row in zip(*arrays, strict=True):
        yield np.stack(row, axis=1).ravel()


def _line(cells: Iterable[str | int | float]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    return written.getvalue().encode()


def _cell(cell: str | int | float) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
    return _DIGITS % cell if isinstance(cell, float) else str(cell)
