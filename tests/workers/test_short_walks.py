"""Walks between rows that share values: what changes nothing is not scored, and is credited with exactly nothing."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny_models
from tests.numpy_model import NumpyModel
from tests.workers.coalition_games import game_of, random_ranks, walked_one_by_one
from tests.workers.loaded_models import FRAMEWORKS, load, rows
from workers.frameworks.base import Model
from workers.frameworks.coalitions import Game
from workers.frameworks.short_walks import differing_features, is_worthwhile
from workers.protocol import JobError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture(autouse=True)
def always_worthwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave steps out of networks that are too small for it to pay."""
    monkeypatch.setattr("workers.frameworks.short_walks.OWN_COST", 0)
    monkeypatch.setattr("workers.frameworks.short_walks.OWN_COST_OF_A_VALUE", 0)


def coarse(count: int, *shape: int, seed: int = 1) -> np.ndarray:
    """Return rows whose values are often equal."""
    return np.random.default_rng(seed).integers(0, 3, (count, *shape)).astype("float32")


@pytest.fixture
def mlp(file: Path) -> Model:
    return load(tiny_models.mlp(file, inputs=6, hidden=16, classes=3, softmax=True))


@pytest.fixture
def table() -> Game:
    return game_of({"features": coarse(5, 6)}, {"features": coarse(9, 6, seed=2)}, outputs=3)


def differences(game: Game) -> np.ndarray:
    everyone = np.arange(len(next(iter(game.background.values()))))
    return differing_features(game.rows, game.background, everyone, game.assignment, game.features)


def check(model: Model, game: Game) -> np.ndarray:
    """Hold credits against walks step by step, and what was scored against a count of steps; return the credits."""
    ranks, numbers = random_ranks(game), np.array([2, 0, 1])
    scorer = model.coalition_scorer(game)
    credits = np.concatenate(list(scorer.walks(numbers, ranks, np.arange(len(ranks)))), axis=1)
    np.testing.assert_allclose(credits, walked_one_by_one(model, game, numbers, ranks), **CLOSE)
    differs = differences(game)[numbers]
    of_a_walk = np.maximum(differs.sum(axis=2) - 1, 0).sum(axis=1)
    np.testing.assert_array_equal(scorer.scored(numbers), 2 * ranks.shape[1] * of_a_walk)
    equal = ~np.broadcast_to(differs[:, :, None, :, None], credits.shape)
    assert equal.any()
    assert not credits[equal].any()
    return credits


