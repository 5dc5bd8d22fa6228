"""Expected gradients: the mean of gradients on paths from the background to a row, with the error of every value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Task
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.gradients import MOST_VALUES_TOGETHER, demand_logits, paths_of, rows_together
from audits.engine.explainers.stopping import are_settled
from workers.frameworks.paths import PathGradients, Points
from workers.frameworks.rows import chunks
from workers.protocol import JobError

#: Blocks into which the background is cut; each has an estimate of its own variance.
MOST_BLOCKS = 16
#: Squared differences behind a standard error, at the least; fewer make it too uncertain to stop on.
DEGREES_OF_FREEDOM = 15

#: Positions on the path from each of few background rows, at the least: a kink that none of them meets is in no error.
LEAST_POSITIONS = 32


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
    summed. It holds what the positions leave open; all background rows are used, so they are no error. Where the
    background has few rows, the replicates may all lie on one side of a kink, agree and be wrong; so there the error is
    no smaller than that of positions evenly apart on a path with the variance that was seen on it, which is right for a
    gradient that jumps and for one that grows evenly.

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
        base = Coalitions(task).of_background().mean(axis=0)
        design = _Design(task.background_count)
        together = rows_together(task.players.count * task.outputs.shape[1] * design.total_count)
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            gradients = task.model.path_gradients(paths_of(task, chosen))
            found = [self._swept(task, chosen, columns, design, gradients) for columns in _columns(task, design)]
            outputs = task.outputs[chosen]
            shape = (len(chosen), *task.players.grid, outputs.shape[1])
            yield Attribution(
                values=np.concatenate([sums.values() for sums in found], axis=2).reshape(shape),
                base_values=base[outputs],
                errors=np.concatenate([sums.errors() for sums in found], axis=2).reshape(shape),
                data=task.players.data({name: rows[chosen] for name, rows in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=np.sum([sums.evaluations for sums in found], axis=0),
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")

    def _swept(
        self, task: Task, chosen: NDArray[np.intp], columns: slice, design: _Design, gradients: PathGradients
    ) -> _Sums:
        """Sweep some rows, for some columns of their outputs, until each is done."""
        sums = _Sums(chosen, task.outputs[chosen, columns], task.players.count, design, task.seed)
        active = np.arange(len(chosen))
        while len(active):
            sums.double(active, self.settings.maximum_sweeps, gradients)
            active = active[~self._is_done(sums, active)]
            sweeps = int(sums.sweeps.max())
            # How many sweeps it takes is not known: n of them count as n of n + 1 parts of the work.
            done = int(chosen[0]) + len(chosen) * sweeps / (sweeps + 1)
            task.progress(done, task.row_count, f"{sweeps} sweeps done")
        return sums

    def _is_done(self, sums: _Sums, active: NDArray[np.intp]) -> NDArray[np.bool_]:
        settled = are_settled(
            sums.values()[active], sums.errors()[active], self.settings.tolerance, sums.degrees_of_freedom
        )
        done: NDArray[np.bool_] = settled | (sums.sweeps[active] >= self.settings.maximum_sweeps)
        return done


class _Design:
    """How the background is cut into blocks, and how many independent replicates a standard error needs."""

    def __init__(self, background_count: int) -> None:
        self.background_count = background_count
        self.blocks = min(MOST_BLOCKS, background_count)
        self.replicates = 1 + math.ceil(DEGREES_OF_FREEDOM / self.blocks)
        sizes = [len(part) for part in np.array_split(np.arange(background_count), self.blocks)]
        self.block_of_row = np.repeat(np.arange(self.blocks), sizes)
        self._sizes = sizes

    @property
    def total_count(self) -> int:
        """Totals that are kept of one value."""
        return self.replicates * self.blocks

    @property
    def first_sweeps(self) -> int:
        """Sweeps before errors are looked at: a power of two; more where few background rows need enough positions."""
        if not self.blocks_are_rows:
            return 1
        return int(2 ** max(0, math.ceil(math.log2(LEAST_POSITIONS / self.replicates))))

    @property
    def blocks_are_rows(self) -> bool:
        return self.blocks == self.background_count

    def first_positions(self, generator: np.random.Generator) -> FloatArray:
        """Return a position for each background row in each replicate: (replicates, background rows)."""
        strata = np.concatenate(
            [generator.permuted(np.tile(np.arange(size), (self.replicates, 1)), axis=1) / size for size in self._sizes],
            axis=1,
        )
        positions: FloatArray = strata + generator.random(strata.shape) / np.asarray(self._sizes)[self.block_of_row]
        return positions


def _columns(task: Task, design: _Design) -> Iterator[slice]:
    """Cut the outputs so that the totals of one row stay bounded; each cut stops by its own largest value."""
    return chunks(task.outputs.shape[1], max(1, MOST_VALUES_TOGETHER // (task.players.count * design.total_count)))


class _Sums:
    """The running sums of some rows, by replicate and block, and how sweeps add to them."""

    def __init__(
        self, rows: NDArray[np.intp], outputs: NDArray[np.intp], feature_count: int, design: _Design, seed: int
    ) -> None:
        self._outputs = outputs
        self._design = design
        self._positions = np.stack([design.first_positions(np.random.default_rng([seed, int(row)])) for row in rows])
        self._totals = np.zeros((len(rows), design.replicates, design.blocks, feature_count, outputs.shape[1]))
        # Of each background row, where it is a block of its own: the sum of the squares of all that was seen.
        self._squares = np.zeros((len(rows), design.blocks if design.blocks_are_rows else 0, *self._totals.shape[3:]))
        self.sweeps = np.zeros(len(rows), dtype=np.int64)
        self.degrees_of_freedom = design.blocks * (design.replicates - 1)

    @property
    def evaluations(self) -> NDArray[np.int64]:
        return self.sweeps * self._design.replicates * self._design.background_count

    def values(self) -> FloatArray:
        values: FloatArray = self._totals.sum(axis=(1, 2)) / self.evaluations[:, None, None]
        return values

    def errors(self) -> FloatArray:
        """Return the standard errors: within each block the variance of its replicates is that of their totals."""
        variance = self._totals.var(axis=1, ddof=1).sum(axis=1) / self._design.replicates
        if self._design.blocks_are_rows:
            variance = np.maximum(variance, self._along_paths() / self._design.replicates)
        errors: FloatArray = np.sqrt(variance) / (self.sweeps * self._design.background_count)[:, None, None]
        return errors

    def _along_paths(self) -> FloatArray:
        """Return the variance of one replicate's total, of positions evenly apart: that of one point of each path."""
        count = (self.sweeps * self._design.replicates)[:, None, None, None]
        means = self._totals.sum(axis=1) / count
        variances: FloatArray = ((self._squares / count - means**2).clip(0) * count / (count - 1)).sum(axis=1)
        return variances

    def double(self, active: NDArray[np.intp], most: int, gradients: PathGradients) -> None:
        """Sweep the active rows, which have all had as many sweeps, until there are twice as many, at most ``most``."""
        had = int(self.sweeps[active[0]])
        wanted = min(most, max(self._design.first_sweeps, 2 * had))
        for sweep in range(had, wanted):
            self._add(active, van_der_corput(sweep), gradients)
        self.sweeps[active] = wanted

    def _add(self, active: NDArray[np.intp], shift: float, gradients: PathGradients) -> None:
        design, shape = self._design, (len(active), self._design.replicates, self._design.background_count)
        groups = np.arange(len(active) * design.replicates).reshape(*shape[:2], 1) * design.blocks + design.block_of_row
        rows = np.broadcast_to(active[:, None, None], shape).reshape(-1)
        points = Points(
            rows=rows,
            background_rows=np.broadcast_to(np.arange(design.background_count), shape).reshape(-1),
            positions=((self._positions[active] + shift) % 1.0).astype(np.float32).reshape(-1),
            groups=groups.reshape(-1),
            outputs=self._outputs[rows],
        )
        found = gradients(points)
        if not np.isfinite(found).all():
            raise JobError(
                "gradient_not_finite",
                "The model has a gradient that is not a number on the path from a background row to an explained row; "
                "such a model has no expected gradients. Use 'permutation'.",
                place="method",
            )
        seen = found.reshape(len(active), *self._totals.shape[1:])
        self._totals[active] += seen
        if design.blocks_are_rows:
            self._squares[active] += (seen**2).sum(axis=1)


def van_der_corput(number: int) -> float:
    """Return 0, 1/2, 1/4, 3/4, 1/8, ...: the binary digits of a number, mirrored at the point."""
    value, share = 0.0, 0.5
    while number:
        value += share * (number & 1)
        number >>= 1
        share /= 2
    return value
