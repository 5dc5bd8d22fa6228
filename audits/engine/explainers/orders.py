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

    A sweep is *fresh*, drawn independently of all others, or the *companion* of the fresh one before it, whose orders
    follow from that one's. What a companion finds belongs to the same two replicates of each background row, and only
    replicates are independent of each other.

    Attributes:
        has_companions: whether any sweep is a companion.
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
    """Orders that have nothing to do with each other, drawn by a function of a generator and their number.

    The function has to draw the reverse of an order as often as the order.
    """

    def __init__(self, task: Task, draw: Callable[[np.random.Generator, int], Ranks]) -> None:
        super().__init__(task)
        self._draw = draw

    def _fresh(self, generator: np.random.Generator) -> Ranks:
        return self._draw(generator, self._shape[0] * 2)


class BalancedOrders(Orders):
    """Orders in which each feature stands at all distances from the middle, above all against near background rows.

    An order is the ranking of keys, one a feature. As its reverse is walked too, a key u does what 1 - u does, so that
    distances from 1/2 are what is spread evenly: of the equal parts of [0, 1/2) each order of a group of near
    background rows takes another one, and within such a part each group does (a Latin hypercube over all orders, nested
    in the groups). On which side of 1/2 a key lies is free.

    Each order by itself is uniform over all permutations, so that values are unbiased: the place that permutations of
    its own give a feature is uniform over all parts of parts, so that the keys of one order are independent, each
    uniform on [0, 1), and rank in any way with the same chance. What depends on each other is the orders of a sweep.

    The companion of a sweep shifts each order by half its length, which makes uniform orders of uniform ones: features
    of the middle come to the ends.

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
        # All groups draw as many orders as the largest; smaller ones leave some out.
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
        keys = balanced_keys(generator, self._group_count, self._group_orders, self._shape[2])
        return ranks_of(keys[self._slots])


def balanced_keys(generator: np.random.Generator, groups: int, orders: int, features: int) -> FloatArray:
    """Draw keys whose distances from 1/2 are balanced within groups of so many orders, and over all groups.

    Returns:
        Keys in [0, 1) of the orders of one group after the other, shape (groups * orders, features).
    """
    count = groups * orders
    numbers = np.arange(count).reshape(orders, groups).T
    parts = np.broadcast_to(numbers, (features, groups, orders))
    # The parts of a part go to the groups by chance, then those of a group to its orders.
    parts = generator.permuted(generator.permuted(parts, axis=1), axis=2)
    # One draw gives the side, by its sign, and the place within the part.
    drawn = generator.uniform(-1, 1, size=(features, count))
    distances = (parts.reshape(features, count) + np.abs(drawn)) / (2 * count)
    return np.ascontiguousarray((0.5 + np.copysign(distances, drawn)).T)


def ranks_of(keys: FloatArray) -> Ranks:
    """Return the rank of each key in its row, from 0, shape (rows, keys)."""
    places = keys.argsort(axis=1)
    ranks = np.empty_like(places)
    ranks[np.arange(len(keys))[:, None], places] = np.arange(keys.shape[1])
    return ranks


def near_groups(points: FloatArray, size: int = GROUP_ROWS) -> list[NDArray[np.intp]]:
    """Part points into the fewest groups of at most so many, of points that are near each other.

    Points are halved along the axis on which they lie widest apart, and each half again (as in a k-d tree). Of points
    that are the same there the first come first, so that the points alone decide.

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
        numbers = _along_widest(points, numbers)
        half = count // 2
        cut = len(numbers) * half // count
        waiting += [(numbers[cut:], count - half), (numbers[:cut], half)]
    return groups


def _along_widest(points: FloatArray, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sort some of the points along the axis on which they lie widest apart."""
    some = points[numbers]
    widest = np.argmax(some.max(axis=0) - some.min(axis=0))
    return numbers[np.argsort(some[:, widest], kind="stable")]
