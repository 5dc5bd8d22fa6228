"""Shapley values by antithetic permutations, one background row a pair, with the error of every value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import (
    CHUNK_ROWS,
    Attribution,
    Explainer,
    FloatArray,
    Task,
)
from audits.engine.explainers.coalitions import SCORE_BYTES, Coalitions
from audits.engine.explainers.stopping import are_settled

#: Draws so many orders of the features, as the rank of each feature: shape (orders, features).
Orders = Callable[[np.random.Generator, int], NDArray[np.intp]]

#: Squared differences behind a standard error, at the least; fewer make it too uncertain to stop on.
DEGREES_OF_FREEDOM = 16
#: Explained rows that walk together, so that progress is told row by row and memory stays bounded.
ROWS_TOGETHER = 16


@dataclass(frozen=True)
class PermutationParameters:
    """When to stop, and in what pieces to compute.

    Attributes:
        tolerance: a row is done when no value's error is beyond this share of its largest value; see ``are_settled``.
        maximum_sweeps: a row is given up on (with its true error) after so many sweeps over the background; each is two
            pairs of permutations a background row.
        chunk_rows: rows of one forward pass.
    """

    tolerance: float = 0.05
    maximum_sweeps: int = 16
    chunk_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        for name, low in (("tolerance", 0.0), ("maximum_sweeps", 1), ("chunk_rows", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
                raise ValueError(f"`{name}` is a number from {low} upwards, not {value!r}.")
        for name in ("maximum_sweeps", "chunk_rows"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"`{name}` is a whole number, not {getattr(self, name)!r}.")


class PermutationExplainer(Explainer):
    """Interventional Shapley values, estimated so that their error is known.

    Interventional SHAP is the mean over the background rows of Shapley values against each single one. Along a
    permutation the features of a background row turn one by one into those of the explained row, and each feature is
    credited with the change it makes; the reversed permutation is walked too (an antithetic pair), which cancels the
    effect of order for pairwise interactions. A *sweep* walks two independent pairs against every background row, so
    that each is used equally often: then base value (their mean score) and values add up to the row's score by
    construction, but for rounding. All explained rows share the permutations.

    The standard error is stratified: within each background row, from the difference of its two pairs. The variance
    between background rows is no error, since all of them are used. Rows stop one by one after a sweep; stopping on an
    estimated error makes that estimate slightly too small, which `DEGREES_OF_FREEDOM` keeps small.

    The same seed, rows and background give the same values. The order of all sums is fixed and does not depend on the
    chunk size or on which rows are explained together; the values are bit-equal for any chunk size if the model's
    answer for a row does not depend on the rows beside it. Matrix products of the usual libraries depend on the shape
    of the batch in the last bits of float32, and so then do the values.

    Sources: Mitchell, Cooper, Frank, Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 23 (2022), for
    antithetic pairs; Lundberg, Lee, "A Unified Approach to Interpreting Model Predictions" (2017), for the values.
    """

    name = "permutation"
    parameters = PermutationParameters
    settings: PermutationParameters

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        coalitions = Coalitions(task, chunk_rows=self.settings.chunk_rows)
        features = task.players.count
        walks = _Walks(coalitions, features, task.outputs, task.seed, self.orders(task))
        for start in range(first, task.row_count, walks.rows_together):
            chosen = active = np.arange(start, min(start + walks.rows_together, task.row_count))
            sweep = 0
            while len(active):
                for done in walks.sweep(active, sweep):
                    message = f"sweep {sweep + 1}, background row {done} of {walks.background_count}"
                    task.progress(start, task.row_count, message)
                sweep += 1
                active = active[~self._is_done(walks, active, sweep)]
            outputs = task.outputs[chosen]
            shape = (len(chosen), *task.players.grid, outputs.shape[1])
            yield Attribution(
                values=walks.values(chosen).reshape(shape),
                base_values=walks.base[outputs],
                errors=walks.errors(chosen).reshape(shape),
                data=task.players.data({name: values[chosen] for name, values in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=walks.pairs[chosen] * 2 * max(0, features - 1) + 1,
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")

    def orders(self, task: Task) -> Orders:
        """Return how orders of the features are drawn; the reverse of an order has to be as likely as the order."""
        features = np.arange(task.players.count)
        return lambda generator, count: generator.permuted(np.tile(features, (count, 1)), axis=1)

    def _is_done(self, walks: _Walks, active: NDArray[np.intp], sweeps: int) -> NDArray[np.bool_]:
        if sweeps >= self.settings.maximum_sweeps:
            return np.ones(len(active), dtype=bool)
        differences = sweeps * walks.background_count
        if differences < DEGREES_OF_FREEDOM:
            return np.zeros(len(active), dtype=bool)
        return are_settled(walks.values(active), walks.errors(active), self.settings.tolerance, differences)


class _Walks:
    """The running sums of all rows, and how one sweep adds to them."""

    def __init__(
        self, coalitions: Coalitions, features: int, outputs: NDArray[np.intp], seed: int, orders: Orders
    ) -> None:
        self._coalitions = coalitions
        self._features = features
        self._outputs = outputs
        self._seed = seed
        self._orders = orders
        self._row_scores = coalitions.of_rows()
        self._background_scores = coalitions.of_background()
        self.background_count = len(self._background_scores)
        self.base = self._background_scores.mean(axis=0)
        shape = (len(outputs), features, outputs.shape[1])
        self._total = np.zeros(shape)
        self._squares = np.zeros(shape)
        self.pairs = np.zeros(len(outputs), dtype=np.int64)
        self._background_row_bytes = max(1, 4 * (features - 1) * outputs.shape[1] * 8)
        self.rows_together = max(1, min(ROWS_TOGETHER, SCORE_BYTES // self._background_row_bytes))

    def values(self, rows: NDArray[np.intp] | slice) -> FloatArray:
        values: FloatArray = self._total[rows] / self.pairs[rows][:, None, None]
        return values

    def errors(self, rows: NDArray[np.intp] | slice) -> FloatArray:
        """Return the stratified standard errors: half of a squared difference is one estimate of a pair's variance."""
        errors: FloatArray = np.sqrt(self._squares[rows]) / self.pairs[rows][:, None, None]
        return errors

    def sweep(self, active: NDArray[np.intp], number: int) -> Iterator[int]:
        """Walk two pairs against every background row for the active rows; yield background rows done."""
        ranks = self._ranks(number)
        together = max(1, SCORE_BYTES // (self._background_row_bytes * len(active)))
        together = min(together, max(1, 4 * CHUNK_ROWS // max(1, 4 * (self._features - 1))))
        for first in range(0, self.background_count, together):
            chosen = np.arange(first, min(first + together, self.background_count))
            scores = np.empty((len(active), 0, self._outputs.shape[1]))
            if self._features > 1:
                masks = _masks(ranks[chosen])
                scores = self._coalitions.evaluate(active, masks, chosen.repeat(4 * (self._features - 1)))
            self._add(active, chosen, ranks[chosen], scores)
            yield int(chosen[-1]) + 1
        self.pairs[active] += 2 * self.background_count

    def _ranks(self, sweep: int) -> NDArray[np.intp]:
        """Return two permutations a background row: the rank of each feature, shape (background rows, 2, features)."""
        generator = np.random.default_rng([self._seed, sweep])
        ranks = self._orders(generator, self.background_count * 2)
        return ranks.reshape(self.background_count, 2, self._features)

    def _add(
        self,
        active: NDArray[np.intp],
        background_rows: NDArray[np.intp],
        ranks: NDArray[np.intp],
        scores: FloatArray,
    ) -> None:
        """Add two pairs against each of some background rows.

        ``scores`` has shape (rows, background rows x pairs x directions x (features - 1), outputs). The sums are taken
        in the order of the background rows, one by one, so that they do not depend on how many come together.
        """
        row_count, output_count = len(active), self._outputs.shape[1]
        walk = np.empty((row_count, len(background_rows), 2, 2, self._features + 1, output_count))
        starts = self._background_scores[background_rows][:, self._outputs[active]]
        walk[..., 0, :] = starts.swapaxes(0, 1)[:, :, None, None]
        walk[..., 1:-1, :] = scores.reshape(*walk.shape[:4], self._features - 1, output_count)
        walk[..., -1, :] = self._row_scores[active][:, None, None, None]
        steps = np.diff(walk, axis=4)
        forwards = np.take_along_axis(steps[:, :, :, 0], ranks[None, ..., None], axis=3)
        backwards = np.take_along_axis(steps[:, :, :, 1], (self._features - 1 - ranks)[None, ..., None], axis=3)
        pairs = (forwards + backwards) / 2
        sums = pairs[:, :, 0] + pairs[:, :, 1]
        squares = (pairs[:, :, 0] - pairs[:, :, 1]) ** 2
        total, total_squares = self._total[active], self._squares[active]
        for place in range(len(background_rows)):
            total += sums[:, place]
            total_squares += squares[:, place]
        self._total[active], self._squares[active] = total, total_squares


def _masks(ranks: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the coalitions along each permutation and its reverse, without the empty and the full one.

    ``ranks`` has shape (background rows, pairs, features), the answer (coalitions of all of them in order, features).
    """
    features = ranks.shape[-1]
    both = np.stack([ranks, features - 1 - ranks], axis=2)[:, :, :, None]
    masks: NDArray[np.bool_] = both < np.arange(1, features)[:, None]
    return masks.reshape(-1, features)
