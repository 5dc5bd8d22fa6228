"""Features as the players of the game whose Shapley values are the attributions: which input values each one holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.datasets.schema import Column, Schema
from workers.frameworks.base import Inputs
from workers.protocol import JobError
from workers.signature import Signature, TensorSpec

#: Images of more pixels than this are cut into square patches, unless a patch size is given.
MAXIMUM_PIXELS = 256


@dataclass(frozen=True)
class Players:
    """The features of a model, each a set of positions in the inputs that is replaced as one.

    Attributes:
        names: one name a feature; a pixel is named by its row and column.
        assignment: input name -> feature number of each value of one row, shaped like the row.
        grid: the shape of the features: ``(features,)``, or ``(rows, columns)`` where all of them are one image.
        patch: pixels along one side of a patch; 1 where each pixel is a feature or there is no image.
    """

    names: tuple[str, ...]
    assignment: Mapping[str, NDArray[np.intp]]
    grid: tuple[int, ...]
    patch: int = 1

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def are_pixels(self) -> bool:
        return len(self.grid) == 2

    def data(self, rows: Inputs) -> NDArray[np.float64]:
        """Return the value of each feature, shape (rows, *grid): a mean where it holds several input values."""
        count = len(next(iter(rows.values())))
        total, held = np.zeros((count, self.count)), np.zeros(self.count)
        for name, players in self.assignment.items():
            flat = players.reshape(-1)
            order = np.argsort(flat, kind="stable")
            present, starts, sizes = np.unique(flat[order], return_index=True, return_counts=True)
            values = np.asarray(rows[name]).reshape(count, -1)[:, order].astype(np.float64)
            total[:, present] += np.add.reduceat(values, starts, axis=1)
            held[present] += sizes
        return (total / held).reshape(count, *self.grid)


@dataclass
class _Builder:
    names: list[str] = field(default_factory=list)
    by_column: dict[str, NDArray[np.intp]] = field(default_factory=dict)

    def add(self, names: list[str]) -> int:
        first = len(self.names)
        self.names += names
        return first


def players_of(signature: Signature, schema: Schema, *, patch: int | None = None) -> Players:
    """Return the features of a model fed by a data set.

    A column of numbers is one feature, also where it feeds two inputs. Of an image each pixel is one feature with all
    its channels, or each square patch of ``patch`` pixels a side; by default the patch grows until about 256 features
    are left. Of any other column of arrays each position is one feature.

    Raises:
        JobError: ``patch_does_not_fit``, when a patch is larger than the image.
    """
    builder = _Builder()
    assignment: dict[str, NDArray[np.intp]] = {}
    grids: list[tuple[tuple[int, int], int]] = []
    for spec in signature.inputs:
        names = spec.columns or (spec.name,)
        if len(names) == 1 and schema.columns[names[0]].type == "image":
            assignment[spec.name], place, side = _image(builder, spec, names[0], schema.columns[names[0]], patch)
            grids.append((place, side))
        else:
            parts = [_column(builder, name, schema.columns[name]) for name in names]
            assignment[spec.name] = np.concatenate(parts).reshape(spec.row_shape)
    grid: tuple[int, ...] = (len(builder.names),)
    patch_side = 1
    if len(grids) == 1 and len(signature.inputs) == 1:
        grid, patch_side = grids[0]
    return Players(names=tuple(builder.names), assignment=assignment, grid=grid, patch=patch_side)


def _column(builder: _Builder, name: str, column: Column) -> NDArray[np.intp]:
    known = builder.by_column.get(name)
    if known is None:
        if not column.shape:
            names = [name]
        else:
            names = [f"{name}[{', '.join(map(str, place))}]" for place in np.ndindex(*column.shape)]
        first = builder.add(names)
        known = builder.by_column[name] = np.arange(first, first + len(names), dtype=np.intp)
    return known


def _image(
    builder: _Builder, spec: TensorSpec, name: str, column: Column, patch: int | None
) -> tuple[NDArray[np.intp], tuple[int, int], int]:
    """Return the feature of each value of an image input, the grid of features, and the patch's side."""
    shape = spec.row_shape if len(spec.row_shape) >= 2 else column.shape
    height, width, channel_axis = _geometry(shape)
    side = patch or max(1, math.ceil(math.sqrt(height * width / MAXIMUM_PIXELS)))
    if side > min(height, width):
        raise JobError(
            "patch_does_not_fit",
            f"A patch of {side} pixels a side is larger than the image {name!r} of {height} x {width} pixels.",
            place=name,
        )
    grid = (math.ceil(height / side), math.ceil(width / side))
    known = builder.by_column.get(name)
    if known is None:
        word = "pixel" if side == 1 else "patch"
        first = builder.add([f"{word} {row}, {place}" for row in range(grid[0]) for place in range(grid[1])])
        pixels = np.arange(height)[:, None] // side * grid[1] + np.arange(width)[None, :] // side + first
        known = builder.by_column[name] = pixels.astype(np.intp)
    pixels = known if channel_axis is None else np.expand_dims(known, channel_axis)
    return np.ascontiguousarray(np.broadcast_to(pixels, shape)).reshape(spec.row_shape), grid, side


def _geometry(shape: tuple[int, ...]) -> tuple[int, int, int | None]:
    """Return height, width and the axis of the channels (None: grey without an axis); 1, 3 or 4 channels."""
    sizes: dict[int | None, tuple[int, ...]] = {}
    if len(shape) == 2:
        sizes[None] = shape
    elif len(shape) == 3 and shape[-1] in (1, 3, 4):
        sizes[2] = shape[:2]
    elif len(shape) == 3 and shape[0] in (1, 3, 4):
        sizes[0] = shape[1:]
    if not sizes:
        raise JobError(
            "image_shape_unknown",
            f"An image of shape {list(shape)} is not height x width, with 1, 3 or 4 channels last or first.",
        )
    axis, (height, width) = next(iter(sizes.items()))
    return height, width, axis


def check_finite(inputs: Inputs, row_numbers: NDArray[np.int64], *, what: str) -> None:
    """Refuse rows with a missing or infinite value: they have no attribution.

    Raises:
        JobError: ``row_not_finite``, with the first such row's number and its input.
    """
    for name, values in inputs.items():
        array: NDArray[Any] = np.asarray(values)
        if not np.issubdtype(array.dtype, np.inexact):
            continue
        bad = ~np.isfinite(array.reshape(len(array), -1))
        rows = np.flatnonzero(bad.any(axis=1))
        if len(rows):
            position = int(np.flatnonzero(bad[rows[0]])[0])
            raise JobError(
                "row_not_finite",
                f"Row {int(row_numbers[rows[0]])} of the {what} has a missing or infinite value at position {position} "
                f"of the input {name!r}, and {len(rows) - 1:,} more rows have one; clean the data or leave them out.",
                place=f"row {int(row_numbers[rows[0]])}",
            )
