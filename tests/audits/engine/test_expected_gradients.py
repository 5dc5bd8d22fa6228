"""Expected gradients: known by hand, right within their error, and told for what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.expected_gradients import (
    ExpectedGradientsExplainer,
    ExpectedGradientsParameters,
    van_der_corput,
)
from audits.engine.explainers.players import Players
from tests import tiny_models
from tests.audits.engine.explained import all_outputs, flat_players
from tests.numpy_model import NumpyModel
from tests.workers.loaded_models import FRAMEWORKS, load
from workers.frameworks.base import Model
from workers.frameworks.paths import PathGradients, Paths, Points
from workers.protocol import JobError

GENERATOR = np.random.default_rng(5)
ROWS, BACKGROUND = (GENERATOR.normal(size=(count, 6)).astype("float32") for count in (6, 30))


def explain(task: Task, **settings: Any) -> Attribution:
    return ExpectedGradientsExplainer(ExpectedGradientsParameters(**settings)).explain(task)


def task_of(model: Model, rows: Any = ROWS, background: Any = BACKGROUND, outputs: int = 3, **more: Any) -> Task:
    name = model.signature.inputs[0].name
    return Task(
        model=model,
        rows={name: rows},
        background={name: background},
        players=more.pop("players", flat_players(int(np.prod(rows.shape[1:])), name)),
        outputs=more.pop("asked", all_outputs(len(rows), outputs)),
        output_names=tuple(map(str, range(outputs))),
        **{"seed": 1, **more},
    )


def curved(seed: int = 3) -> NumpyModel:
    generator = np.random.default_rng(seed)
    return NumpyModel(generator.normal(size=(12, 3)), hidden=generator.normal(0, 0.8, (6, 12)))


class Recorder(NumpyModel):
    """Notes the points at which it is differentiated."""

    def path_gradients(self, paths: Paths) -> PathGradients:
        self.asked: list[Points] = []
        gradients = super().path_gradients(paths)

        def noted(points: Points) -> Any:
            self.asked.append(points)
            return gradients(points)

        return noted


class TestValues:
    @pytest.mark.parametrize("framework", FRAMEWORKS)
    def test_of_a_linear_model_they_are_known_by_hand(self, framework: str, tmp_path: Path) -> None:
        model = load(tiny_models.linear_classifier(tmp_path / FRAMEWORKS[framework]))
        rows, background = ROWS[:, :2], BACKGROUND[:, :2]
        answer = explain(task_of(model, rows, background, outputs=2))
        expected = (rows - background.mean(axis=0))[:, :, None] * tiny_models.LINEAR_WEIGHTS
        np.testing.assert_allclose(answer.values, expected, atol=1e-5)
        assert answer.errors.max() < 1e-5
        np.testing.assert_allclose(answer.scores, model.logits({"features": rows}), atol=1e-5)

    @pytest.mark.parametrize("framework", FRAMEWORKS)
    def test_they_are_what_gradients_one_by_one_give(self, framework: str, tmp_path: Path) -> None:
        path = tiny_models.mlp(tmp_path / FRAMEWORKS[framework], inputs=6, softmax=True)
        model = load(path, tiny_models.signature(inputs=6, outputs=3, kind="probabilities"))
        name = model.signature.inputs[0].name
        paths = Paths({name: ROWS}, {name: BACKGROUND}, {name: np.array([0, 1, 1, 2, 0, 3])}, 4)
        generator = np.random.default_rng(0)
        points = Points(
            rows=generator.integers(0, 6, 5000),
            background_rows=generator.integers(0, 30, 5000),
            positions=generator.random(5000).astype("float32"),
            groups=np.sort(np.arange(5000) % 7),
            outputs=generator.integers(0, 3, (5000, 2)),
        )
        np.testing.assert_allclose(
            model.path_gradients(paths)(points), Model.path_gradients(model, paths)(points), rtol=1e-4, atol=1e-3
        )

    @pytest.mark.parametrize("framework", FRAMEWORKS)
    def test_a_token_has_the_sum_over_its_embedding(self, framework: str, tmp_path: Path) -> None:
        model = load(tiny_models.token_classifier(tmp_path / FRAMEWORKS[framework], length=5))
        rows, background = (np.random.default_rng(2).integers(0, 64, (count, 5)).astype("int32") for count in (4, 9))
        answer = explain(task_of(model, rows, background, outputs=2))
        # The model is linear behind the embedding, so a token adds what it changes alone.
        one = np.tile(background[:, None], (1, 5, 1))
        for place in range(5):
            one[:, place, place] = rows[0, place]
        name = model.signature.inputs[0].name
        alone = model.logits({name: one.reshape(-1, 5)}).reshape(9, 5, 2) - model.logits({name: background})[:, None]
        np.testing.assert_allclose(answer.values[0], alone.mean(axis=0), atol=1e-5)

    @pytest.mark.parametrize("framework", FRAMEWORKS)
    def test_two_inputs_of_whole_numbers_have_an_embedding_each(self, framework: str, tmp_path: Path) -> None:
        model = load(tiny_models.ratings(tmp_path / FRAMEWORKS[framework]))
        user, item = (np.array([[1], [2]]), np.array([[3], [4]]))
        players = Players(("user", "item"), {"user": np.array([0]), "item": np.array([1])}, grid=(2,))
        task = Task(
            model=model,
            rows={"user": user, "item": item},
            background={"user": user[::-1] + 4, "item": item + 1},
            players=players,
            outputs=all_outputs(2, 1),
            output_names=("rating",),
            seed=0,
        )
        answer = explain(task)
        np.testing.assert_allclose(answer.scores, model.logits({"user": user, "item": item}), atol=1e-5)
        changed = model.logits({"user": user, "item": item[:1].repeat(2, 0)})
        np.testing.assert_allclose(answer.values[0, 0] - answer.values[1, 0], changed[0] - changed[1], atol=1e-5)

    def test_a_feature_of_several_values_has_their_sum(self) -> None:
        settings = {"tolerance": 0.0, "maximum_sweeps": 2}
        single = explain(task_of(curved()), **settings)
        pairs = Players(("left", "middle", "right"), {"features": np.array([0, 0, 1, 1, 2, 2])}, grid=(3,))
        together = explain(task_of(curved(), players=pairs), **settings)
        np.testing.assert_allclose(together.values, single.values.reshape(6, 3, 2, 3).sum(axis=2), rtol=1e-5, atol=1e-6)

    def test_each_row_can_have_an_output_of_its_own(self) -> None:
        settings = {"tolerance": 0.0, "maximum_sweeps": 2}
        every = explain(task_of(curved()), **settings)
        asked = np.array([[2], [0], [1], [1], [0], [2]])
        some = explain(task_of(curved(), asked=asked, outputs=1), **settings)
        np.testing.assert_array_equal(some.values[..., 0], every.values[np.arange(6), :, asked[:, 0]])
        np.testing.assert_array_equal(some.base_values[:, 0], every.base_values[np.arange(6), asked[:, 0]])


class TestErrors:
    def test_two_of_them_hold_the_truth(self) -> None:
        truth = explain(task_of(curved(), seed=99), tolerance=0.0, maximum_sweeps=256).values
        inside = []
        for seed in range(12):
            answer = explain(task_of(curved(), seed=seed), tolerance=0.0, maximum_sweeps=2)
            assert answer.errors.min() > 0
            inside.append(np.abs(answer.values - truth) <= 2 * answer.errors)
        assert 0.90 <= np.mean(inside) <= 0.98

    def test_a_single_background_row_has_an_error_too(self) -> None:
        truth = explain(task_of(curved(), background=BACKGROUND[:1], seed=9), tolerance=0.0, maximum_sweeps=256).values
        inside = []
        for seed in range(8):
            task = task_of(curved(), background=BACKGROUND[:1], seed=seed)
            answer = explain(task, tolerance=0.0, maximum_sweeps=1)
            inside.append(np.abs(answer.values - truth) <= 2 * answer.errors)
        assert 0.85 <= np.mean(inside) <= 0.99

    def test_they_fall_with_the_number_of_sweeps_and_not_with_its_root(self) -> None:
        few, many = (explain(task_of(curved()), tolerance=0.0, maximum_sweeps=count) for count in (2, 16))
        assert many.errors.mean() < few.errors.mean() / 6

    def test_a_row_stops_when_its_tolerance_is_kept(self) -> None:
        truth = explain(task_of(curved(), seed=99), tolerance=0.0, maximum_sweeps=256).values
        rough, fine = (explain(task_of(curved()), tolerance=tolerance) for tolerance in (0.2, 0.01))
        assert rough.evaluations.max() < fine.evaluations.min()
        missed = np.abs(fine.values - truth).max(axis=(1, 2)) / np.abs(truth).max(axis=(1, 2))
        assert missed.max() <= 0.01

    def test_a_row_is_given_up_on_with_its_true_error(self) -> None:
        answer = explain(task_of(curved()), tolerance=0.0, maximum_sweeps=3)
        assert set(answer.evaluations) == {3 * 2 * 30}
        assert answer.errors.min() > 0

    def test_what_is_missing_to_the_score_is_left_to_be_told(self) -> None:
        task = task_of(curved())
        answer = explain(task, tolerance=0.0, maximum_sweeps=1)
        missed = np.abs(answer.scores - task.model.logits({"features": ROWS})).max()
        assert missed > 1e-3
        many = explain(task, tolerance=0.0, maximum_sweeps=64)
        assert np.abs(many.scores - task.model.logits({"features": ROWS})).max() < missed / 10


class TestDesign:
    @pytest.fixture
    def points(self) -> Points:
        generator = np.random.default_rng(3)
        model = Recorder(generator.normal(size=(12, 3)), hidden=generator.normal(size=(6, 12)))
        explain(task_of(model, ROWS[:1]), tolerance=0.0, maximum_sweeps=4)
        assert len(model.asked) == 4
        return Points(
            **{
                name: np.concatenate([getattr(points, name) for points in model.asked])
                for name in ("rows", "background_rows", "positions", "groups", "outputs")
            }
        )

    def test_each_background_row_is_used_equally_often(self, points: Points) -> None:
        assert np.bincount(points.background_rows).tolist() == [8] * 30

    def test_a_block_has_each_stratum_once_a_sweep(self, points: Points) -> None:
        first = points.part(slice(0, 60))[0]
        for group in range(first.group_count):
            positions = first.positions[first.groups == group]
            assert sorted(np.floor(positions * len(positions)).astype(int)) == list(range(len(positions)))

    def test_the_positions_of_one_background_row_fill_the_path(self, points: Points) -> None:
        # The points of one replicate: in each of the four sweeps the first half.
        places = points.positions.reshape(4, 2, 30)[:, 0]
        np.testing.assert_array_equal(np.sort(np.floor(places * 4), axis=0), np.arange(4)[:, None].repeat(30, 1))

    def test_shifts_halve_what_is_left(self) -> None:
        assert [van_der_corput(number) for number in range(6)] == [0, 0.5, 0.25, 0.75, 0.125, 0.625]


class TestParts:
    @pytest.fixture
    def task(self, monkeypatch: pytest.MonkeyPatch) -> Task:
        monkeypatch.setattr("audits.engine.explainers.gradients.MOST_ROWS_TOGETHER", 2)
        return task_of(curved())

    def test_who_goes_on_gets_the_same_bits(self, task: Task) -> None:
        parts = list(ExpectedGradientsExplainer().parts(task))
        assert [part.row_count for part in parts] == [2, 2, 2]
        later = list(ExpectedGradientsExplainer().parts(task, first=2))
        for ours, theirs in zip(parts[1:], later, strict=True):
            np.testing.assert_array_equal(ours.values, theirs.values)
            np.testing.assert_array_equal(ours.errors, theirs.errors)

    def test_the_same_seed_gives_the_same_bits_and_another_does_not(self, task: Task) -> None:
        first, again, other = (explain(replace(task, seed=seed)).values for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_outputs_by_the_thousand_are_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = explain(task_of(curved()), tolerance=0.0, maximum_sweeps=2)
        for module in ("gradients", "expected_gradients"):
            monkeypatch.setattr(f"audits.engine.explainers.{module}.MOST_VALUES_TOGETHER", 6 * 32 * 2)
        cut = explain(task_of(curved()), tolerance=0.0, maximum_sweeps=2)
        np.testing.assert_allclose(cut.values, whole.values, rtol=1e-12)
        np.testing.assert_allclose(cut.errors, whole.errors, rtol=1e-12)
        assert set(cut.evaluations) == {2 * int(whole.evaluations[0])}, "two cuts of the outputs"


class TestRefusals:
    def test_probabilities(self) -> None:
        with pytest.raises(JobError, match=r"explains logits only.*'permutation'") as caught:
            explain(task_of(curved(), scale="probabilities"))
        assert caught.value.code == "scale_not_supported"

    def test_whole_numbers_without_an_embedding(self) -> None:
        with pytest.raises(JobError, match=r"'features' is whole numbers.*Use 'permutation'") as caught:
            explain(task_of(curved(), rows=ROWS.astype("int64")))
        assert caught.value.code == "no_gradient"

    def test_a_gradient_that_is_no_number(self) -> None:
        class Broken(NumpyModel):
            def path_gradients(self, paths: Paths) -> PathGradients:
                return lambda points: np.full((points.group_count, paths.feature_count, points.output_count), np.nan)

        with pytest.raises(JobError, match="a gradient that is not a number") as caught:
            explain(task_of(Broken(np.ones((6, 3)))))
        assert caught.value.code == "gradient_not_finite"

    @pytest.mark.parametrize(
        "stated",
        [
            {"tolerance": -0.1},
            {"tolerance": float("nan")},
            {"tolerance": "0.1"},
            {"tolerance": True},
            {"maximum_sweeps": 0},
            {"maximum_sweeps": 1.5},
            {"maximum_sweeps": True},
            {"sweeps": 4},
        ],
    )
    def test_settings_that_mean_nothing(self, stated: dict[str, Any]) -> None:
        with pytest.raises(JobError) as caught:
            ExpectedGradientsExplainer.from_json(stated)
        assert caught.value.code in ("parameter_out_of_range", "unknown_parameter")

    def test_it_says_that_it_gives_no_shapley_values(self) -> None:
        assert "not Shapley values" in ExpectedGradientsExplainer.estimand
