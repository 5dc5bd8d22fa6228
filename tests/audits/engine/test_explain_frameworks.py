"""Both frameworks through one interface, held against exact enumeration, against each other and against shap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audits.engine import explanation
from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from audits.engine.explainers.players import Players, players_of
from tests import tiny_models
from tests.audits.engine.explained import NumpyModel, all_outputs, curved_model, flat_players
from workers.context import JobContext
from workers.datasets.schema import Schema
from workers.frameworks.base import Model
from workers.frameworks.loading import load_model
from workers.protocol import InputFile, JobSpec
from workers.signature import Signature

FRAMEWORKS = {"keras": ".keras", "pytorch": ".pt2"}


def load(path: Path, framework: str, document: dict[str, Any]) -> Model:
    return load_model(path, framework=framework, signature=Signature.from_json(document), device="cpu", seed=0)


def explain(
    explainer: Explainer,
    model: Model,
    rows: dict[str, np.ndarray],
    background: dict[str, np.ndarray],
    players: Players,
    *,
    outputs: int,
    seed: int = 1,
) -> Attribution:
    count = len(next(iter(rows.values())))
    return explainer.explain(
        Task(
            model=model,
            rows=rows,
            background=background,
            players=players,
            outputs=all_outputs(count, outputs),
            output_names=tuple(map(str, range(outputs))),
            seed=seed,
        )
    )


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(21)
    return generator.normal(size=(12, 6)).astype("float32"), generator.normal(size=(16, 6)).astype("float32")


def test_memory_and_cuts_change_no_bit(mlp: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows stop after different sweeps, so that batches of every size go through the model."""
    monkeypatch.setattr("workers.frameworks.coalitions.BATCH_VALUES", {"cpu": 16 * 500})
    generator = np.random.default_rng(2)
    rows = {"features": generator.normal(size=(36, 6)).astype("float32")}
    task = Task(
        model=mlp,
        rows=rows,
        background={"features": generator.normal(size=(18, 6)).astype("float32")},
        players=flat_players(6),
        outputs=all_outputs(36, 3),
        output_names=("0", "1", "2"),
        seed=4,
    )
    whole = list(PermutationExplainer(PermutationParameters(tolerance=0.04)).parts(task))
    assert len({count for part in whole for count in part.evaluations}) > 2
    for memory_bytes in (1, 300_000):
        explainer = PermutationExplainer(PermutationParameters(tolerance=0.04, memory_bytes=memory_bytes))
        for part, again in zip(whole[1:], explainer.parts(task, first=whole[0].row_count), strict=True):
            assert np.array_equal(part.values, again.values)
            assert np.array_equal(part.errors, again.errors)
            assert np.array_equal(part.evaluations, again.evaluations)


@pytest.fixture(scope="module", params=sorted(FRAMEWORKS))
def mlp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("mlp") / f"model{FRAMEWORKS[request.param]}"
    tiny_models.mlp(path, inputs=6, hidden=16, classes=3, softmax=True)
    return load(path, request.param, tiny_models.signature(inputs=6, outputs=3, kind="probabilities"))


def test_the_stated_error_holds_the_exact_value(mlp: Model, features: tuple[np.ndarray, np.ndarray]) -> None:
    rows, background = ({"features": values} for values in features)
    exact = explain(ExactExplainer(), mlp, rows, background, flat_players(6), outputs=3)
    inside = []
    for seed in range(6):
        explainer = PermutationExplainer(PermutationParameters(tolerance=0.05))
        answer = explain(explainer, mlp, rows, background, flat_players(6), outputs=3, seed=seed)
        inside.append(np.abs(answer.values - exact.values) <= 2 * answer.errors + 1e-6)
        assert answer.errors.max() > 1e-4, "a network has interactions, so an estimate has an error"
    assert np.mean(inside) >= 0.90


