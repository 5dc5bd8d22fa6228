"""DeepLIFT on Keras models: shap's values where shap is right, and a refusal by name where no rule is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import tiny_models
from tests.audits.engine.deeplifting import BACKGROUND, DARK, IMAGES, ROWS, explain, of_shap, refusal
from tests.workers.loaded_models import load
from workers.frameworks.base import Model


@pytest.fixture
def keras() -> Any:
    return tiny_models.keras_module()


def saved(keras: Any, folder: Path, entered: Any, answer: Any) -> tuple[Any, Model]:
    keras.utils.set_random_seed(3)
    model = keras.Model(entered, answer)
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.1, 1, values.shape) * generator.choice([-1, 1], values.shape)
                       if "variance" not in weight.path else values
                       for values, weight in zip(model.get_weights(), model.weights, strict=True)])  # fmt: skip
    model.save(folder / "model.keras")
    return model, load(folder / "model.keras")


def test_a_network_of_layers_has_the_values_of_shap(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((6,), name="features")
    hidden = layers.Dense(8, activation="relu")(entered)
    hidden = layers.Dropout(0.3)(hidden)
    hidden = layers.BatchNormalization()(hidden)
    theirs, model = saved(keras, tmp_path, entered, layers.Dense(3)(layers.Dense(7, activation="tanh")(hidden)))
    np.testing.assert_allclose(explain(model).values, of_shap(theirs, BACKGROUND, ROWS), atol=1e-4)


def test_how_many_pairs_go_through_at_once_changes_nothing(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where background rows come in several parts, of which the last is filled up with rows that do not count."""
    entered = keras.Input((6,), name="features")
    hidden = keras.layers.Dense(8, activation="relu")(entered)
    theirs, model = saved(keras, tmp_path, entered, keras.layers.Dense(3)(hidden))
    whole = explain(model).values
    np.testing.assert_allclose(whole, of_shap(theirs, BACKGROUND, ROWS), atol=1e-4)
    for pairs in (1, 3, len(BACKGROUND) - 1, len(BACKGROUND) + 1):
        monkeypatch.setattr("workers.frameworks.keras.gradient_rows", lambda *_, pairs=pairs: pairs)
        np.testing.assert_allclose(explain(load(tmp_path / "model.keras")).values, whole, atol=1e-5)


def test_an_image_network_with_pooling_has_the_values_of_shap(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((8, 8, 1), name="image")
    hidden = layers.Conv2D(4, 3, activation="relu")(entered)
    hidden = layers.MaxPooling2D(3)(hidden)
    theirs, model = saved(keras, tmp_path, entered, layers.Dense(2)(layers.Flatten()(hidden)))
    rows, background = IMAGES.transpose(0, 2, 3, 1), DARK.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(explain(model, rows, background).values, of_shap(theirs, background, rows), atol=1e-4)


def test_a_layer_called_again_is_a_layer_of_its_own(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((6,), name="features")
    once, relu = layers.Dense(6), layers.ReLU()
    hidden = layers.Add()([relu(once(entered)), entered])
    twice = keras.ops.gelu(relu(once(hidden)))
    _, model = saved(keras, tmp_path, entered, layers.Dense(2)(twice))
    answer = explain(model)
    weights = [np.asarray(values) for values in model.weights().values()]
    np.testing.assert_allclose(answer.scores, model.logits({"features": ROWS}), atol=1e-3)
    np.testing.assert_allclose(answer.values, unrolled(keras, tmp_path, weights), atol=1e-3)


def unrolled(keras: Any, folder: Path, weights: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the values of the same function, each use a layer with its own copy of the weights."""
    layers = keras.layers
    entered = keras.Input((6,), name="features")
    hidden = layers.Add()([layers.Dense(6, activation="relu")(entered), entered])
    hidden = layers.Activation("gelu")(layers.Dense(6, activation="relu")(hidden))
    model = keras.Model(entered, layers.Dense(2)(hidden))
    model.set_weights([*weights[:2], *weights[:2], *weights[2:]])
    model.save(folder / "unrolled.keras")
    return explain(load(folder / "unrolled.keras")).values


def test_a_model_inside_a_model_is_walked_through(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((6,), name="features")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="silu"), layers.Dense(4)])
    theirs, model = saved(keras, tmp_path, entered, layers.Dense(2)(layers.LeakyReLU()(inner(entered))))
    answer = explain(model)
    np.testing.assert_allclose(answer.scores, theirs(ROWS).numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["LayerNormalization", "LSTM", "GRU", "MultiHeadAttention", "Multiply", "Softmax"])
def test_what_has_no_rule_is_refused_by_name(kind: str, keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((6,), name="features")
    steps = layers.Reshape((3, 2))(entered)
    hidden = {
        "LayerNormalization": lambda: layers.LayerNormalization()(entered),
        "LSTM": lambda: layers.LSTM(4)(steps),
        "GRU": lambda: layers.GRU(4)(steps),
        "MultiHeadAttention": lambda: layers.Flatten()(layers.MultiHeadAttention(1, 2)(steps, steps)),
        "Multiply": lambda: layers.Multiply()([entered, layers.Dense(6, activation="sigmoid")(entered)]),
        "Softmax": lambda: layers.Softmax()(entered),
    }[kind]()
    keras.Model(entered, layers.Dense(2)(hidden)).save(tmp_path / "model.keras")
    assert kind in refusal(load(tmp_path / "model.keras"))


@pytest.mark.parametrize("options", [{"pool_size": 3, "strides": 2}, {"pool_size": 3, "padding": "same"}])
def test_windows_that_overlap_or_are_padded_are_refused(options: dict[str, Any], keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    entered = keras.Input((8, 8, 1), name="image")
    pooled = layers.Flatten()(layers.MaxPooling2D(**options)(entered))
    keras.Model(entered, layers.Dense(2)(pooled)).save(tmp_path / "model.keras")
    model = load(tmp_path / "model.keras")
    assert "MaxPooling2D" in refusal(model, IMAGES.transpose(0, 2, 3, 1), DARK.transpose(0, 2, 3, 1))


def test_rows_along_another_axis_are_refused(keras: Any, tmp_path: Path) -> None:
    entered = keras.Input((6,), name="features")
    turned = keras.ops.transpose(keras.ops.relu(keras.ops.transpose(entered)))
    keras.Model(entered, keras.layers.Dense(2)(keras.ops.reshape(turned, (-1, 6)))).save(tmp_path / "model.keras")
    assert "first axis" in refusal(load(tmp_path / "model.keras"))
