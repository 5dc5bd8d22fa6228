"""Training through both adapters: the same semantics, known answers, reproducible weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.loaded_models import FRAMEWORKS, load, rows, softmax
from workers.frameworks.base import EpochRecord, History, Model, TrainingRows
from workers.frameworks.fitting import batches
from workers.frameworks.weights import digest_of_weights
from workers.protocol import JobError
from workers.recipe import Recipe

X = rows(120, 4)
#: Three classes that a straight line through the origin tells apart.
Y = np.argmax(X @ np.array([[1.0, -1, 0], [0, 1, -1], [1, 0, -1], [-1, 0, 1]]), 1)


def recipe(**changes: Any) -> Recipe:
    document = {
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.02},
        "epochs": 5,
        "batch_size": 16,
        "seed": 3,
    }
    return Recipe.from_json({**document, **changes})


def fit(model: Model, chosen: Recipe, training: TrainingRows | None = None) -> tuple[History, list[EpochRecord]]:
    told: list[EpochRecord] = []
    training = training or TrainingRows({"features": X[:80]}, Y[:80], {"features": X[80:]}, Y[80:])
    return model.fit(training, chosen, on_epoch=told.append), told


def test_one_step_of_gradient_descent_is_the_one_worked_out_by_hand(model_path: Path) -> None:
    model = load(tiny_models.linear_classifier(model_path, activation="softmax"))
    x, y = rows(10, 2), np.arange(10) % 2
    chosen = recipe(optimizer={"name": "sgd", "learning_rate": 0.5}, epochs=1, batch_size=10, metrics=["accuracy"])
    history, _ = fit(model, chosen, TrainingRows({"features": x}, y))
    probabilities = softmax(x @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS)
    error = (probabilities - np.eye(2)[y]) / 10
    weights = tiny_models.LINEAR_WEIGHTS - 0.5 * x.T @ error
    bias = tiny_models.LINEAR_BIAS - 0.5 * error.sum(0)
    np.testing.assert_allclose(model.logits({"features": x}), x @ weights + bias, rtol=1e-4, atol=1e-5)
    assert history.epochs[0].loss == pytest.approx(-np.log(probabilities[np.arange(10), y]).mean(), rel=1e-4)
    assert history.epochs[0].metrics["accuracy"] == pytest.approx((probabilities.argmax(1) == y).mean())
    assert history.epochs[0].validation_loss is None


def test_training_reduces_the_loss_and_tells_each_epoch(model_path: Path) -> None:
    model = load(tiny_models.mlp(model_path, softmax=True))
    history, told = fit(model, recipe(epochs=15, metrics=["accuracy"]))
    assert [record.epoch for record in told] == list(range(1, 16))
    assert told == history.epochs
    assert told[-1].loss < told[0].loss / 2
    assert told[-1].validation_loss < told[0].validation_loss
    assert set(told[0].metrics) == {"accuracy", "validation_accuracy"}
    assert told[-1].metrics["validation_accuracy"] > 0.7
    assert (history.kept_epoch, history.ended_because) == (15, "all epochs were run")
    predicted = model.forward({"features": X[80:]}).argmax(1)
    assert told[-1].metrics["validation_accuracy"] == pytest.approx((predicted == Y[80:]).mean())


def test_the_recorded_validation_loss_is_that_of_the_weights(model_path: Path) -> None:
    model = load(tiny_models.mlp(model_path, dropout=0.5, batch_normalisation=True))
    history, _ = fit(model, recipe())
    scores = model.logits({"features": X[80:]})
    expected = -np.log(softmax(scores)[np.arange(40), Y[80:]]).mean()
    assert history.epochs[-1].validation_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_regression_losses(model_path: Path, loss: str) -> None:
    x = rows(60, 3)
    y = x @ [1.0, 2.0, -1.0] + 3
    model = load(tiny_models.regression(model_path))
    error = model.forward({"features": x})[:, 0] - y
    by_hand = {
        "mean_squared_error": error**2,
        "mean_absolute_error": np.abs(error),
        "huber": np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5),
    }[loss].mean()
    training = TrainingRows({"features": x}, y, {"features": x}, y)
    still = recipe(loss=loss, epochs=1, optimizer={"name": "sgd", "learning_rate": 0.0}, metrics=["mae", "mse"])
    history, _ = fit(model, still, training)
    assert history.epochs[0].loss == pytest.approx(by_hand, rel=1e-4)
    assert history.epochs[0].validation_loss == pytest.approx(by_hand, rel=1e-4)
    assert history.epochs[0].metrics["mean_absolute_error"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    assert history.epochs[0].metrics["mean_squared_error"] == pytest.approx((error**2).mean(), rel=1e-4)
    history, _ = fit(model, recipe(loss=loss, epochs=20, optimizer={"name": "adam", "learning_rate": 0.1}), training)
    assert history.epochs[-1].loss < history.epochs[0].loss / 3


def test_one_probability_is_trained_by_binary_cross_entropy(model_path: Path) -> None:
    x = rows(64, 2)
    model = load(tiny_models.binary_classifier(model_path))
    chosen = recipe(
        loss="binary_crossentropy", epochs=20, metrics=["accuracy"], optimizer={"name": "adam", "learning_rate": 0.2}
    )
    history, _ = fit(model, chosen, TrainingRows({"features": x}, (x[:, 0] < x[:, 1]).astype(int)))
    assert history.epochs[-1].metrics["accuracy"] > 0.95


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.001},
        {"name": "adam", "learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
        {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.01},
        {"name": "rmsprop", "learning_rate": 0.01, "rho": 0.95, "momentum": 0.1},
    ],
    ids=lambda entry: entry["name"],
)
def test_every_optimizer_learns(model_path: Path, optimizer: dict[str, Any]) -> None:
    history, _ = fit(load(tiny_models.mlp(model_path)), recipe(optimizer=optimizer, epochs=8))
    assert history.epochs[-1].loss < history.epochs[0].loss * 0.8


def test_both_frameworks_walk_the_same_way(tmp_path: Path) -> None:
    """Same weights, same shuffles, same optimizer: the epochs agree to rounding."""
    chosen = recipe(optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, epochs=4)
    ours, theirs = (fit(load(tiny_models.mlp(tmp_path / name)), chosen)[0] for name in FRAMEWORKS.values())
    for first, second in zip(ours.epochs, theirs.epochs, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=1e-3)
        assert first.validation_loss == pytest.approx(second.validation_loss, rel=1e-3)


class TestEarlyStopping:
    def test_stops_after_patience_and_restores_the_best(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, batch_normalisation=True))
        rising = TrainingRows({"features": X[:80]}, Y[:80], {"features": X[80:]}, (Y[80:] + 1) % 3)
        chosen = recipe(epochs=60, early_stopping={"patience": 3})
        history, told = fit(model, chosen, rising)
        losses = [record.validation_loss for record in told]
        best = int(np.argmin(losses)) + 1
        assert len(told) == best + 3 < 60
        assert history.kept_epoch == best
        assert history.ended_because == "validation_loss had not fallen for 3 epochs"

    def test_restored_weights_give_the_best_loss(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, batch_normalisation=True))
        rising = TrainingRows({"features": X[:80]}, Y[:80], {"features": X[80:]}, (Y[80:] + 1) % 3)
        history, told = fit(model, recipe(epochs=60, early_stopping={"patience": 3}), rising)
        probabilities = softmax(model.logits({"features": X[80:]}))
        measured = -np.log(probabilities[np.arange(40), (Y[80:] + 1) % 3]).mean()
        assert measured == pytest.approx(told[history.kept_epoch - 1].validation_loss, rel=1e-4)

    def test_may_keep_the_last_epoch(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path))
        stopping = {"patience": 2, "min_delta": 1000.0, "monitor": "loss", "restore_best": False}
        history, told = fit(model, recipe(early_stopping=stopping))
        assert (len(told), history.kept_epoch) == (3, 3)

    def test_needs_rows_to_watch(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path))
        with pytest.raises(JobError, match="there are no validation rows") as told:
            fit(model, recipe(early_stopping={"patience": 2}), TrainingRows({"features": X}, Y))
        assert told.value.code == "recipe_does_not_fit"


class TestWhatCannotBe:
    def test_a_loss_that_is_not_finite_names_the_epoch(self, model_path: Path) -> None:
        model = load(tiny_models.regression(model_path))
        x = rows(32, 3)
        diverging = recipe(loss="mse", epochs=60, optimizer={"name": "sgd", "learning_rate": 500.0})
        with pytest.raises(JobError, match=r"The loss is (nan|inf) in epoch \d+: the training diverged") as told:
            fit(model, diverging, TrainingRows({"features": x}, x.sum(1)))
        assert told.value.code == "loss_not_finite"
        assert told.value.place.startswith("epoch ")

    def test_a_row_with_nan_is_named(self, model_path: Path) -> None:
        """TensorFlow's ReLU turns NaN into 0, so the loss alone would not tell."""
        model = load(tiny_models.mlp(model_path))
        x = X.copy()
        x[7, 1] = np.nan
        with pytest.raises(JobError, match="'features' has a value that is not a number in row 7") as told:
            fit(model, recipe(), TrainingRows({"features": x}, Y))
        assert (told.value.code, told.value.place) == ("inputs_not_finite", "features, row 7")

    def test_labels_outside_the_classes(self, model_path: Path) -> None:
        with pytest.raises(JobError, match="Row 119 has the label 3") as told:
            fit(load(tiny_models.mlp(model_path)), recipe(), TrainingRows({"features": X}, np.r_[Y[:-1], 3]))
        assert told.value.code == "label_outside_classes"

    def test_no_rows(self, model_path: Path) -> None:
        with pytest.raises(JobError, match="no rows to train on"):
            fit(load(tiny_models.mlp(model_path)), recipe(), TrainingRows({"features": X[:0]}, Y[:0]))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"loss": "mse"}, "is for values"),
            ({"loss": "binary_cross_entropy"}, "tells two classes apart"),
            ({"metrics": ["mse"]}, "does not go with the output"),
        ],
    )
    def test_a_recipe_that_does_not_fit_the_output(self, model_path: Path, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(JobError, match=words) as told:
            fit(load(tiny_models.mlp(model_path)), recipe(**changes))
        assert told.value.code == "recipe_does_not_fit"


def test_bfloat16_learns_and_keeps_float32_weights(model_path: Path) -> None:
    full, half = load(tiny_models.mlp(model_path)), load(model_path)
    dtypes = {name: array.dtype for name, array in half.weights().items()}
    in_full, _ = fit(full, recipe(epochs=10))
    in_half, _ = fit(half, recipe(epochs=10, precision="bfloat16"))
    assert in_half.epochs[-1].loss < in_half.epochs[0].loss * 0.8
    assert in_half.epochs[0].loss == pytest.approx(in_full.epochs[0].loss, rel=0.05)
    assert in_half.epochs[0].loss != in_full.epochs[0].loss
    assert {name: array.dtype for name, array in half.weights().items()} == dtypes
    again = model_path.with_name(f"again{model_path.suffix}")
    half.save(again)
    np.testing.assert_array_equal(load(again).forward({"features": X}), half.forward({"features": X}))


@pytest.mark.parametrize("name", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_same_seed_same_weights_in_the_same_process_and_other_seed_others(tmp_path: Path, name: str) -> None:
    tiny_models.mlp(tmp_path / name, dropout=0.3, batch_normalisation=True)
    digests = []
    for seed in (3, 3, 4):
        model = load(tmp_path / name)
        fit(model, recipe(seed=seed, epochs=2))
        digests.append(digest_of_weights(model.weights()))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_same_seed_same_weights_in_fresh_processes(tmp_path: Path, name: str) -> None:
    tiny_models.mlp(tmp_path / name, hidden=32, dropout=0.3, batch_normalisation=True)
    code = (
        "import numpy as np; from pathlib import Path; from tests.workers.test_frameworks_fit import *\n"
        f"model = load(Path({str(tmp_path / name)!r})); fit(model, recipe(epochs=3))\n"
        "print(digest_of_weights(model.weights()))"
    )
    root = Path(__file__).resolve().parents[2]
    digests = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
        .stdout.strip()
        .splitlines()[-1]
        for _ in range(2)
    }
    assert len(digests) == 1
    assert digests.pop().startswith("sha256:")


def test_penalties_of_layers_are_minimised_and_not_reported(tmp_path: Path) -> None:
    import keras

    features = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(3, activity_regularizer="l2", kernel_regularizer=keras.regularizers.L2(10.0))(features)
    keras.Model(features, hidden).save(tmp_path / "model.keras")
    model = load(tmp_path / "model.keras")
    model.forward({"features": X})
    before = sum(float((array**2).sum()) for array in model.weights().values())
    history, _ = fit(model, recipe(epochs=20))
    after = sum(float((array**2).sum()) for array in model.weights().values())
    assert after < before / 4
    assert history.epochs[-1].loss < 2


def test_frozen_layers_stay(tmp_path: Path) -> None:
    import keras

    features = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(5, trainable=False, name="frozen")(features)
    keras.Model(features, keras.layers.Dense(3, name="answer")(hidden)).save(tmp_path / "model.keras")
    model = load(tmp_path / "model.keras")
    before = model.weights()
    fit(model, recipe(epochs=1))
    after = model.weights()
    np.testing.assert_array_equal(after["frozen/kernel"], before["frozen/kernel"])
    assert (after["answer/kernel"] != before["answer/kernel"]).any()


def test_a_program_exported_for_inference_is_trained_in_training_mode(tmp_path: Path) -> None:
    import torch

    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
    )
    batch = torch.export.Dim("batch")
    program = torch.export.export(module.eval(), (torch.zeros(2, 4),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    model = load(tmp_path / "model.pt2")
    name = model.signature.inputs[0].name
    before = model.weights()
    fit(model, recipe(epochs=1), TrainingRows({name: X}, Y))
    assert (model.weights()["1.running_mean"] != before["1.running_mean"]).all()


def test_a_last_batch_of_one_row_joins_the_one_before() -> None:
    assert batches(33, 16) == [slice(0, 16), slice(16, 33)]
    assert batches(34, 16) == [slice(0, 16), slice(16, 32), slice(32, 34)]
    assert batches(1, 16) == [slice(0, 1)]
    assert batches(3, 1) == [slice(0, 1), slice(1, 3)]