def test_values_add_up_to_the_logits_not_to_the_probabilities(
    mlp: Model, features: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, background = ({"features": values} for values in features)
    answer = explain(PermutationExplainer(), mlp, rows, background, flat_players(6), outputs=3)
    first, first_bias, second, second_bias = tiny_models.mlp_weights(inputs=6, hidden=16, classes=3)
    logits = np.maximum(features[0] @ first + first_bias, 0) @ second + second_bias
    np.testing.assert_allclose(answer.scores, logits, atol=1e-5)


def test_the_same_weights_have_the_same_values_in_both_frameworks(
    tmp_path: Path, features: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, background = ({"features": values} for values in features)
    answers = []
    for framework, suffix in FRAMEWORKS.items():
        path = tiny_models.mlp(tmp_path / f"model{suffix}", inputs=6, hidden=16, classes=3)
        model = load(path, framework, tiny_models.signature(inputs=6, outputs=3))
        answers.append(explain(PermutationExplainer(), model, rows, background, flat_players(6), outputs=3))
    np.testing.assert_allclose(answers[0].values, answers[1].values, atol=1e-5)
    np.testing.assert_allclose(answers[0].errors, answers[1].errors, atol=1e-5)


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_a_linear_model_of_two_inputs_is_known_by_hand(framework: str, tmp_path: Path) -> None:
    document = {
        "inputs": [
            {"name": "left", "shape": [-1, 2], "dtype": "float32", "columns": ["a", "b"]},
            {"name": "right", "shape": [-1, 1], "dtype": "float32", "columns": ["c"]},
        ],
        "outputs": [{"name": "answer", "shape": [-1, 2], "dtype": "float32", "kind": "logits"}],
    }
    model = load(tiny_models.two_inputs(tmp_path / f"model{FRAMEWORKS[framework]}"), framework, document)
    column = {"role": "feature", "type": "float"}
    schema = Schema.from_json({"modality": "tabular", "columns": {"a": column, "b": column, "c": column}})
    generator = np.random.default_rng(3)
    rows, background = (generator.normal(size=(count, 3)).astype("float32") for count in (5, 8))
    answer = explain(
        PermutationExplainer(),
        model,
        {"left": rows[:, :2], "right": rows[:, 2:]},
        {"left": background[:, :2], "right": background[:, 2:]},
        players_of(model.signature, schema),
        outputs=2,
    )
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -2.0]])
    np.testing.assert_allclose(answer.values, (rows - background.mean(axis=0))[:, :, None] * weights, atol=1e-5)


