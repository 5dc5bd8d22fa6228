"""The job ``model_inspection``: a verdict with the facts of the rewritten copy, or with the reasons against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.artifacts.crafting import export
from workers.artifacts import job
from workers.context import JobContext
from workers.frameworks.loading import load_model
from workers.protocol import InputFile, JobError, JobSpec, canonical_json, digest_of_file

SUFFIXES = [".keras", ".pt2"]
FACTS = {
    "verdict", "reason", "framework", "format", "findings", "sources", "signature", "recipe", "layers",
    "parameter_count", "weights_digest", "rewritten",
}  # fmt: skip


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    def run(
        artifact: Path, *, signature: Any = None, recipe: Any = None, filename: str | None = None
    ) -> tuple[dict[str, Any], Path]:
        folder = tmp_path / "job"
        (folder / "inputs").mkdir(parents=True)
        stored = folder / "inputs" / "artifact"
        stored.write_bytes(artifact.read_bytes())
        spec = JobSpec(
            kind="model_inspection",
            runner="workers.artifacts.job:run",
            job_id=1,
            attempt=1,
            parameters={
                "filename": filename or artifact.name,
                "stated_signature": signature,
                "stated_recipe": recipe,
            },
            inputs={"artifact": InputFile("artifact", digest_of_file(stored), stored.stat().st_size)},
        )
        value = job.run(JobContext(spec, folder))
        canonical_json(value)
        assert set(value) == FACTS
        return value, folder / "outputs"

    return run


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_is_registered_with_the_facts_of_its_rewritten_copy(run_job: Any, tmp_path: Path, suffix: str) -> None:
    source = tiny_models.linear_classifier(tmp_path / f"model{suffix}")
    stated = tiny_models.signature(classes=["no", "yes"], columns=["height", "width"])
    value, outputs = run_job(source, signature=stated, recipe={"loss": "cross_entropy", "epochs": 3})
    assert (value["verdict"], value["findings"]) == ("registered", [])
    assert value["format"] == suffix[1:]
    assert value["framework"] == {".keras": "keras", ".pt2": "pytorch"}[suffix]
    assert value["parameter_count"] == 6
    assert [entry["parameter_count"] for entry in value["layers"]] == [6]
    assert value["weights_digest"].startswith("sha256:")
    assert value["signature"]["inputs"] == stated["inputs"]
    assert value["signature"]["outputs"][0]["classes"] == ["no", "yes"]
    assert value["signature"]["outputs"][0]["kind"] == "logits"
    assert (value["recipe"]["loss"], value["recipe"]["epochs"]) == ("cross_entropy", 3)
    assert [path.name for path in outputs.iterdir()] == [value["rewritten"]]

    model = load_model(outputs / value["rewritten"], framework=value["framework"], signature=None, device="cpu", seed=0)
    rows = np.array([[1.0, 2.0], [-0.5, 0.25]], dtype="float32")
    expected = rows @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
    assert np.allclose(model.forward({model.signature.inputs[0].name: rows}), expected, atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_needs_to_be_stated(run_job: Any, tmp_path: Path, suffix: str) -> None:
    value, _ = run_job(tiny_models.mlp(tmp_path / f"model{suffix}", softmax=True))
    assert value["verdict"] == "registered"
    assert value["signature"]["inputs"][0]["shape"] == [-1, 4]
    assert value["signature"]["outputs"][0]["kind"] == "probabilities"
    assert value["recipe"] is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stated_signature_that_differs_is_rejected_with_both_shapes(
    run_job: Any, tmp_path: Path, suffix: str
) -> None:
    stated = tiny_models.signature(inputs=3)
    value, outputs = run_job(tiny_models.linear_classifier(tmp_path / f"model{suffix}"), signature=stated)
    assert (value["verdict"], value["rewritten"]) == ("rejected", None)
    (finding,) = value["findings"]
    assert finding["id"] == "SIG-01.signature"
    assert "[-1, 2]" in finding["detail"]
    assert "[-1, 3]" in finding["detail"]
    assert list(outputs.iterdir()) == [], "what is rejected leaves no file"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_softmax_that_is_said_to_give_logits_is_rejected_at_upload(run_job: Any, tmp_path: Path, suffix: str) -> None:
    source = tiny_models.mlp(tmp_path / f"model{suffix}", softmax=True)
    value, _ = run_job(source, signature=tiny_models.signature(inputs=4, outputs=3, kind="logits"))
    assert value["verdict"] == "rejected"
    assert "so it gives probabilities, and logits as stated" in value["reason"]


def test_a_stated_input_without_columns_is_fed_by_the_column_of_its_stated_name(run_job: Any, tmp_path: Path) -> None:
    source = tiny_models.linear_classifier(tmp_path / "model.pt2")
    value, _ = run_job(source, signature=tiny_models.signature(name="pixels"))
    (entry,) = value["signature"]["inputs"]
    assert (entry["name"], entry["columns"]) == ("features", ["pixels"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_rejected_upload_is_a_result(run_job: Any, tmp_path: Path, suffix: str) -> None:
    source = tiny_models.linear_classifier(tmp_path / f"model{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(source.read_bytes()[:-30])
    value, outputs = run_job(cut)
    assert value["verdict"] == "rejected"
    assert value["reason"].startswith("The file is cut off")
    assert (value["signature"], value["rewritten"], value["layers"]) == (None, None, [])
    assert not outputs.exists()


def test_a_model_that_keras_cannot_build_is_rejected_and_named(run_job: Any, keras_file: Path, tmp_path: Path) -> None:
    from tests.workers.artifacts.crafting import changed_json

    def change(document: Any) -> None:
        document["config"]["layers"][1]["config"]["units"] = 7

    value, outputs = run_job(changed_json(keras_file, tmp_path / "odd.keras", "config.json", change))
    assert value["verdict"] == "rejected"
    assert [finding["id"] for finding in value["findings"]] == ["SIG-01.load"]
    assert list(outputs.iterdir()) == []


def compiled(path: Path, optimizer: Any, loss: Any, metrics: Any = None) -> Path:
    from tests.workers.artifacts.test_keras import keras

    k = keras()
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3)])
    model.compile(optimizer, loss, metrics=metrics)
    model.save(path)
    return path


def test_compile_settings_are_the_recipe(run_job: Any, tmp_path: Path) -> None:
    from tests.workers.artifacts.test_keras import keras

    k = keras()
    path = compiled(
        tmp_path / "model.keras",
        k.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        k.losses.SparseCategoricalCrossentropy(from_logits=True),
        [k.metrics.SparseCategoricalAccuracy(), k.metrics.AUC()],
    )
    value, _ = run_job(path, recipe={"epochs": 4})
    assert value["verdict"] == "registered"
    assert value["recipe"]["loss"] == "cross_entropy"
    assert value["recipe"]["optimizer"] == {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
    assert value["recipe"]["metrics"] == ["accuracy"]
    assert value["recipe"]["epochs"] == 4


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"loss": "mean_squared_error"}, ["the loss cross_entropy", "mean_squared_error"]),
        ({"optimizer": {"name": "sgd", "learning_rate": 0.1}}, ["the optimizer adam", "sgd"]),
        ({"optimizer": {"name": "adam", "learning_rate": 0.5}}, ["learning_rate = 0.001", "0.5"]),
    ],
)
def test_a_stated_recipe_that_differs_is_rejected_with_both(
    run_job: Any, tmp_path: Path, stated: dict[str, Any], words: list[str]
) -> None:
    path = compiled(tmp_path / "model.keras", "adam", "sparse_categorical_crossentropy")
    value, _ = run_job(path, recipe=stated)
    assert value["verdict"] == "rejected"
    (finding,) = value["findings"]
    assert finding["id"] == "SIG-01.recipe"
    assert all(word in finding["detail"] for word in words)


@pytest.mark.parametrize(
    "stated",
    [
        {"loss": "sparse_categorical_crossentropy", "optimizer": "adam"},
        {"optimizer": {"name": "adam", "learning_rate": 0.001}},
        {"batch_size": 8},
    ],
)
def test_a_stated_recipe_that_says_the_same_is_taken(run_job: Any, tmp_path: Path, stated: dict[str, Any]) -> None:
    value, _ = run_job(compiled(tmp_path / "m.keras", "adam", "sparse_categorical_crossentropy"), recipe=stated)
    assert value["verdict"] == "registered"
    assert value["recipe"]["loss"] == "cross_entropy"
    assert value["recipe"]["optimizer"]["learning_rate"] == 0.001


def test_compile_settings_that_a_recipe_cannot_say_are_told_and_do_not_reject(run_job: Any, tmp_path: Path) -> None:
    value, _ = run_job(compiled(tmp_path / "model.keras", "adam", "poisson"))
    assert (value["verdict"], value["recipe"]) == ("registered", None)
    (finding,) = value["findings"]
    assert (finding["id"], finding["severity"]) == ("SIG-02.recipe", "info")
    assert "'poisson'" in finding["detail"]


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"signature": {"inputs": []}}, "signature_invalid"),
        ({"recipe": {"loss": "invented"}}, "recipe_invalid"),
        ({"recipe": []}, "recipe_invalid"),
    ],
)
def test_what_is_stated_has_to_be_well_formed(run_job: Any, tmp_path: Path, stated: dict[str, Any], code: str) -> None:
    with pytest.raises(JobError) as caught:
        run_job(tiny_models.linear_classifier(tmp_path / "model.pt2"), **stated)
    assert caught.value.code == code


def test_the_same_weights_have_one_digest_in_two_uploads(run_job: Any, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    first = export(tmp_path / "first.pt2", module, (torch.zeros(2, 3),))
    value, _ = run_job(first)
    model = load_model(first, framework="pytorch", signature=None, device="cpu", seed=1)
    from workers.frameworks.weights import digest_of_weights

    assert value["weights_digest"] == digest_of_weights(model.weights())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_training_writes_passes_the_inspection(run_job: Any, tmp_path: Path, suffix: str) -> None:
    from workers.artifacts.inspection import inspect
    from workers.frameworks.base import TrainingRows
    from workers.recipe import Recipe

    source = tiny_models.mlp(tmp_path / f"model{suffix}", dropout=0.1, batch_normalisation=True)
    value, outputs = run_job(source)
    model = load_model(outputs / value["rewritten"], framework=value["framework"], signature=None, device="cpu", seed=0)
    rows = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 1})
    (name,) = [spec.name for spec in model.signature.inputs]
    model.fit(TrainingRows({name: rows}, np.arange(32) % 3), recipe, on_epoch=lambda _: None)
    trained = tmp_path / f"trained{suffix}"
    model.save(trained)
    inspection = inspect(trained, filename=trained.name)
    assert (inspection.verdict, inspection.findings) == ("registered", ())


def test_a_legacy_model_is_registered_with_its_facts(run_job: Any, tmp_path: Path) -> None:
    from tests.workers.artifacts.keras_models import shared_layers

    model = shared_layers()
    model.save(tmp_path / "model.h5")
    value, outputs = run_job(tmp_path / "model.h5")
    assert (value["verdict"], value["findings"]) == ("registered", [])
    assert (value["format"], value["framework"], value["rewritten"]) == ("h5", "keras", "rewritten.h5")
    assert value["parameter_count"] == model.count_params()
    assert [entry["name"] for entry in value["signature"]["inputs"]] == ["left", "right"]
    assert [path.name for path in outputs.iterdir()] == ["rewritten.h5"]


def test_a_model_of_texts_is_registered_and_says_so_in_its_signature(run_job: Any, tmp_path: Path) -> None:
    from tests.workers.artifacts.keras_models import adapted_words
    from workers.datasets.schema import Schema
    from workers.signature import Signature

    adapted_words().save(tmp_path / "model.keras")
    value, _ = run_job(tmp_path / "model.keras")
    assert (value["verdict"], value["findings"]) == ("registered", [])
    signature = Signature.from_json(value["signature"])
    assert signature.inputs[0].dtype == "string"
    schema = Schema.from_json({"modality": "text", "columns": {"words": {"role": "feature", "type": "text"}}})
    (sentence,) = signature.misfits(schema)
    assert "takes texts; such a model is registered and not run on data sets" in sentence


def test_a_model_that_answers_with_texts_is_rejected_for_its_signature(run_job: Any, tmp_path: Path) -> None:
    from tests.workers.artifacts.keras_models import keras

    k = keras()
    words = k.Input((1,), dtype="string")
    k.Model(words, k.layers.Identity()(words)).save(tmp_path / "model.keras")
    value, _ = run_job(tmp_path / "model.keras")
    (finding,) = value["findings"]
    assert (value["verdict"], finding["id"]) == ("rejected", "SIG-01.load")
    assert "is texts; an output is numbers" in finding["detail"]
