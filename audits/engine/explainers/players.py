"""Features as the players of the game whose Shapley values are the attributions: which input values each one holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
class Block:
    """Features that are the positions of one array, such as the patches of an image or the tokens of a text.

    Attributes:
        features: their numbers, in C order.
        shape: the shape of their grid.
    """

    features: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Players:
    """The features of a model, each a set of positions in the inputs that is replaced as one.

    Attributes:
        names: one name a feature; a pixel is named by its row and column.
        assignment: input name -> feature number of each value of one row, shaped like the row.
        grid: the shape of the features: ``(features,)``, or ``(rows, columns)`` where all of them are one image.
        patch: pixels along one side of a patch; 1 where each pixel is a feature or there is no image.
        blocks: the features that are positions of arrays, an entry an array.
        groups: the features that are groups of columns.
    """

    names: tuple[str, ...]
    assignment: Mapping[str, NDArray[np.intp]]
    grid: tuple[int, ...]
    patch: int = 1
    blocks: tuple[Block, ...] = ()
    groups: frozenset[int] = frozenset()

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def are_pixels(self) -> bool:
        return len(self.grid) == 2

    def data(self, rows: Inputs) -> NDArray[np.float64]:
        """Return the value of each feature, shape (rows, *grid).

        Where a feature holds several input values it is their mean; of a group of columns of which one is 1 and all
        others are 0, it is which one that is, counted from 0 in the order in which they feed the model.
        """
        count = len(next(iter(rows.values())))
        owners = np.concatenate([players.reshape(-1) for players in self.assignment.values()])
        order = np.argsort(owners, kind="stable")
        values = np.concatenate(
            [np.asarray(rows[name]).reshape(count, -1).astype(np.float64) for name in self.assignment], axis=1
        )[:, order]
        starts = np.searchsorted(owners[order], np.arange(self.count))
        sizes = np.bincount(owners, minlength=self.count)
        found = np.add.reduceat(values, starts, axis=1) / sizes
        for number in self.groups:
            levels = values[:, starts[number] : starts[number] + sizes[number]]
            is_one = (levels == 1).sum(axis=1) == 1
            is_one &= ((levels == 0) | (levels == 1)).all(axis=1)
            found[is_one, number] = levels[is_one].argmax(axis=1)
        return found.reshape(count, *self.grid)


@dataclass
class _Builder:
    """The features so far, and which column has which of them."""

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    by_column: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    by_group: dict[str, int] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def add(self, names: list[str]) -> int:
        first = len(self.names)
        self.names += names
        return first

    def add_block(self, names: list[str], shape: tuple[int, ...]) -> int:
        first = self.add(names)
        self.blocks.append(Block(tuple(range(first, first + len(names))), shape))
        return first

    def group_of(self, column: str) -> int | None:
        """Return the feature of the group that a column belongs to, if it belongs to one."""
        group = next((name for name, columns in self.groups.items() if column in columns), None)
        if group is None:
            return None
        if group not in self.by_group:
            self.by_group[group] = self.add([group])
        return self.by_group[group]


def players_of(
    signature: Signature,
    schema: Schema,
    *,
    patch: int | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Players:
    """Return the features of a model fed by a data set.

    A column of numbers is one feature, also where it feeds two inputs. Columns of a group, such as the levels of a
    category that have a column each, are one feature with the group's name. Of an image each pixel is one feature with
    all its channels, or each square patch of ``patch`` pixels a side; by default the patch grows until about 256
    features are left. Of any other column of arrays each position is one feature.

    Args:
        groups: the name of a feature -> the columns that are replaced as one.

    Raises:
        JobError: ``patch_does_not_fit``, when a patch is larger than the image; ``group_does_not_fit``, when a group
            is empty, names a column that does not feed the model, holds arrays or is in another group, or has the name
            of a column outside it.
    """
    builder = _Builder(groups=_checked_groups(groups or {}, signature, schema))
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
    return Players(
        names=tuple(builder.names),
        assignment=assignment,
        grid=grid,
        patch=patch_side,
        blocks=tuple(builder.blocks),
        groups=frozenset(builder.by_group.values()),
    )


def _checked_groups(
    groups: Mapping[str, Sequence[str]], signature: Signature, schema: Schema
) -> dict[str, tuple[str, ...]]:
    """Return the groups, each column in one at most; see the errors of ``players_of``."""
    feeding = {name for spec in signature.inputs for name in spec.columns or (spec.name,)}
    owners: dict[str, str] = {}
    for group, columns in groups.items():
        if not columns:
            raise _no_group(group, "has no column; it is the list of the columns that are replaced as one")
        if group in feeding and group not in columns:
            raise _no_group(group, "has the name of a column that is not in it; give it a name of its own")
        for column in columns:
            if column not in feeding:
                raise _no_group(group, f"names {column!r}, which does not feed the model")
            if schema.columns[column].shape:
                raise _no_group(group, f"names {column!r}, which holds arrays; a group is of columns of one number")
            if column in owners:
                raise _no_group(group, f"names {column!r}, which is in the group {owners[column]!r} already")
            owners[column] = group
    return {group: tuple(columns) for group, columns in groups.items()}


def _no_group(group: str, what: str) -> JobError:
    return JobError("group_does_not_fit", f"The group {group!r} {what}.", place="groups")


def _column(builder: _Builder, name: str, column: Column) -> NDArray[np.intp]:
    """Return the feature of each number of a column."""
    known = builder.by_column.get(name)
    if known is not None:
        return known
    if not column.shape:
        group = builder.group_of(name)
        features = np.asarray([builder.add([name]) if group is None else group], dtype=np.intp)
    else:
        names = [f"{name}[{', '.join(map(str, place))}]" for place in np.ndindex(*column.shape)]
        first = builder.add_block(names, column.shape)
        features = np.arange(first, first + len(names), dtype=np.intp)
    builder.by_column[name] = features
    return features


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
        names = [f"{word} {row}, {place}" for row in range(grid[0]) for place in range(grid[1])]
        first = builder.add_block(names, grid)
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
