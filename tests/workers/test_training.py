"""The runner of trainings: rows by split, history, chart, the new model file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.job_folders import job, messages, write_table
from tests.workers.loaded_models import framework_of, load, rows
from workers import training
from workers.artifacts import job as inspection
from workers.context import JobContext
from workers.frameworks.weights import digest_of_weights
from workers.protocol import JobError
from workers.recipe import Recipe

X = rows(90, 2)
LABELS = np.where(X[:, 0] > X[:, 1], "good", "bad")
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "age": {"role": "feature", "type": "float"},
        "sum": {"role": "feature", "type": "float"},
        "label": {"role": "target", "type": "category"},
        "part": {"role": "split", "type": "category"},
    },
}
SIGNATURE = tiny_models.signature(classes=["bad", "good"], columns=["age", "sum"])
RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.05},
    "epochs": 4,
    "batch_size": 16,
    "metrics": ["accuracy"],
    "seed": 5,
    "validation_split": 0.2,
}


def prepare(folder: Path, model: Path, **changes: Any) -> JobContext:
    """Lay a training job; ``columns``, ``recipe``, ``schema``, ``signature`` and ``split`` may be changed."""
    columns = {
        "age": X[:, 0],
        "sum": X[:, 1],
        "label": LABELS,
        "part": ["train"] * 60 + ["validation"] * 10 + ["test"] * 20,
        **changes.get("columns", {}),
    }
    folder.mkdir()
    return job(
        folder / "job",
        kind="training",
        inputs={"model": model, "dataset": write_table(folder / "table.parquet", columns)},
        parameters={
            "framework": framework_of(model),
            "format": model.suffix[1:],
            "signature": changes.get("signature", SIGNATURE),
            "schema": changes.get("schema", SCHEMA),
            "recipe": {**RECIPE, **changes.get("recipe", {})},
            "split": changes.get("split"),
        },
    )


def test_a_training_gives_history_model_and_chart(model_path: Path, tmp_path: Path) -> None:
    context = prepare(tmp_path / "one", tiny_models.linear_classifier(model_path))
    value = training.run(context)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert [record["epoch"] for record in value["history"]] == [1, 2, 3, 4]
    assert value["history"][-1]["loss"] < value["history"][0]["loss"]
    assert set(value["history"][0]["metrics"]) == {"accuracy", "validation_accuracy"}
    summary = value["summary"]
    assert (summary["rows"], summary["validation_rows"], summary["kept_epoch"]) == (72, 18, 4)
    assert value["signature"] == SIGNATURE
    assert (value["format"], value["file"]) == (model_path.suffix[1:], model_path.name)
    assert value["parameter_count"] == 6
    produced = load(context.output(value["file"]), SIGNATURE)
    assert digest_of_weights(produced.weights()) == value["weights_digest"]
    assert digest_of_weights(load(model_path).weights()) != value["weights_digest"]
    assert (value["inspection"]["verdict"], value["inspection"]["findings"]) == ("registered", [])
    canonical = load(context.output(value["rewritten"]), SIGNATURE)
    assert digest_of_weights(canonical.weights()) == value["weights_digest"]
    chart = value["charts"][0]
    assert context.output(chart["svg"]).read_text().startswith("<svg")
    assert "loss" in json.loads(context.output(chart["spec"]).read_text())["description"]
    assert len(chart["table"]["rows"]) == 4
    told = [message for message in messages(context) if message["unit"] == "epochs"]
    assert [(message["done"], message["total"]) for message in told] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert "validation loss" in told[-1]["message"]


def test_the_same_job_gives_the_same_weights(model_path: Path, tmp_path: Path) -> None:
    tiny_models.linear_classifier(model_path)
    first, second = (training.run(prepare(tmp_path / name, model_path)) for name in ("one", "two"))
    other = training.run(prepare(tmp_path / "three", model_path, recipe={"seed": 6}))
    assert first["weights_digest"] == second["weights_digest"] != other["weights_digest"]


def test_training_rows_are_learned_from_and_validation_rows_watched(model_path: Path, tmp_path: Path) -> None:
    """A wrong label anywhere but in ``train`` changes no weight."""
    tiny_models.linear_classifier(model_path)
    swapped = np.where(LABELS == "good", "bad", "good")
    spoilt = np.where(np.arange(90) >= 60, swapped, LABELS)
    changes = {"split": "train", "recipe": {"epochs": 20, "optimizer": {"name": "adam", "learning_rate": 0.2}}}
    first = training.run(prepare(tmp_path / "one", model_path, **changes))
    second = training.run(prepare(tmp_path / "two", model_path, columns={"label": spoilt}, **changes))
    assert (first["summary"]["rows"], first["summary"]["validation_rows"]) == (60, 10)
    assert first["weights_digest"] == second["weights_digest"]
    assert first["history"][-1]["validation_loss"] < second["history"][-1]["validation_loss"]


def test_without_validation_rows_there_is_no_validation_loss(model_path: Path, tmp_path: Path) -> None:
    tiny_models.linear_classifier(model_path)
    value = training.run(prepare(tmp_path / "one", model_path, recipe={"validation_split": 0.0}))
    assert value["summary"]["validation_rows"] == 0
    assert value["history"][0]["validation_loss"] is None


def test_the_validation_split_is_the_same_for_the_same_seed() -> None:
    learned, held = training.split_rows(50, Recipe.from_json(RECIPE))
    again, _ = training.split_rows(50, Recipe.from_json(RECIPE))
    other, _ = training.split_rows(50, Recipe.from_json({**RECIPE, "seed": 6}))
    assert sorted([*learned, *held]) == list(range(50))
    assert len(held) == 10
    assert (learned == again).all()
    assert (learned != other).any()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"columns": {"label": np.r_[LABELS[:-1], ["ugly"]]}}, "label_outside_classes", "Row 89 .*'ugly'"),
        ({"columns": {"age": [None, *X[1:, 0]]}}, "missing_value", "'age'.* row 0"),
        ({"columns": {"age": np.full(90, 1e30)}, "recipe": {"optimizer": {"name": "sgd", "learning_rate": 1e5}}},
         "loss_not_finite", "epoch"),
        ({"signature": tiny_models.signature(classes=["bad", "good"], columns=["age", "height"])},
         "inputs_do_not_fit", "'height', which the data set does not have"),
        ({"signature": tiny_models.signature(inputs=3, classes=["bad", "good"], columns=["age", "sum"])},
         "inputs_do_not_fit", "3 values a row"),
        ({"recipe": {"loss": "mse", "metrics": []}}, "recipe_does_not_fit", "is for values"),
        ({"recipe": {"validation_split": 0.001}}, "too_few_rows", "leaves one part empty"),
    ],
    ids=["label", "missing", "diverged", "column", "width", "loss", "split"],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, Any], code: str, words: str
) -> None:
    context = prepare(tmp_path / "one", tiny_models.linear_classifier(tmp_path / "model.pt2"), **changes)
    with pytest.raises(JobError, match=words) as told:
        training.run(context)
    assert told.value.code == code
    assert told.value.place
    assert not context.output("model.pt2").exists()


def test_images_are_trained_on(model_path: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    images = rows(40, 8, 8)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    schema = {
        "modality": "image",
        "columns": {
            "image": {"role": "feature", "type": "image", "shape": [8, 8]},
            "digit": {"role": "target", "type": "integer"},
        },
    }
    folder = tmp_path / "one"
    folder.mkdir()
    context = job(
        folder / "job",
        kind="training",
        inputs={
            "model": tiny_models.cnn(model_path, softmax=True),
            "dataset": write_table(folder / "table.parquet", {"image": tensors, "digit": np.arange(40) % 4}),
        },
        parameters={
            "framework": framework_of(model_path),
            "format": model_path.suffix[1:],
            "signature": tiny_models.image_signature(kind="probabilities"),
            "schema": schema,
            "recipe": {**RECIPE, "early_stopping": {"patience": 1, "min_delta": 100.0}},
            "split": None,
        },
    )
    value = training.run(context)
    assert value["summary"]["ended_because"] == "validation_loss had not fallen for 1 epoch"
    assert (len(value["history"]), value["summary"]["kept_epoch"]) == (2, 1)


def test_what_a_training_writes_is_registered_with_the_same_weights(model_path: Path, tmp_path: Path) -> None:
    trained = prepare(tmp_path / "one", tiny_models.linear_classifier(model_path))
    value = training.run(trained)
    context = job(
        tmp_path / "inspection",
        kind="model_inspection",
        inputs={"artifact": trained.output(value["file"])},
        parameters={"filename": value["file"], "stated_signature": SIGNATURE, "stated_recipe": None},
    )
    inspected = inspection.run(context)
    assert (inspected["verdict"], inspected["findings"]) == ("registered", [])
    assert inspected["weights_digest"] == value["weights_digest"]
    again = prepare(tmp_path / "two", context.output(inspected["rewritten"]))
    assert training.run(again)["history"][0]["loss"] < value["history"][0]["loss"]
