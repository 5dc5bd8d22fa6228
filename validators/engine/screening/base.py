"""What a detector is, what it is given, and what it gives."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from validators.engine.screening.catalogue import Entry
from validators.engine.screening.rows import DetectorRows
from validators.engine.screening.screened import Screened
from workers.charts import Spec, save_chart
from workers.context import JobContext
from workers.statistics import Interval

Status = Literal["found", "not_found", "not_applicable", "error"]
Unit = Literal["rows", "columns", "classes", "tables"]

#: Columns that one result names; with more, the worst.
MOST_COLUMNS = 1_000

_LIMITS = re.compile(r"^\s*What it does not show: (.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class ColumnFinding:
    """A column, or a class, that a detector has something to say about."""

    column: str
    score: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column, "score": self.score, "reason": self.reason}


@dataclass(frozen=True)
class Detection:
    """What a detector found.

    Attributes:
        sentence: what was found, with its numbers, for who decides.
        count: how many ``unit`` are concerned.
        share: ``count`` of how many, with its interval; None where there is no such share.
        columns: what it says about columns or classes, worst first.
        bounds: of a quarantine detector: ``{"column", "lower", "upper"}``, pinned.
        looked_at: how many rows it looked at, where that is not all of them.
    """

    status: Status
    sentence: str
    count: int = 0
    unit: Unit = "rows"
    share: Interval | None = None
    columns: Sequence[ColumnFinding] = ()
    bounds: Sequence[Mapping[str, Any]] = ()
    charts: Sequence[Mapping[str, Any]] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    looked_at: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "sentence": self.sentence,
            "count": self.count,
            "unit": self.unit,
            "share": None if self.share is None else self.share.to_json(),
            "columns": [finding.to_json() for finding in self.columns[:MOST_COLUMNS]],
            "column_count": len(self.columns),
            "bounds": [dict(bound) for bound in self.bounds],
            "charts": [dict(chart) for chart in self.charts],
            "detail": dict(self.detail),
            "looked_at": self.looked_at,
        }


def not_applicable(sentence: str, **detail: Any) -> Detection:
    """Say that a detector has nothing to look at here."""
    return Detection("not_applicable", sentence, detail=detail)


@dataclass
class ScreeningContext:
    """What a detector works with.

    Attributes:
        parameters: an instance of the entry's parameter class.
        data: the version that is screened.
        against: the other version, where the purpose has one.
        rows: where every row that it names is kept.
        seed, generator: of this detector; the same request on the same content gives the same result.
        tell: called with the share done, from 0 to 1.
    """

    entry: Entry
    parameters: Any
    data: Screened
    against: Screened | None
    rows: DetectorRows
    job: JobContext
    seed: int
    generator: np.random.Generator
    tell: Callable[[float], None]

    def other(self) -> Screened:
        """Return the other version; a purpose that has none does not run a detector that asks for it."""
        if self.against is None:
            raise ValueError(f"{self.entry.name} compares two versions and was given one.")
        return self.against

    def chart(self, name: str, *, spec: Spec, caption: str, label: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Save a chart of this detector among the outputs."""
        chart_id = f"{self.entry.name.replace('_', '-')}-{name}"
        return save_chart(self.job, id=chart_id, spec=spec, caption=caption, label=label, table=table)


class Detector(ABC):
    """One way to look for one kind of fault.

    Its docstring has four short parts, each a paragraph: what it measures, ``How:`` with the source, ``Signs of high
    risk:``, ``What it does not show:`` (told with every result).
    """

    entry: ClassVar[Entry]

    @abstractmethod
    def run(self, context: ScreeningContext) -> Detection:
        """Look, keep every row that is concerned in ``context.rows``, and say what was found.

        Raises:
            Exception: whatever breaks; the screening makes it a result with the status ``error``.
        """

    @classmethod
    def limits(cls) -> str:
        """Return what the detector does not show, as its docstring says it."""
        found = _LIMITS.search(cls.__doc__ or "")
        return " ".join(found[1].split()) if found else ""
