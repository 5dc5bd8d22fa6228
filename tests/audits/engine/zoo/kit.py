"""The words in which a network of the zoo is written once, and the weights that both frameworks give it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Kit(ABC):
    """Makes layers in the order in which a program asks for them, with weights drawn in that order.

    A tensor of steps has the shape (rows, steps, width), an image (rows, height, width, channels) in Keras and
    (rows, channels, height, width) in PyTorch; `flat` brings both in the same order.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def numbers(self, *shape: int, around: float = 0.0, spread: float | None = None) -> np.ndarray:
        """Draw weights, by default with the spread that keeps the size of what passes through a matrix."""
        fan_in = int(np.prod(shape[:-1])) or 1
        values = around + self._generator.normal(0, spread or 1.4 / fan_in**0.5, shape)
        return values.astype("float32")

    @abstractmethod
    def dense(self, tensor: Any, inputs: int, units: int) -> Any:
        """Apply a matrix and a bias to the last axis."""

    @abstractmethod
    def chain(self, tensor: Any, inputs: int, hidden: int, units: int) -> Any:
        """Apply a framework's own `Sequential` of dense, ReLU, dense."""

    @abstractmethod
    def activation(self, name: str) -> Callable[[Any], Any]:
        """Make one layer that applies an activation; it may be used more than once."""

    @abstractmethod
    def function(self, tensor: Any, name: str) -> Any:
        """Apply an activation by a call of a function, without a layer."""

    @abstractmethod
    def batch_norm(self, tensor: Any, units: int) -> Any: ...

    @abstractmethod
    def layer_norm(self, tensor: Any, units: int) -> Any: ...

    @abstractmethod
    def prelu(self, tensor: Any, units: int) -> Any: ...

    @abstractmethod
    def embedding(self, ids: Any, size: int, width: int) -> Any: ...

    @abstractmethod
    def lstm(self, steps: Any, width: int, units: int) -> Any:
        """Return the state after the last step."""

    @abstractmethod
    def gru(self, steps: Any, width: int, units: int) -> Any:
        """Return the state after the last step."""

    @abstractmethod
    def attention(self, steps: Any, width: int, heads: int) -> Any:
        """Attend from all steps to all steps."""

    @abstractmethod
    def image(self, tensor: Any) -> Any:
        """Give a grey image an axis of channels."""

    @abstractmethod
    def convolution(self, image: Any, channels: int, filters: int) -> Any:
        """Convolve with filters of 3 x 3 and keep the size."""

    @abstractmethod
    def max_pool(self, image: Any, side: int, stride: int) -> Any: ...

    @abstractmethod
    def flat(self, image: Any) -> Any: ...

    @abstractmethod
    def mean(self, steps: Any) -> Any:
        """Return the mean over the steps."""

    @abstractmethod
    def joined(self, tensors: Sequence[Any]) -> Any:
        """Concatenate along the last axis."""
