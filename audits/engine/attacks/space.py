"""Where an attack may move a row: which input values, in which unit, within which range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.frameworks.base import Inputs

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """The movable input values of one row, laid out in one vector.

    A row moves by ``scale * delta``; a scale of 0 holds a value fixed. Inputs that are not named here stay as they are.

    Attributes:
        shapes: input name -> shape of one row, in the order of the vector.
        scale: the unit of each value, shape (values,).
        low, high: the range that a moved value stays in, shape (values,); infinite where there is none.
    """

    shapes: Mapping[str, tuple[int, ...]]
    scale: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def width(self) -> int:
        return len(self.scale)

    @property
    def moved_count(self) -> int:
        """How many values may move."""
        return int(np.count_nonzero(self.scale))

    def flatten(self, inputs: Mapping[str, NDArray[Any]]) -> FloatArray:
        """Return the movable inputs as (rows, values)."""
        parts = [np.asarray(inputs[name], dtype=np.float64).reshape(len(inputs[name]), -1) for name in self.shapes]
        return np.concatenate(parts, axis=1)

    def place(self, values: FloatArray, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Return the inputs with the movable ones replaced, in the dtype that they had."""
        placed = dict(inputs)
        start = 0
        for name, shape in self.shapes.items():
            width = int(np.prod(shape, dtype=int))
            part = values[:, start : start + width].reshape(len(values), *shape)
            placed[name] = part.astype(np.asarray(inputs[name]).dtype)
            start += width
        return placed


def rows_of(inputs: Inputs, chosen: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """Return some rows of all inputs."""
    return {name: np.asarray(values)[chosen] for name, values in inputs.items()}
