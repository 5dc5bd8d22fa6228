"""What a measure of quality is, and what all measures of one explanation share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Task, quiet
from audits.engine.explainers.permutation import PermutationExplainer
from audits.engine.measures import MEASURES, Bounds, MeasureEntry
from workers.frameworks.base import Inputs

#: A tolerance that no estimate misses: an explainer that stops on one stops as soon as it may.
ANY_TOLERANCE = 1e9


@dataclass(frozen=True)
class Measure:
    """One measure: its value, its bound, what it was taken on, and where it has no value, why.

    Attributes:
        note: how the value was taken, with the source, or why there is none.
        n: how many of ``unit`` the value was taken on.
        low, high: ends of the 95 % interval over rows, where there is one.
        evaluations: model rows computed for it.
        is_applicable: False where there is nothing to measure; then there is nothing against the explanation either.
    """

    name: str
    note: str
    value: float | None
    bound: float | None
    n: int
    unit: str = "rows"
    low: float | None = None
    high: float | None = None
    evaluations: int = 0
    is_applicable: bool = True

    @property
    def entry(self) -> MeasureEntry:
        return MEASURES[self.name]

    @property
    def title(self) -> str:
        return self.entry.title

    @property
    def is_met(self) -> bool | None:
        """Whether the value keeps to the bound; None where there is no bound or nothing to measure."""
        if self.bound is None or not self.is_applicable:
            return None
        return self.value is not None and self.entry.holds(self.value, self.bound)

    @property
    def reason(self) -> str:
        """Why the measure speaks against admission, and what to do; empty when it does not."""
        if self.bound is None or self.is_met is not False:
            return ""
        if self.value is None:
            return self.entry.unmeasured(self.note)
        return self.entry.missed(self.value, self.bound)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "relation": self.entry.relation,
            "bound": self.bound,
            "n": self.n,
            "unit": self.unit,
            "met": self.is_met,
            "applicable": self.is_applicable,
            "evaluations": self.evaluations,
            "advice": self.entry.advice,
        }


@dataclass(frozen=True)
class Subject:
    """What was explained and by what, as the measures need it to explain parts of it again."""

    task: Task
    explainer: Explainer

    @property
    def is_shapley(self) -> bool:
        """Tell whether the values are estimates of Shapley values, so that other estimators of those are comparable."""
        return self.explainer.estimand == Explainer.estimand

    def brief_explainer(self) -> Explainer:
        """Return the cheapest explainer of the same estimand, for measures that compare many explanations."""
        explainer = PermutationExplainer() if self.is_shapley else self.explainer
        settings = with_tolerance(explainer.settings, ANY_TOLERANCE)
        return explainer if settings is explainer.settings else type(explainer)(settings)


@dataclass(frozen=True)
class Sample:
    """Some of the explained rows with their attribution, and the means to explain them again.

    Attributes:
        rows: the numbers of the rows within the task.
        attribution: theirs, of the outputs that are measured; the outputs that have the largest values of each row.
        background: numbers of the background rows of measures that compare brief explanations with each other.
    """

    subject: Subject
    rows: NDArray[np.intp]
    attribution: Attribution
    background: NDArray[np.intp]
    bounds: Bounds

    @property
    def task(self) -> Task:
        return self.subject.task

    @property
    def small_background(self) -> Inputs:
        return chosen(self.task.background, self.background)

    def task_of(self, **changes: Any) -> Task:
        """Return the task of explaining the sample alone, with some things changed."""
        return replace(
            self.task,
            **{
                "rows": chosen(self.task.rows, self.rows),
                "outputs": self.attribution.output_numbers,
                "output_names": self.attribution.output_names,
                "progress": quiet,
                **changes,
            },
        )

    def bound(self, name: str) -> float | None:
        bound: float | None = getattr(self.bounds, name)
        return bound


#: Takes one measure of a sample.
SampleMeasure = Callable[[Sample], Measure]


def chosen(inputs: Inputs, places: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """Return some rows of the inputs."""
    return {name: np.asarray(values)[places] for name, values in inputs.items()}


def with_tolerance(settings: Any, tolerance: float) -> Any:
    """Return an explainer's settings with another tolerance, or as they are where they know none."""
    if is_dataclass(settings) and "tolerance" in [entry.name for entry in fields(settings)]:
        return replace(settings, tolerance=tolerance)  # type: ignore[type-var]
    return settings


def relative_change(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the largest change of each row over its largest value; 0 where nothing changed."""
    largest = np.abs(first).max(axis=(1, 2))
    change = np.abs(second - first).max(axis=(1, 2))
    relative: FloatArray = np.divide(change, largest, out=np.where(change > 0, np.inf, 0.0), where=largest > 0)
    return relative


def evaluations_of(*attributions: Attribution) -> int:
    """Return how many model rows explanations have cost."""
    return sum(int(attribution.evaluations.sum()) for attribution in attributions)


def finite(value: float) -> float | None:
    """Return a number as JSON has it."""
    return float(value) if math.isfinite(value) else None
