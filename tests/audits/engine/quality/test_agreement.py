"""Agreement is with the exact values where they are cheap, else with another estimator of the same thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from audits.engine.explainers.base import Task
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.quality.agreement import agreement
from tests.audits.engine.explained import curved_model, linear_model
from tests.audits.engine.quality.subjects import Planted, normal, precise, sample_of, task_of


def few() -> Task:
    return task_of(curved_model(6), rows=normal(1, 4, 6), background=normal(2, 40, 6))


def doubled(task: Task, values: np.ndarray) -> np.ndarray:
    return 2 * values


def jittered(task: Task, values: np.ndarray) -> np.ndarray:
    return values * (1 + 0.1 * np.random.default_rng(task.seed).normal(size=values.shape))


def test_few_features_are_held_against_the_exact_values() -> None:
    found = agreement(sample_of(few(), precise()))
    assert 0 < found.value < 0.1
    assert "to the exact values" in found.note


def test_values_that_are_wrong_and_repeatable_are_found_out() -> None:
    found = agreement(sample_of(few(), Planted(doubled)))
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert found.is_met is False


def test_exact_values_are_held_against_permutations() -> None:
    found = agreement(sample_of(few(), ExactExplainer()))
    assert 0 < found.value < 0.15
    assert "by permutations" in found.note


@pytest.mark.parametrize(("values", "is_met"), [(None, True), (doubled, False)])
def test_permutations_are_held_against_kernel_regression(
    values: Any, is_met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel(Planted):
        def __init__(self, settings: Any = None) -> None:
            super().__init__(values or (lambda _, honest: honest))

    monkeypatch.setattr("audits.engine.explainers.quality.agreement.KernelExplainer", Kernel)
    task = task_of(linear_model(normal(0, 14, 2), np.zeros(2)), rows=normal(1, 4, 14), background=normal(2, 10, 14))
    found = agreement(sample_of(task, precise()))
    assert found.is_met is is_met
    assert "by kernel regression" in found.note


def test_what_estimates_something_else_is_never_held_against_shapley_values() -> None:
    found = agreement(sample_of(few(), Planted(jittered, estimand="expected gradients", additive=False)))
    assert found.value > 0
    assert "a second run of the same method (expected gradients; not comparable with Shapley values)" in found.note


def test_what_is_neither_drawn_nor_estimated_otherwise_has_no_second_opinion() -> None:
    fixed = Planted(lambda task, values: np.ones_like(values), estimand="contributions by a rule")
    found = agreement(sample_of(few(), fixed))
    assert (found.is_applicable, found.value, found.reason) == (False, None, "")
    assert "no other method computes contributions by a rule" in found.note
