"""How many rows would have a twin by chance: what a count of twins has to be held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.screening.features import codes_of, floats, is_number, text_columns
from validators.engine.screening.screened import Screened
from workers.datasets.canonical import is_tensor

#: Rows by which it is estimated how often two values of a column agree.
SAMPLED_ROWS = 20_000


def expected_twins(
    data: Screened,
    other: Screened | None,
    names: Sequence[str],
    generator: np.random.Generator,
    *,
    reach: dict[str, float] | None = None,
) -> float:
    """Return how many rows would have an equal one if columns were independent of each other.

    Args:
        other: the version in which a twin is looked for; the earlier rows of the same one when None.
        reach: column -> how far two numbers may lie apart to agree; they have to be equal where there is none.

    The share of agreeing pairs is estimated for each column on random pairs of rows, the shares are multiplied, and
    that is what the number of pairs is multiplied with; no row counts more than once.
    """
    ours = data.sample(names, SAMPLED_ROWS, generator)
    theirs = ours if other is None else other.sample(names, SAMPLED_ROWS, generator)
    if ours.count < 2 or not theirs.count:
        return 0.0
    share, texts = 1.0, text_columns(data)
    for name in names:
        left, right = ours.column(name), theirs.column(name)
        if is_tensor(left.type) or name in texts:
            return 0.0  # arrays and texts do not agree by chance
        if is_number(left) and is_number(right):
            agreeing = _agreeing_numbers(floats(left), floats(right), (reach or {}).get(name, 0.0), other is None)
        else:
            joined = codes_of(pa.concat_arrays([left, right.cast(left.type)]))
            agreeing = _agreeing_codes(joined[: len(left)], joined[len(left) :], other is None)
        share *= agreeing
        if share == 0:
            break
    pairs = data.count * (data.count - 1) / 2 if other is None else data.count * other.count
    return float(min(data.count, share * pairs))


def _agreeing_numbers(left: NDArray[np.float64], right: NDArray[np.float64], reach: float, is_same: bool) -> float:
    """Return the share of pairs that lie within reach, over all pairs; missing values agree with each other."""
    ordered = np.sort(right[~np.isnan(right)])
    known = left[~np.isnan(left)]
    near = np.searchsorted(ordered, known + reach, side="right") - np.searchsorted(ordered, known - reach, side="left")
    agreeing = float(near.sum()) + float(np.isnan(left).sum()) * float(np.isnan(right).sum())
    if is_same:
        return max(0.0, agreeing - len(left)) / max(1, len(left) * (len(left) - 1))
    return agreeing / max(1, len(left) * len(right))


def _agreeing_codes(left: NDArray[np.int64], right: NDArray[np.int64], is_same: bool) -> float:
    size = int(max(left.max(), right.max())) + 1
    counts, others = np.bincount(left, minlength=size).astype(float), np.bincount(right, minlength=size).astype(float)
    agreeing = float(counts @ others)
    if is_same:
        return max(0.0, agreeing - len(left)) / max(1, len(left) * (len(left) - 1))
    return agreeing / max(1, len(left) * len(right))
