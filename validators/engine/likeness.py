"""Which rows, and which images, are the same or almost the same: for audits and for screening.

Rows are the same byte for byte. Images are also compared by difference hash (Krawetz, 2013), and a near hash counts
only when the pixels agree: hashes alone call 2 % of clean 8 x 8 images duplicates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Pairs of hashes compared at once.
BLOCK_PAIRS = 2**22

HASH_BITS = 64

#: Neighbouring cells that differ by a smaller share of the range are one flat area, in which noise flips no bit.
FLAT = 0.05


def row_keys(columns: Mapping[str, NDArray[Any]]) -> list[bytes]:
    """Return 16 bytes a row that are the same where all columns are, minus zero being zero.

    Args:
        columns: name -> array of shape (rows, ...), all with the same number of rows.
    """
    parts = []
    for name in sorted(columns):
        values = np.ascontiguousarray(columns[name].reshape(len(columns[name]), -1))
        if values.dtype.kind == "f":
            values = values + 0.0  # minus zero is zero
        parts.append(values)
    count = len(parts[0]) if parts else 0
    return [
        hashlib.blake2b(b"".join(part[row].tobytes() for part in parts), digest_size=16).digest()
        for row in range(count)
    ]


def first_same(ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]]) -> dict[int, int]:
    """Return our row -> the first of their rows that is the same in every column."""
    seen: dict[bytes, int] = {}
    for number, key in enumerate(row_keys(theirs)):
        seen.setdefault(key, number)
    return {row: seen[key] for row, key in enumerate(row_keys(ours)) if key in seen}


@dataclass(frozen=True)
class NearImage:
    """An image that is almost another one: in how many bits their hashes and in how much of the range they differ."""

    row: int
    other: int
    hash_distance: int
    pixel_difference: float


def near_images(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    *,
    hash_distance: int,
    pixel_difference: float,
    rows: NDArray[np.intp] | None = None,
    earlier_only: bool = False,
    tell: Callable[[float], None] | None = None,
) -> Iterator[NearImage]:
    """Yield, for each of our images that has one, the first of their images that is almost the same.

    Args:
        ours, theirs: images of shape (rows, height, width) or with channels before or behind; the same shape.
        hash_distance: in how many of 64 bits the difference hashes may differ.
        pixel_difference: the mean absolute difference of the pixels that is allowed, as a share of the range.
        rows: which of our images are looked at; all by default.
        earlier_only: both are one set, and an image is compared with those before it only.
        tell: called with the share done.
    """
    mine, other = grey(ours), grey(theirs)
    if not len(mine) or not len(other):
        return
    spread = float(max(mine.max(), other.max()) - min(mine.min(), other.min())) or 1.0
    margin = FLAT * spread
    my_hashes, other_hashes = difference_hashes(mine, margin), difference_hashes(other, margin)
    asked = np.arange(len(mine)) if rows is None else rows
    step = max(1, BLOCK_PAIRS // len(other))
    for first in range(0, len(asked), step):
        chosen = asked[first : first + step]
        distances = np.bitwise_count(my_hashes[chosen][:, None] ^ other_hashes[None])
        is_near = distances <= hash_distance
        if earlier_only:
            is_near &= np.arange(len(other))[None] < chosen[:, None]
        found: set[int] = set()
        for place, column in zip(*np.nonzero(is_near), strict=True):
            row = int(chosen[place])
            if row in found:
                continue
            difference = float(np.abs(mine[row] - other[column]).mean()) / spread
            if difference <= pixel_difference:
                found.add(row)
                yield NearImage(row, int(column), int(distances[place, column]), difference)
        if tell is not None:
            tell((first + len(chosen)) / len(asked))


def grey(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return images as (rows, height, width), the mean over channels where they have some."""
    values = images.astype(np.float64)
    if values.ndim == 3:
        return values
    axis = 3 if values.shape[3] in (1, 3, 4) else 1
    return np.asarray(values.mean(axis=axis))


def difference_hashes(images: NDArray[np.float64], margin: float = 0.0) -> NDArray[np.uint64]:
    """Return 64-bit difference hashes of images (rows, height, width): is a cell brighter than the one to its left?

    It has to be brighter by more than the margin, in the unit of the images.
    """
    rows, columns = _shrink(images.shape[1], 8), _shrink(images.shape[2], 9)
    small = np.einsum("rh,nhw,cw->nrc", rows, images, columns, optimize=True)
    bits = (small[:, :, 1:] > small[:, :, :-1] + margin).reshape(len(images), HASH_BITS)
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]


def _shrink(source: int, target: int) -> NDArray[np.float64]:
    """Return the (target, source) weights of a resize by area."""
    edges = np.arange(target + 1) * source / target
    starts = np.arange(source)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
