"""Complexity counts the features that carry a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits.engine.explainers.quality.complexity import complexity, effective_features
from tests.audits.engine.explained import linear_model
from tests.audits.engine.quality.subjects import normal, precise, sample_of, task_of


def test_equal_values_count_all_features_and_a_single_one_counts_one() -> None:
    values = np.zeros((2, 5, 1))
    values[0] = 1.0
    values[1, 3] = -2.0
    assert effective_features(values) == pytest.approx([5, 1])


def test_it_has_no_bound_of_its_own_and_takes_one() -> None:
    task = task_of(linear_model(normal(0, 6, 1), np.zeros(1)), rows=normal(1, 4, 6), background=normal(2, 5, 6))
    found = complexity(sample_of(task, precise()))
    assert 1 < found.value < 6
    assert found.is_met is None
    assert complexity(sample_of(task, precise(), complexity=1.0)).reason.endswith(
        "above the bound of 1. Group features, or explain larger patches."
    )


def test_rows_without_any_value_are_not_counted() -> None:
    task = task_of(linear_model(normal(0, 6, 1), np.zeros(1)), rows=normal(1, 4, 6), background=normal(2, 5, 6))
    attribution = precise().explain(task)
    nothing = complexity(sample_of(task, precise(), replace(attribution, values=np.zeros_like(attribution.values))))
    assert (nothing.n, nothing.value, nothing.is_applicable) == (0, None, False)
