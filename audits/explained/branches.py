"""The hierarchy of an explanation as a tree: its branches, and what each of them adds."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from audits.attributions.arrays import Floats


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of a hierarchy: numbers below ``count`` are features, the others merges, the last one the whole.

    Attributes:
        children: the two branches that each merge joins, shape (count - 1, 2).
        distances: at which each branch is made, shape (2 count - 1,); 0 for a feature.
    """

    count: int
    children: NDArray[np.intp]
    distances: Floats

    @classmethod
    def of(cls, linkage: Floats) -> Self:
        """Read a linkage matrix that is known to be a tree."""
        count = len(linkage) + 1
        return cls(count, linkage[:, :2].astype(np.intp), np.concatenate([np.zeros(count), linkage[:, 2]]))

    @property
    def whole(self) -> int:
        return 2 * self.count - 2

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """How many features are in each branch."""
        sizes = np.ones(2 * self.count - 1, dtype=np.intp)
        for place, (left, right) in enumerate(self.children.tolist()):
            sizes[self.count + place] = sizes[left] + sizes[right]
        return sizes

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """Where the features of each branch begin, when the features of every branch stand together."""
        starts = np.zeros(2 * self.count - 1, dtype=np.intp)
        for place in range(self.count - 2, -1, -1):
            left, right = self.children[place].tolist()
            starts[left] = starts[self.count + place]
            starts[right] = starts[left] + self.sizes[left]
        return starts

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The features in an order in which those of every branch stand together."""
        return np.argsort(self._starts[: self.count], kind="stable")

    def features(self, number: int) -> list[int]:
        """Return the features of a branch."""
        start = int(self._starts[number])
        return sorted(self.order[start : start + int(self.sizes[number])].tolist())

    def sums(self, values: Floats) -> Floats:
        """Return what the values of each branch add up to, shape (branches,)."""
        upto = np.concatenate([[0.0], np.cumsum(values[self.order])])
        sums: Floats = upto[self._starts + self.sizes] - upto[self._starts]
        return sums

    def cut(self, weights: Floats, most: int) -> list[int]:
        """Return at most so many branches that make up the whole, in order: the weightiest are parted first."""
        open_branches = [(-float(weights[self.whole]), self.whole)]
        kept: list[int] = []
        while open_branches:
            _, number = heapq.heappop(open_branches)
            if number < self.count or len(kept) + len(open_branches) + 2 > most:
                kept.append(number)
                continue
            for child in self.children[number - self.count].tolist():
                heapq.heappush(open_branches, (-float(weights[child]), child))
        return sorted(kept, key=lambda number: int(self._starts[number]))

    def level(self, depth: int) -> list[int]:
        """Return the branches that are made by parting the whole so many times, in order."""
        numbers = [self.whole]
        for _ in range(depth):
            numbers = [
                child
                for number in numbers
                for child in (self.children[number - self.count].tolist() if number >= self.count else [number])
            ]
        return numbers