class TestCredits:
    def test_of_a_table(self, mlp: Model, table: Game) -> None:
        check(mlp, table)

    def test_on_probabilities(self, mlp: Model, table: Game) -> None:
        check(mlp, replace(table, scale="probabilities"))

    def test_of_some_outputs_of_each_row(self, mlp: Model, table: Game) -> None:
        check(mlp, replace(table, outputs=np.array([[2, 0], [1, 1], [0, 2], [2, 1], [1, 0]])))

    def test_of_features_of_several_values(self, mlp: Model, table: Game) -> None:
        check(mlp, replace(table, assignment={"features": np.array([2, 0, 1, 0, 2, 1])}, features=3))

    def test_a_row_that_is_a_background_row(self, mlp: Model, table: Game) -> None:
        same = table.background["features"].copy()
        same[4] = table.rows["features"][1]
        credits = check(mlp, replace(table, background={"features": same}))
        assert not credits[2, 4].any()

    def test_where_nothing_differs_at_all(self, mlp: Model, table: Game) -> None:
        alike = replace(table, background={"features": table.rows["features"][[2, 2, 2]]})
        scorer = mlp.coalition_scorer(alike)
        (credits,) = scorer.walks(np.array([2]), random_ranks(alike), np.arange(3))
        assert credits.shape == (1, 3, 2, 6, 3)
        assert not credits.any()
        assert scorer.scored(np.array([2])) == 0

    def test_of_an_image_by_patches(self, file: Path) -> None:
        patches = np.arange(8)[:, None] // 2 * 4 + np.arange(8)[None] // 2
        images, others = coarse(4, 8, 8), coarse(3, 8, 8, seed=2)
        others[:, :4] = images[0, :4]
        images[1:, 2:4] = images[0, 2:4]
        game = game_of({"image": images}, {"image": others}, outputs=4, assignment={"image": patches})
        check(load(tiny_models.cnn(file)), game)

    def test_of_tokens(self, file: Path) -> None:
        tokens, others = (np.random.default_rng(seed).integers(0, 3, (4, 8)).astype("int32") for seed in (3, 4))
        check(load(tiny_models.token_classifier(file)), game_of({"tokens": tokens}, {"tokens": others}, outputs=2))

    def test_of_two_inputs_that_share_a_feature(self, file: Path) -> None:
        game = game_of(
            {"left": coarse(4, 2), "right": coarse(4, 1, seed=6)},
            {"left": coarse(5, 2, seed=2), "right": coarse(5, 1, seed=7)},
            outputs=2,
            assignment={"left": np.array([0, 1]), "right": np.array([1])},
        )
        check(load(tiny_models.two_inputs(file)), game)

    def test_of_a_model_without_a_framework(self, table: Game) -> None:
        weights = np.random.default_rng(8).normal(size=(16, 3))
        model = NumpyModel(weights, hidden=np.random.default_rng(9).normal(size=(6, 16)))
        check(model, table)
        check(model, replace(table, outputs=np.array([[2, 0], [1, 1], [0, 2], [2, 1], [1, 0]])))

    def test_in_a_compiled_program(self, tmp_path: Path, table: Game, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.frameworks.keras_coalitions.ROWS_WORTH_COMPILING", 0)
        check(load(tiny_models.mlp(tmp_path / "model.keras", inputs=6, hidden=16, classes=3)), table)


class TestWhatIsTogether:
    """Lists are cut where background rows end and batches begin anew with each list: by the arguments alone."""

    def test_in_many_batches(self, mlp: Model, table: Game, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.frameworks.coalitions.BATCH_VALUES", {"cpu": 21 * 16})
        check(mlp, table)

    def test_in_many_lists(self, mlp: Model, table: Game, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.frameworks.coalitions.LISTED_BYTES", 1)
        parts = list(mlp.coalition_scorer(table).walks(np.arange(3), random_ranks(table), np.arange(9)))
        assert len(parts) == 9
        check(mlp, table)

    def test_the_memory_changes_no_bit(self, mlp: Model, table: Game) -> None:
        ranks = random_ranks(table)
        few, many = (
            np.concatenate(
                list(mlp.coalition_scorer(table, memory_bytes=size).walks(np.arange(3), ranks, np.arange(9))), 1
            )
            for size in (1, 2**30)
        )
        assert np.array_equal(few, many)


class TestWhatDiffers:
    def test_value_by_value(self) -> None:
        rows, background = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 5.0, 3.0], [0.0, 2.0, 3.0]])
        found = differing_features({"x": rows}, {"x": background}, np.arange(len(background)), {"x": np.arange(3)}, 3)
        assert found.tolist() == [[[False, True, False], [True, False, False]]]

    def test_a_feature_differs_in_any_of_its_values_and_inputs(self) -> None:
        rows = {"x": np.array([[1, 2, 3]]), "y": np.array([[7]])}
        background = {"x": np.array([[1, 2, 4], [1, 2, 3]]), "y": np.array([[7], [8]])}
        found = differing_features(rows, background, np.arange(2), {"x": np.array([0, 2, 0]), "y": np.array([2])}, 3)
        assert found.tolist() == [[[True, False, False], [False, False, True]]]

    def test_zeros_of_another_sign_and_values_that_are_not_numbers(self) -> None:
        rows, background = np.array([[0.0, np.nan, 0.0]]), np.array([[-0.0, np.nan, 0.0]])
        found = differing_features({"x": rows}, {"x": background}, np.arange(len(background)), {"x": np.arange(3)}, 3)
        assert found.tolist() == [[[True, True, False]]]

    def test_large_rows_are_compared_in_little_memory(self) -> None:
        """A background row at a time, and not a copy of all of them."""
        rows, background = coarse(2, 3 * 2**18), coarse(40, 3 * 2**18, seed=2)
        patches = np.arange(3 * 2**18) // 2**18
        tracemalloc.start()
        try:
            found = differing_features({"x": rows}, {"x": background}, np.arange(40), {"x": patches}, 3)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.shape == (2, 40, 3)
        assert peak < background.nbytes / 2


def test_a_score_that_is_no_number_is_refused(mlp: Model, table: Game) -> None:
    mlp.set_weights({name: array * np.nan for name, array in mlp.weights().items()})
    with pytest.raises(JobError) as caught:
        list(mlp.coalition_scorer(table).walks(np.arange(3), random_ranks(table), np.arange(9)))
    assert caught.value.code == "score_not_finite"


class TestWhetherItPays:
    @pytest.fixture(autouse=True)
    def always_worthwhile(self) -> None:
        """Here the costs are the real ones."""

    @staticmethod
    def differs(share: float) -> np.ndarray:
        return np.broadcast_to(np.arange(101) < 1 + 100 * share, (2, 3, 101))

    def test_a_large_network_is_worth_a_few_steps(self) -> None:
        assert is_worthwhile(self.differs(0.8), row_values=101, layer_values=5000)
        assert not is_worthwhile(self.differs(0.8), row_values=101, layer_values=300)

    def test_nothing_to_leave_out_is_never_worthwhile(self) -> None:
        assert not is_worthwhile(self.differs(1.0), row_values=101, layer_values=10**9)

    def test_walks_between_rows_that_share_no_value_are_scored_together(self, mlp: Model) -> None:
        game = game_of({"features": rows(3, 6)}, {"features": rows(4, 6, seed=2)}, outputs=3)
        scorer = mlp.coalition_scorer(game)
        list(scorer.walks(np.arange(2), random_ranks(game), np.arange(4)))
        assert scorer.scored(np.arange(3)).tolist() == [4 * 2 * 2 * 5] * 2 + [0]
