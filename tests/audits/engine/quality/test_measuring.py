"""All measures together: of tables, images, tokens and many outputs, at a cost that is bounded and told."""

from __future__ import annotations

import numpy as np
import pytest

from audits.engine.explainers.base import Task
from audits.engine.explainers.players import Players
from audits.engine.explainers.quality.measuring import (
    MEASURED_OUTPUTS,
    MEASURED_ROWS,
    measured_rows,
    with_fewer_outputs,
)
from audits.engine.measures import MEASURES
from tests.audits.engine.explained import NumpyModel, linear_model
from tests.audits.engine.quality.subjects import Planted, measures_of, normal, precise, task_of


def test_every_measure_is_taken_once_and_says_what_to_do() -> None:
    task = task_of(linear_model(normal(0, 8, 2), np.zeros(2)), rows=normal(1, 20, 8), background=normal(2, 64, 8))
    found = measures_of(task, precise())
    assert set(found) == set(MEASURES)
    for entry in found.values():
        document = entry.to_json()
        assert document["title"]
        assert document["note"]
        assert document["advice"].endswith(".")
        assert document["n"] > 0
        assert entry.reason == ""


def test_the_cost_of_each_measure_is_told() -> None:
    model = linear_model(normal(0, 8, 2), np.zeros(2))
    task = task_of(model, rows=normal(1, 20, 8), background=normal(2, 64, 8))
    precise().explain(task)
    explaining = model.rows_seen
    told = sum(entry.evaluations for entry in measures_of(task, precise()).values())
    measuring = model.rows_seen - 2 * explaining
    assert told == pytest.approx(measuring, rel=0.05)


def test_values_that_do_not_depend_on_the_weights_are_not_admitted() -> None:
    def alike(task: Task, values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.arange(8.0)[:, None], values.shape).copy()

    task = task_of(linear_model(normal(0, 8, 1), np.zeros(1)), rows=normal(1, 10, 8), background=normal(2, 64, 8))
    likeness = measures_of(task, Planted(alike, estimand="another thing"))["randomisation"]
    assert likeness.value == pytest.approx(1)
    assert likeness.is_met is False


def test_tokens_take_no_noise_and_have_the_other_measures() -> None:
    embedding = normal(0, 50, 1)[:, 0]
    model = NumpyModel(
        lambda held, inputs: held["embedding"][inputs["words"]].sum(axis=1, keepdims=True),
        {"embedding": embedding},
        inputs={"words": (9,)},
        outputs=1,
        dtype="int64",
    )
    words = np.random.default_rng(1).integers(0, 50, (30, 9))
    players = Players(names=tuple("abcdefghi"), assignment={"words": np.arange(9)}, grid=(9,))
    found = measures_of(task_of(model, rows=words[:10], background=words[10:], players=players), precise())
    assert found["stability"].is_applicable is False
    assert found["faithfulness"].value == pytest.approx(1, abs=0.3)
    assert found["agreement"].value < 1e-9


def test_of_many_outputs_those_with_the_largest_values_are_measured() -> None:
    kernel = normal(0, 6, 100)
    kernel[:, 70] *= 50
    model = NumpyModel(
        lambda held, inputs: inputs["features"] @ held["kernel"],
        {"kernel": kernel},
        inputs={"features": (6,)},
        outputs=100,
    )
    task = task_of(model, rows=normal(1, 5, 6), background=normal(2, 64, 6))
    fewer = with_fewer_outputs(precise().explain(task), MEASURED_OUTPUTS)
    assert fewer.values.shape == (5, 6, MEASURED_OUTPUTS)
    assert (fewer.output_numbers == 70).any(axis=1).all()
    assert (np.diff(fewer.output_numbers, axis=1) > 0).all()
    scores = fewer.base_values + fewer.flat_values.sum(axis=1)
    np.testing.assert_allclose(scores, np.take_along_axis(task.rows["features"] @ kernel, fewer.output_numbers, axis=1))
    assert measures_of(task, precise())["agreement"].is_met


def test_an_image_of_many_outputs_keeps_its_grid() -> None:
    players = Players(names=tuple("abcd"), assignment={"image": np.arange(4).reshape(2, 2)}, grid=(2, 2))
    model = NumpyModel(
        lambda held, inputs: inputs["image"].reshape(-1, 4) @ held["kernel"],
        {"kernel": normal(0, 4, 20)},
        inputs={"image": (2, 2)},
        outputs=20,
    )
    task = task_of(
        model,
        rows=normal(1, 3, 4).reshape(3, 2, 2),
        background=normal(2, 5, 4).reshape(5, 2, 2),
        players=players,
    )
    assert with_fewer_outputs(precise().explain(task), 7).values.shape == (3, 2, 2, 7)


def test_few_rows_are_measured_and_the_seed_says_which() -> None:
    task = task_of(linear_model(np.ones((2, 1)), np.zeros(1)), rows=normal(1, 50, 2), background=normal(2, 3, 2))
    rows = measured_rows(task)
    assert len(rows) == MEASURED_ROWS
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, measured_rows(task))
