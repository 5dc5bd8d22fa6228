"""Scores of coalitions on both frameworks, held against rows that are composed one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.coalition_games import (
    composed_one_by_one,
    game_of,
    random_masks,
    random_ranks,
    walked_one_by_one,
)
from tests.workers.loaded_models import FRAMEWORKS, load, rows
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.coalitions import GROUP_ROWS, Game, batch_rows
from workers.protocol import JobError
from workers.recipe import Recipe

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def mlp(file: Path) -> Model:
    return load(tiny_models.mlp(file, inputs=6, hidden=16, classes=3, softmax=True))


@pytest.fixture
def table() -> Game:
    return game_of({"features": rows(5, 6)}, {"features": rows(7, 6, seed=2)}, outputs=3)


def check_scores(model: Model, game: Game, close: dict[str, float] = CLOSE) -> None:
    masks, background_rows = random_masks(game, 40)
    numbers = np.array([3, 0, 1])
    scores = model.coalition_scorer(game).of_coalitions(numbers, masks, background_rows)
    np.testing.assert_allclose(scores, composed_one_by_one(model, game, numbers, masks, background_rows), **close)


def check_walks(model: Model, game: Game, close: dict[str, float] = CLOSE) -> None:
    ranks = random_ranks(game)
    numbers = np.array([2, 0, 1])
    (credits,) = model.coalition_scorer(game).walks(numbers, ranks, np.arange(len(ranks)))
    np.testing.assert_allclose(credits, walked_one_by_one(model, game, numbers, ranks), **close)


def check_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walk in one run, in several, and one background row at a time, with batches of 60 composed rows."""
    monkeypatch.setattr("workers.frameworks.coalitions.BATCH_VALUES", {"cpu": 60 * 16})
    game = game_of({"features": rows(3, 6)}, {"features": rows(19, 6, seed=2)}, outputs=3)
    ranks = random_ranks(game)
    answers = {}
    for memory_bytes in (1, 20_000, 2**30):
        scorer = model.coalition_scorer(game, memory_bytes=memory_bytes)
        parts = list(scorer.walks(np.arange(3), ranks, np.arange(19)))
        answers[len(parts)] = np.concatenate(parts, axis=1)
    assert len(answers) == 3, "each setting should cut the walks otherwise"
    first, *others = answers.values()
    assert all(np.array_equal(first, other) for other in others)
    np.testing.assert_allclose(first, walked_one_by_one(model, game, np.arange(3), ranks), **CLOSE)


class TestOfATable:
    def test_coalitions(self, mlp: Model, table: Game) -> None:
        check_scores(mlp, table)

    def test_walks(self, mlp: Model, table: Game) -> None:
        check_walks(mlp, table)

    def test_on_probabilities(self, mlp: Model, table: Game) -> None:
        check_scores(mlp, replace(table, scale="probabilities"))

    def test_some_outputs_of_each_row(self, mlp: Model, table: Game) -> None:
        outputs = np.array([[2, 0], [1, 1], [0, 2], [2, 1], [1, 0]])
        check_scores(mlp, replace(table, outputs=outputs))
        check_walks(mlp, replace(table, outputs=outputs))

    def test_features_of_several_values_in_any_order(self, mlp: Model, table: Game) -> None:
        grouped = replace(table, assignment={"features": np.array([2, 0, 1, 0, 2, 2])}, features=3)
        check_scores(mlp, grouped)
        check_walks(mlp, grouped)

    def test_one_feature_takes_all_the_change(self, mlp: Model, table: Game) -> None:
        single = replace(table, assignment={"features": np.zeros(6, dtype=int)}, features=1)
        scorer = mlp.coalition_scorer(single)
        (credits,) = scorer.walks(np.arange(5), np.zeros((7, 2, 1), dtype=int), np.arange(7))
        expected = scorer.of_rows()[:, None] - scorer.of_background()[None]
        np.testing.assert_allclose(credits, np.broadcast_to(expected[:, :, None, None], (5, 7, 2, 1, 3)))

    def test_more_rows_than_a_group(self, mlp: Model) -> None:
        many = game_of({"features": rows(GROUP_ROWS + 5, 6)}, {"features": rows(4, 6, seed=2)}, outputs=3)
        masks, background_rows = random_masks(many, 9)
        numbers = np.arange(GROUP_ROWS + 5)
        scores = mlp.coalition_scorer(many).of_coalitions(numbers, masks, background_rows)
        np.testing.assert_allclose(scores, composed_one_by_one(mlp, many, numbers, masks, background_rows), **CLOSE)

    def test_no_mask_is_no_score(self, mlp: Model, table: Game) -> None:
        nothing = np.zeros((0, 6), dtype=bool), np.zeros(0, dtype=int)
        assert mlp.coalition_scorer(table).of_coalitions(np.arange(5), *nothing).shape == (5, 0, 3)


