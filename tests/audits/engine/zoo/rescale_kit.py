"""The zoo's words in NumPy, carrying contributions forward: what DeepLIFT's rescale rule gives, by another way.

The adapters go backwards through a framework's graph with multipliers. Here every tensor knows, for each pair of a row
and a background row, which share of its difference each feature has; the shares go through the layers with the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

from tests.audits.engine.zoo.kit import Kit
from tests.audits.engine.zoo.programs import Architecture


@dataclass(frozen=True)
class Shared:
    """A tensor of pairs of rows and background rows (pairs, ...), and each feature's share (features, pairs, ...)."""

    rows: np.ndarray
    background: np.ndarray
    shares: np.ndarray

    def linear(self, function: Callable[[np.ndarray], np.ndarray], bias: Any = 0.0) -> Shared:
        return Shared(function(self.rows) + bias, function(self.background) + bias, function(self.shares))

    def elementwise(self, function: Callable[[np.ndarray], np.ndarray]) -> Shared:
        before, after = self.rows - self.background, function(self.rows) - function(self.background)
        middle, step = (self.rows + self.background) / 2, 1e-5
        derivative = (function(middle + step) - function(middle - step)) / (2 * step)
        slope = np.divide(after, before, out=derivative, where=np.abs(before) > 1e-6)
        return Shared(function(self.rows), function(self.background), self.shares * slope)

    def __add__(self, other: Shared) -> Shared:
        return Shared(self.rows + other.rows, self.background + other.background, self.shares + other.shares)


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda values: np.maximum(values, 0),
    "tanh": np.tanh,
    "silu": lambda values: values / (1 + np.exp(-values)),
    "gelu": lambda values: values * (1 + erf(values / np.sqrt(2))) / 2,
}


class RescaleKit(Kit):
    """Knows the layers for which the rescale rule is defined; the others are not reached, since they are refused."""

    def dense(self, tensor: Shared, inputs: int, units: int) -> Shared:
        kernel = self.numbers(inputs, units).astype(float)
        return tensor.linear(lambda values: values @ kernel, self.numbers(units))

    def chain(self, tensor: Shared, inputs: int, hidden: int, units: int) -> Shared:
        return self.dense(self.dense(tensor, inputs, hidden).elementwise(FUNCTIONS["relu"]), hidden, units)

    def activation(self, name: str) -> Callable[[Shared], Shared]:
        return lambda tensor: tensor.elementwise(FUNCTIONS[name])

    def function(self, tensor: Shared, name: str) -> Shared:
        return tensor.elementwise(FUNCTIONS[name])

    def batch_norm(self, tensor: Shared, units: int) -> Shared:
        scale, shift = self.numbers(units, around=1, spread=0.3), self.numbers(units)
        mean, variance = self.numbers(units), np.abs(self.numbers(units, around=1.5))
        factor = scale / np.sqrt(variance + 1e-5)
        return tensor.linear(lambda values: values * factor, shift - mean * factor)

    def prelu(self, tensor: Shared, units: int) -> Shared:
        slope = self.numbers(units, around=0.25, spread=0.1)
        return tensor.elementwise(lambda values: np.where(values > 0, values, slope * values))

    def embedding(self, ids: Shared, size: int, width: int) -> Shared:
        vectors = self.numbers(size, width, spread=1.0).astype(float)
        rows, background = vectors[ids.rows], vectors[ids.background]
        owned = np.eye(ids.rows.shape[1])[:, None, :, None]
        return Shared(rows, background, owned * (rows - background))

    def image(self, tensor: Shared) -> Shared:
        return tensor.linear(lambda values: values[..., None])

    def convolution(self, image: Shared, channels: int, filters: int) -> Shared:
        kernel = self.numbers(3, 3, channels, filters).astype(float)

        def convolved(values: np.ndarray) -> np.ndarray:
            height, width = values.shape[-3:-1]
            around = [(0, 0)] * (values.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
            padded = np.pad(values, around)
            return sum(
                padded[..., row : row + height, column : column + width, :] @ kernel[row, column]
                for row in range(3)
                for column in range(3)
            )

        return image.linear(convolved, self.numbers(filters))

    def max_pool(self, image: Shared, side: int, stride: int) -> Shared:
        """Credit a rise to where a window is largest in the row, and a fall to where it is in the background row."""

        def windows(values: np.ndarray) -> np.ndarray:
            counts = [(size - side) // stride + 1 for size in values.shape[-3:-1]]
            return np.stack(
                [
                    values[
                        ..., row : row + counts[0] * stride : stride, column : column + counts[1] * stride : stride, :
                    ]
                    for row in range(side)
                    for column in range(side)
                ],
                axis=-1,
            )

        rows, background, shares = windows(image.rows), windows(image.background), windows(image.shares)
        largest, was_largest = rows.max(-1), background.max(-1)
        place = np.where(largest > was_largest, rows.argmax(-1), background.argmax(-1))[..., None]
        entered = np.take_along_axis(rows - background, place, -1)[..., 0]
        share = np.take_along_axis(shares, np.broadcast_to(place, (len(shares), *place.shape)), -1)[..., 0]
        slope = np.divide(largest - was_largest, entered, out=np.zeros_like(entered), where=np.abs(entered) > 1e-6)
        return Shared(largest, was_largest, share * slope)

    def flat(self, image: Shared) -> Shared:
        return Shared(
            image.rows.reshape(len(image.rows), -1),
            image.background.reshape(len(image.background), -1),
            image.shares.reshape(*image.shares.shape[:2], -1),
        )

    def mean(self, steps: Shared) -> Shared:
        return steps.linear(lambda values: values.mean(-2))

    def joined(self, tensors: Sequence[Shared]) -> Shared:
        return Shared(
            *(np.concatenate([getattr(tensor, name) for tensor in tensors], -1) for name in Shared.__annotations__)
        )

    def layer_norm(self, tensor: Shared, units: int) -> Shared:
        raise NotImplementedError("DeepLIFT has no rule for it, so there is no truth to compare with.")

    def lstm(self, steps: Shared, width: int, units: int) -> Shared:
        raise NotImplementedError("DeepLIFT has no rule for it, so there is no truth to compare with.")

    def gru(self, steps: Shared, width: int, units: int) -> Shared:
        raise NotImplementedError("DeepLIFT has no rule for it, so there is no truth to compare with.")

    def attention(self, steps: Shared, width: int, heads: int) -> Shared:
        raise NotImplementedError("DeepLIFT has no rule for it, so there is no truth to compare with.")


def contributions(
    architecture: Architecture, rows: dict[str, np.ndarray], background: dict[str, np.ndarray]
) -> np.ndarray:
    """Return the contributions by the rescale rule, the mean over the background: (rows, features, outputs)."""
    players = architecture.players
    row_count, background_count = (len(next(iter(values.values()))) for values in (rows, background))
    inputs = []
    for name, owners in players.assignment.items():
        of_rows, of_background = rows[name].repeat(background_count, 0), np.concatenate([background[name]] * row_count)
        numbers = np.arange(players.count).reshape(-1, *[1] * of_rows.ndim)
        inputs.append(Shared(of_rows, of_background, (owners == numbers) * (of_rows - of_background).astype(float)))
    found = architecture.program(RescaleKit(architecture.seed), *inputs)
    shares = (found[0] if isinstance(found, list) else found).shares
    return shares.reshape(players.count, row_count, background_count, -1).mean(2).swapaxes(0, 1)
