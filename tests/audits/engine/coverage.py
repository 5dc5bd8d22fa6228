"""How often two standard errors hold the truth, and how often a row keeps its tolerance.

``python -m tests.audits.engine.coverage`` prints the table of ``docs/reference/explainers/README.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits

from audits.engine.explainers.base import Explainer, Task
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.kernel import KernelExplainer, KernelParameters
from audits.engine.explainers.partition import PartitionExplainer, PartitionParameters
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from audits.engine.explainers.players import Players
from tests.audits.engine.explained import NumpyModel, all_outputs, curved_model, flat_players

TOLERANCE = 0.15
SEEDS = range(64)

#: Method -> the estimator at a tolerance. Of the hierarchy, orders are drawn although it would be small enough to be
#: exact.
METHODS: dict[str, Callable[[float], Explainer]] = {
    "permutation": lambda tolerance: PermutationExplainer(
        PermutationParameters(tolerance=tolerance, maximum_sweeps=4096)
    ),
    "kernel": lambda tolerance: KernelExplainer(KernelParameters(tolerance=tolerance)),
    "partition": lambda tolerance: PartitionExplainer(
        PartitionParameters(tolerance=tolerance, maximum_sweeps=4096, maximum_coalitions=0)
    ),
}
BACKGROUNDS = (10, 100)


@dataclass(frozen=True)
class Measured:
    """What many explanations of the same rows, with different seeds, say.

    Attributes:
        inside: share of values whose truth is within two standard errors, among those with an error.
        kept: share of rows no value of which is further from the truth than the tolerance of the largest value.
        estimated: values with an error.
    """

    inside: float
    kept: float
    estimated: int


def network() -> tuple[NumpyModel, Players]:
    """Return a network of two hidden layers of ReLU, 10 features and two outputs."""
    generator = np.random.default_rng(1)
    sizes = (10, 24, 24, 2)
    layers = [generator.normal(0, (2 / rows) ** 0.5, (rows, columns)) for rows, columns in itertools.pairwise(sizes)]

    def scores(_: object, inputs: dict[str, np.ndarray]) -> np.ndarray:
        hidden = inputs["features"]
        for weights in layers[:-1]:
            hidden = np.maximum(hidden @ weights, 0)
        return hidden @ layers[-1]

    return NumpyModel(scores, inputs={"features": (10,)}, outputs=2), flat_players(10)


def interactions() -> tuple[NumpyModel, Players]:
    """Return squares of saturated sums, in which nearly everything is interaction."""
    return curved_model(10), flat_players(10)


def categories() -> tuple[NumpyModel, Players]:
    """Return a network of 5 numbers and 4 categories of 3 levels, each category one feature of three columns."""
    model = curved_model(17, seed=3)
    owners = np.concatenate([np.arange(5), np.repeat(np.arange(5, 9), 3)])
    names = tuple(f"f{number}" for number in range(9))
    players = Players(names=names, assignment={"features": owners}, grid=(9,), groups=frozenset(range(5, 9)))
    return model, players


CASES: dict[str, Callable[[], tuple[NumpyModel, Players]]] = {
    "network of 10 features": network,
    "interactions of high order": interactions,
    "numbers and categories": categories,
}


def task_of(case: str, background_count: int) -> Task:
    """Return 8 rows of a case against a background."""
    model, players = CASES[case]()
    generator = np.random.default_rng(7)

    def drawn(count: int) -> np.ndarray:
        values = generator.normal(size=(count, *model.signature.inputs[0].row_shape))
        for number in players.groups:
            columns = np.flatnonzero(players.assignment["features"] == number)
            values[:, columns] = np.eye(len(columns))[generator.integers(0, len(columns), count)]
        return values

    return Task(
        model=model,
        rows={"features": drawn(8)},
        background={"features": drawn(background_count)},
        players=players,
        outputs=all_outputs(8, 2),
        output_names=("first", "second"),
        seed=0,
    )


@cache
def exact_values(method: str, case: str, background_count: int) -> np.ndarray:
    """Return the exact values of what a method estimates, shape (rows, features, outputs)."""
    explainer = PartitionExplainer() if method == "partition" else ExactExplainer()
    return explainer.explain(task_of(case, background_count)).values


def measured(method: str, case: str, background_count: int) -> Measured:
    """Explain a case with each seed and compare with the exact values of the same estimand."""
    task = task_of(case, background_count)
    explainer = METHODS[method](TOLERANCE)
    truth = exact_values("partition" if method == "partition" else "exact", case, background_count)
    largest = np.abs(truth).max(axis=(1, 2))
    inside, kept = [], []
    for seed in SEEDS:
        # One thread, as a job has by default: two on a busy machine wait for each other.
        with threadpool_limits(1):
            answer = explainer.explain(replace(task, seed=seed))
        distance = np.abs(answer.values - truth)
        inside.append((distance <= 2 * answer.errors)[answer.errors > 0])
        kept.append(distance.max(axis=(1, 2)) <= TOLERANCE * largest)
    every = np.concatenate(inside)
    return Measured(float(every.mean()), float(np.mean(kept)), len(every))


def main() -> None:
    print(
        "| method | model | background rows | 2 SE hold the truth | rows within the tolerance |\n|---|---|---|---|---|"
    )
    for method in METHODS:
        for case in CASES:
            for count in BACKGROUNDS:
                found = measured(method, case, count)
                print(
                    f"| `{method}` | {case} | {count} | {found.inside:.1%} of {found.estimated:,} | {found.kept:.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
