"""Expected gradients: the mean of gradients on paths from the background to a row, with the error of every value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Task
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.gradients import demand_logits, paths_of, rows_together
from audits.engine.explainers.stopping import are_settled
from workers.frameworks.paths import PathGradients, Points

#: Blocks into which the background is cut; each has an estimate of its own variance.
MOST_BLOCKS = 16
#: Squared differences behind a standard error, at the least; fewer make it too uncertain to stop on.
DEGREES_OF_FREEDOM = 15


@dataclass(frozen=True)
class ExpectedGradientsParameters:
    """When to stop.

    Attributes:
        tolerance: a row is done when no value's error is beyond this share of its largest value (`are_settled`).
        maximum_sweeps: a row is given up on (with its true error) after so many sweeps of each replicate.
    """

    tolerance: float = 0.05
    maximum_sweeps: int = 64

    def __post_init__(self) -> None:
        tolerance, sweeps = self.tolerance, self.maximum_sweeps
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ValueError(f"`tolerance` is a number from 0 upwards, not {tolerance!r}.")
        if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 1:
            raise ValueError(f"`maximum_sweeps` is a whole number from 1 upwards, not {sweeps!r}.")


class ExpectedGradientsExplainer(Explainer):
    """The mean, over background rows b and positions a from 0 to 1, of ``(x - b) * dF/dx`` at ``b + a (x - b)``.

    It is the mean of integrated gradients over the background: not a Shapley value of the model's output, from which it
    differs wherever features interact. Of an input of whole numbers the path runs through what its embedding makes of
    them, and a token's value is the sum over the numbers that stand for it.

    A *sweep* visits every background row once. Within a block of background rows the positions are stratified: each
    row gets another stratum of [0, 1], and a random place in it. From sweep to sweep all positions move on by van der
    Corput's sequence (1/2, 1/4, 3/4, ...), modulo 1, so that those of one background row fill [0, 1] evenly and the
    strata meet other rows. The error then falls with the number of sweeps, not with its root. Sweeps double until the
    row is done: after 1, 2, 4, ... they are even.

    The standard error comes from independent replicates of all this, block by block: their variance within each block,
    summed. It holds what the positions leave open; all background rows are used, so they are no error.

    Base value and values add up to the score in the limit only. The difference that is left is told as the additivity
    residual of the explanation.

    Sources: Erion, Janizek, Sturmfels, Lundberg, Lee, "Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients", Nature Machine Intelligence 3 (2021); Sundararajan, Taly, Yan,
    "Axiomatic Attribution for Deep Networks", ICML 2017, for the path.
    """

    name = "expected_gradients"
    parameters = ExpectedGradientsParameters
    settings: ExpectedGradientsParameters
    estimand = "expected gradients: not Shapley values of the model's output"
    is_additive = False

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        demand_logits(task, "Expected gradients", "the gradients of a saturated softmax or sigmoid vanish")
        gradients = task.model.path_gradients(paths_of(task))
        base = Coalitions(task).of_background().mean(axis=0)
        design = _Design(task.background_count)
        together = rows_together(task.players.count * task.outputs.shape[1] * design.replicates * design.blocks)
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            sums = _Sums(task, chosen, design, gradients)
            active = np.arange(len(chosen))
            while len(active):
                task.progress(start, task.row_count, f"sweep {int(sums.sweeps.max()) + 1}")
                sums.double(active, self.settings.maximum_sweeps)
                active = active[~self._is_done(sums, active)]
            outputs = task.outputs[chosen]
            shape = (len(chosen), *task.players.grid, outputs.shape[1])
            yield Attribution(
                values=sums.values().reshape(shape),
                base_values=base[outputs],
                errors=sums.errors().reshape(shape),
                data=task.players.data({name: rows[chosen] for name, rows in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=sums.sweeps * design.replicates * task.background_count,
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")

    def _is_done(self, sums: _Sums, active: NDArray[np.intp]) -> NDArray[np.bool_]:
        done = are_settled(
            sums.values()[active], sums.errors()[active], self.settings.tolerance, sums.degrees_of_freedom
        )
        return done | (sums.sweeps[active] >= self.settings.maximum_sweeps)


class _Design:
    """How the background is cut into blocks, and how many independent replicates a standard error needs."""

    def __init__(self, background_count: int) -> None:
        self.background_count = background_count
        self.blocks = min(MOST_BLOCKS, background_count)
        self.replicates = 1 + math.ceil(DEGREES_OF_FREEDOM / self.blocks)
        sizes = [len(part) for part in np.array_split(np.arange(background_count), self.blocks)]
        self.block_of_row = np.repeat(np.arange(self.blocks), sizes)
        self._sizes = sizes

    def first_positions(self, generator: np.random.Generator) -> FloatArray:
        """Return a position for each background row in each replicate: (replicates, background rows)."""
        strata = np.concatenate(
            [generator.permuted(np.tile(np.arange(size), (self.replicates, 1)), axis=1) / size for size in self._sizes],
            axis=1,
        )
        return strata + generator.random(strata.shape) / np.asarray(self._sizes)[self.block_of_row]


class _Sums:
    """The running sums of some rows, by replicate and block, and how sweeps add to them."""

    def __init__(self, task: Task, chosen: NDArray[np.intp], design: _Design, gradients: PathGradients) -> None:
        self._chosen = chosen
        self._outputs = task.outputs[chosen]
        self._design = design
        self._gradients = gradients
        self._positions = np.stack(
            [design.first_positions(np.random.default_rng([task.seed, int(row)])) for row in chosen]
        )
        shape = (len(chosen), design.replicates, design.blocks, task.players.count, self._outputs.shape[1])
        self._totals = np.zeros(shape)
        self.sweeps = np.zeros(len(chosen), dtype=np.int64)
        self.degrees_of_freedom = design.blocks * (design.replicates - 1)

    def values(self) -> FloatArray:
        count = self.sweeps * self._design.replicates * self._design.background_count
        values: FloatArray = self._totals.sum(axis=(1, 2)) / count[:, None, None]
        return values

    def errors(self) -> FloatArray:
        """Return the standard errors: within each block the variance of its replicates is that of their totals."""
        variance = self._totals.var(axis=1, ddof=1).sum(axis=1) / self._design.replicates
        errors: FloatArray = np.sqrt(variance) / (self.sweeps * self._design.background_count)[:, None, None]
        return errors

    def double(self, active: NDArray[np.intp], most: int) -> None:
        """Sweep the active rows, which have all had as many sweeps, until there are twice as many, at most ``most``."""
        had = int(self.sweeps[active[0]])
        for sweep in range(had, min(most, max(1, 2 * had))):
            self._add(active, van_der_corput(sweep))
        self.sweeps[active] = min(most, max(1, 2 * had))

    def _add(self, active: NDArray[np.intp], shift: float) -> None:
        design, shape = self._design, (len(active), self._design.replicates, self._design.background_count)
        groups = np.arange(len(active) * design.replicates).reshape(*shape[:2], 1) * design.blocks + design.block_of_row
        rows = np.broadcast_to(active[:, None, None], shape).reshape(-1)
        points = Points(
            rows=self._chosen[rows],
            background_rows=np.broadcast_to(np.arange(design.background_count), shape).reshape(-1),
            positions=((self._positions[active] + shift) % 1.0).astype(np.float32).reshape(-1),
            groups=groups.reshape(-1),
            outputs=self._outputs[rows],
        )
        self._totals[active] += self._gradients(points).reshape(len(active), *self._totals.shape[1:])


def van_der_corput(number: int) -> float:
    """Return 0, 1/2, 1/4, 3/4, 1/8, ...: the binary digits of a number, mirrored at the point."""
    value, share = 0.0, 0.5
    while number:
        value += share * (number & 1)
        number >>= 1
        share /= 2
    return value
