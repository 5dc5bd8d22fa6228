"""What a compiled expectation is: which rows it judges and how failing ones are found, or which numbers decide it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.compiled.columns import Column

#: Values of aggregates, in the order in which a rule asks for them.
Values = Sequence[Any]
#: From the columns of a batch (rows that count only, nothing of them missing) to the rows that fail.
FindFailing = Callable[[Sequence[pa.Array]], NDArray[np.bool_]]


class Declined(Exception):
    """This expectation, or what the data turned out to be, is left to Great Expectations."""


@dataclass(frozen=True)
class Where:
    """Rows fail where a condition holds; it may depend on aggregates, which are computed first."""

    condition: Callable[[Values], str]
    aggregates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repeated:
    """Rows fail whose values in some columns are those of another row that counts."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Scan:
    """Rows fail by what Python finds in the columns of batches, which come in the order of the rows.

    ``start`` makes the function for one scan, so that it may remember what came before; ``only`` narrows the rows.
    ``seconds`` is how long it may take before the expectation is an error, for what may run for ever.
    """

    columns: tuple[Column, ...]
    start: Callable[[], FindFailing]
    only: str = "TRUE"
    seconds: float | None = None


@dataclass(frozen=True)
class RowRule:
    """An expectation about single rows.

    Attributes:
        elements: SQL that holds for the rows it is about; None for all rows of the table.
        considered: SQL that holds for those of them that are judged.
        finders: what finds the rows that fail.
        unless: an aggregate; where it is true, the expectation is left to Great Expectations.
        tells_missing: whether the result tells how many rows were not judged.
    """

    mostly: float
    elements: str | None
    considered: str
    finders: tuple[Where | Repeated | Scan, ...]
    unless: str | None = None
    tells_missing: bool = True

    @property
    def aggregates(self) -> tuple[str, ...]:
        """What is computed before rows are looked for: rows, rows that are judged, and what the finders ask for."""
        elements = "count(*)" if self.elements is None else f"count(*) FILTER (WHERE {self.elements})"
        asked = [name for finder in self.finders if isinstance(finder, Where) for name in finder.aggregates]
        return (elements, f"count(*) FILTER (WHERE {self.considered})", self.unless or "FALSE", *asked)


@dataclass(frozen=True)
class Judgement:
    """What aggregates decide."""

    success: bool
    observed: Any = None
    unexpected_count: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRule:
    """An expectation that aggregates of the table decide; ``judge`` may raise ``Declined``."""

    judge: Callable[[Values], Judgement]
    aggregates: tuple[str, ...] = ()


Rule = RowRule | TableRule


def where(condition: str) -> Where:
    """Rows fail where this holds, whatever the other rows are."""
    return Where(lambda _: condition)
