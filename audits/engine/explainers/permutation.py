"""Shapley values by antithetic permutations, one background row a pair, with the error of every value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import (
    Attribution,
    Explainer,
    FloatArray,
    Task,
)
from audits.engine.explainers.coalitions import GROUP_ROWS, MEMORY_BYTES, SCORE_BYTES, Coalitions
from audits.engine.explainers.orders import BalancedOrders, Orders
from audits.engine.explainers.stopping import DEGREES_OF_FREEDOM, are_settled


@dataclass(frozen=True)
class PermutationParameters:
    """When to stop, and in how much memory.

    Attributes:
        tolerance: a row is done when no value's error is beyond this share of its largest value; see ``are_settled``.
        maximum_sweeps: a row is given up on (with its true error) after so many sweeps over the background; each is two
            pairs of permutations a background row.
        memory_bytes: scores held at once stay below this, where the walks of one background row do. It changes the
            time and no value.
    """

    tolerance: float = 0.05
    maximum_sweeps: int = 16
    memory_bytes: int = MEMORY_BYTES

    def __post_init__(self) -> None:
        for name, low in (("tolerance", 0.0), ("maximum_sweeps", 1), ("memory_bytes", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
                raise ValueError(f"`{name}` is a number from {low} upwards, not {value!r}.")
        for name in ("maximum_sweeps", "memory_bytes"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"`{name}` is a whole number, not {getattr(self, name)!r}.")


class PermutationExplainer(Explainer):
    """Interventional Shapley values, estimated so that their error is known.

    Interventional SHAP is the mean over the background rows of Shapley values against each single one. Along a
    permutation the features of a background row turn one by one into those of the explained row, and each feature is
    credited with the change it makes; the reversed permutation is walked too (an antithetic pair), which cancels the
    effect of order for pairwise interactions. A *sweep* walks two pairs against every background row, so that each is
    used equally often: then base value (their mean score) and values add up to the row's score by construction, but
    for rounding. All explained rows share the permutations. `BalancedOrders` says how they are drawn: balanced over
    near background rows, and every second sweep is a companion of the one before, where memory allows it.

    The standard error is stratified: within each background row, from the difference of two independent replicates,
    each a pair or a pair with its companion. The variance between background rows is no error, since all of them are
    used; what balance takes from the variance is not taken from the error, which is then rather too large. Rows stop
    one by one after a sweep; stopping on an estimated error makes that estimate slightly too small, which
    `DEGREES_OF_FREEDOM` keeps small.

    The same task on the same machine gives the same values, bit for bit, whatever the memory and wherever a
    computation that was cut goes on. Rows go through the model in groups by their number, in batches which the group's
    open rows, the features and the model alone decide, and all sums are taken in a fixed order.

    Sources: Mitchell, Cooper, Frank, Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 23 (2022), for
    antithetic pairs; Lundberg, Lee, "A Unified Approach to Interpreting Model Predictions" (2017), for the values.
    """

    name = "permutation"
    parameters = PermutationParameters
    settings: PermutationParameters

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        coalitions = Coalitions(task, memory_bytes=self.settings.memory_bytes)
        background_count = task.background_count
        base = coalitions.of_background().mean(axis=0)
        orders = self.orders(task, coalitions)
        together = _rows_together(task)
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            sums = _Sums(len(chosen), task, keeps_differences=orders.has_companions)
            active, sweep = np.arange(len(chosen)), 0
            while len(active):
                ranks = orders.of_sweep(sweep)
                done = 0
                for credits in coalitions.walks(chosen[active], ranks, np.arange(background_count)):
                    sums.add(active, credits, first=done, are_companions=orders.is_companion(sweep))
                    done += credits.shape[1]
                    message = f"sweep {sweep + 1}, background row {done} of {background_count}"
                    # How many sweeps it takes is not known: n of them count as n of n + 1 parts of the work.
                    sweeps = sweep + done / background_count
                    task.progress(start + len(chosen) * sweeps / (sweeps + 1), task.row_count, message)
                sweep += 1
                differences = orders.fresh_sweeps(sweep) * background_count
                active = active[~self._is_done(sums, active, sweep, differences)]
            outputs = task.outputs[chosen]
            shape = (len(chosen), *task.players.grid, outputs.shape[1])
            everyone = np.arange(len(chosen))
            yield Attribution(
                values=sums.values(everyone).reshape(shape),
                base_values=base[outputs],
                errors=sums.errors(everyone).reshape(shape),
                data=task.players.data({name: values[chosen] for name, values in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=coalitions.scored(chosen) + 1,
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")

    def orders(self, task: Task, coalitions: Coalitions) -> Orders:
        """Return the orders of the features that the sweeps walk."""
        return BalancedOrders(task, coalitions.of_background(), has_companions=_can_keep_differences(task))

    def _is_done(self, sums: _Sums, active: NDArray[np.intp], sweeps: int, differences: int) -> NDArray[np.bool_]:
        if sweeps >= self.settings.maximum_sweeps:
            return np.ones(len(active), dtype=bool)
        if differences < DEGREES_OF_FREEDOM:
            return np.zeros(len(active), dtype=bool)
        return are_settled(sums.values(active), sums.errors(active), self.settings.tolerance, differences)


def _rows_together(task: Task) -> int:
    """Return how many rows walk together: as many as share masks well, fewer where their sums alone are large."""
    return max(1, min(GROUP_ROWS, SCORE_BYTES // _sum_bytes(task)))


def _can_keep_differences(task: Task) -> bool:
    """Tell whether rows that walk together have room for a difference against each background row beside their sums."""
    values = task.players.count * int(task.outputs.shape[1])
    row_bytes = _sum_bytes(task) + _difference_dtype(task).itemsize * values * task.background_count
    return _rows_together(task) * row_bytes <= SCORE_BYTES


def _sum_bytes(task: Task) -> int:
    """Return what the sums of one row take, with what is computed from them."""
    return 8 * 8 * task.players.count * int(task.outputs.shape[1])


def _difference_dtype(task: Task) -> np.dtype[np.floating[Any]]:
    """Return how differences are kept: float32 does for an error, but not for scores that may leave its range."""
    return np.dtype(np.float64 if task.model.signature.output.dtype == "float64" else np.float32)


class _Sums:
    """The running sums of a few rows over the pairs of permutations walked for them.

    The errors come from the differences of two replicates against each background row: of its pairs in a sweep, or of
    its pairs in a sweep and its companion. So a sweep's differences are kept where it may get one.
    """

    def __init__(self, row_count: int, task: Task, *, keeps_differences: bool) -> None:
        shape = (task.players.count, task.outputs.shape[1])
        self._total = np.zeros((row_count, *shape))
        # A companion replaces the squares of the sweep before. They are held apart, since a sum from which something is
        # taken away could become negative in rounding.
        self._squares = np.zeros((row_count, *shape))
        self._open_squares = np.zeros((row_count, *shape))
        kept = (row_count, task.background_count if keeps_differences else 0, *shape)
        self._differences = np.zeros(kept, dtype=_difference_dtype(task))
        self._keeps_differences = keeps_differences
        self.pairs = np.zeros(row_count, dtype=np.int64)

    def values(self, rows: NDArray[np.intp]) -> FloatArray:
        values: FloatArray = self._total[rows] / self.pairs[rows][:, None, None]
        return values

    def errors(self, rows: NDArray[np.intp]) -> FloatArray:
        """Return the stratified standard errors: a squared difference is one estimate of its replicates' variance."""
        squares = self._squares[rows] + self._open_squares[rows]
        errors: FloatArray = np.sqrt(squares) / self.pairs[rows][:, None, None]
        return errors

    def add(self, rows: NDArray[np.intp], credits: FloatArray, *, first: int, are_companions: bool) -> None:
        """Add two pairs against each of some background rows, shape (rows, background rows, 2, features, outputs).

        The sums are taken in the order of the background rows, one by one, so that they do not depend on how many come
        together.

        Args:
            first: number of the first of these background rows; a sweep begins with 0.
            are_companions: whether the pairs complete the replicates of the sweep before.
        """
        background_rows = slice(first, first + credits.shape[1])
        # Of all rows there is a view; copies of large sums would cut the heap into pieces.
        chosen = slice(None) if len(rows) == len(self.pairs) else rows
        sums = credits[:, :, 0] + credits[:, :, 1]
        differences = credits[:, :, 0] - credits[:, :, 1]
        if first == 0:
            if not are_companions:
                self._squares[chosen] += self._open_squares[chosen]
            self._open_squares[chosen] = 0
        if are_companions:
            differences += self._differences[chosen, background_rows]
        elif self._keeps_differences:
            self._differences[chosen, background_rows] = differences
        kept_squares = self._squares if are_companions else self._open_squares
        total, squares = self._total[chosen], kept_squares[chosen]
        np.square(differences, out=differences)
        for place in range(credits.shape[1]):
            total += sums[:, place]
            squares += differences[:, place]
        self._total[chosen], kept_squares[chosen] = total, squares
        self.pairs[chosen] += 2 * credits.shape[1]
