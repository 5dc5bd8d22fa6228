"""Straight paths from background rows to explained rows, along which gradients are taken and summed up by feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.protocol import JobError

#: Input name -> array of shape (rows, *row_shape).
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Paths:
    """Between which rows paths run, and to which feature each input value belongs.

    Attributes:
        rows: the explained rows, where paths end.
        background: the rows where paths begin.
        features: input name -> feature number of each value of one row, shaped like the row.
        feature_count: features of all inputs together.
    """

    rows: Arrays
    background: Arrays
    features: Mapping[str, NDArray[np.intp]]
    feature_count: int

    @property
    def background_count(self) -> int:
        return len(next(iter(self.background.values())))


@dataclass(frozen=True)
class Points:
    """Points on paths, in groups whose sums are wanted.

    Attributes:
        rows: the explained row of each point, shape (points,).
        background_rows: the background row of each point, shape (points,).
        positions: where on the path each point lies, from 0 (the background row) to 1, shape (points,).
        groups: the group of each point, ascending from 0 without a gap, shape (points,).
        outputs: the model's outputs that are differentiated, shape (points, outputs).
    """

    rows: NDArray[np.intp]
    background_rows: NDArray[np.intp]
    positions: NDArray[np.float32]
    groups: NDArray[np.intp]
    outputs: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def group_count(self) -> int:
        return int(self.groups[-1]) + 1

    @property
    def output_count(self) -> int:
        return int(self.outputs.shape[1])

    def part(self, places: slice) -> tuple[Points, int]:
        """Return some of the points, their groups counted from 0, and the number of their first group."""
        first = int(self.groups[places.start])
        part = Points(
            rows=self.rows[places],
            background_rows=self.background_rows[places],
            positions=self.positions[places],
            groups=self.groups[places] - first,
            outputs=self.outputs[places],
        )
        return part, first


#: Sums ``(x - b) * dF/dx`` over the points of each group and the values of each feature: (groups, features, outputs).
PathGradients = Callable[[Points], NDArray[np.float64]]


@dataclass(frozen=True)
class Rescaled:
    """DeepLIFT's contributions to some outputs of some rows, and the scores between which they have to lead.

    Attributes:
        contributions: the mean over the background, shape (rows, features, outputs).
        scores: what the model itself gives the rows, shape (rows, outputs).
        base: the mean score of the background rows, shape (rows, outputs).
    """

    contributions: NDArray[np.float64]
    scores: NDArray[np.float64]
    base: NDArray[np.float64]


#: What some explained rows (their numbers) get for some outputs of each, shape (rows, outputs).
RescaledContributions = Callable[[NDArray[np.intp], NDArray[np.intp]], Rescaled]


def summed_by_feature(paths: Paths, points: Points, contributions: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Sum contributions of single input values, input name -> (points, *row_shape), to (groups, features)."""
    by_feature = np.zeros((paths.feature_count, len(points)))
    for name, values in contributions.items():
        np.add.at(by_feature, paths.features[name].reshape(-1), values.reshape(len(points), -1).T)
    sums = np.zeros((points.group_count, paths.feature_count))
    np.add.at(sums, points.groups, by_feature.T)
    return sums


def no_path_through(name: str) -> JobError:
    """Return the refusal of an input along which no path runs."""
    return JobError(
        "no_gradient",
        f"The input {name!r} is whole numbers and does not go into embeddings alone; between two of them there is no "
        "gradient to follow. Use 'permutation'.",
        place=name,
    )
