"""Which coalitions the kernel estimator scores, and the matrix that turns their scores into values and errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray

#: Coalitions of one size are all listed, and then put in a random order, up to so many; of more, some are drawn.
LISTED = 16_384
#: Coalitions that are drawn at once; the drawing does not depend on how many are asked for.
DRAWN = 256


@dataclass(frozen=True)
class Stratum:
    """Coalitions of one size that were drawn without replacement, each for itself and for its complement.

    Attributes:
        size: features in each coalition.
        population: pairs of a coalition of this size and its complement that there are.
        first: number of the first pair in the design.
        count: pairs that were drawn.
    """

    size: int
    population: int
    first: int
    count: int

    @property
    def pairs(self) -> slice:
        return slice(self.first, self.first + self.count)


class Sampler:
    """Draws coalitions of each size in a random order, so that a larger sample holds the smaller one."""

    def __init__(self, features: int, seed: int) -> None:
        self.features = features
        self._seed = seed
        self._drawn: dict[int, NDArray[np.bool_]] = {}
        self._sources: dict[int, Iterator[NDArray[np.bool_]]] = {}

    def population(self, size: int) -> int:
        count = math.comb(self.features, size)
        return count // 2 if 2 * size == self.features else count

    @property
    def sizes(self) -> range:
        """The sizes of the smaller coalition of a pair."""
        return range(1, self.features // 2 + 1)

    def first(self, size: int, count: int) -> NDArray[np.bool_]:
        """Return the first coalitions of a size, as many as asked for or as there are: shape (coalitions, features)."""
        source = self._sources.setdefault(size, self._in_random_order(size))
        drawn = self._drawn.setdefault(size, np.empty((0, self.features), dtype=bool))
        count = min(count, self.population(size))
        while len(drawn) < count:
            drawn = self._drawn[size] = np.concatenate([drawn, next(source)])
        return drawn[:count]

    def _in_random_order(self, size: int) -> Iterator[NDArray[np.bool_]]:
        """Yield all coalitions of a size, some at a time; of those of half the features one of each pair."""
        generator = np.random.default_rng([self._seed, size])
        population, is_half = self.population(size), 2 * size == self.features
        if population <= LISTED:
            chosen = np.asarray(list(combinations(range(self.features), size))[:population])
            masks = np.zeros((population, self.features), dtype=bool)
            np.put_along_axis(masks, chosen, True, axis=1)
            yield generator.permutation(masks)
            return
        seen: set[bytes] = set()
        plain = np.tile(np.arange(self.features) < size, (DRAWN, 1))
        while True:
            masks = generator.permuted(plain, axis=1)
            if is_half:
                masks ^= ~masks[:, :1]
            is_new = []
            for mask in masks:
                key = mask.tobytes()
                is_new.append(key not in seen)
                seen.add(key)
            yield masks[is_new]


@dataclass(frozen=True)
class Design:
    """Pairs of coalitions, by size, with the least-squares solution that all rows and outputs share.

    The value of a feature is a weighted sum of the differences between the worth of a coalition and that of its
    complement. In that difference the part of a worth that is the same for both cancels, and the constrained regression
    on all coalitions becomes a regression on pairs of half the size.
    """

    masks: NDArray[np.bool_]
    strata: tuple[Stratum, ...]

    @classmethod
    def drawn(cls, sampler: Sampler, of_each_size: int) -> Design:
        """Return the design with so many pairs of each size, or all where there are fewer."""
        masks, strata, first = [], [], 0
        for size in sampler.sizes:
            some = sampler.first(size, of_each_size)
            masks.append(some)
            strata.append(Stratum(size, sampler.population(size), first, len(some)))
            first += len(some)
        nothing = np.empty((0, sampler.features), dtype=bool)
        return cls(np.concatenate([nothing, *masks]), tuple(strata))

    @property
    def pair_count(self) -> int:
        return len(self.masks)

    @property
    def is_complete(self) -> bool:
        return all(stratum.count == stratum.population for stratum in self.strata)

    @property
    def degrees_of_freedom(self) -> int:
        """Pairs beyond those that the values take up."""
        return max(1, self.pair_count - int(self.masks.shape[1]) + 1)

    @cached_property
    def signs(self) -> FloatArray:
        """1 where a coalition has a feature and -1 where its complement has it, shape (pairs, features)."""
        return np.where(self.masks, 1.0, -1.0)

    @cached_property
    def solution(self) -> FloatArray:
        """The weight of each pair's difference in each value, shape (features, pairs); every column sums to 0.

        It minimises the weighted squares over changes of the values that sum to 0, so that the sum of the values stays
        what it has to be. A pair's weight is that of Shapley's kernel over its chance to be drawn.
        """
        features = self.masks.shape[1]
        weights = np.empty(self.pair_count)
        for stratum in self.strata:
            kernel = 1 / (stratum.size * (features - stratum.size))
            weights[stratum.pairs] = kernel * (0.5 if 2 * stratum.size == features else 1.0) / stratum.count
        # An orthonormal basis of the vectors that sum to 0.
        basis = np.linalg.qr(np.eye(features)[:, 1:] - 1 / features)[0]
        reduced = self.signs @ basis
        normal = reduced.T @ (weights[:, None] * reduced)
        solution: FloatArray = basis @ np.linalg.solve(normal, (weights[:, None] * reduced).T)
        return solution

    @cached_property
    def leverages(self) -> FloatArray:
        """How much of each pair's own difference is in its fitted one, shape (pairs,)."""
        leverages: FloatArray = np.einsum("pf,fp->p", self.signs, self.solution)
        return leverages

    def values(self, differences: FloatArray, totals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the values of rows and their standard errors, both of shape (rows, features, outputs).

        The error is that of a regression on a sample that is stratified by size and drawn without replacement: the
        variance of each pair's weighted residual within its size, less where a larger share of the size was drawn and
        0 where all of it was. A residual is divided by what its own pair left of it (1 less its leverage).

        Args:
            differences: of the worth of each coalition and its complement, shape (rows, pairs, outputs).
            totals: what the values of a row sum to, shape (rows, outputs).
        """
        features = self.masks.shape[1]
        equal = totals[:, None] / features
        values = equal + self.solution @ (differences - self.signs.sum(axis=1)[:, None] * equal)
        residuals = differences - self.signs @ values
        variances = np.zeros_like(values)
        for stratum in self.strata:
            if stratum.count == stratum.population:
                continue
            solution = self.solution[:, stratum.pairs]
            own = residuals[:, stratum.pairs] / (1 - self.leverages[stratum.pairs])[:, None]
            squares, sums = solution**2 @ own**2, solution @ own
            share = 1 - stratum.count / stratum.population
            variances += share * stratum.count / (stratum.count - 1) * (squares - sums**2 / stratum.count)
        return values, np.sqrt(np.maximum(variances, 0))
