"""Model packages with known weights: the linear classifier of ``tiny_models``, built by code of the package."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny_models

CLASSES = ["no", "yes"]
COLUMNS = ["debt", "income"]

SIGNATURE = """
[[signature.inputs]]
name = "features"
shape = [-1, 2]
dtype = "float32"
columns = ["debt", "income"]

[[signature.outputs]]
name = "answer"
shape = [-1, 2]
dtype = "float32"
kind = "logits"
classes = ["no", "yes"]
"""
RECIPE = """
[recipe]
loss = "{loss}"
epochs = 2
batch_size = 32
seed = 7
optimizer = {{name = "sgd", learning_rate = 0.05}}
"""

PYTORCH_TOML = (
    """
[package]
framework = "pytorch"
entry_point = "model:build"
weights = "weights.safetensors"

[package.arguments]
outputs = 2
"""
    + SIGNATURE
    + RECIPE.format(loss="model:loss")
)
MODEL = '''
import torch

from .layers import Affine


class Classifier(torch.nn.Module):
    """Two numbers in, two scores out."""

    def __init__(self, outputs):
        super().__init__()
        self.answer = Affine(2, outputs)

    def forward(self, features):
        return self.answer(features)


def build(outputs):
    return Classifier(outputs)


def loss(scores, targets):
    return torch.nn.functional.cross_entropy(scores, targets, label_smoothing=0.1)
'''
LAYERS = """
import torch


class Affine(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, values):
        return values @ self.weight + self.bias
"""

KERAS_TOML = (
    """
[package]
framework = "keras"
custom_objects = "custom_objects.py"
model = "model.keras"
"""
    + SIGNATURE
    + RECIPE.format(loss="custom_objects:loss")
)
CUSTOM_OBJECTS = '''
import keras


@keras.saving.register_keras_serializable(package="tiny")
class Affine(keras.layers.Layer):
    """Numbers in, scores out."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, values):
        return keras.ops.matmul(values, self.kernel) + self.bias

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def plain(values):
    return values


def loss(targets, scores):
    return keras.losses.sparse_categorical_crossentropy(targets, scores, from_logits=True)
'''


def write(path: Path, entries: Mapping[str, str | bytes]) -> Path:
    """Write an archive of these entries, whatever they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def weights(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return a safetensors file of float32 arrays."""
    header, content = {}, b""
    for name, array in tensors.items():
        data = np.ascontiguousarray(array, dtype="<f4").tobytes()
        offsets = [len(content), len(content) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        content += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def pytorch_entries(**changes: Any) -> dict[str, str | bytes]:
    """Return the entries of the PyTorch package; a change to None leaves an entry out (``_`` stands for a dot)."""
    affine = {"answer.weight": tiny_models.LINEAR_WEIGHTS, "answer.bias": tiny_models.LINEAR_BIAS}
    entries: dict[str, Any] = {
        "assay.toml": PYTORCH_TOML,
        "layers.py": LAYERS,
        "model.py": MODEL,
        "weights.safetensors": weights(affine),
    }
    return _changed(entries, changes)


def keras_entries(keras_file: Path, **changes: Any) -> dict[str, str | bytes]:
    """Return the entries of the Keras package around a ``.keras`` of ``keras_model``."""
    entries: dict[str, Any] = {
        "assay.toml": KERAS_TOML,
        "custom_objects.py": CUSTOM_OBJECTS,
        "model.keras": keras_file.read_bytes(),
    }
    return _changed(entries, changes)


def pytorch(path: Path, **changes: Any) -> Path:
    return write(path, pytorch_entries(**changes))


def keras(path: Path, **changes: Any) -> Path:
    return write(path, keras_entries(keras_model(path.with_suffix(".keras")), **changes))


def of_framework(name: str, path: Path) -> Path:
    return {"pytorch": pytorch, "keras": keras}[name](path)


def keras_model(path: Path) -> Path:
    """Write the ``.keras`` of the linear classifier with a layer of its own and an activation of its own."""
    framework = tiny_models.keras_module()
    names: dict[str, Any] = {"__name__": "custom_objects"}
    exec(compile(CUSTOM_OBJECTS, "custom_objects.py", "exec"), names)  # the sources of this very module
    features = framework.Input((2,), name="features")
    layer = names["Affine"](2, name="answer")
    answer = framework.layers.Activation(names["plain"], name="passing")(layer(features))
    layer.set_weights([tiny_models.LINEAR_WEIGHTS, tiny_models.LINEAR_BIAS])
    framework.Model(features, answer).save(path)
    return path


def _changed(entries: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, str | bytes]:
    stems = {name.partition(".")[0]: name for name in entries}
    for stem, content in changes.items():
        entries[stems.get(stem, stem)] = content
    return {name: content for name, content in entries.items() if content is not None}
