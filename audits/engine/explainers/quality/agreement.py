"""Whether a second estimate, by another estimator where there is one, gives the same values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audits.engine.explainers.base import Explainer
from audits.engine.explainers.exact import MAXIMUM_FEATURES, ExactExplainer
from audits.engine.explainers.kernel import KernelExplainer
from audits.engine.explainers.permutation import PermutationExplainer
from audits.engine.explainers.quality.base import (
    Measure,
    Sample,
    evaluations_of,
    finite,
    relative_change,
    with_tolerance,
)

#: Exact values are the second opinion where they cost at most so many model evaluations.
EXACT_EVALUATIONS = 500_000
#: What another order of 32-bit sums changes of a value, over the largest value of its row, at most.
ROUNDING = 1e-4


@dataclass(frozen=True)
class _Second:
    """A second opinion: by whom, and how it is told."""

    explainer: Explainer
    words: str


def agreement(sample: Sample) -> Measure:
    """Explain the sample a second time against the same background, with another seed.

    Shapley values are compared with the exact ones where those are cheap, else with those of another estimator of
    them. Values that estimate something else are only comparable with themselves: with a second run of their method.
    """
    second = _second_opinion(sample)
    other = second.explainer.explain(sample.task_of(seed=sample.task.seed + 1))
    change = relative_change(sample.attribution.flat_values, other.flat_values)
    is_fixed = not sample.attribution.errors.any() and float(change.max()) <= ROUNDING
    is_applicable = sample.subject.is_shapley or not is_fixed
    note = f"largest difference of a value over the row's largest value, to {second.words}"
    if not is_applicable:
        note = (
            f"the method draws nothing at random, and no other method computes {sample.subject.explainer.estimand}; "
            "sensitivity to the background says how firm the values are"
        )
    return Measure(
        "agreement",
        note=note,
        value=finite(float(np.median(change))) if is_applicable else None,
        bound=sample.bound("agreement"),
        n=len(sample.rows),
        evaluations=evaluations_of(other),
        is_applicable=is_applicable,
    )


def _second_opinion(sample: Sample) -> _Second:
    explainer = sample.subject.explainer
    if not sample.subject.is_shapley:
        return _Second(
            explainer,
            f"a second run of the same method ({explainer.estimand}; not comparable with Shapley values)",
        )
    if not isinstance(explainer, ExactExplainer) and _exact_cost(sample) <= EXACT_EVALUATIONS:
        return _Second(ExactExplainer(), "the exact values")
    tolerance = getattr(explainer.settings, "tolerance", None)
    if not isinstance(explainer, PermutationExplainer):
        return _Second(_at(PermutationExplainer, tolerance), "a second estimate by permutations")
    return _Second(_at(KernelExplainer, tolerance), "a second estimate by kernel regression")


def _exact_cost(sample: Sample) -> float:
    count = sample.task.players.count
    if count > MAXIMUM_FEATURES:
        return np.inf
    return float(2**count * sample.task.background_count * len(sample.rows))


def _at(explainer: type[Explainer], tolerance: float | None) -> Explainer:
    """Make an explainer that stops at the same tolerance as the first one."""
    settings = explainer.parameters()
    return explainer(settings if tolerance is None else with_tolerance(settings, tolerance))
