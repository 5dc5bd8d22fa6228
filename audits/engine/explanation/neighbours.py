"""For each explained row of a table, the rows of the training data that are most like it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray
from audits.engine.explainers.players import Players
from audits.engine.explanation.archive import ArrayArchive
from audits.engine.explanation.mapped import MappedArray
from audits.engine.explanation.reading import batches_of, columns_of
from workers.datasets.arrays import numbers_of
from workers.datasets.canonical import missing_rows, one_array
from workers.datasets.reading import shape_of
from workers.datasets.schema import Schema
from workers.signature import Signature

COUNT = 3
#: Pairs of rows that are compared at most; of more candidates, that many are drawn.
MOST_PAIRS = 200_000_000
#: Rows and candidates that are compared at a time.
_ROWS, _CANDIDATES = 512, 2048
#: As many of the nearest are kept until their distances are computed without rounding so much.
_KEPT = 8


@dataclass(frozen=True)
class Neighbours:
    """How many rows were looked through for the nearest ones: all that there are, or a sample."""

    candidates: int
    available: int


def write_neighbours(
    path: Path,
    dataset: Path,
    available: NDArray[np.int64],
    data: NDArray[np.float64],
    own_numbers: NDArray[np.int64] | None,
    *,
    players: Players,
    schema: Schema,
    signature: Signature,
    seed: int,
    folder: Path,
) -> Neighbours | None:
    """Write the three nearest rows of each explained row; None (and no file) where features are not columns.

    The distance is Euclidean over the features, each in standard deviations of the candidates; a boolean, a group of
    columns that are one category, or an identifier counts 1 where it differs. A candidate that lacks a value is none.
    Fewer than three candidates are all written; where there is none at all, no file is.

    Args:
        dataset: the table of the training data, or of the background where that is not known.
        available: the numbers of its rows that may be neighbours.
        data: the features of the explained rows, shape (rows, features).
        own_numbers: the numbers of the explained rows where they are of the same table: none is its own neighbour.
        folder: for what is larger than the memory.
    """
    columns = list(dict.fromkeys(columns_of(signature)))
    there = shape_of(dataset)[0].names
    if not all(name in there and not schema.columns[name].shape for name in columns):
        return None
    limit = max(COUNT + 1, MOST_PAIRS // len(data))
    numbers = available
    if len(available) > limit:
        places = np.random.default_rng([seed, 4]).choice(len(available), limit, replace=False)
        numbers = available[np.sort(places)]
    candidates = MappedArray(folder / "candidates", (len(numbers), players.count), np.float64, is_new=True)
    for places, table in batches_of(dataset, numbers, columns):
        candidates.array[places] = _features(table, signature, players)
        candidates.let_go()
    is_whole = np.empty(len(numbers), dtype=bool)
    for block in _blocks(len(numbers), _CANDIDATES):
        is_whole[block] = np.isfinite(candidates.array[block]).all(axis=1)
    count = min(COUNT, int(is_whole.sum()) - (own_numbers is not None))
    if count < 1:
        return None
    search = _Search(candidates, numbers, is_whole, _are_words(signature, schema, players), count)
    found = MappedArray(folder / "neighbours", (len(data), count, players.count), np.float64, is_new=True)
    rows, distances = np.empty((len(data), count), dtype=np.int64), np.empty((len(data), count))
    for block in _blocks(len(data), _ROWS):
        own = None if own_numbers is None else own_numbers[block]
        places, distances[block] = search.nearest(np.asarray(data[block]), own)
        rows[block], found.array[block] = numbers[places], candidates.array[places]
        found.let_go()
    with ArrayArchive(path) as archive:
        archive.add("row_numbers", rows)
        archive.add("distances", distances)
        archive.add("data", found.array, let_go=found.let_go)
    return Neighbours(int(is_whole.sum()), len(available))


class _Search:
    """Candidates, ready to be compared with rows."""

    def __init__(
        self,
        candidates: MappedArray,
        numbers: NDArray[np.int64],
        is_whole: NDArray[np.bool_],
        are_words: NDArray[np.bool_],
        count: int,
    ) -> None:
        self._candidates = candidates
        self._numbers = numbers
        self._is_whole = is_whole
        self._count = count
        self._words = np.flatnonzero(are_words)
        self._measures = np.flatnonzero(~are_words)
        self._center, self._scale = self._standard()

    def nearest(self, rows: FloatArray, own: NDArray[np.int64] | None) -> tuple[NDArray[np.intp], FloatArray]:
        """Return the places of the nearest candidates, as many as are asked for, and their distances."""
        places = np.full((len(rows), _KEPT), -1, dtype=np.intp)
        squares = np.full((len(rows), _KEPT), np.inf, dtype=np.float32)
        for block in _blocks(len(self._numbers), _CANDIDATES):
            found = self._squares(rows, block, own)
            count = min(_KEPT, found.shape[1])
            best = np.argpartition(found, count - 1, axis=1)[:, :count]
            squares = np.concatenate([squares, np.take_along_axis(found, best, axis=1)], axis=1)
            places = np.concatenate([places, best + block.start], axis=1)
            nearest = np.argpartition(squares, _KEPT - 1, axis=1)[:, :_KEPT]
            squares = np.take_along_axis(squares, nearest, axis=1)
            places = np.take_along_axis(places, nearest, axis=1)
        distances = np.where(np.isfinite(squares), self._distances(rows, places), np.inf)
        # Of rows that are as near, the first in the table.
        order = np.lexsort((places, distances), axis=1)[:, : self._count]
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(distances, order, axis=1)

    def _distances(self, rows: FloatArray, places: NDArray[np.intp]) -> FloatArray:
        """Return distances from the differences themselves: of near rows, squares and products leave few digits."""
        candidates = self._candidates.array[places]
        change = np.nan_to_num((rows[:, None, self._measures] - candidates[..., self._measures]) / self._scale)
        differ = (rows[:, None, self._words] != candidates[..., self._words]).sum(axis=2)
        distances: FloatArray = np.sqrt((change**2).sum(axis=2) + differ)
        return distances

    def _squares(self, rows: FloatArray, block: slice, own: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Return squared distances less what each row has in common for all candidates, shape (rows, candidates)."""
        candidates = np.asarray(self._candidates.array[block])
        ours, theirs = self._standardised(rows), self._standardised(candidates)
        # |x - y|^2 - |x|^2 in one product: the ones of a row meet |y|^2.
        squares: NDArray[np.float32] = np.column_stack([ours, np.ones(len(rows), np.float32)]) @ np.vstack(
            [-2 * theirs.T, (theirs**2).sum(axis=1)]
        )
        for word in self._words:
            squares += rows[:, word][:, None] != candidates[:, word]
        squares[:, ~self._is_whole[block]] = np.inf
        if own is not None:
            squares[own[:, None] == self._numbers[block]] = np.inf
        self._candidates.let_go()
        return squares

    def _standardised(self, values: FloatArray) -> NDArray[np.float32]:
        standardised = (values[:, self._measures] - self._center) / self._scale
        # A candidate without a value is passed in any case, and NaN would only warn.
        return np.nan_to_num(standardised, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)

    def _standard(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the candidates; a feature that does not vary has the deviation 1."""
        count, total, squares = 0, np.zeros(len(self._measures)), np.zeros(len(self._measures))
        blocks = list(_blocks(len(self._numbers), _CANDIDATES))
        for block in blocks:
            values = self._candidates.array[block][self._is_whole[block]][:, self._measures]
            count += len(values)
            total += values.sum(axis=0)
        center = total / max(1, count)
        for block in blocks:
            values = self._candidates.array[block][self._is_whole[block]][:, self._measures]
            squares += ((values - center) ** 2).sum(axis=0)
        self._candidates.let_go()
        deviation = np.sqrt(squares / max(1, count))
        return center, np.where(deviation > 0, deviation, 1.0)


def _features(table: pa.Table, signature: Signature, players: Players) -> FloatArray:
    """Return the value of each feature, of shape (rows, features), not finite where a column has no value."""
    inputs = {}
    for spec in signature.inputs:
        columns = [_values(one_array(table.column(name))) for name in spec.columns or (spec.name,)]
        inputs[spec.name] = np.stack(columns, axis=1).reshape(table.num_rows, *spec.row_shape)
    with np.errstate(invalid="ignore"):
        return players.data(inputs)


def _values(column: pa.Array) -> FloatArray:
    """Return a column as numbers, NaN where a value is missing."""
    is_there = ~missing_rows(column)
    values = np.full(len(column), np.nan)
    values[is_there] = numbers_of(column.filter(pa.array(is_there)))
    return values


def _are_words(signature: Signature, schema: Schema, players: Players) -> NDArray[np.bool_]:
    """Tell for each feature whether its numbers stand for something else, so that only being the same counts."""
    identifiers = schema.identifiers if schema.modality == "interactions" else []
    are_words = np.isin(np.arange(players.count), list(players.groups))
    for spec in signature.inputs:
        for name, feature in zip(spec.columns or (spec.name,), players.assignment[spec.name].reshape(-1), strict=True):
            are_words[feature] |= schema.columns[name].type == "boolean" or name in identifiers
    return are_words


def _blocks(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