def test_an_image_model_has_the_same_heat_maps_in_both_frameworks(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    images, background = (generator.uniform(size=(count, 8, 8)).astype("float32") for count in (3, 8))
    schema = Schema.from_json(
        {"modality": "image", "columns": {"image": {"role": "feature", "type": "image", "shape": [8, 8]}}}
    )
    answers = []
    for framework, suffix in FRAMEWORKS.items():
        model = load(tiny_models.cnn(tmp_path / f"model{suffix}"), framework, tiny_models.image_signature())
        players = players_of(model.signature, schema)
        answers.append(
            explain(PermutationExplainer(), model, {"image": images}, {"image": background}, players, outputs=4)
        )
        np.testing.assert_allclose(answers[-1].scores, model.logits({"image": images}), atol=1e-5)
    assert answers[0].values.shape == (3, 8, 8, 4)
    np.testing.assert_allclose(answers[0].values, answers[1].values, atol=1e-5)


class TestShap:
    """shap as oracle of the values and as the format that others read."""

    @pytest.fixture
    def case(self) -> tuple[NumpyModel, np.ndarray, np.ndarray]:
        generator = np.random.default_rng(31)
        return curved_model(5), generator.normal(size=(4, 5)), generator.normal(size=(10, 5))

    def test_its_exact_explainer_agrees(self, case: tuple[NumpyModel, np.ndarray, np.ndarray]) -> None:
        import shap

        model, rows, background = case
        ours = explain(
            ExactExplainer(), model, {"features": rows}, {"features": background}, flat_players(5), outputs=2
        )
        theirs = shap.explainers.ExactExplainer(
            lambda values: model.logits({"features": values}), shap.maskers.Independent(background, max_samples=10)
        )(rows)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-10)
        np.testing.assert_allclose(ours.base_values, theirs.base_values, atol=1e-10)

    def test_its_kernel_explainer_agrees(self, case: tuple[NumpyModel, np.ndarray, np.ndarray]) -> None:
        import shap

        model, rows, background = case
        explainer = PermutationExplainer(PermutationParameters(tolerance=0.02, maximum_sweeps=100))
        ours = explain(explainer, model, {"features": rows}, {"features": background}, flat_players(5), outputs=2)
        theirs = shap.KernelExplainer(lambda values: model.logits({"features": values}), background)
        values = np.asarray(theirs.shap_values(rows, nsamples=2**5, l1_reg=0, silent=True))
        difference = np.abs(ours.values - values)
        assert (difference <= 4 * ours.errors + 1e-9).all()

    def test_its_plots_take_our_values(self, case: tuple[NumpyModel, np.ndarray, np.ndarray], tmp_path: Path) -> None:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
        import shap

        model, rows, background = case
        answer = explain(
            PermutationExplainer(), model, {"features": rows}, {"features": background}, flat_players(5), outputs=2
        )
        ours = answer.to_shap()
        np.testing.assert_array_equal(ours.values, answer.values)
        np.testing.assert_array_equal(ours.error_std, answer.errors)
        assert ours.feature_names == list(answer.feature_names)
        for name, draw in {
            "waterfall": lambda: shap.plots.waterfall(ours[0, :, 1], show=False),
            "beeswarm": lambda: shap.plots.beeswarm(ours[:, :, 1], show=False),
            "bar": lambda: shap.plots.bar(ours[:, :, 0], show=False),
        }.items():
            plt.close("all")
            draw()
            plt.savefig(tmp_path / f"{name}.png")
            labels = [text.get_text() for axes in plt.gcf().axes for text in axes.get_yticklabels()]
            assert any("f0" in label for label in labels)
        plt.close("all")

    def test_a_single_output_and_an_image_keep_their_shape(self) -> None:
        model = NumpyModel(
            lambda _, inputs: inputs["features"].reshape(-1, 4) @ np.arange(4.0)[:, None],
            inputs={"features": (2, 2)},
            outputs=1,
        )
        players = Players(names=("a", "b", "c", "d"), assignment={"features": np.arange(4).reshape(2, 2)}, grid=(2, 2))
        answer = explain(
            PermutationExplainer(),
            model,
            {"features": np.ones((3, 2, 2))},
            {"features": np.zeros((4, 2, 2))},
            players,
            outputs=1,
        )
        ours = answer.to_shap()
        assert ours.values.shape == (3, 2, 2)
        np.testing.assert_allclose(ours.values[0], [[0, 1], [2, 3]])
        assert ours.base_values.shape == (3,)


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_the_whole_job_with_a_loaded_model(
    framework: str, tmp_path: Path, features: tuple[np.ndarray, np.ndarray]
) -> None:
    names = [f"column {place}" for place in range(6)]
    (tmp_path / "inputs").mkdir()
    model = tiny_models.mlp(tmp_path / "inputs" / f"model{FRAMEWORKS[framework]}", inputs=6, hidden=16, classes=3)
    everything = np.concatenate(features)
    table = pa.table(
        {**{name: everything[:, place].astype("float64") for place, name in enumerate(names)}, "y": np.arange(28) % 3}
    )
    pq.write_table(table, tmp_path / "inputs" / "table.parquet")
    columns = {name: {"role": "feature", "type": "float"} for name in names}
    parameters = {
        "framework": framework,
        "signature": tiny_models.signature(inputs=6, outputs=3, columns=names, classes=["a", "b", "c"]),
        "schema": {"modality": "tabular", "columns": {**columns, "y": {"role": "target", "type": "integer"}}},
        "rows": 10,
        "background_rows": 16,
        "seed": 1,
    }
    table_file = InputFile("table.parquet", "", 0)
    spec = JobSpec(
        kind="explanation",
        runner="audits.engine.explanation:run",
        job_id=1,
        attempt=1,
        parameters=parameters,
        inputs={"model": InputFile(model.name, "", 0), "dataset": table_file, "background": table_file},
    )
    value = explanation.run(JobContext(spec, tmp_path))
    assert value["admitted"] is True, value["reasons"]
    assert value["quality"]["additivity_residual"] < 1e-5
    assert value["quality"]["agreement"] < 0.1
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {
        "attributions.npz",
        "neighbours.npz",
        "importance.svg",
        "importance.vl.json",
        "beeswarm.svg",
        "beeswarm.vl.json",
    }
