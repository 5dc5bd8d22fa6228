"""Faithfulness is 1 where the output changes as the values say, and 0 where their order is one of chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits.engine.explainers.players import Players
from audits.engine.explainers.quality.base import Measure
from audits.engine.explainers.quality.faithfulness import BACKGROUND_ROWS, RANDOM_ORDERS, STEPS, faithfulness
from tests.audits.engine.explained import NumpyModel, curved_model, linear_model
from tests.audits.engine.quality.subjects import normal, precise, sample_of, task_of

FEATURES = 12


def taken(task, values=None) -> Measure:
    honest = precise().explain(task)
    attribution = honest if values is None else replace(honest, values=values)
    return faithfulness(sample_of(task, precise(), attribution), np.random.default_rng(0))


def test_a_linear_model_changes_as_its_values_say() -> None:
    model = linear_model(normal(0, FEATURES, 3), np.zeros(3))
    task = task_of(model, rows=normal(1, 8, FEATURES), background=normal(2, BACKGROUND_ROWS, FEATURES))
    found = taken(task)
    assert found.value == pytest.approx(1)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(1))
    assert found.n == 8


def test_a_network_with_interactions_does_so_nearly() -> None:
    task = task_of(curved_model(FEATURES), rows=normal(1, 8, FEATURES), background=normal(2, 16, FEATURES))
    assert 0.5 < taken(task).value < 1.5


def test_values_of_chance_are_no_better_than_a_random_order() -> None:
    model = linear_model(normal(0, FEATURES, 1), np.zeros(1))
    task = task_of(model, rows=normal(1, 60, FEATURES), background=normal(2, 16, FEATURES))
    found = taken(task, normal(5, 60, FEATURES)[..., None])
    assert abs(found.value) < 0.25
    assert found.low < 0 < found.high
    assert found.is_met is False


def test_the_opposite_of_the_values_is_worse_than_chance() -> None:
    model = linear_model(normal(0, FEATURES, 1), np.zeros(1))
    task = task_of(model, rows=normal(1, 8, FEATURES), background=normal(2, 16, FEATURES))
    found = taken(task, -precise().explain(task).values)
    assert found.value == pytest.approx(-1)
    assert "Faithfulness, mean of the rows: -1, below the bound of 0.2." in found.reason


def test_patches_of_an_image_are_removed_whole() -> None:
    grid = np.arange(16).reshape(4, 4) // 8 * 2 + np.arange(4) // 2
    players = Players(names=tuple("abcd"), assignment={"image": grid.astype(np.intp)}, grid=(2, 2), patch=2)
    kernel = normal(0, 16, 2)
    model = NumpyModel(
        lambda held, inputs: inputs["image"].reshape(-1, 16) @ held["kernel"],
        {"kernel": kernel},
        inputs={"image": (4, 4)},
        outputs=2,
    )
    rows, background = normal(1, 5, 16).reshape(5, 4, 4), normal(2, 6, 16).reshape(6, 4, 4)
    assert taken(task_of(model, rows=rows, background=background, players=players)).value == pytest.approx(1)


def test_what_it_costs_is_bounded_and_told_whatever_the_number_of_outputs() -> None:
    model = wide()
    task = task_of(model, rows=normal(1, 3, 40), background=normal(2, 30, 40))
    honest = precise().explain(task)
    sample = sample_of(task, precise(), honest)
    before = model.rows_seen
    found = faithfulness(sample, np.random.default_rng(0))
    assert found.evaluations == model.rows_seen - before
    assert found.evaluations == 3 * (1 + RANDOM_ORDERS) * 2 * STEPS * BACKGROUND_ROWS


def wide() -> NumpyModel:
    return NumpyModel(
        lambda held, inputs: inputs["features"] @ held["kernel"],
        {"kernel": normal(0, 40, 200)},
        inputs={"features": (40,)},
        outputs=200,
    )


def test_one_feature_or_values_that_are_all_the_same_have_no_order() -> None:
    single = task_of(linear_model(np.ones((1, 1)), np.zeros(1)), rows=normal(1, 3, 1), background=normal(2, 3, 1))
    assert taken(single).is_applicable is False
    model = linear_model(normal(0, FEATURES, 1), np.zeros(1))
    task = task_of(model, rows=normal(1, 3, FEATURES), background=normal(2, 3, FEATURES))
    alike = taken(task, np.full((3, FEATURES, 1), 0.1))
    assert (alike.value, alike.is_met, alike.reason) == (None, None, "")
