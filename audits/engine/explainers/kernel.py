"""Shapley values by least squares on coalitions that are scored against the whole background."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Task
from audits.engine.explainers.coalitions import SCORE_BYTES
from audits.engine.explainers.enumeration import Worths
from audits.engine.explainers.kernel_design import Design, Sampler
from audits.engine.explainers.stopping import are_settled
from workers.protocol import JobError

#: The factorisation grows with the cube of the features.
MAXIMUM_FEATURES = 1024
#: Pairs of coalitions of each size to begin with: four a feature in all, of which the errors can be told.
FIRST_OF_EACH_SIZE = 8
#: Where there are no more pairs than this, all are scored: a sample of most of them would save little, and its error
#: could not be told from so few.
ALL_PAIRS = 64
#: Explained rows that are solved together, so that progress is told and memory stays bounded.
ROWS_TOGETHER = 16


@dataclass(frozen=True)
class KernelParameters:
    """When to stop.

    Attributes:
        tolerance: a row is done when no value's error is beyond this share of its largest value; see ``are_settled``.
        maximum_coalitions: a row is given up on (with its true error) before it takes more coalitions than this.
    """

    tolerance: float = 0.05
    maximum_coalitions: int = 16_384

    def __post_init__(self) -> None:
        is_number = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if not is_number or not 0 <= self.tolerance < math.inf:
            raise ValueError(f"`tolerance` is a number from 0 upwards, not {self.tolerance!r}.")
        limit = self.maximum_coalitions
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"`maximum_coalitions` is a whole number from 1 upwards, not {limit!r}.")


class KernelExplainer(Explainer):
    """Interventional Shapley values as the solution of a weighted regression on the worths of coalitions.

    The Shapley values are the additive game that is closest to the game of all coalitions, weighted by Shapley's
    kernel, among those that add up to the row's score. Here some coalitions are drawn, each is scored with its
    complement against *every* background row, and the regression on them is solved once for all rows and outputs: with
    many outputs or rows the cost is that of the model alone. Nothing is selected or shrunk: there is no ``l1_reg``.

    Coalitions are drawn without replacement, equally many of each size or all where there are fewer, which draws each
    about in proportion to its leverage in the regression. The sample is doubled, keeping what was drawn, until a row
    keeps the tolerance. With all coalitions the values are exact and their error is 0.

    The standard error is that of the regression on a stratified sample; see ``Design.values``. The background is no
    part of it, since every coalition sees all of it. That makes a coalition dear where the background is large: then
    `PermutationExplainer` needs fewer evaluations, and with about ten background rows this one does.

    Sources: Lundberg, Lee, "A Unified Approach to Interpreting Model Predictions" (2017), for the regression; Covert,
    Lee, "Improving KernelSHAP" (AISTATS 2021), for pairs with the complement; Musco, Witter, "Provably Accurate Shapley
    Value Estimation via Leverage Score Sampling" (2024), for the sizes.
    """

    name = "kernel"
    parameters = KernelParameters
    settings: KernelParameters

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        if task.players.count > MAXIMUM_FEATURES:
            raise JobError(
                "too_many_features",
                f"The method 'kernel' takes up to {MAXIMUM_FEATURES:,} features, and there are "
                f"{task.players.count:,}. Use 'permutation', or larger patches or groups of columns.",
                place="method",
            )
        designs = _Designs(task.players.count, task.seed, self.settings.maximum_coalitions)
        worths = Worths(task)
        output_count = task.outputs.shape[1]
        together = SCORE_BYTES // (8 * max(1, self.settings.maximum_coalitions // 2) * output_count)
        together = max(1, min(ROWS_TOGETHER, together))
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            solved = _Rows(chosen, worths, designs)
            level = 0
            while solved.is_open:
                design = designs[level]
                task.progress(start, task.row_count, f"{2 * design.pair_count:,} coalitions")
                solved.solve(level)
                solved.close(self.settings.tolerance, design, is_last=designs.is_last(level))
                level += 1
            shape = (len(chosen), *task.players.grid, output_count)
            yield Attribution(
                values=solved.values.reshape(shape),
                base_values=worths.of_none[chosen],
                errors=solved.errors.reshape(shape),
                data=task.players.data({name: values[chosen] for name, values in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=task.outputs[chosen],
                evaluations=2 * solved.pairs * worths.background_count + 1,
                scale=task.scale,
            )
        task.progress(task.row_count, task.row_count, "")


class _Designs:
    """The samples of all levels, each twice the one before and made once for all rows."""

    def __init__(self, features: int, seed: int, maximum_coalitions: int) -> None:
        self._sampler = Sampler(features, seed)
        self._maximum_coalitions = maximum_coalitions
        self._made: list[Design] = []

    def __getitem__(self, level: int) -> Design:
        while len(self._made) <= level:
            are_few = 2 ** (self._sampler.features - 1) - 1 <= ALL_PAIRS
            of_each_size = ALL_PAIRS if are_few else FIRST_OF_EACH_SIZE * 2 ** len(self._made)
            self._made.append(Design.drawn(self._sampler, of_each_size))
        return self._made[level]

    def is_last(self, level: int) -> bool:
        """Tell whether nothing is left to draw, or twice as much would be too much."""
        return self[level].is_complete or 4 * self[level].pair_count > self._maximum_coalitions


class _Rows:
    """Rows that are solved together: what is known of each, and which are still open."""

    def __init__(self, rows: NDArray[np.intp], worths: Worths, designs: _Designs) -> None:
        self._rows = rows
        self._worths = worths
        self._designs = designs
        self._open = np.arange(len(rows))
        self._totals = (worths.of_all - worths.of_none)[rows]
        # The differences known so far, for each size of coalitions: shape (open rows, pairs, outputs).
        self._known: list[FloatArray] = []
        shape = (len(rows), designs[0].masks.shape[1], self._totals.shape[1])
        self.values = np.zeros(shape)
        self.errors = np.zeros(shape)
        self.pairs = np.zeros(len(rows), dtype=np.int64)

    @property
    def is_open(self) -> bool:
        return len(self._open) > 0

    def solve(self, level: int) -> None:
        """Score what the design of this level has beyond the one before, and solve the open rows anew."""
        design = self._designs[level]
        before = [stratum.count for stratum in self._designs[level - 1].strata] if level else [0] * len(design.strata)
        fresh = [
            design.masks[stratum.pairs][known:] for stratum, known in zip(design.strata, before, strict=True)
        ]  # fmt: skip
        masks = np.concatenate([*fresh, np.empty((0, design.masks.shape[1]), dtype=bool)])
        scores = self._worths(self._rows[self._open], np.concatenate([masks, ~masks]))
        differences = scores[:, : len(masks)] - scores[:, len(masks) :]
        pieces = np.split(differences, np.cumsum([len(piece) for piece in fresh])[:-1], axis=1)
        if self._known:
            pieces = [np.concatenate(both, axis=1) for both in zip(self._known, pieces, strict=True)]
        self._known = pieces
        solved = design.values(np.concatenate(pieces, axis=1), self._totals[self._open])
        self.values[self._open], self.errors[self._open] = solved
        self.pairs[self._open] = design.pair_count

    def close(self, tolerance: float, design: Design, *, is_last: bool) -> None:
        """Leave alone the rows that keep the tolerance, or all of them."""
        values, errors = self.values[self._open], self.errors[self._open]
        done = are_settled(values, errors, tolerance, design.degrees_of_freedom) | is_last
        self._open = self._open[~done]
        self._known = [piece[~done] for piece in self._known]
