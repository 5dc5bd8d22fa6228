"""Which measures an explanation is admitted by: title, direction, default bound, and what to do where one is missed.

The one place that says so. Both halves read it: the control half to lock the bounds of a policy and to hold recorded
measures against them, the measures to know their own words. So it needs the standard library only; how each is taken
is in `audits.engine.explainers.quality`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

#: The bound on additivity of methods that add up within their error only; a tighter one would refuse every estimate.
SAMPLED_ADDITIVITY = 0.05

Relation = Literal["<=", ">="]


class BoundsError(ValueError):
    """Bounds that cannot be; ``code`` says why and ``place`` which."""

    def __init__(self, code: str, detail: str, *, place: str) -> None:
        super().__init__(detail)
        self.code = code
        self.place = place


@dataclass(frozen=True)
class MeasureEntry:
    """One measure as both halves know it.

    Attributes:
        title: what the number is, as a heading.
        relation: whether an admitted explanation is at most or at least at the bound.
        advice: what to do where the bound is missed.
    """

    title: str
    relation: Relation
    advice: str

    def holds(self, value: float, bound: float) -> bool:
        """Tell whether a value is on the right side of a bound."""
        return value <= bound if self.relation == "<=" else value >= bound

    def missed(self, value: float, bound: float) -> str:
        """Say that a value is on the wrong side of a bound, and what to do."""
        side = "above" if self.relation == "<=" else "below"
        return f"{self.title}: {value:.2g}, {side} the bound of {bound:g}. {self.advice}"

    def unmeasured(self, why: str) -> str:
        """Say that there is a bound and no value to hold against it."""
        return f"{self.title}: could not be measured. {why}"


MEASURES: Mapping[str, MeasureEntry] = {
    "additivity_residual": MeasureEntry(
        "Additivity residual, largest",
        "<=",
        "Base and values do not give back the output: see whether the model answers a row alike in every batch; "
        "for expected gradients use more samples.",
    ),
    "error_estimate": MeasureEntry(
        "Estimation error, median of the rows",
        "<=",
        "Ask for a smaller tolerance, fewer features (patches, groups), or the method exact where it can be used.",
    ),
    "error_estimate_worst": MeasureEntry(
        "Estimation error, worst row",
        "<=",
        "Ask for a smaller tolerance, or leave out the rows whose values are all near nought.",
    ),
    "agreement": MeasureEntry(
        "Difference of two estimates, median of the rows",
        "<=",
        "Ask for a smaller tolerance; where that does not help, the errors that the method states are too small.",
    ),
    "background_sensitivity": MeasureEntry(
        "Sensitivity to the background, median of the rows",
        "<=",
        "Use more background rows, or rows drawn by clusters.",
    ),
    "randomisation": MeasureEntry(
        "Likeness to a random network",
        "<=",
        "The values do not depend on what the model has learned; do not rely on them, and try another method.",
    ),
    "stability": MeasureEntry(
        "Change under small input noise, median of the rows",
        "<=",
        "The model's answers jump near these rows; explain it on coarser features, or tell the reader.",
    ),
    "faithfulness": MeasureEntry(
        "Faithfulness, mean of the rows",
        ">=",
        "Removing features in the order of their values changes the output little more than a random order does; "
        "ask for a smaller tolerance or another method.",
    ),
    "complexity": MeasureEntry(
        "Effective number of features, median of the rows",
        "<=",
        "Group features, or explain larger patches.",
    ),
}


@dataclass(frozen=True)
class Bounds:
    """The bound of each measure with which an explanation is admitted; None leaves one without a bound."""

    additivity_residual: float | None = 1e-4
    error_estimate: float | None = 0.05
    error_estimate_worst: float | None = 0.15
    agreement: float | None = 0.15
    background_sensitivity: float | None = 0.5
    randomisation: float | None = 0.5
    stability: float | None = 0.2
    faithfulness: float | None = 0.2
    complexity: float | None = None

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read bounds by name; what is not given has its default.

        Raises:
            BoundsError: ``unknown_bound``, or ``bound_out_of_range`` for what is neither null nor a number from 0.
        """
        return cls(**_read(document))

    def tightened(self, document: Any) -> Self:
        """Return bounds of which some are replaced by stricter ones.

        Raises:
            BoundsError: as `from_json`, and ``bound_loosened`` for one that would admit more.
        """
        asked = _read(document)
        for name, bound in asked.items():
            own, entry = getattr(self, name), MEASURES[name]
            if own is not None and (bound is None or not entry.holds(bound, own)):
                side = "at most" if entry.relation == "<=" else "at least"
                raise BoundsError(
                    "bound_loosened",
                    f"The bound {name!r} is {side} {own:g}; a request may be stricter, not looser, than {bound!r} is.",
                    place=name,
                )
        return type(self)(**{**asdict(self), **asked})

    def for_sampled(self) -> Self:
        """Return the bounds of a method whose values and base add up within their error only, not by construction."""
        if self.additivity_residual is None:
            return self
        return replace(self, additivity_residual=max(self.additivity_residual, SAMPLED_ADDITIVITY))

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def _read(document: Any) -> dict[str, float | None]:
    known = [entry.name for entry in fields(Bounds)]
    if not isinstance(document, Mapping):
        raise BoundsError("bound_out_of_range", "`bounds` is an object of measures and numbers.", place="bounds")
    for name, value in document.items():
        if name not in known:
            raise BoundsError(
                "unknown_bound", f"There is no measure {name!r} to bound; there are {', '.join(known)}.", place=name
            )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise BoundsError(
                "bound_out_of_range", f"The bound {name!r} is null or a number from 0, not {value!r}.", place=name
            )
    return dict(document)
