"""Walks through the wide first dense layer of a Keras model: the same credits, and only where the graph allows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras  # noqa: TID253 - what is split is a model of Keras
import numpy as np
import pytest
from keras import layers  # noqa: TID253

from tests import tiny_models
from tests.workers.coalition_games import game_of, random_ranks, walked_one_by_one
from tests.workers.loaded_models import load, rows
from workers.frameworks.keras_coalitions import TensorFlowCoalitionScorer
from workers.frameworks.keras_first_layer import first_dense


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many rows went along walks in blocks."""
    counts: list[int] = []
    walk = TensorFlowCoalitionScorer._walk_in_blocks

    def counted(self: TensorFlowCoalitionScorer, layer: Any, rows: np.ndarray, *more: np.ndarray) -> object:
        counts.append(len(rows))
        return walk(self, layer, rows, *more)

    monkeypatch.setattr(TensorFlowCoalitionScorer, "_walk_in_blocks", counted)
    return counts


@pytest.mark.parametrize("worth", [0, 10**9], ids=["compiled", "not compiled"])
@pytest.mark.parametrize("scale", ["logits", "probabilities"])
def test_blocks_give_what_whole_rows_give(
    scale: Any, worth: int, tmp_path: Path, walked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.frameworks.keras_coalitions.ROWS_WORTH_COMPILING", worth)
    model = load(tiny_models.mlp(tmp_path / "model.keras", inputs=150, hidden=8, classes=3, softmax=True))
    background, outputs = {"features": rows(5, 150, seed=2)}, np.array([[2, 0], [1, 1], [0, 2]])
    game = game_of({"features": rows(3, 150)}, background, outputs=3, scale=scale)
    for wanted in (game, replace(game, outputs=outputs)):
        ranks = random_ranks(wanted, permutations=2)
        (credits,) = model.coalition_scorer(wanted).walks(np.arange(3), ranks, np.arange(5))
        expected = walked_one_by_one(model, wanted, np.arange(3), ranks)
        np.testing.assert_allclose(credits, expected, rtol=1e-4, atol=1e-5 * np.ptp(expected))
    assert walked == [3, 3]


def test_the_memory_changes_no_bit(tmp_path: Path, walked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.frameworks.coalitions.BATCH_VALUES", {"cpu": 900 * 150})
    model = load(tiny_models.mlp(tmp_path / "model.keras", inputs=150, hidden=8, classes=3))
    game = game_of({"features": rows(3, 150)}, {"features": rows(7, 150, seed=2)}, outputs=3)
    ranks, answers = random_ranks(game, permutations=1), []
    for memory_bytes in (1, 2**30):
        parts = list(model.coalition_scorer(game, memory_bytes=memory_bytes).walks(np.arange(3), ranks, np.arange(7)))
        answers.append(np.concatenate(parts, axis=1))
    assert len(walked) > 2
    assert np.array_equal(*answers)


def test_few_features_are_scored_whole(tmp_path: Path, walked: list[int]) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.keras", inputs=20, hidden=8))
    game = game_of({"features": rows(3, 20)}, {"features": rows(2, 20, seed=2)}, outputs=3)
    assert len(list(model.coalition_scorer(game).walks(np.arange(3), random_ranks(game), np.arange(2)))) == 1
    assert not walked


def test_a_linear_layer_behind_changes_of_single_values_credits_its_weights(tmp_path: Path, walked: list[int]) -> None:
    network = keras.Sequential(
        [keras.Input((12, 12), name="image"), layers.Rescaling(2.0, 0.5), layers.Flatten(), layers.Dense(2)]
    )
    network.save(tmp_path / "model.keras")
    image, dark = rows(1, 12, 12), rows(1, 12, 12, seed=2)
    assignment = {"image": np.arange(144).reshape(12, 12)}
    model = load(tmp_path / "model.keras")
    game = game_of({"image": image}, {"image": dark}, outputs=2, assignment=assignment)
    (credits,) = model.coalition_scorer(game).walks(np.arange(1), random_ranks(game, permutations=1), np.arange(1))
    expected = 2 * (image - dark).reshape(-1, 1) * network.layers[-1].kernel.numpy()
    np.testing.assert_allclose(credits[0, 0, 0], expected, atol=1e-5)
    assert walked == [1]


def residual(x: Any) -> Any:
    return layers.Add()([layers.Dense(6)(x), x])


def bent(x: Any) -> Any:
    return layers.Dense(4)(layers.LayerNormalization()(x))


def twice(x: Any) -> Any:
    dense = layers.Dense(6)
    return dense(dense(x))


def halved(x: Any) -> Any:
    return layers.Dense(4, dtype="float16")(x)


def of_each_part(x: Any) -> Any:
    return layers.Flatten()(layers.Dense(4)(layers.Reshape((2, 3))(x)))


@pytest.mark.parametrize("make", [residual, bent, twice, halved, of_each_part])
def test_what_is_no_first_layer_is_not_taken_for_one(make: Callable[[Any], Any]) -> None:
    inputs = keras.Input((6,))
    assert first_dense(keras.Model(inputs, make(inputs))) is None


def test_nor_is_the_layer_of_two_inputs() -> None:
    left, right = keras.Input((6,)), keras.Input((6,))
    assert first_dense(keras.Model([left, right], layers.Dense(4)(layers.Concatenate()([left, right])))) is None
