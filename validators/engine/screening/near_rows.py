"""Table rows that lie near each other in every column: shifted grids find candidates, distances confirm them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

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
    """Scaled numbers of shape (rows, columns), NaN for missing, and a hash a row of all that has to be equal.

    Made for all rows at once and filled sample by sample, so that of two versions one sample is in memory.
    """

    numbers: NDArray[np.float64]
    equal: NDArray[np.uint64]

    @classmethod
    def empty(cls, count: int, scales: Mapping[str, float]) -> Self:
        return cls(np.empty((count, len(scales))), np.zeros(count, dtype=np.uint64))

    def fill(self, first: int, sample: Sample, names: Sequence[str], scales: Mapping[str, float]) -> None:
        """Set the rows from ``first`` on to those of a sample; ``scales`` says which columns are numbers."""
        part = slice(first, first + sample.count)
        for place, name in enumerate(scales):
            self.numbers[part, place] = floats(sample.column(name)) / scales[name]
        for place, name in enumerate(names):
            if name not in scales:
                hashed = _hashes(sample.column(name), place)
                self.equal[part] = self.equal[part] * np.uint64(0x9E3779B97F4A7C15) + hashed


@dataclass(frozen=True)
class NearRows:
    """Rows that have a near one, in order: their numbers, that of the near one, and the largest difference."""

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    distances: NDArray[np.float64]


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
    table: TableRows,
    first_other: int = 0,
    *,
    tolerance: float,
    generator: np.random.Generator,
    tell: Callable[[float], None],
) -> NearRows:
    """Return the rows that have a near one and none that is wholly the same.

    Args:
        first_other: the rows before it are held against those from it on, which are counted from it in what is
            returned; with 0 each row is held against the earlier ones.
        tolerance: the largest difference of any column that counts as near, in the unit of the numbers.
    """
    numbers, equal = table.numbers, table.equal
    count, width = len(numbers), max(1, numbers.shape[1])
    best, near = np.full(count, np.inf), np.full(count, -1, dtype=np.int64)
    cell = max(2 * tolerance, 0.72 * tolerance * width)
    multipliers = generator.integers(1, 2**63, size=width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    for grid in range(GRIDS):
        keys = equal + _cell_keys(numbers, cell, generator.random(width) * cell, multipliers)
        # Rows of one key come in their order, so that ``left`` is the earlier one; neither has a row twice.
        for left, right in _pairs(keys):
            crosses = (left < first_other) & (right >= first_other)
            rows, others = (left[crosses], right[crosses]) if first_other else (right, left)
            for start in range(0, len(rows), BLOCK_ROWS):
                row, other = rows[start : start + BLOCK_ROWS], others[start : start + BLOCK_ROWS]
                distances = _distances(numbers[row], numbers[other])
                is_closer = (distances < best[row]) | ((distances == best[row]) & (other < near[row]))
                is_closer &= (distances <= tolerance) & (equal[row] == equal[other])
                best[row[is_closer]], near[row[is_closer]] = distances[is_closer], other[is_closer]
        tell((grid + 1) / GRIDS)
    found = np.flatnonzero((best > 0) & (near >= 0))
    return NearRows(found, near[found] - first_other, best[found])


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
