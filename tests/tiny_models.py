"""Small models with known weights, written as ``.keras`` or ``.pt2`` files: the suffix of the path chooses.

Both files of one model hold the same numbers, so that what one framework answers is the oracle for the other, and a
linear model's answers can be worked out by hand. A framework is imported only when one of its files is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: The linear classifier: two inputs, two logits.
LINEAR_WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0]], dtype="float32")  # (inputs, outputs)
LINEAR_BIAS = np.array([0.25, -0.5], dtype="float32")

#: The regression: three inputs, one value.
REGRESSION_WEIGHTS = np.array([[2.0], [-1.0], [0.5]], dtype="float32")
REGRESSION_BIAS = np.array([0.75], dtype="float32")


@dataclass(frozen=True)
class Dense:
    """A dense layer: weights of shape (inputs, outputs), bias, and what follows it."""

    weights: np.ndarray
    bias: np.ndarray
    activation: str = "linear"
    dropout: float = 0.0
    batch_normalisation: bool = False


def signature(
    *,
    inputs: int = 2,
    outputs: int = 2,
    kind: str = "logits",
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    name: str = "features",
) -> dict[str, Any]:
    """Return the JSON of a signature with one flat input and one output."""
    return {
        "inputs": [{"name": name, "shape": [-1, inputs], "dtype": "float32", "columns": list(columns)}],
        "outputs": [
            {"name": "answer", "shape": [-1, outputs], "dtype": "float32", "kind": kind, "classes": list(classes)}
        ],
    }


def image_signature(*, classes: int = 4, kind: str = "logits", column: str = "image") -> dict[str, Any]:
    """Return the JSON of the tiny CNN's signature: one (8, 8) image in, one score a class out."""
    document = signature(outputs=classes, kind=kind)
    document["inputs"] = [{"name": "image", "shape": [-1, 8, 8], "dtype": "float32", "columns": [column]}]
    return document


def linear_classifier(
    path: Path,
    *,
    weights: np.ndarray = LINEAR_WEIGHTS,
    bias: np.ndarray = LINEAR_BIAS,
    activation: str = "linear",
) -> Path:
    """Write a model whose output is ``activation(x @ weights + bias)``; by default two logits of two inputs."""
    return write_dense(path, [Dense(_float(weights), _float(bias), activation)])


def binary_classifier(path: Path, *, weights: Sequence[float] = (1.5, -2.0), bias: float = 0.1) -> Path:
    """Write a model with one output, the probability of class 1: ``sigmoid(x @ weights + bias)``."""
    return write_dense(path, [Dense(_float(weights)[:, None], _float([bias]), "sigmoid")])


def regression(path: Path, *, weights: np.ndarray = REGRESSION_WEIGHTS, bias: np.ndarray = REGRESSION_BIAS) -> Path:
    """Write a model whose one output is the value ``x @ weights + bias``; by default of three inputs."""
    return write_dense(path, [Dense(_float(weights), _float(bias))])


def mlp(
    path: Path,
    *,
    inputs: int = 4,
    hidden: int = 8,
    classes: int = 3,
    softmax: bool = False,
    seed: int = 0,
    dropout: float = 0.0,
    batch_normalisation: bool = False,
) -> Path:
    """Write ``inputs -> hidden (ReLU) -> classes`` with weights of ``mlp_weights(...)``, giving logits or softmax."""
    first, first_bias, second, second_bias = mlp_weights(inputs=inputs, hidden=hidden, classes=classes, seed=seed)
    return write_dense(
        path,
        [
            Dense(first, first_bias, "relu", dropout=dropout, batch_normalisation=batch_normalisation),
            Dense(second, second_bias, "softmax" if softmax else "linear"),
        ],
    )


