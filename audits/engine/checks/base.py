"""What a check is, what it is given, and what it gives."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from audits.engine.catalogue import Entry
from audits.engine.catalogue import Severity as FailureSeverity
from audits.engine.checks.rows import Rows, Task
from workers.charts import Spec, save_chart
from workers.context import JobContext
from workers.frameworks.base import Model
from workers.signature import Signature
from workers.statistics import Interval

Status = Literal["passed", "failed", "error", "skipped", "not_applicable"]
#: Empty where nothing failed.
Severity = FailureSeverity | Literal[""]

_LIMITS = re.compile(r"^\s*What it does not show: (.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Metric:
    """One number: value, 95 % interval, how many rows, unit, and how the interval was made."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    note: str = ""

    @classmethod
    def of(cls, name: str, interval: Interval, *, unit: str = "", note: str = "") -> Metric:
        """Name an interval; its method is told in the note."""
        words = "; ".join(part for part in (note, interval.method) if part)
        return cls(name, interval.value, interval.low, interval.high, interval.n, unit, words)


@dataclass(frozen=True)
class FindingDraft:
    """An observation that somebody has to deal with. Without references of its own it has those of its check."""

    severity: Severity
    title: str
    detail: str
    remedy: str
    references: Sequence[Mapping[str, Any]] = ()
    evidence: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class CheckResult:
    """How a check ended, and why. ``severity`` is empty unless it failed.

    The first metric is the one that the condition is about. ``limits`` goes behind what the check's docstring says it
    does not show.
    """

    status: Status
    reason: str
    severity: Severity = ""
    metrics: Sequence[Metric] = ()
    findings: Sequence[FindingDraft] = ()
    charts: Sequence[Mapping[str, Any]] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    limits: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "severity": self.severity,
            "reason": self.reason,
            "metrics": [asdict(metric) for metric in self.metrics],
            "findings": [
                {**asdict(draft), "references": list(draft.references), "evidence": list(draft.evidence)}
                for draft in self.findings
            ],
            "charts": [dict(chart) for chart in self.charts],
            "detail": dict(self.detail),
            "limits": self.limits,
        }


def skipped(reason: str, **detail: Any) -> CheckResult:
    """Say that a check could have run and did not: a gate takes it as a no."""
    return CheckResult(status="skipped", reason=reason, detail=detail)


def not_applicable(reason: str, **detail: Any) -> CheckResult:
    """Say that a check has nothing to measure here."""
    return CheckResult(status="not_applicable", reason=reason, detail=detail)


@dataclass
class CheckContext:
    """What a check works with.

    Attributes:
        entry: the check as the catalogue knows it.
        parameters: an instance of the entry's parameter class.
        condition: the criteria's condition, defaults filled in.
        model: loaded once an audit; None where an audit's checks need none.
        audited: the rows that the audit is about.
        training: the rows that the model was trained on, where the record knows them.
        facts: what the record knows and no file says.
        seed, generator: of this check; the same criteria and job seed give the same numbers.
        tell: called with the share done (0 to 1) and a few words.
    """

    entry: Entry
    parameters: Any
    condition: Mapping[str, Any]
    job: JobContext
    model: Model
    task: Task
    audited: Rows
    training: Rows | None
    facts: Mapping[str, Any]
    seed: int
    generator: np.random.Generator
    tell: Callable[[float, str], None]

    @property
    def signature(self) -> Signature:
        return self.model.signature

    @property
    def class_names(self) -> list[str]:
        """The labels of the classes, or their numbers as text."""
        output = self.signature.output
        return list(output.classes) or [str(number) for number in range(output.class_count)]

    def chart(self, name: str, *, spec: Spec, caption: str, label: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Save a chart of this check among the evidence."""
        chart_id = f"{self.entry.id.lower()}-{name}"
        return save_chart(self.job, id=chart_id, spec=spec, caption=caption, label=label, table=table)

    def judge(self, value: float | None) -> tuple[Status, Severity | Literal[""]]:
        """Hold a value against the condition: passed, or failed with a severity."""
        severity = self.entry.judge(value, self.condition)
        return ("failed", severity) if severity else ("passed", "")


class Check(ABC):
    """One measurement of a model against a condition. A plug-in of ``assay.checks`` is one such class.

    Its docstring has five short parts, each a paragraph: what it measures, ``How:``, ``Signs of high risk:``, ``What it
    does not show:`` (told with every result), ``References:``.
    """

    entry: ClassVar[Entry]

    @abstractmethod
    def run(self, context: CheckContext) -> CheckResult:
        """Measure and judge. Too few rows are ``skipped``, nothing to measure is ``not_applicable``, with a reason.

        Raises:
            Exception: whatever breaks; the audit makes it a result with the status ``error``.
        """

    @classmethod
    def limits(cls) -> str:
        """Return what the check does not show, as its docstring says it."""
        found = _LIMITS.search(cls.__doc__ or "")
        return " ".join(found[1].split()) if found else ""
