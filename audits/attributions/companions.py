"""The files beside the attributions, where the data have them: nearest rows, pictures, tokens, other columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions.archive import ArrayArchive, refusing
from governance.storage import store

NEIGHBOURS_FILE = "neighbours.npz"
PICTURES_FILE = "pictures.npz"
TOKENS_FILE = "tokens.json"
COLUMNS_FILE = "columns.npz"

MAX_TOKENS_BYTES = 64 * 1024 * 1024
#: Pictures of more than this on a side are not what an explanation keeps to look at.
MAX_SIDE = 4096


@dataclass(frozen=True)
class Neighbours:
    """For each explained row the rows of the background's data set that lie nearest, in standardised features.

    Attributes:
        row_numbers: of the background's data set, shape (rows, neighbours), nearest first; -1 where there are fewer.
        distances: shaped like ``row_numbers``.
        data: the values of their features, shape (rows, neighbours, features).
    """

    row_numbers: NDArray[np.integer[Any]]
    distances: NDArray[np.floating[Any]]
    data: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pictures:
    """Pictures of the first explained rows, uint8 of shape (rows, height, width, 1 or 3)."""

    row_numbers: NDArray[np.integer[Any]]
    pictures: NDArray[np.uint8]


@dataclass(frozen=True)
class Columns:
    """Columns of the data set that are no features, by which rows may be sliced.

    Attributes:
        names: the protected ones first.
        values: shape (rows, columns): the number, or the place of the text among the labels; NaN where there is none.
        labels: the texts of each column, none of a column of numbers.
    """

    names: tuple[str, ...]
    values: NDArray[np.floating[Any]]
    labels: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=16)
def read_neighbours(digest: str, *, row_count: int, feature_count: int) -> Neighbours:
    """Map the nearest rows of an explanation of so many rows and features.

    Raises:
        IntegrityFailure: the file is not what an explanation job writes.
    """
    with refusing("nearest rows"):
        archive = ArrayArchive(store().path(digest))
        numbers, distances, data = (archive.array(name) for name in ("row_numbers", "distances", "data"))
        if numbers.ndim != 2 or len(numbers) != row_count or numbers.dtype.kind not in "iu":
            raise ValueError(f"`row_numbers` has the shape {list(numbers.shape)} for {row_count:,} rows")
        if distances.shape != numbers.shape or distances.dtype.kind != "f":
            raise ValueError(f"`distances` has the shape {list(distances.shape)}, not {list(numbers.shape)}")
        if data.shape != (*numbers.shape, feature_count) or data.dtype.kind != "f":
            raise ValueError(f"`data` has the shape {list(data.shape)} for {feature_count:,} features")
        return Neighbours(row_numbers=numbers, distances=distances, data=data)


@lru_cache(maxsize=16)
def read_pictures(digest: str) -> Pictures:
    """Map the pictures of an explanation.

    Raises:
        IntegrityFailure: the file is not what an explanation job writes.
    """
    with refusing("pictures"):
        archive = ArrayArchive(store().path(digest))
        pictures, numbers = archive.array("pictures"), archive.array("row_numbers")
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] not in (1, 3):
            raise ValueError(f"`pictures` is {pictures.dtype} of the shape {list(pictures.shape)}")
        if not all(1 <= side <= MAX_SIDE for side in pictures.shape[1:3]):
            raise ValueError(f"`pictures` has sides of {pictures.shape[1]:,} and {pictures.shape[2]:,} pixels")
        if numbers.shape != pictures.shape[:1] or numbers.dtype.kind not in "iu":
            raise ValueError(f"`row_numbers` has the shape {list(numbers.shape)} for {len(pictures):,} pictures")
        return Pictures(row_numbers=numbers, pictures=pictures)


@lru_cache(maxsize=16)
def read_columns(digest: str, *, row_count: int) -> Columns:
    """Map the other columns of an explanation of so many rows.

    Raises:
        IntegrityFailure: the file is not what an explanation job writes.
    """
    with refusing("columns"):
        archive = ArrayArchive(store().path(digest))
        names, values, labels, owners = map(archive.array, ("names", "values", "labels", "label_columns"))
        if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
            raise ValueError("`names` is not a list of different names")
        if values.shape != (row_count, len(names)) or values.dtype.kind != "f":
            raise ValueError(
                f"`values` has the shape {list(values.shape)} for {row_count:,} rows of {len(names)} names"
            )
        if (
            labels.ndim != 1
            or labels.dtype.kind != "U"
            or owners.shape != labels.shape
            or owners.dtype.kind not in "iu"
        ):
            raise ValueError(f"`label_columns` has the shape {list(owners.shape)} for labels of {list(labels.shape)}")
        pairs = list(zip(owners.tolist(), map(str, labels), strict=True))
        return Columns(
            names=tuple(map(str, names)),
            values=values,
            labels=tuple(tuple(label for owner, label in pairs if owner == place) for place in range(len(names))),
        )


@lru_cache(maxsize=4)
def read_tokens(digest: str, *, feature_count: int) -> Mapping[int, tuple[str, ...]]:
    """Return the tokens of each row by its number, one a feature.

    Raises:
        IntegrityFailure: the file is not what an explanation job writes.
    """
    with store().open(digest) as stream:
        content = stream.read(MAX_TOKENS_BYTES + 1)
    with refusing("tokens"):
        if len(content) > MAX_TOKENS_BYTES:
            raise ValueError(f"they have more than {MAX_TOKENS_BYTES:,} bytes")
        return dict(_row_of_tokens(entry, feature_count) for entry in json.loads(content)["rows"])


def _row_of_tokens(entry: Any, feature_count: int) -> tuple[int, tuple[str, ...]]:
    number, tokens = entry["row"], entry["tokens"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError("a row has no number")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"the tokens of row {number} are not texts")
    if len(tokens) != feature_count:
        raise ValueError(f"row {number} has {len(tokens):,} tokens for {feature_count:,} features")
    return number, tuple(tokens)
