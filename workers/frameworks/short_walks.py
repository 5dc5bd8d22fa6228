"""Walks without the steps that change nothing: where a row and a background row have the same value.

Pixels of the margin, categories and counts are often equal in two rows. A feature whose values are equal in both has
no part in their game: the coalition with it composes the same row as the one without. So only coalitions in which
something has changed are scored, one by one, and features that change nothing are credited with exactly nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.frameworks.rows import chunks

Scores = NDArray[np.float64]

#: What a row composed on its own costs more than one composed with others, in values of layers that could be computed
#: meanwhile: so many, and so many for each value of a row.
OWN_COST = 200
OWN_COST_OF_A_VALUE = 2
#: Values of rows that are compared with values of background rows at once, unless one background row has more.
COMPARED_VALUES = 2**20


@dataclass(frozen=True)
class Mixtures:
    """Rows to compose one by one: each holds the features of an explained row whose rank in an order is below a step.

    Attributes:
        rows: places of explained rows among those of a call, shape (mixtures,).
        background_rows: numbers of background rows, shape (mixtures,).
        orders: the rank of each feature, shape (orders, features).
        order_numbers, steps: which order and which step, shape (mixtures,).
    """

    rows: NDArray[np.intp]
    background_rows: NDArray[np.intp]
    orders: NDArray[np.int32]
    order_numbers: NDArray[np.intp]
    steps: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self, part: slice) -> tuple[NDArray[np.signedinteger[Any]], ...]:
        """Return rows, background rows, order numbers and steps of some mixtures."""
        return self.rows[part], self.background_rows[part], self.order_numbers[part], self.steps[part]


@dataclass(frozen=True)
class ShortWalks:
    """The steps of walks that change something.

    Attributes:
        mixtures: what is to be scored: where each of these steps leads to, but the last of a walk.
        shape: of the credits but for their outputs: (rows, background rows, permutations, features).
        places: the row, background row, permutation, direction and feature of each step, walk by walk.
        is_first, is_last: whether it is the first or the last of its walk that changes something.
    """

    mixtures: Mixtures
    shape: tuple[int, int, int, int]
    places: tuple[NDArray[np.intp], ...]
    is_first: NDArray[np.bool_]
    is_last: NDArray[np.bool_]

    @classmethod
    def along(
        cls,
        ranks: NDArray[np.intp],
        background_rows: NDArray[np.intp],
        differs: NDArray[np.bool_],
    ) -> ShortWalks:
        """List the steps along permutations and their reverses.

        Args:
            ranks: the place of each feature in each permutation, shape (background rows, permutations, features).
            background_rows: their numbers.
            differs: which features differ, shape (rows, background rows, features).
        """
        count, permutations, features = ranks.shape
        both = np.stack([ranks, features - 1 - ranks], axis=2)
        order = np.empty_like(both)
        np.put_along_axis(order, both, np.broadcast_to(np.arange(features), both.shape), axis=3)
        # Background rows first: batches are cut from the list in its order.
        of_all_rows = differs.transpose(1, 2, 0)[np.arange(count)[:, None, None, None], order]
        at_place = np.moveaxis(of_all_rows, 4, 1)
        changed = np.cumsum(at_place, axis=4, dtype=np.int32)
        of_background, of_row, permutation, direction, step = np.nonzero(at_place)
        nth = changed[of_background, of_row, permutation, direction, step]
        is_last = nth == changed[of_background, of_row, permutation, direction, -1]
        inner = ~is_last
        mixtures = Mixtures(
            rows=of_row[inner],
            background_rows=background_rows[of_background[inner]],
            orders=both.reshape(-1, features).astype(np.int32),
            order_numbers=((of_background * permutations + permutation) * 2 + direction)[inner],
            steps=(step[inner] + 1).astype(np.int32),
        )
        feature = order[of_background, permutation, direction, step]
        shape = len(differs), count, permutations, features
        return cls(mixtures, shape, (of_row, of_background, permutation, direction, feature), nth == 1, is_last)

    def credits(self, scores: Scores, starts: Scores, ends: Scores) -> Scores:
        """Return the mean credit of both directions, shape (rows, background rows, permutations, features, outputs).

        Args:
            scores: of the mixtures, shape (mixtures, outputs).
            starts: of the background rows, shape (rows, background rows, outputs).
            ends: of the rows, shape (rows, outputs).
        """
        of_row, of_background, permutation, direction, feature = self.places
        after = np.empty((len(of_row), scores.shape[1]))
        after[~self.is_last] = scores
        after[self.is_last] = ends[of_row[self.is_last]]
        steps = after.copy()
        steps[1:] -= after[:-1]
        first = self.is_first
        steps[first] = after[first] - starts[of_row[first], of_background[first]]
        credits = np.zeros((2, *self.shape, scores.shape[1]))
        credits[direction, of_row, of_background, permutation, feature] = steps
        mean: Scores = (credits[0] + credits[1]) / 2
        return mean


def differing_features(
    rows: Mapping[str, NDArray[Any]],
    background: Mapping[str, NDArray[Any]],
    background_rows: NDArray[np.intp],
    assignment: Mapping[str, NDArray[np.intp]],
    features: int,
) -> NDArray[np.bool_]:
    """Tell which features differ between rows and some background rows, in any of their values.

    Zeros of different sign differ, since a model may divide by them, and so do two values that are not a number.

    Args:
        rows, background: input name -> values, shape (rows, *row_shape).
        background_rows: numbers of those that are compared.
        assignment: input name -> feature number of each value of one row.
        features: how many features there are.

    Returns:
        Truth of shape (rows, background rows, features).
    """
    row_count = len(next(iter(rows.values())))
    differs = np.zeros((row_count, len(background_rows), features), dtype=bool)
    for name, numbers in assignment.items():
        flat = numbers.reshape(-1)
        order = flat.argsort(kind="stable")
        present, firsts = np.unique(flat[order], return_index=True)
        own, others = np.asarray(rows[name]).reshape(row_count, 1, -1), np.asarray(background[name])
        for part in chunks(len(background_rows), max(1, COMPARED_VALUES // max(1, own.size))):
            unequal = _are_unequal(own, others[background_rows[part]].reshape(-1, len(flat)))
            if len(present) < len(flat):
                unequal = np.logical_or.reduceat(unequal[..., order], firsts, axis=2)
            elif not np.array_equal(order, np.arange(len(flat))):
                unequal = unequal[..., order]
            differs[:, part, present] |= unequal
    return differs


def _are_unequal(values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    unequal: NDArray[np.bool_] = values != others
    if np.issubdtype(others.dtype, np.floating):
        unequal |= np.signbit(values) != np.signbit(others)
    return unequal


def is_worthwhile(differs: NDArray[np.bool_], *, row_values: int, layer_values: int) -> bool:
    """Tell whether the coalitions that need not be scored outweigh what it costs to compose each row on its own.

    Args:
        differs: which features differ, shape (rows, background rows, features).
        row_values: values of one row.
        layer_values: values that all layers of the model give for one row.
    """
    scored = np.maximum(differs.sum(axis=2) - 1, 0).mean() / (differs.shape[2] - 1)
    return bool((1 - scored) * layer_values > scored * (OWN_COST + OWN_COST_OF_A_VALUE * row_values))
