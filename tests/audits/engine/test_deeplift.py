"""DeepLIFT alike on both frameworks, what it refuses, and that a refusal leaves the process as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.deeplift import DeepLiftExplainer
from audits.engine.explainers.expected_gradients import ExpectedGradientsExplainer
from audits.engine.explainers.players import Players
from tests import packages, tiny_models
from tests.audits.engine.deeplifting import BACKGROUND, ROWS, explain, gated, refusal
from tests.audits.engine.explained import all_outputs, flat_players
from tests.numpy_model import NumpyModel
from tests.workers.graph_models import GRAPHS, copy_of, upload
from tests.workers.loaded_models import FRAMEWORKS, load
from workers.frameworks.base import TrainingRows
from workers.frameworks.loading import load_model
from workers.frameworks.paths import Paths, Rescaled, RescaledContributions
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def model_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where to write a model, once in each format."""
    return tmp_path / request.param


class TestOnBoth:
    def test_the_same_weights_have_the_same_values(self, tmp_path: Path) -> None:
        answers = []
        for filename in FRAMEWORKS.values():
            path = tiny_models.mlp(tmp_path / filename, inputs=6, softmax=True, batch_normalisation=True)
            model = load(path, tiny_models.signature(inputs=6, outputs=3, kind="probabilities"))
            answers.append(explain(model))
        np.testing.assert_allclose(answers[0].values, answers[1].values, atol=1e-5)
        np.testing.assert_allclose(answers[0].scores, model.logits({"features": ROWS}), atol=1e-5)

    def test_of_a_linear_model_they_are_known_by_hand(self, model_path: Path) -> None:
        answer = explain(load(tiny_models.linear_classifier(model_path)), ROWS[:, :2], BACKGROUND[:, :2])
        expected = (ROWS[:, :2] - BACKGROUND[:, :2].mean(axis=0))[:, :, None] * tiny_models.LINEAR_WEIGHTS
        np.testing.assert_allclose(answer.values, expected, atol=1e-5)

    def test_tokens_are_explained_behind_their_embedding(self, model_path: Path) -> None:
        model = load(tiny_models.token_classifier(model_path, length=5))
        rows, background = (np.random.default_rng(2).integers(0, 64, (count, 5)).astype("int32") for count in (4, 9))
        answer = explain(model, rows, background)
        np.testing.assert_allclose(answer.scores, model.logits({model.signature.inputs[0].name: rows}), atol=1e-5)
        assert answer.values.shape == (4, 5, 2)

    def test_a_model_of_two_inputs(self, model_path: Path) -> None:
        model = load(tiny_models.two_inputs(model_path))
        left, right = ROWS[:, :2], ROWS[:, 2:3]
        players = Players(("a", "b", "c"), {"left": np.array([0, 1]), "right": np.array([2])}, grid=(3,))
        task = Task(
            model=model,
            rows={"left": left, "right": right},
            background={"left": BACKGROUND[:, :2], "right": BACKGROUND[:, 2:3]},
            players=players,
            outputs=all_outputs(4, 2),
            output_names=("0", "1"),
            seed=0,
        )
        weights = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -2.0]])
        expected = (ROWS[:, :3] - BACKGROUND[:, :3].mean(axis=0))[:, :, None] * weights
        np.testing.assert_allclose(DeepLiftExplainer().explain(task).values, expected, atol=1e-5)

    def test_an_output_of_its_own_for_each_row_and_a_part_to_go_on_from(
        self, model_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = load(tiny_models.mlp(model_path, inputs=6))
        every = explain(model)
        monkeypatch.setattr("audits.engine.explainers.gradients.MOST_ROWS_TOGETHER", 2)
        asked = np.array([[2], [0], [1], [2]])
        task = Task(
            model=model,
            rows={"features": ROWS},
            background={"features": BACKGROUND},
            players=flat_players(6),
            outputs=asked,
            output_names=("predicted",),
            seed=0,
        )
        parts = list(DeepLiftExplainer().parts(task))
        found = Attribution.joined(parts).values[..., 0]
        np.testing.assert_allclose(found, every.values[np.arange(4), :, asked[:, 0]], atol=1e-6)
        (last,) = DeepLiftExplainer().parts(task, first=2)
        np.testing.assert_array_equal(last.values, parts[1].values)

    def test_the_scores_beside_them_are_the_models_own(self, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where the background comes in three parts, the last of them filled up, and rows one at a time."""
        for adapter in ("keras", "pytorch"):
            monkeypatch.setattr(f"workers.frameworks.{adapter}.gradient_rows", lambda _model: 4)
        model = load(
            tiny_models.mlp(model_path, inputs=6, softmax=True),
            tiny_models.signature(inputs=6, outputs=3, kind="probabilities"),
        )
        players = flat_players(6)
        paths = Paths({"features": ROWS}, {"features": BACKGROUND}, players.assignment, 6)
        rows, asked = np.array([2, 0, 3]), np.array([[2, 0], [0, 1], [1, 1]])
        found = model.rescaled_contributions(paths)(rows, asked)
        scores = np.take_along_axis(model.logits({"features": ROWS})[rows], asked, axis=1)
        base = model.logits({"features": BACKGROUND}).mean(axis=0)[asked]
        np.testing.assert_allclose(found.scores, scores, atol=1e-5)
        np.testing.assert_allclose(found.base, base, atol=1e-5)
        np.testing.assert_allclose(found.contributions.sum(axis=1), scores - base, atol=1e-5)

    def test_after_a_refusal_the_process_trains_and_explains(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, inputs=6))
        before = explain(model).values
        refused = load(gated(model_path))
        assert "multiplies two activations" in refusal(refused)
        np.testing.assert_array_equal(explain(model).values, before)
        recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 2, "seed": 1, "optimizer": {"name": "sgd"}})
        for trained in (model, refused):
            labels = np.arange(9) % 2
            history = trained.fit(TrainingRows({"features": BACKGROUND}, labels), recipe, on_epoch=lambda _: None)
            assert np.isfinite(history.epochs[-1].loss)
        assert not np.array_equal(explain(model).values, before), "new weights have new values"
        task = Task(
            model=refused,
            rows={"features": ROWS},
            background={"features": BACKGROUND},
            players=flat_players(6),
            outputs=all_outputs(4, 2),
            output_names=("0", "1"),
            seed=0,
        )
        assert np.isfinite(ExpectedGradientsExplainer().explain(task).values).all()


class TestRefusals:
    @pytest.mark.parametrize("name", list(GRAPHS))
    def test_a_format_that_shows_no_layers(self, name: str, tmp_path: Path) -> None:
        path = copy_of(upload(tmp_path / name))
        stated = Signature.from_json(tiny_models.signature())
        model = load_model(path, framework=GRAPHS[name][0], signature=stated, device="cpu", seed=0)
        assert "does not show its layers" in refusal(model, ROWS[:, :2], BACKGROUND[:, :2])

    def test_a_layer_that_code_of_a_package_makes(self, tmp_path: Path) -> None:
        path = packages.keras(tmp_path / "model.package")
        model = load_model(path, framework="keras", signature=None, device="cpu", seed=0)
        assert "no rule is known" in refusal(model, ROWS[:, :2], BACKGROUND[:, :2])

    def test_probabilities(self) -> None:
        with pytest.raises(JobError, match="explains logits only") as caught:
            explain(NumpyModel(np.ones((6, 2))), scale="probabilities")
        assert caught.value.code == "scale_not_supported"

    def test_values_that_do_not_add_up(self) -> None:
        class Wrong(NumpyModel):
            def rescaled_contributions(self, paths: Paths) -> RescaledContributions:
                return lambda _rows, outputs: Rescaled(
                    contributions=np.full((len(outputs), paths.feature_count, outputs.shape[1]), 0.5),
                    scores=np.ones(outputs.shape),
                    base=np.zeros(outputs.shape),
                )

        with pytest.raises(JobError, match=r"row 0 miss its score.*'permutation'") as caught:
            explain(Wrong(np.ones((6, 2))))
        assert caught.value.code == "contributions_do_not_add_up"

    @pytest.mark.parametrize("which", ["rows", "background"])
    def test_a_score_that_is_not_a_number(self, which: str, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        given = {"rows": ROWS[:, :2].copy(), "background": BACKGROUND[:, :2].copy()}
        given[which][1, 0] = np.nan
        with pytest.raises(JobError, match="a score that is not a number") as caught:
            explain(model, **given)
        assert caught.value.code == "score_not_finite"

    def test_it_says_that_it_gives_no_shapley_values(self) -> None:
        assert "not Shapley values" in DeepLiftExplainer.estimand
