"""Sensitivity to the background is what two draws of the same size would differ by, and no more than that."""

from __future__ import annotations

import numpy as np
import pytest

from audits.engine.explainers.quality.background import background_sensitivity
from audits.engine.explainers.quality.base import Measure
from tests.audits.engine.explained import curved_model, linear_model
from tests.audits.engine.quality.subjects import normal, precise, sample_of, task_of


def taken(task, seed: int = 0) -> Measure:
    sample = sample_of(task, precise())
    return background_sensitivity(sample, sample.subject.brief_explainer(), np.random.default_rng(seed))


def test_of_a_linear_model_it_is_known_by_hand() -> None:
    """Two draws of 64 rows differ in each value by the weight times sqrt(2 / 64) standard deviations."""
    weights = normal(0, 30, 1)
    rows = normal(1, 8, 30)
    told, expected = [], []
    for seed in range(6):
        task = task_of(linear_model(weights, np.zeros(1)), rows=rows, background=normal(10 + seed, 64, 30))
        told.append(taken(task, seed).value)
        sizes = np.sqrt((precise().explain(task).values ** 2).sum(axis=(1, 2)))
        expected.append(np.median(np.sqrt(2 / 64 * (weights**2).sum()) / sizes))
    assert np.mean(told) == pytest.approx(np.mean(expected), rel=0.15)


def test_more_rows_make_it_smaller_by_the_root_of_their_number() -> None:
    model = curved_model(10)
    few, many = (
        np.mean([taken(task_of(model, rows=normal(1, 8, 10), background=normal(20 + s, count, 10)), s).value
                 for s in range(4)])
        for count in (16, 144)
    )  # fmt: skip
    assert few / many == pytest.approx(3, rel=0.35)


def test_a_background_of_equal_rows_gives_nothing_but_the_estimators_error_which_is_taken_off() -> None:
    background = np.repeat(normal(2, 1, 10), 32, axis=0)
    found = taken(task_of(curved_model(10), rows=normal(1, 8, 10), background=background))
    assert found.value < 0.05
    assert found.is_met


def test_a_model_that_the_background_decides_is_not_admitted() -> None:
    """Rows that lie where the background does have values that any other draw turns over."""
    background = normal(2, 8, 10)
    rows = np.repeat(background.mean(axis=0, keepdims=True), 4, axis=0) + 0.1 * normal(3, 4, 10)
    found = taken(task_of(linear_model(np.ones((10, 1)), np.zeros(1)), rows=rows, background=background))
    assert found.value > 1
    assert "above the bound of 0.5. Use more background rows" in found.reason


def test_a_single_row_cannot_be_measured_and_speaks_against_admission() -> None:
    found = taken(task_of(curved_model(6), rows=normal(1, 3, 6), background=normal(2, 1, 6)))
    assert (found.value, found.is_met, found.is_applicable) == (None, False, True)
    assert "has a single row" in found.reason


def test_two_rows_are_two_parts() -> None:
    found = taken(task_of(curved_model(6), rows=normal(1, 3, 6), background=normal(2, 2, 6)))
    assert found.value > 0
    assert "2 disjoint parts of 1 rows" in found.note
