"""Table rows that lie near each other in every column: shifted grids find candidates, distances confirm them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.screening.features import codes_of, floats, is_number
from validators.engine.screening.screened import BLOCK_ROWS, FEWEST_NUMBERS, Sample
from workers.datasets.canonical import is_tensor

#: A pair of usual distance falls into one cell of a grid with a chance of a half or more, so that eight miss 0.4 %.
GRIDS = 8
#: Rows of one cell that a row is compared with: those next to it in the order of the file.
NEIGHBOURS = 4
NORMAL_SCALE = 1.4826


@dataclass(frozen=True)
class TableRows:
    """Scaled numbers of shape (rows, columns), NaN for missing, and a hash a row of all that has to be equal."""

    numbers: NDArray[np.float64]
    equal: NDArray[np.uint64]

    @classmethod
    def of(cls, sample: Sample, names: Sequence[str], scales: dict[str, float]) -> TableRows:
        numbers = [floats(sample.column(name)) / scales[name] for name in names if name in scales]
        equal = np.zeros(sample.count, dtype=np.uint64)
        for place, name in enumerate(names):
            if name not in scales:
                equal = equal * np.uint64(0x9E3779B97F4A7C15) + _hashes(sample.column(name), place)
        return cls(np.stack(numbers, axis=1), equal)


def robust_scales(sample: Sample, names: Sequence[str]) -> dict[str, float]:
    """Return column -> robust standard deviation of the columns that hold measured numbers."""
    scales = {}
    for name in names:
        column = sample.column(name)
        if not is_number(column):
            continue
        values = floats(column)
        values = values[np.isfinite(values)]
        if len(values) < 2 or len(np.unique(values)) < FEWEST_NUMBERS:
            continue
        scale = NORMAL_SCALE * float(np.median(np.abs(values - np.median(values))))
        scales[name] = scale if scale > 0 else float(values.std())
    return {name: scale for name, scale in scales.items() if np.isfinite(scale) and scale > 0}


def near_rows(
    ours: TableRows,
    theirs: TableRows | None,
    *,
    tolerance: float,
    generator: np.random.Generator,
    tell: Callable[[float], None],
) -> list[tuple[int, int, float]]:
    """Return (row, other row, largest difference) for rows that have a near one and none that is wholly the same.

    Args:
        theirs: the rows among which near ones are looked for; the earlier ones of ours when None.
        tolerance: the largest difference of any column that counts as near, in the unit of the numbers.
    """
    numbers = ours.numbers if theirs is None else np.concatenate([ours.numbers, theirs.numbers])
    equal = ours.equal if theirs is None else np.concatenate([ours.equal, theirs.equal])
    first_other = 0 if theirs is None else len(ours.numbers)
    best: dict[int, tuple[float, int]] = {}
    width = max(1, numbers.shape[1])
    cell = max(2 * tolerance, 0.72 * tolerance * width)
    multipliers = generator.integers(1, 2**63, size=width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    for grid in range(GRIDS):
        keys = equal + _cell_keys(numbers, cell, generator.random(width) * cell, multipliers)
        for left, right in _pairs(keys):
            # Within one version a row is held against earlier ones; of two versions, ours against theirs.
            rows, others = np.maximum(left, right), np.minimum(left, right)
            if theirs is not None:
                crosses = (others < first_other) & (rows >= first_other)
                rows, others = others[crosses], rows[crosses]
            distances = _distances(numbers[rows], numbers[others])
            near = (distances <= tolerance) & (equal[rows] == equal[others])
            for row, other, distance in zip(rows[near].tolist(), others[near].tolist(), distances[near], strict=True):
                found = (float(distance), other - first_other)
                best[row] = min(best.get(row, found), found)
        tell((grid + 1) / GRIDS)
    return [(row, other, distance) for row, (distance, other) in sorted(best.items()) if distance > 0]


def _cell_keys(
    numbers: NDArray[np.float64], cell: float, offsets: NDArray[np.float64], multipliers: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return one number a row for the cell that it falls into; blocks of rows keep what is held small."""
    keys = np.empty(len(numbers), dtype=np.uint64)
    for start in range(0, len(numbers), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        keys[block] = _cells(numbers[block], cell, offsets) @ multipliers
    return keys


def _cells(numbers: NDArray[np.float64], cell: float, offsets: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the cell of each number on a shifted grid; what is missing has a cell of its own."""
    places = np.floor((np.clip(np.nan_to_num(numbers, posinf=1e12, neginf=-1e12), -1e12, 1e12) + offsets) / cell)
    cells = places.astype(np.int64).view(np.uint64)
    return np.where(np.isnan(numbers), np.uint64(2**62), cells)


def _pairs(keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield pairs of rows of one key: each with those that follow it among the rows of that key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for step in range(1, NEIGHBOURS + 1):
        together = np.flatnonzero(ordered[:-step] == ordered[step:])
        if not len(together):
            return
        yield order[together], order[together + step]


def _distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest difference of any column; missing differs from everything but missing."""
    with np.errstate(invalid="ignore"):
        differences = np.abs(left - right)
    both_missing = np.isnan(left) & np.isnan(right)
    same_infinity = np.isinf(left) & (left == right)
    differences = np.where(both_missing | same_infinity, 0.0, np.nan_to_num(differences, nan=np.inf))
    return np.asarray(differences.max(axis=1, initial=0.0))


def _hashes(column: pa.Array, place: int) -> NDArray[np.uint64]:
    """Return a number for each value of a column that is the same in another sample of the same values."""
    import hashlib

    def hashed(value: object) -> int:
        content = f"{place}:{value!r}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")

    if is_tensor(column.type):
        return np.array([hashed(value) for value in column.to_pylist()], dtype=np.uint64)
    codes = codes_of(column)
    first = np.unique(codes, return_index=True)[1]
    values = [hashed(_plain(column[int(row)].as_py())) for row in first]
    return np.array(values, dtype=np.uint64)[codes]


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
