"""Planted models whose explanations are known to be good, or bad, and samples of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from audits.engine.explainers.players import Players
from audits.engine.explainers.quality import Bounds, ErrorSummary, Measure, Subject, measure, measured_rows
from audits.engine.explainers.quality.base import Sample
from tests.audits.engine.explained import NumpyModel, all_outputs, flat_players


def task_of(
    model: NumpyModel,
    *,
    rows: np.ndarray,
    background: np.ndarray,
    players: Players | None = None,
    outputs: np.ndarray | None = None,
    seed: int = 3,
) -> Task:
    """Return the task of explaining all outputs of rows of one input."""
    name = model.signature.inputs[0].name
    if outputs is None:
        outputs = all_outputs(len(rows), model.signature.output.shape[-1])
    return Task(
        model=model,
        rows={name: rows},
        background={name: background},
        players=players or flat_players(rows.shape[1], name),
        outputs=outputs,
        output_names=tuple(f"o{place}" for place in range(outputs.shape[1])),
        seed=seed,
    )


def sample_of(task: Task, explainer: Explainer, attribution: Attribution | None = None, **bounds: Any) -> Sample:
    """Return a sample of all rows of a task and all its background."""
    return Sample(
        subject=Subject(task, explainer),
        rows=np.arange(task.row_count),
        attribution=explainer.explain(task) if attribution is None else attribution,
        background=np.arange(task.background_count),
        bounds=Bounds(**bounds),
    )


def measures_of(task: Task, explainer: Explainer, **bounds: Any) -> dict[str, Measure]:
    """Explain a task and take all measures."""
    attribution = explainer.explain(task)
    rows = measured_rows(task)
    found = measure(
        Subject(task, explainer),
        attribution.of_rows(rows),
        rows,
        ErrorSummary.of_all(task, attribution),
        Bounds(**bounds),
    )
    return {entry.name: entry for entry in found}


def precise() -> PermutationExplainer:
    return PermutationExplainer(PermutationParameters(tolerance=0.01))


def normal(seed: int, rows: int, features: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, features))


@dataclass(frozen=True)
class NoSettings:
    """Nothing to set."""


class Planted(Explainer):
    """Gives the values that a function makes of a task's honest ones; it estimates what the test says."""

    name = "planted"
    parameters = NoSettings

    def __init__(
        self,
        values: Callable[[Task, np.ndarray], np.ndarray],
        *,
        estimand: str = Explainer.estimand,
        additive: bool = True,
    ) -> None:
        super().__init__()
        self._values = values
        self.estimand = estimand  # type: ignore[misc]
        self.is_additive = additive  # type: ignore[misc]

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        honest = precise().explain(task)
        yield replace(honest, values=self._values(task, honest.values), errors=np.zeros_like(honest.errors))
