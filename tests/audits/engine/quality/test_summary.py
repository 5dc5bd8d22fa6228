"""The summary of all rows is the same however they come, and finds what does not add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits.engine.explainers.quality import Bounds, ErrorSummary
from tests.audits.engine.explained import curved_model, linear_model
from tests.audits.engine.quality.subjects import Planted, measures_of, normal, precise, task_of


def test_rows_may_come_one_by_one() -> None:
    task = task_of(curved_model(7), rows=normal(1, 23, 7), background=normal(2, 8, 7))
    attribution = precise().explain(task)
    together, alone = ErrorSummary.of_all(task, attribution), ErrorSummary(task)
    for row in range(task.row_count):
        alone.add(attribution.of_rows(np.array([row])))
    assert alone.row_count == 23
    np.testing.assert_array_equal(alone.relative_errors, together.relative_errors)
    assert alone.residual < 1e-12
    assert together.residual < 1e-12


def test_one_row_that_does_not_add_up_is_found_among_many() -> None:
    task = task_of(linear_model(normal(0, 5, 2), np.zeros(2)), rows=normal(1, 40, 5), background=normal(2, 8, 5))
    attribution = precise().explain(task)
    values = attribution.values.copy()
    values[31, 2, 1] += 0.5
    summary = ErrorSummary.of_all(task, replace(attribution, values=values))
    additivity = summary.measures(Bounds(), is_additive=True)[0]
    assert additivity.is_met is False
    assert additivity.value > 0.01


def test_a_method_that_adds_up_within_its_error_only_has_a_looser_bound_and_says_so() -> None:
    planted = Planted(lambda _, values: values * 1.01, estimand="expected gradients", additive=False)
    task = task_of(linear_model(normal(0, 5, 1), np.zeros(1)), rows=normal(1, 10, 5), background=normal(2, 16, 5))
    found = measures_of(task, planted)["additivity_residual"]
    assert 1e-4 < found.value < 0.05
    assert (found.bound, found.is_met) == (0.05, True)
    assert "the bound is looser" in found.note
    assert measures_of(task, planted, additivity_residual=None)["additivity_residual"].bound is None
    rigged = Planted(lambda _, values: values * 1.01)
    assert measures_of(task, rigged)["additivity_residual"].is_met is False


def test_what_the_rows_were_scored_with_is_told() -> None:
    task = task_of(linear_model(normal(0, 5, 1), np.zeros(1)), rows=normal(1, 10, 5), background=normal(2, 16, 5))
    summary = ErrorSummary.of_all(task, precise().explain(task))
    assert summary.evaluations == 26
    assert summary.measures(Bounds(), is_additive=True)[1].value == pytest.approx(0, abs=1e-9)
