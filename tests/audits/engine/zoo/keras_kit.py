"""The zoo's words in Keras: a functional model, saved as ``.keras``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny_models
from tests.audits.engine.zoo.kit import Kit
from tests.audits.engine.zoo.programs import Architecture


class KerasKit(Kit):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._keras = tiny_models.keras_module()
        self._layers = self._keras.layers

    def dense(self, tensor: Any, inputs: int, units: int) -> Any:
        return self._with(self._layers.Dense(units), tensor, self.numbers(inputs, units), self.numbers(units))

    def chain(self, tensor: Any, inputs: int, hidden: int, units: int) -> Any:
        layers = [self._layers.Dense(hidden, activation="relu"), self._layers.Dense(units)]
        weights = [self.numbers(inputs, hidden), self.numbers(hidden), self.numbers(hidden, units), self.numbers(units)]
        return self._with(self._keras.Sequential(layers), tensor, *weights)

    def activation(self, name: str) -> Callable[[Any], Any]:
        layer: Callable[[Any], Any] = self._layers.Activation(name)
        return layer

    def function(self, tensor: Any, name: str) -> Any:
        return getattr(self._keras.ops, name)(tensor)

    def batch_norm(self, tensor: Any, units: int) -> Any:
        layer = self._layers.BatchNormalization(epsilon=1e-5)
        scale, shift = self.numbers(units, around=1, spread=0.3), self.numbers(units)
        return self._with(layer, tensor, scale, shift, self.numbers(units), np.abs(self.numbers(units, around=1.5)))

    def layer_norm(self, tensor: Any, units: int) -> Any:
        layer = self._layers.LayerNormalization(epsilon=1e-5)
        return self._with(layer, tensor, self.numbers(units, around=1, spread=0.3), self.numbers(units))

    def prelu(self, tensor: Any, units: int) -> Any:
        return self._with(self._layers.PReLU(), tensor, self.numbers(units, around=0.25, spread=0.1))

    def embedding(self, ids: Any, size: int, width: int) -> Any:
        return self._with(self._layers.Embedding(size, width), ids, self.numbers(size, width, spread=1.0))

    def lstm(self, steps: Any, width: int, units: int) -> Any:
        weights = [self.numbers(width, 4 * units), self.numbers(units, 4 * units), self.numbers(4 * units)]
        return self._with(self._layers.LSTM(units), steps, *weights)

    def gru(self, steps: Any, width: int, units: int) -> Any:
        weights = [self.numbers(width, 3 * units), self.numbers(units, 3 * units), self.numbers(2, 3 * units)]
        return self._with(self._layers.GRU(units), steps, *weights)

    def attention(self, steps: Any, width: int, heads: int) -> Any:
        size = width // heads
        layer = self._layers.MultiHeadAttention(heads, size)
        attended = layer(steps, steps)
        weights = []
        for _ in range(3):
            weights += [self.numbers(width, width).reshape(width, heads, size), self.numbers(width).reshape(heads, -1)]
        layer.set_weights([*weights, self.numbers(width, width).reshape(heads, size, width), self.numbers(width)])
        return attended

    def image(self, tensor: Any) -> Any:
        return self._layers.Reshape((*tensor.shape[1:], 1))(tensor)

    def convolution(self, image: Any, channels: int, filters: int) -> Any:
        layer = self._layers.Conv2D(filters, 3, padding="same")
        return self._with(layer, image, self.numbers(3, 3, channels, filters), self.numbers(filters))

    def max_pool(self, image: Any, side: int, stride: int) -> Any:
        return self._layers.MaxPooling2D(side, stride)(image)

    def flat(self, image: Any) -> Any:
        return self._layers.Flatten()(image)

    def mean(self, steps: Any) -> Any:
        return self._layers.GlobalAveragePooling1D()(steps)

    def joined(self, tensors: Sequence[Any]) -> Any:
        return self._layers.Concatenate()(list(tensors))

    def _with(self, layer: Any, tensor: Any, *weights: np.ndarray) -> Any:
        answer = layer(tensor)
        layer.set_weights(list(weights))
        return answer


def write(architecture: Architecture, path: Path) -> Path:
    kit, keras = KerasKit(architecture.seed), tiny_models.keras_module()
    inputs = [
        keras.Input(entry.shape, dtype=entry.dtype, name=name) for name, entry in architecture.inputs.items()
    ]  # fmt: skip
    keras.Model(inputs, architecture.program(kit, *inputs)).save(path)
    return path
