"""``attributions.npz``: the values of every row and output, each with its error, and what the rows are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions.archive import ArrayArchive, refusing
from governance.storage import store

ATTRIBUTIONS_FILE = "attributions.npz"

#: What is shown is in memory, and of this type.
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Attributions:
    """The arrays of an explanation, mapped; every one has as many rows.

    Attributes:
        grid: the shape of the features: ``(features,)``, or ``(rows, columns)`` where they are one image.
        values: shape (rows, features, outputs), also where the features are a grid.
        errors: the standard error of each value, shaped like ``values``.
        base_values: shape (rows, outputs).
        data: the value of each feature, shape (rows, features).
        row_numbers: of the data set, counted from 0.
        output_numbers: which of the model's outputs each one is, shape (rows, outputs).
        scores: all outputs of the model on the scale explained, or None in explanations from before they were kept.
        predicted: the class number of each row, -1 where there are no classes.
        ids: what the data set calls each row, empty where nothing.
        targets: what the data set says of each row, empty where nothing.
        hierarchy: how the method joined the features, a linkage matrix of shape (features - 1, 4) as
            ``scipy.cluster.hierarchy`` has it; None where it joined none.
    """

    grid: tuple[int, ...]
    feature_names: tuple[str, ...]
    output_names: tuple[str, ...]
    values: NDArray[np.floating[Any]]
    errors: NDArray[np.floating[Any]]
    base_values: NDArray[np.floating[Any]]
    data: NDArray[np.floating[Any]]
    row_numbers: NDArray[np.integer[Any]]
    output_numbers: NDArray[np.integer[Any]]
    scores: NDArray[np.floating[Any]] | None
    predicted: NDArray[np.integer[Any]]
    ids: NDArray[np.str_]
    targets: NDArray[np.str_]
    hierarchy: Floats | None

    @property
    def row_count(self) -> int:
        return len(self.values)

    @property
    def is_image(self) -> bool:
        return len(self.grid) == 2


@lru_cache(maxsize=16)
def read_attributions(digest: str) -> Attributions:
    """Map the attributions with this digest; the same digest is the same arrays for ever.

    Raises:
        IntegrityFailure: the file is not what an explanation job writes.
    """
    with refusing("attributions"):
        return _checked(ArrayArchive(store().path(digest)))


def finite(array: NDArray[Any]) -> Floats:
    """Return the part of an array that is about to be shown, in memory.

    Raises:
        IntegrityFailure: it holds what is not a number.
    """
    with refusing("attributions"):
        shown = np.asarray(array, dtype=np.float64)
        if not np.isfinite(shown).all():
            raise ValueError("they hold values that are not numbers")
        return shown


def _checked(archive: ArrayArchive) -> Attributions:
    values = _of_kind(archive, "values", "f")
    if not 3 <= values.ndim <= 4 or not values.size:
        raise ValueError(f"`values` has the shape {list(values.shape)}; it is (rows, features, outputs)")
    rows, *grid, outputs = values.shape
    names = _texts(archive, "feature_names", math.prod(grid))
    flat = (rows, math.prod(grid), outputs)
    scores = _of_kind(archive, "scores", "f") if "scores" in archive else None
    if scores is not None and (scores.ndim != 2 or len(scores) != rows):
        raise ValueError(f"`scores` has the shape {list(scores.shape)} for {rows:,} rows")
    output_numbers = _shaped(archive, "output_numbers", "iu", (rows, outputs))
    most = scores.shape[1] if scores is not None else np.iinfo(np.int64).max
    if output_numbers.min() < 0 or output_numbers.max() >= most:
        raise ValueError("`output_numbers` names outputs that the model does not have")
    row_numbers = _shaped(archive, "row_numbers", "iu", (rows,))
    if row_numbers.min() < 0:
        raise ValueError("`row_numbers` has a number below 0")
    return Attributions(
        grid=tuple(grid),
        feature_names=names,
        output_names=_texts(archive, "output_names", outputs),
        values=values.reshape(flat),
        errors=_shaped(archive, "errors", "f", values.shape).reshape(flat),
        base_values=_shaped(archive, "base_values", "f", (rows, outputs)),
        data=_shaped(archive, "data", "f", (rows, *grid)).reshape(flat[:2]),
        row_numbers=row_numbers,
        output_numbers=output_numbers,
        scores=scores,
        predicted=_or_else(archive, "predicted", "iu", np.full(rows, -1)),
        ids=_or_else(archive, "ids", "U", np.full(rows, "", dtype=np.str_)),
        targets=_or_else(archive, "targets", "U", np.full(rows, "", dtype=np.str_)),
        hierarchy=_hierarchy(archive, math.prod(grid)) if "hierarchy" in archive else None,
    )


def _hierarchy(archive: ArrayArchive, features: int) -> Floats:
    """Return the hierarchy, in memory: every feature and every merge but the last is joined once, after it was made."""
    linkage = np.asarray(_shaped(archive, "hierarchy", "f", (max(0, features - 1), 4)), dtype=np.float64)
    if not np.isfinite(linkage).all() or (linkage[:, 2] < 0).any():
        raise ValueError("`hierarchy` has a distance that is none")
    joined, places = linkage[:, :2], np.arange(len(linkage))
    if (
        not np.array_equal(np.sort(joined, axis=None), np.arange(2 * len(linkage)))
        or (joined >= (features + places)[:, None]).any()
    ):
        raise ValueError("`hierarchy` is no tree of the features")
    return linkage


def _of_kind(archive: ArrayArchive, name: str, kinds: str) -> NDArray[Any]:
    array = archive.array(name)
    if array.dtype.kind not in kinds:
        raise ValueError(f"`{name}` is of the type {array.dtype}")
    return array


def _shaped(archive: ArrayArchive, name: str, kinds: str, shape: tuple[int, ...]) -> NDArray[Any]:
    array = _of_kind(archive, name, kinds)
    if array.shape != shape:
        raise ValueError(f"`{name}` has the shape {list(array.shape)}, not {list(shape)}")
    return array


def _or_else(archive: ArrayArchive, name: str, kinds: str, otherwise: NDArray[Any]) -> NDArray[Any]:
    """Return an array with one entry a row, or the other one where the explanation is from before it was kept."""
    return _shaped(archive, name, kinds, otherwise.shape) if name in archive else otherwise


def _texts(archive: ArrayArchive, name: str, count: int) -> tuple[str, ...]:
    return tuple(str(text) for text in _shaped(archive, name, "U", (count,)))
