"""Shapley values by antithetic permutations, one background row a pair, with the error of every value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import (
    Attribution,
    Explainer,
    FloatArray,
    Task,
)
from audits.engine.explainers.coalitions import GROUP_ROWS, MEMORY_BYTES, SCORE_BYTES, Coalitions
from audits.engine.explainers.stopping import are_settled

#: Draws so many orders of the features, as the rank of each feature: shape (orders, features).
Orders = Callable[[np.random.Generator, int], NDArray[np.intp]]

#: Squared differences behind a standard error, at the least; fewer make it too uncertain to stop on.
DEGREES_OF_FREEDOM = 16


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
    effect of order for pairwise interactions. A *sweep* walks two independent pairs against every background row, so
    that each is used equally often: then base value (their mean score) and values add up to the row's score by
    construction, but for rounding. All explained rows share the permutations.

    The standard error is stratified: within each background row, from the difference of its two pairs. The variance
    between background rows is no error, since all of them are used. Rows stop one by one after a sweep; stopping on an
    estimated error makes that estimate slightly too small, which `DEGREES_OF_FREEDOM` keeps small.

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
        together = _rows_together(task)
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            sums = _Sums(len(chosen), task.players.count, task.outputs.shape[1])
            active, sweep = np.arange(len(chosen)), 0
            while len(active):
                ranks = self._ranks(task, sweep)
                done = 0
                for credits in coalitions.walks(chosen[active], ranks, np.arange(background_count)):
                    sums.add(active, credits)
                    done += credits.shape[1]
                    message = f"sweep {sweep + 1}, background row {done} of {background_count}"
                    # How many sweeps it takes is not known: n of them count as n of n + 1 parts of the work.
                    sweeps = sweep + done / background_count
                    task.progress(start + len(chosen) * sweeps / (sweeps + 1), task.row_count, message)
                sweep += 1
                active = active[~self._is_done(sums, active, sweep, background_count)]
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

    def orders(self, task: Task) -> Orders:
        """Return how orders of the features are drawn; the reverse of an order has to be as likely as the order."""
        features = np.arange(task.players.count)
        return lambda generator, count: generator.permuted(np.tile(features, (count, 1)), axis=1)

    def _ranks(self, task: Task, sweep: int) -> NDArray[np.intp]:
        """Return two permutations a background row: the rank of each feature, shape (background rows, 2, features)."""
        generator = np.random.default_rng([task.seed, sweep])
        ranks = self.orders(task)(generator, task.background_count * 2)
        return ranks.reshape(task.background_count, 2, task.players.count)

    def _is_done(self, sums: _Sums, active: NDArray[np.intp], sweeps: int, background_count: int) -> NDArray[np.bool_]:
        if sweeps >= self.settings.maximum_sweeps:
            return np.ones(len(active), dtype=bool)
        differences = sweeps * background_count
        if differences < DEGREES_OF_FREEDOM:
            return np.zeros(len(active), dtype=bool)
        return are_settled(sums.values(active), sums.errors(active), self.settings.tolerance, differences)


def _rows_together(task: Task) -> int:
    """Return how many rows walk together: as many as share masks well, fewer where their sums alone are large."""
    row_bytes: int = 7 * 8 * task.players.count * task.outputs.shape[1]
    return max(1, min(GROUP_ROWS, SCORE_BYTES // row_bytes))


class _Sums:
    """The running sums of a few rows over the pairs of permutations walked for them."""

    def __init__(self, row_count: int, features: int, output_count: int) -> None:
        self._total = np.zeros((row_count, features, output_count))
        self._squares = np.zeros((row_count, features, output_count))
        self.pairs = np.zeros(row_count, dtype=np.int64)

    def values(self, rows: NDArray[np.intp]) -> FloatArray:
        values: FloatArray = self._total[rows] / self.pairs[rows][:, None, None]
        return values

    def errors(self, rows: NDArray[np.intp]) -> FloatArray:
        """Return the stratified standard errors: half of a squared difference is one estimate of a pair's variance."""
        errors: FloatArray = np.sqrt(self._squares[rows]) / self.pairs[rows][:, None, None]
        return errors

    def add(self, rows: NDArray[np.intp], credits: FloatArray) -> None:
        """Add two pairs against each of some background rows, shape (rows, background rows, 2, features, outputs).

        The sums are taken in the order of the background rows, one by one, so that they do not depend on how many come
        together.
        """
        total, squares = self._total[rows], self._squares[rows]
        sums = credits[:, :, 0] + credits[:, :, 1]
        squared = (credits[:, :, 0] - credits[:, :, 1]) ** 2
        for place in range(credits.shape[1]):
            total += sums[:, place]
            squares += squared[:, place]
        self._total[rows], self._squares[rows] = total, squares
        self.pairs[rows] += 2 * credits.shape[1]
