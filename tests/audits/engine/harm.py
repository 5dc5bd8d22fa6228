"""Explanations that fail in every way there is, in a process that is to work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Task
from audits.engine.explainers.permutation import PermutationExplainer
from tests.audits.engine import unharmed
from tests.audits.engine.zoo import keras_kit, pytorch_kit
from tests.audits.engine.zoo.programs import ZOO
from tests.audits.engine.zoo.truths import Case
from workers.frameworks.loading import load_model
from workers.protocol import JobError

WRITERS = {"keras": keras_kit.write, "pytorch": pytorch_kit.write}


def refuse(framework: str, folder: Path) -> None:
    """Ask DeepLIFT for networks that it has no rule for, in the middle of their graphs."""
    for network in ("gate (product)", "LayerNorm"):
        path = WRITERS[framework](ZOO[network], folder / f"model{unharmed.SUFFIXES[framework]}")
        model = load_model(path, framework=framework, signature=ZOO[network].signature, device="cpu", seed=0)
        with pytest.raises(JobError) as caught:
            BUILT_IN["deeplift"]().explain(Case(ZOO[network], model).task)
        assert caught.value.code == "layer_not_supported"


def give_no_number(framework: str, folder: Path) -> None:
    """Explain a network whose weights are not numbers."""
    model = unharmed.network(framework)
    model.set_weights({name: np.full_like(array, np.nan) for name, array in model.weights().items()})
    for name in ("permutation", "exact", "kernel", "partition"):
        with pytest.raises(JobError) as caught:
            BUILT_IN[name]().explain(unharmed.task_of(model))
        assert caught.value.code == "score_not_finite"


def break_off(framework: str, folder: Path) -> None:
    """Stop by an exception from within, and leave parts that nobody asks for any more."""
    task = unharmed.task_of(unharmed.network(framework))

    def stop(done: float, total: float, message: str) -> None:
        raise InterruptedError(message)

    for explainer in BUILT_IN.values():
        with pytest.raises(InterruptedError):
            explainer().explain(replace(task, progress=stop))
    parts: Iterator[object] = PermutationExplainer().parts(_of_many_rows(task))
    next(parts)


def _of_many_rows(task: Task) -> Task:
    return replace(
        task,
        rows={name: values.repeat(200, axis=0) for name, values in task.rows.items()},
        outputs=task.outputs.repeat(200, axis=0),
    )


FAILURES: tuple[Callable[[str, Path], None], ...] = (refuse, give_no_number, break_off)
