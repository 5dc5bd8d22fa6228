"""The truth of every estimand, by another way than the explainers go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from audits.engine.explainers import explainer_named
from audits.engine.explainers.base import Attribution, Task
from tests.audits.engine.explained import all_outputs
from tests.audits.engine.zoo.programs import Architecture
from tests.audits.engine.zoo.rescale_kit import contributions
from workers.frameworks.base import Model

ROWS, BACKGROUND = 3, 6
#: Positions on each path of the integral, in the middles of as many steps.
STEPS = 100
#: Outputs for which integrals are taken, at the most.
INTEGRATED = 3


@dataclass(frozen=True)
class Case:
    """A loaded network of the zoo, with rows to explain and background rows."""

    architecture: Architecture
    model: Model

    @cached_property
    def task(self) -> Task:
        outputs = self.architecture.outputs[0]
        return Task(
            model=self.model,
            rows=self.architecture.rows(ROWS, 1),
            background=self.architecture.rows(BACKGROUND, 2),
            players=self.architecture.players,
            outputs=all_outputs(ROWS, outputs),
            output_names=tuple(map(str, range(outputs))),
            seed=4,
        )

    @cached_property
    def worths(self) -> np.ndarray:
        """The mean score for every coalition, shape (2^n, rows, outputs); bit f of its number tells of feature f."""
        count, players = self.task.players.count, self.task.players
        is_in = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
        composed = {}
        for name, owners in players.assignment.items():
            rows, background = self.task.rows[name], self.task.background[name]
            kept = is_in[:, owners][:, None, None]
            composed[name] = np.where(kept, rows[None, :, None], background[None, None]).reshape(-1, *owners.shape)
        scores = self.model.logits(composed).astype(float)
        return scores.reshape(2**count, ROWS, BACKGROUND, -1).mean(2)

    @property
    def span(self) -> float:
        """How far the scores of all coalitions are apart."""
        return float(np.ptp(self.worths))

    def shapley(self) -> np.ndarray:
        """Return the values by Shapley's formula: (rows, features, outputs)."""
        count = self.task.players.count
        values = np.zeros((ROWS, count, self.worths.shape[2]))
        for feature, coalition in itertools.product(range(count), range(2**count)):
            if not coalition >> feature & 1:
                size = coalition.bit_count()
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                values[:, feature] += weight * (self.worths[coalition | 1 << feature] - self.worths[coalition])
        return values

    def owen(self, linkage: np.ndarray) -> np.ndarray:
        """Return the mean over all orders in which the features of every merge stand together."""
        count = self.task.players.count
        values = np.zeros((ROWS, count, self.worths.shape[2]))
        orders = list(_orders(linkage, 2 * count - 2, count))
        for order in orders:
            coalition = 0
            for feature in order:
                values[:, feature] += self.worths[coalition | 1 << feature] - self.worths[coalition]
                coalition |= 1 << feature
        return values / len(orders)

    def path_integral(self) -> np.ndarray:
        """Return the integrals of gradients from each background row, by the rule of midpoints, for a few outputs."""
        task, output_count = self.task, min(INTEGRATED, self.task.outputs.shape[1])
        positions = (np.arange(STEPS) + 0.5) / STEPS
        values = np.zeros((ROWS, task.players.count, output_count))
        for row, output in itertools.product(range(ROWS), range(output_count)):
            points, steps = {}, {}
            for name in task.rows:
                ends = task.rows[name][row], task.background[name]
                steps[name] = ends[0] - ends[1]
                along = positions.reshape(-1, 1, *[1] * ends[0].ndim)
                points[name] = (ends[1] + along * steps[name]).reshape(-1, *ends[0].shape).astype("float32")
            _, gradients = self.model.logits_gradient(points, output)
            for name, owners in task.players.assignment.items():
                mean = gradients[name].reshape(STEPS, BACKGROUND, *owners.shape).astype(float).mean(0)
                np.add.at(values[row, :, output], owners, (mean * steps[name]).mean(0))
        return values

    def long_run(self, method: str) -> np.ndarray:
        """Return what a method gives after many sweeps with another seed, where there is no other way to it."""
        explainer = explainer_named(method).from_json({"tolerance": 0.005, "maximum_sweeps": 64})
        return explainer.explain(replace(self.task, seed=99)).flat_values

    def truth(self, method: str, answer: Attribution) -> np.ndarray:
        """Return what the values of a method are to be: (rows, features, outputs), or those of the first outputs."""
        return TRUTHS[method](self, answer)


def _orders(linkage: np.ndarray, node: int, count: int) -> list[tuple[int, ...]]:
    if node < count:
        return [(node,)]
    left, right = (_orders(linkage, int(child), count) for child in linkage[node - count, :2])
    return [order for a in left for b in right for order in (a + b, b + a)]


def _path_or_long_run(case: Case, answer: Attribution) -> np.ndarray:
    """Follow gradients with respect to the inputs; of token ids there are none."""
    if any(entry.dtype != "float32" for entry in case.architecture.inputs.values()):
        return case.long_run("expected_gradients")
    return case.path_integral()


TRUTHS: dict[str, Callable[[Case, Attribution], np.ndarray]] = {
    "permutation": lambda case, answer: case.shapley(),
    "exact": lambda case, answer: case.shapley(),
    "kernel": lambda case, answer: case.shapley(),
    "partition": lambda case, answer: case.owen(answer.hierarchy),
    "expected_gradients": _path_or_long_run,
    "deeplift": lambda case, answer: contributions(case.architecture, dict(case.task.rows), dict(case.task.background)),
}
