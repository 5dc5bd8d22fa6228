"""What came of one expectation, and the numbers of the rows that do not meet it.

Rules of one pass over the table share one array of row numbers and one mask a row (a bit a rule), so that what fails
takes 16 bytes a row, however many rules there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validators.engine.suites import severity_of

Status = Literal["passed", "failed", "error"]
Rows = NDArray[np.int64]

NO_ROWS: Rows = np.empty(0, dtype=np.int64)


class ExpectationError(Exception):
    """An expectation that cannot be run; the message is a sentence."""


@dataclass(frozen=True)
class FailingRows:
    """Row numbers in order, of which those count whose mask has the bit of the rule (all of them without masks)."""

    rows: Rows
    masks: NDArray[np.uint64] | None = None
    bit: int = 0

    def between(self, first: int, end: int) -> Rows:
        """Return the row numbers from ``first`` up to, and without, ``end``."""
        low, high = np.searchsorted(self.rows, (first, end))
        rows = self.rows[low:high]
        return rows if self.masks is None else rows[(self.masks[low:high] & np.uint64(1 << self.bit)) != 0]

    def all(self) -> Rows:
        return self.rows if self.masks is None else self.rows[(self.masks & np.uint64(1 << self.bit)) != 0]

    def count(self) -> int:
        if self.masks is None:
            return len(self.rows)
        return int(np.count_nonzero(self.masks & np.uint64(1 << self.bit)))


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation.

    Attributes:
        observed: what Great Expectations calls the observed value, as JSON.
        element_count: rows that were looked at, ``missing_count`` of which had nothing to judge (None: not told).
        failing: the rows that do not meet a row rule.
        details: what Great Expectations tells beside the observed value, as JSON.
    """

    expectation: Mapping[str, Any]
    status: Status
    observed: Any = None
    unexpected_count: int | None = None
    element_count: int | None = None
    unexpected_percent: float | None = None
    missing_count: int | None = None
    failing: FailingRows = field(default_factory=lambda: FailingRows(NO_ROWS))
    details: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def severity(self) -> str:
        return severity_of(self.expectation)

    @cached_property
    def rows(self) -> Rows:
        """The numbers of all rows that do not meet a row rule, in order."""
        return self.failing.all()


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: NumPy's and pandas' own types are converted, what JSON lacks is null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray) or type(value).__name__ == "Series":
        return [plain(entry) for entry in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value.isoformat() if isinstance(value, date | time) else str(value)


def plain_number(value: Decimal | float | None) -> float | int | None:
    """Return a number of DuckDB (its widest integers and decimals come as such) as Python's own."""
    return float(value) if isinstance(value, Decimal) else value
