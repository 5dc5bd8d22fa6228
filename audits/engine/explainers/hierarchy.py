"""Hierarchies of features: binary trees in which neighbours in an image, a text or a correlated table come together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray, Task


@dataclass(frozen=True)
class Hierarchy:
    """A binary tree over the features ``0 .. count - 1``.

    Attributes:
        linkage: the merges as ``scipy.cluster.hierarchy`` writes them, shape (count - 1, 4): two numbers of a feature
            or (from ``count`` on) of a merge before, a distance, and how many features are in it. The distance of
            columns is 1 less the size of their correlation, that of positions their share of the whole image or text.
    """

    count: int
    linkage: FloatArray

    @classmethod
    def of_task(cls, task: Task) -> Self:
        """Return the hierarchy of a task's features.

        The positions of an array (an image's grid of pixels or patches, a text's tokens) are halved again and again
        along the longer side; single columns are clustered by the size of their correlation over the background rows,
        with average linkage; where there are several of these, they meet at the top.
        """
        players = task.players
        merges = _Merges(players.count)
        tops = [merges.halve(np.asarray(block.features).reshape(block.shape)) for block in players.blocks]
        in_blocks = {number for block in players.blocks for number in block.features}
        singles = [number for number in range(players.count) if number not in in_blocks]
        if singles:
            tops.append(merges.cluster(singles, distances(task, singles)))
        merges.join(tops)
        return cls(players.count, np.asarray(merges.rows, dtype=np.float64).reshape(-1, 4))

    @property
    def children(self) -> NDArray[np.intp]:
        """The two numbers that each merge joins, shape (count - 1, 2)."""
        return self.linkage[:, :2].astype(np.intp)

    def members(self) -> NDArray[np.bool_]:
        """Return which features each number stands for: shape (2 count - 1, count), features first, then merges."""
        held = np.zeros((2 * self.count - 1, self.count), dtype=bool)
        held[: self.count] = np.eye(self.count, dtype=bool)
        for place, (left, right) in enumerate(self.children):
            held[self.count + place] = held[left] | held[right]
        return held

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.intp]:
        """Draw orders in which the features of every merge stand together: ranks of shape (count, features).

        Every merge has its first part first or last with the same chance; so the reverse of an order is drawn as often
        as the order.
        """
        sizes = np.concatenate([np.ones(self.count, dtype=np.intp), self.linkage[:, 3].astype(np.intp)])
        starts = np.zeros((2 * self.count - 1, count), dtype=np.intp)
        is_swapped = generator.integers(0, 2, size=(self.count - 1, count), dtype=np.int8).astype(bool)
        for place in range(self.count - 2, -1, -1):
            left, right = self.children[place]
            start = starts[self.count + place]
            starts[left] = start + np.where(is_swapped[place], sizes[right], 0)
            starts[right] = start + np.where(is_swapped[place], 0, sizes[left])
        return np.ascontiguousarray(starts[: self.count].T)


@dataclass
class _Merges:
    """Merges one after another; a number below ``count`` is a feature, one above a merge."""

    count: int
    rows: list[tuple[int, int, float, int]] = field(default_factory=list)

    def merge(self, left: int, right: int, distance: float) -> int:
        self.rows.append((left, right, distance, self._size(left) + self._size(right)))
        return self.count + len(self.rows) - 1

    def halve(self, numbers: NDArray[np.intp], whole: int | None = None) -> int:
        """Merge a grid of features that is halved along its longest side until one is left."""
        if numbers.size == 1:
            return int(numbers.reshape(-1)[0])
        whole = whole or numbers.size
        axis = int(np.argmax(numbers.shape))
        first, second = np.split(numbers, [math.ceil(numbers.shape[axis] / 2)], axis=axis)
        return self.merge(self.halve(first, whole), self.halve(second, whole), numbers.size / whole)

    def cluster(self, numbers: Sequence[int], apart: FloatArray) -> int:
        """Merge features by average linkage of their distances."""
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        if len(numbers) == 1:
            return numbers[0]
        nodes = list(numbers)
        for left, right, distance, _ in linkage(squareform(apart, checks=False), method="average"):
            nodes.append(self.merge(nodes[int(left)], nodes[int(right)], float(distance)))
        return nodes[-1]

    def join(self, tops: Sequence[int]) -> int:
        """Merge trees that have nothing to do with each other, half with half."""
        if len(tops) == 1:
            return tops[0]
        middle = math.ceil(len(tops) / 2)
        return self.merge(self.join(tops[:middle]), self.join(tops[middle:]), 1.0)

    def _size(self, number: int) -> int:
        return 1 if number < self.count else self.rows[number - self.count][3]


def distances(task: Task, numbers: Sequence[int]) -> FloatArray:
    """Return 1 less the size of the correlation over the background of each two features, shape (numbers, numbers).

    Of features that hold several input values the most correlated ones count. A value that is the same in all
    background rows is correlated with nothing.
    """
    assignment, count = task.players.assignment, task.background_count
    owners = np.concatenate([players.reshape(-1) for players in assignment.values()])
    is_wanted = np.isin(owners, numbers)
    values = np.concatenate(
        [np.asarray(task.background[name], dtype=np.float64).reshape(count, -1) for name in assignment], axis=1
    )[:, is_wanted]
    values = values - values.mean(axis=0)
    length = np.sqrt((values**2).sum(axis=0))
    values = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
    places = np.searchsorted(np.asarray(numbers), owners[is_wanted])
    likeness = np.zeros((len(numbers), len(numbers)))
    np.maximum.at(likeness, (places[:, None], places[None, :]), np.abs(values.T @ values))
    apart: FloatArray = np.clip(1 - np.maximum(likeness, likeness.T), 0, 1)
    np.fill_diagonal(apart, 0.0)
    return apart
