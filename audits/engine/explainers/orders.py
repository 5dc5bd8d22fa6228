"""In which orders the features join: sweep after sweep, two orders for each background row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray, Task
from audits.engine.explainers.stopping import DEGREES_OF_FREEDOM

#: Orders as the rank of each feature, shape (orders, features) or (background rows, 2, features).
Ranks = NDArray[np.intp]

#: Background rows whose orders are balanced among each other; they are to be near, as their games are then alike.
GROUP_ROWS = 5


class Orders(ABC):
    """Two orders of the features for each background row and sweep; the reverse of an order is as likely as the order.

    A sweep is *fresh*, which is drawn independently of all others, or the *companion* of the sweep before it, which
    repeats that sweep in another way. A fresh sweep gives each background row two replicates; its companion completes
    both of them and adds none.

    Attributes:
        has_companions: whether some sweep is a companion.
    """

    has_companions: bool = False

    def __init__(self, task: Task) -> None:
        self._seed = task.seed
        self._shape = (task.background_count, 2, task.players.count)

    def of_sweep(self, sweep: int) -> Ranks:
        """Return the ranks of the features in a sweep, shape (background rows, 2, features); the task alone decides."""
        return self._fresh(np.random.default_rng([self._seed, sweep])).reshape(self._shape)

    def is_companion(self, sweep: int) -> bool:
        """Tell whether a sweep is a companion: every second one, once fresh ones give an error that can be trusted."""
        alone = -(-DEGREES_OF_FREEDOM // self._shape[0])
        return self.has_companions and sweep >= alone and (sweep - alone) % 2 == 0

    def fresh_sweeps(self, sweeps: int) -> int:
        """Return how many of the first sweeps are independent of each other."""
        return sum(not self.is_companion(sweep) for sweep in range(sweeps))

    @abstractmethod
    def _fresh(self, generator: np.random.Generator) -> Ranks:
        """Draw the orders of a fresh sweep, two a background row, one row after the other: (orders, features)."""


class IndependentOrders(Orders):
    """Orders that have nothing to do with each other, drawn by a function of a generator and their number."""

    def __init__(self, task: Task, draw: Callable[[np.random.Generator, int], Ranks]) -> None:
        super().__init__(task)
        self._draw = draw

    def _fresh(self, generator: np.random.Generator) -> Ranks:
        return self._draw(generator, self._shape[0] * 2)


class BalancedOrders(Orders):
    """Orders in which each feature stands at all distances from the middle, above all against near background rows.

    An order is the ranking of keys, one a feature, each uniform on [0, 1). As the reverse of an order is walked too, a
    key u counts as 1 - u does, so that its distance from 1/2 is what is spread evenly: within a group of near
    background rows each equal part of [0, 1/2) is taken by one order, and within such a part the groups take different
    parts of it (a Latin hypercube over all orders, nested in the groups). On which side of 1/2 a key lies is free.

    Each order by itself is uniform over all permutations, so that values are unbiased: the stratum of a key is uniform
    over all strata, for each feature by a permutation of its own, hence its keys are independent and uniform. Only
    orders of different background rows or of one depend on each other within a sweep.

    The companion of a sweep shifts each of its orders by half their length, which is uniform, too: a feature near the
    middle comes to an end.

    Sources: McKay, Beckman, Conover, "A Comparison of Three Methods for Selecting Values of Input Variables in the
    Analysis of Output from a Computer Code", Technometrics 21 (1979), for Latin hypercubes.
    """

    def __init__(self, task: Task, background_scores: FloatArray, *, has_companions: bool) -> None:
        """Group the background rows by their scores, shape (background rows, outputs of the model)."""
        super().__init__(task)
        self.has_companions = has_companions
        groups = near_groups(background_scores)
        self._group_count = len(groups)
        self._group_orders = 2 * max(len(group) for group in groups)
        # A group that is smaller than others leaves some of its orders out.
        slots = np.empty((task.background_count, 2), dtype=np.intp)
        for number, group in enumerate(groups):
            slots[group] = number * self._group_orders + np.arange(2 * len(group)).reshape(-1, 2)
        self._slots = slots.reshape(-1)

    def of_sweep(self, sweep: int) -> Ranks:
        if not self.is_companion(sweep):
            return super().of_sweep(sweep)
        features = self._shape[2]
        shifted: Ranks = (super().of_sweep(sweep - 1) + features // 2) % features
        return shifted

    def _fresh(self, generator: np.random.Generator) -> Ranks:
        return ranks_of(self._keys(generator)[self._slots])

    def _keys(self, generator: np.random.Generator) -> FloatArray:
        """Draw the keys of all orders of all groups, shape (groups * orders of a group, features)."""
        features, count = self._shape[2], self._group_count * self._group_orders
        numbers = np.arange(count).reshape(self._group_orders, self._group_count).T
        strata = np.broadcast_to(numbers, (features, *numbers.shape))
        # Each part of a group is given to the groups by chance, then the parts of each group to its orders.
        strata = generator.permuted(generator.permuted(strata, axis=1), axis=2)
        # One draw from [-1, 1) is the side, by its sign, and the place within the stratum.
        drawn = generator.uniform(-1, 1, size=(features, count))
        distances = (strata.reshape(features, count) + np.abs(drawn)) / (2 * count)
        return np.ascontiguousarray((0.5 + np.copysign(distances, drawn)).T)


def ranks_of(keys: FloatArray) -> Ranks:
    """Return the rank of each key in its row, from 0, shape (rows, keys)."""
    places = keys.argsort(axis=1)
    ranks = np.empty_like(places)
    ranks[np.arange(len(keys))[:, None], places] = np.arange(keys.shape[1])
    return ranks


def near_groups(points: FloatArray, size: int = GROUP_ROWS) -> list[NDArray[np.intp]]:
    """Part points into the fewest groups of at most so many, of points that are near each other.

    Points are halved along the axis in which they are widest, and each half again (a k-d tree). Of points that are the
    same along an axis the first come first, so that the points alone decide.

    Args:
        points: shape (points, axes).

    Returns:
        The numbers of the points of each group.
    """
    groups: list[NDArray[np.intp]] = []
    waiting = [(np.arange(len(points)), -(-len(points) // size))]
    while waiting:
        numbers, count = waiting.pop()
        if count == 1:
            groups.append(numbers)
            continue
        some = points[numbers]
        widest = np.argmax(some.max(axis=0) - some.min(axis=0))
        numbers = numbers[np.argsort(some[:, widest], kind="stable")]
        half = count // 2
        cut = len(numbers) * half // count
        waiting += [(numbers[cut:], count - half), (numbers[:cut], half)]
    return groups