def mlp_weights(*, inputs: int = 4, hidden: int = 8, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return the weights and biases of ``mlp``: (inputs, hidden), (hidden,), (hidden, classes), (classes,)."""
    generator = np.random.default_rng(seed)
    return (
        _float(generator.normal(0, (2 / inputs) ** 0.5, (inputs, hidden))),
        _float(generator.normal(0, 0.1, hidden)),
        _float(generator.normal(0, (2 / hidden) ** 0.5, (hidden, classes))),
        _float(generator.normal(0, 0.1, classes)),
    )


def cnn(path: Path, *, classes: int = 4, filters: int = 3, softmax: bool = False, seed: int = 0) -> Path:
    """Write a CNN for (8, 8) images: 3x3 convolution, ReLU, mean over the image, dense; input ``image``."""
    generator = np.random.default_rng(seed)
    kernel, kernel_bias = (
        _float(generator.normal(0, 0.5, (3, 3, 1, filters))),
        _float(generator.normal(0, 0.1, filters)),
    )
    weights, bias = _float(generator.normal(0, 0.7, (filters, classes))), _float(generator.normal(0, 0.1, classes))
    if path.suffix == ".keras":
        keras = keras_module()
        image = keras.Input((8, 8), name="image")
        hidden = keras.layers.Reshape((8, 8, 1))(image)
        hidden = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(hidden)
        hidden = keras.layers.GlobalAveragePooling2D()(hidden)
        answer = keras.layers.Dense(classes, activation="softmax" if softmax else "linear", name="answer")(hidden)
        model = keras.Model(image, answer)
        model.set_weights([kernel, kernel_bias, weights, bias])
        model.save(path)
        return path
    import torch

    class ImageClassifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(1, filters, 3, padding=1)
            self.answer = torch.nn.Linear(filters, classes)
            with torch.no_grad():
                self.convolution.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1).copy()))
                self.convolution.bias.copy_(torch.tensor(kernel_bias))
                self.answer.weight.copy_(torch.tensor(weights.T.copy()))
                self.answer.bias.copy_(torch.tensor(bias))

        def forward(self, image: Any) -> Any:
            hidden = torch.relu(self.convolution(image.unsqueeze(1))).mean((2, 3))
            scores = self.answer(hidden)
            return torch.softmax(scores, -1) if softmax else scores

    return export(path, ImageClassifier(), (torch.zeros(2, 8, 8),))


def token_classifier(path: Path, *, length: int = 8, size: int = 64, classes: int = 2, seed: int = 0) -> Path:
    """Write a model of token ids: the mean of their embeddings, dense, one score a class; input ``tokens`` (int32)."""
    generator = np.random.default_rng(seed)
    embeddings = _float(generator.normal(0, 0.5, (size, 4)))
    weights, bias = _float(generator.normal(0, 0.7, (4, classes))), _float(np.zeros(classes))
    if path.suffix == ".keras":
        keras = keras_module()
        tokens = keras.Input((length,), dtype="int32", name="tokens")
        hidden = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(size, 4)(tokens))
        model = keras.Model(tokens, keras.layers.Dense(classes, name="answer")(hidden))
        model.set_weights([embeddings, weights, bias])
        model.save(path)
        return path
    import torch

    class TokenClassifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(size, 4)
            self.answer = torch.nn.Linear(4, classes)
            with torch.no_grad():
                self.embedding.weight.copy_(torch.tensor(embeddings))
                self.answer.weight.copy_(torch.tensor(weights.T.copy()))
                self.answer.bias.copy_(torch.tensor(bias))

        def forward(self, tokens: Any) -> Any:
            return self.answer(self.embedding(tokens).mean(1))

    return export(path, TokenClassifier(), (torch.zeros(2, length, dtype=torch.int32),))


def ratings(path: Path, *, users: int = 8, items: int = 8, seed: int = 0) -> Path:
    """Write a model of ratings: dense on the embeddings of ``user`` and ``item`` (int64, one id each), a value."""
    generator = np.random.default_rng(seed)
    user_embeddings, item_embeddings = (_float(generator.normal(0, 0.5, (size, 3))) for size in (users, items))
    weights, bias = _float(generator.normal(0, 0.7, (6, 1))), _float([3.0])
    if path.suffix == ".keras":
        keras = keras_module()
        layers = keras.layers
        user, item = (keras.Input((1,), dtype="int64", name=name) for name in ("user", "item"))
        embedded = [layers.Flatten()(layers.Embedding(size, 3)(ids)) for size, ids in ((users, user), (items, item))]
        model = keras.Model([user, item], layers.Dense(1, name="answer")(layers.Concatenate()(embedded)))
        model.set_weights([user_embeddings, item_embeddings, weights, bias])
        model.save(path)
        return path
    import torch

    class Ratings(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.items = torch.nn.Embedding(users, 3), torch.nn.Embedding(items, 3)
            self.answer = torch.nn.Linear(6, 1)
            with torch.no_grad():
                self.users.weight.copy_(torch.tensor(user_embeddings))
                self.items.weight.copy_(torch.tensor(item_embeddings))
                self.answer.weight.copy_(torch.tensor(weights.T.copy()))
                self.answer.bias.copy_(torch.tensor(bias))

        def forward(self, user: Any, item: Any) -> Any:
            return self.answer(torch.cat([self.users(user), self.items(item)], 2).flatten(1))

    nobody = torch.zeros(2, 1, dtype=torch.int64)
    return export(path, Ratings(), (nobody, nobody.clone()))


def two_inputs(path: Path, *, softmax: bool = False) -> Path:
    """Write a model of two inputs, ``left`` (2 numbers) and ``right`` (1): ``[left, right] @ W + b``, 2 logits."""
    weights, bias = _float([[1.0, 0.0], [0.0, 1.0], [2.0, -2.0]]), _float([0.0, 0.5])
    if path.suffix == ".keras":
        keras = keras_module()
        left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
        joined = keras.layers.Concatenate()([left, right])
        answer = keras.layers.Dense(2, activation="softmax" if softmax else "linear", name="answer")(joined)
        model = keras.Model([left, right], answer)
        model.set_weights([weights, bias])
        model.save(path)
        return path
    import torch

    class TwoInputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = torch.nn.Linear(3, 2)
            with torch.no_grad():
                self.answer.weight.copy_(torch.tensor(weights.T.copy()))
                self.answer.bias.copy_(torch.tensor(bias))

        def forward(self, left: Any, right: Any) -> Any:
            scores = self.answer(torch.cat([left, right], 1))
            return torch.softmax(scores, -1) if softmax else scores

    return export(path, TwoInputs(), (torch.zeros(2, 2), torch.zeros(2, 1)))


def write_dense(path: Path, layers: Sequence[Dense]) -> Path:
    """Write a chain of dense layers; the input is ``features``, the last layer ``answer``."""
    if path.suffix == ".keras":
        return _write_dense_keras(path, layers)
    if path.suffix == ".pt2":
        return _write_dense_pytorch(path, layers)
    raise ValueError(f"{path.name} ends neither in .keras nor in .pt2")


def _write_dense_keras(path: Path, layers: Sequence[Dense]) -> Path:
    keras = keras_module()
    features = hidden = keras.Input((layers[0].weights.shape[0],), name="features")
    for index, layer in enumerate(layers):
        name = "answer" if index == len(layers) - 1 else f"hidden_{index}"
        dense = keras.layers.Dense(layer.weights.shape[1], activation=layer.activation, name=name)
        hidden = dense(hidden)
        dense.set_weights([layer.weights, layer.bias])
        if layer.batch_normalisation:
            hidden = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"normalise_{index}")(hidden)
        if layer.dropout:
            hidden = keras.layers.Dropout(layer.dropout, name=f"drop_{index}")(hidden)
    keras.Model(features, hidden).save(path)
    return path


def _write_dense_pytorch(path: Path, layers: Sequence[Dense]) -> Path:
    import torch

    activations = {
        "linear": [],
        "relu": [torch.nn.ReLU()],
        "softmax": [torch.nn.Softmax(-1)],
        "sigmoid": [torch.nn.Sigmoid()],
    }

    class Chain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential()
            for layer in layers:
                linear = torch.nn.Linear(*layer.weights.shape)
                with torch.no_grad():
                    linear.weight.copy_(torch.tensor(layer.weights.T.copy()))
                    linear.bias.copy_(torch.tensor(layer.bias))
                self.layers.append(linear)
                self.layers.extend(activations[layer.activation])
                if layer.batch_normalisation:
                    self.layers.append(torch.nn.BatchNorm1d(layer.weights.shape[1], momentum=0.1, eps=1e-5))
                if layer.dropout:
                    self.layers.append(torch.nn.Dropout(layer.dropout))

        def forward(self, features: Any) -> Any:
            return self.layers(features)

    return export(path, Chain(), (torch.zeros(2, layers[0].weights.shape[0]),))


def export(path: Path, module: Any, sample: tuple[Any, ...]) -> Path:
    """Export a torch module in training mode with a dynamic first dimension and save it as ``.pt2``."""
    import torch

    batch = torch.export.Dim("batch")
    program = torch.export.export(module.train(), sample, dynamic_shapes=tuple({0: batch} for _ in sample))
    torch.export.save(program, str(path))
    return path


def keras_module() -> Any:
    """Import Keras on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def _float(values: Any) -> np.ndarray:
    return np.asarray(values, dtype="float32")
