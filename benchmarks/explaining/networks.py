"""Trained networks with the same weights in both frameworks, as files, and the framework's own model beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workers.frameworks.base import Model

Framework = Literal["pytorch", "keras"]
NetworkName = Literal["mlp", "wide", "cnn8", "cnn28", "lstm", "transformer"]

#: Rows of one forward pass of the "tuned" functions that peers get, which suits the caches.
CHUNK_ROWS = 1024
_ROW_SHAPES = {"mlp": (30,), "wide": (784,), "cnn8": (8, 8), "cnn28": (28, 28)}


@dataclass(frozen=True)
class Network:
    """One network on one framework.

    Attributes:
        assay: the model as Assay loads it from its file.
        own: the framework's own object: a ``torch.nn.Module`` or a ``keras.Model``; logits out.
        rows: data to explain and to compare with, float32 of shape (rows, *row_shape).
        as_called: rows -> logits in the way that users write it: one batch; ``predict`` in Keras.
        tuned: rows -> logits in chunks that suit the caches; one compiled function of a fixed shape in Keras.
    """

    name: NetworkName
    framework: Framework
    assay: Model
    own: Any
    rows: np.ndarray
    as_called: Callable[[np.ndarray], np.ndarray]
    tuned: Callable[[np.ndarray], np.ndarray]

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(self.rows.shape[1:])

    @property
    def features(self) -> int:
        return int(np.prod(self.row_shape))

    @property
    def outputs(self) -> int:
        return int(self.assay.signature.output.shape[-1])


def network(name: NetworkName, framework: Framework, folder: Path) -> Network:
    """Train (once a process), convert, save, load."""
    module, rows = _trained(name)
    if framework == "pytorch":
        return _on_torch(name, module, rows, folder)
    return _on_keras(name, module, rows, folder)


def _data(name: NetworkName) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer, load_digits

    if name == "mlp":
        table = load_breast_cancer()
        rows = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
        return rows.astype("float32"), table.target
    digits = load_digits()
    images = (digits.images / 16).astype("float32")
    if name in ("cnn8", "lstm", "transformer"):
        return images, digits.target
    large = np.kron(images, np.ones((4, 4), "float32"))[:, 2:30, 2:30]
    return (large if name == "cnn28" else large.reshape(len(large), -1)), digits.target


@lru_cache
def _trained(name: NetworkName) -> tuple[Any, np.ndarray]:
    """Return a PyTorch network, trained for a moment so that it has something to explain, and its shuffled data."""
    import torch

    rows, targets = _data(name)
    torch.manual_seed(0)
    module = _module(name)
    optimizer = torch.optim.Adam(module.parameters(), 0.005)
    generator = np.random.default_rng(0)
    for _ in range(150):
        chosen = generator.choice(len(rows), 128, replace=False)
        optimizer.zero_grad()
        scores = module(torch.from_numpy(rows[chosen]))
        torch.nn.functional.cross_entropy(scores, torch.from_numpy(targets[chosen])).backward()
        optimizer.step()
    return module.eval(), rows[generator.permutation(len(rows))]


def _module(name: NetworkName) -> Any:
    import torch
    from torch import nn

    class Sequenced(nn.Module):
        """One layer after the other; an image gets its channel axis."""

        def __init__(self, *layers: nn.Module, is_image: bool = False) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)
            self.is_image = is_image

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.layers(features.unsqueeze(1) if self.is_image else features)

    class Recurrent(nn.Module):
        """An LSTM over the rows of an image; its last state is classified."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 24, batch_first=True)
            self.answer = nn.Linear(24, 10)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.answer(self.lstm(features)[0][:, -1])

    class Attending(nn.Module):
        """One transformer block of two heads over the rows of an image, its mean classified."""

        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(8, 16)
            self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
            self.leave = nn.Linear(16, 16)
            self.first, self.second = nn.LayerNorm(16, eps=1e-3), nn.LayerNorm(16, eps=1e-3)
            self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)
            self.answer = nn.Linear(16, 10)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            hidden = self.enter(features)
            parts = [part(hidden).unflatten(2, (2, 8)).transpose(1, 2) for part in (self.query, self.key, self.value)]
            shares = torch.softmax(parts[0] @ parts[1].transpose(2, 3) / 8**0.5, dim=3)
            hidden = self.first(hidden + self.leave((shares @ parts[2]).transpose(1, 2).flatten(2)))
            hidden = self.second(hidden + self.narrow(torch.relu(self.wide(hidden))))
            return self.answer(hidden.mean(1))

    if name == "mlp":
        return Sequenced(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    if name == "wide":
        return Sequenced(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    if name == "lstm":
        return Recurrent()
    if name == "transformer":
        return Attending()
    side, filters = (8, (8, 16)) if name == "cnn8" else (28, (8, 16))
    return Sequenced(
        nn.Conv2d(1, filters[0], 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(filters[0], filters[1], 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(filters[1] * (side // 4) ** 2, 10),
        is_image=True,
    )


def _on_torch(name: NetworkName, module: Any, rows: np.ndarray, folder: Path) -> Network:
    import torch

    from tests import tiny_models

    path = tiny_models.export(folder / f"{name}.pt2", module, (torch.from_numpy(rows[:2]),))

    def as_called(values: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(np.asarray(values, "float32").reshape(-1, *rows.shape[1:]))).numpy()

    def tuned(values: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.asarray(values, "float32").reshape(-1, *rows.shape[1:]))
        with torch.inference_mode():
            return torch.cat([module(part) for part in tensor.split(CHUNK_ROWS)]).numpy()

    return Network(name, "pytorch", _loaded(path, "pytorch", rows), module, rows, as_called, tuned)


def _on_keras(name: NetworkName, module: Any, rows: np.ndarray, folder: Path) -> Network:
    import tensorflow as tf

    model = _keras_model(name, module)
    path = folder / f"{name}.keras"
    model.save(path)

    @tf.function(input_signature=[tf.TensorSpec((CHUNK_ROWS, *rows.shape[1:]), tf.float32)], jit_compile=name == "mlp")
    def forward(values: Any) -> Any:
        return model(values, training=False)

    def as_called(values: np.ndarray) -> np.ndarray:
        return model.predict(np.asarray(values, "float32").reshape(-1, *rows.shape[1:]), verbose=0)

    def tuned(values: np.ndarray) -> np.ndarray:
        array = np.asarray(values, "float32").reshape(-1, *rows.shape[1:])
        filled = -len(array) % CHUNK_ROWS
        padded = np.concatenate([array, np.zeros((filled, *rows.shape[1:]), "float32")])
        parts = [
            forward(tf.constant(padded[start : start + CHUNK_ROWS])).numpy()
            for start in range(0, len(padded), CHUNK_ROWS)
        ]
        return np.concatenate(parts)[: len(array)]

    return Network(name, "keras", _loaded(path, "keras", rows), model, rows, as_called, tuned)


def _loaded(path: Path, framework: Framework, rows: np.ndarray) -> Model:
    from workers.frameworks.loading import load_model
    from workers.signature import Signature

    document = {
        "inputs": [{"name": "features", "shape": [-1, *rows.shape[1:]], "dtype": "float32", "columns": []}],
        "outputs": [
            {
                "name": "answer",
                "shape": [-1, 2 if rows.shape[1:] == (30,) else 10],
                "dtype": "float32",
                "kind": "logits",
                "classes": [],
            }
        ],
    }
    return load_model(path, framework=framework, signature=Signature.from_json(document), device="cpu", seed=0)


def _keras_model(name: NetworkName, module: Any) -> Any:
    """Return the Keras model of the same function, with the PyTorch network's weights."""
    import keras
    from keras import layers

    weights = {key: tensor.detach().numpy() for key, tensor in module.named_parameters()}
    if name == "lstm":
        inputs = keras.Input((8, 8), name="features")
        model = keras.Model(inputs, layers.Dense(10, name="answer")(layers.LSTM(24)(inputs)))
        bias = weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
        model.set_weights(
            [weights["lstm.weight_ih_l0"].T, weights["lstm.weight_hh_l0"].T, bias, *_dense(weights, "answer")]
        )
        return model
    if name == "transformer":
        return _keras_transformer(weights)
    inputs = keras.Input(_ROW_SHAPES[name], name="features")
    hidden = inputs
    arrays: list[np.ndarray] = []
    if name in ("mlp", "wide"):
        for place in (0, 2, 4):
            kernel, bias = _dense(weights, f"layers.{place}")
            hidden = layers.Dense(len(bias), activation="relu" if place < 4 else None)(hidden)
            arrays += [kernel, bias]
    else:
        side = inputs.shape[1]
        hidden = layers.Reshape((side, side, 1))(hidden)
        for place in (0, 3):
            kernel, bias = weights[f"layers.{place}.weight"].transpose(2, 3, 1, 0), weights[f"layers.{place}.bias"]
            hidden = layers.Conv2D(len(bias), 3, padding="same", activation="relu")(hidden)
            hidden = layers.MaxPooling2D(2)(hidden)
            arrays += [kernel, bias]
        kernel, bias = weights["layers.7.weight"], weights["layers.7.bias"]
        channels_last = kernel.reshape(10, 16, side // 4, side // 4).transpose(0, 2, 3, 1).reshape(10, -1).T
        hidden = layers.Dense(10)(layers.Flatten()(hidden))
        arrays += [channels_last, bias]
    model = keras.Model(inputs, hidden)
    model.set_weights(arrays)
    return model


def _keras_transformer(weights: dict[str, np.ndarray]) -> Any:
    import keras
    from keras import layers

    inputs = keras.Input((8, 8), name="features")
    entered = layers.Dense(16)(inputs)
    attended = layers.MultiHeadAttention(2, 8)(entered, entered)
    hidden = layers.LayerNormalization(epsilon=1e-3)(entered + attended)
    wide = layers.Dense(32, activation="relu")(hidden)
    hidden = layers.LayerNormalization(epsilon=1e-3)(hidden + layers.Dense(16)(wide))
    answer = layers.Dense(10)(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, answer)
    attention: list[np.ndarray] = []
    for part in ("query", "key", "value"):
        kernel, bias = _dense(weights, part)
        attention += [kernel.reshape(16, 2, 8), bias.reshape(2, 8)]
    kernel, bias = _dense(weights, "leave")
    attention += [kernel.reshape(2, 8, 16), bias]
    model.set_weights(
        [
            *_dense(weights, "enter"),
            *attention,
            *_norm(weights, "first"),
            *_dense(weights, "wide"),
            *_dense(weights, "narrow"),
            *_norm(weights, "second"),
            *_dense(weights, "answer"),
        ]
    )
    return model


def _dense(weights: dict[str, np.ndarray], name: str) -> Sequence[np.ndarray]:
    return weights[f"{name}.weight"].T, weights[f"{name}.bias"]


def _norm(weights: dict[str, np.ndarray], name: str) -> Sequence[np.ndarray]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