class TestOfOtherModels:
    def test_an_image(self, file: Path) -> None:
        model = load(tiny_models.cnn(file))
        patches = np.arange(8)[:, None] // 4 * 2 + np.arange(8)[None] // 4
        game = game_of(
            {"image": rows(4, 8, 8)}, {"image": rows(3, 8, 8, seed=2)}, outputs=4, assignment={"image": patches}
        )
        check_scores(model, game)
        check_walks(model, game)

    def test_tokens_are_taken_whole(self, file: Path) -> None:
        model = load(tiny_models.token_classifier(file))
        generator = np.random.default_rng(3)
        tokens, others = (generator.integers(0, 64, (count, 8)).astype("int32") for count in (4, 3))
        game = game_of({"tokens": tokens}, {"tokens": others}, outputs=2)
        check_scores(model, game)
        check_walks(model, game)

    def test_two_inputs_that_share_a_feature(self, file: Path) -> None:
        model = load(tiny_models.two_inputs(file))
        game = game_of(
            {"left": rows(4, 2), "right": rows(4, 1, seed=6)},
            {"left": rows(3, 2, seed=2), "right": rows(3, 1, seed=7)},
            outputs=2,
            assignment={"left": np.array([0, 1]), "right": np.array([1])},
        )
        check_scores(model, game)
        check_walks(model, game)


class TestWhatIsTogether:
    """An answer depends on the arguments of its call, to the last bit."""

    def test_the_memory_changes_no_bit(self, mlp: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        check_memory(mlp, monkeypatch)

    def test_nor_where_the_program_is_compiled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.frameworks.keras_coalitions.ROWS_WORTH_COMPILING", 0)
        check_memory(load(tiny_models.mlp(tmp_path / "model.keras", inputs=6, hidden=16, classes=3)), monkeypatch)

    def test_the_walks_of_one_background_row_fill_several_batches(
        self, mlp: Model, table: Game, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.frameworks.coalitions.BATCH_VALUES", {"cpu": 21 * 16})
        check_walks(mlp, table)
        check_scores(mlp, table)


def test_a_batch_of_a_wide_layer_is_smaller(file: Path) -> None:
    narrow = load(tiny_models.mlp(file, inputs=4, hidden=16))
    wide = load(tiny_models.mlp(file.with_stem("wide"), inputs=4, hidden=4096))
    assert batch_rows(narrow) == 2048
    assert batch_rows(wide) == 256


def test_the_model_is_what_it_was(file: Path) -> None:
    """It has the same weights and answers, and learns."""
    model = load(tiny_models.cnn(file))
    images, weights = rows(8, 8, 8), model.weights()
    before = model.logits({"image": images})
    check_walks(model, game_of({"image": images}, {"image": rows(2, 8, 8, seed=2)}, outputs=4))
    assert all(np.array_equal(array, weights[name]) for name, array in model.weights().items())
    assert np.array_equal(model.logits({"image": images}), before)
    recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 2})
    history = model.fit(TrainingRows({"image": images}, np.arange(8) % 4), recipe, on_epoch=lambda _record: None)
    assert history.epochs[-1].loss < history.epochs[0].loss


def test_weights_that_were_changed_are_the_ones_that_score(file: Path) -> None:
    model = load(tiny_models.cnn(file))
    game = game_of({"image": rows(4, 8, 8)}, {"image": rows(2, 8, 8, seed=2)}, outputs=4)
    check_walks(model, game)
    model.set_weights({name: 2 * array for name, array in model.weights().items()})
    check_walks(model, game)


def test_a_score_that_is_no_number_is_refused(mlp: Model, table: Game) -> None:
    mlp.set_weights({name: array * np.nan for name, array in mlp.weights().items()})
    masks, background_rows = random_masks(table, 3)
    with pytest.raises(JobError) as caught:
        mlp.coalition_scorer(table).of_coalitions(np.arange(3), masks, background_rows)
    assert caught.value.code == "score_not_finite"


def test_probabilities_of_a_value_are_refused(file: Path) -> None:
    model = load(tiny_models.regression(file))
    game = game_of({"features": rows(2, 3)}, {"features": rows(2, 3)}, outputs=1, scale="probabilities")
    with pytest.raises(JobError) as caught:
        model.coalition_scorer(game)
    assert caught.value.code == "no_probabilities"
