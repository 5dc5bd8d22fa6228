"""A rule that is proposed: what it expects, why, how grave it is, and how it is tried on rows it was not made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RowTest:
    """Two conditions in SQL over ``c0, c1, ...`` with bound values: which rows a rule is about, which do not meet it.

    Great Expectations leaves out the rows that a rule is not about, and so does the share that has to meet it.
    """

    about: str
    fails: str
    values: Sequence[Any] = ()


@dataclass(frozen=True)
class Candidate:
    """A rule that holds on the rows that it was made from.

    Attributes:
        column: under which column it is shown; empty for a rule about the table.
        why: a sentence that says what was seen.
        evidence: counts and figures; what the trial finds joins them.
        test: how to try it on the other rows; None where ``holds`` says what came of it already.
    """

    kind: str
    kwargs: Mapping[str, Any]
    severity: str
    column: str
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    test: RowTest | None = None
    holds: bool = True

    @property
    def mostly(self) -> float:
        return float(self.kwargs.get("mostly", 1.0))
