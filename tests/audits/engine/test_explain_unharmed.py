"""A failed explanation leaves nothing behind: the same process trains and explains as a fresh one does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from audits.engine.explainers import BUILT_IN
from tests.audits.engine import unharmed
from workers.frameworks.base import Model


@pytest.mark.parametrize("framework", sorted(unharmed.SUFFIXES))
def test_after_failed_explanations_a_process_works_as_a_fresh_one(framework: str) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-m", "tests.audits.engine.unharmed", framework, *after],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for after in ([], ["after-failures"])
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("framework", sorted(unharmed.SUFFIXES))
def test_a_failed_explanation_leaves_the_weights_alone(framework: str) -> None:
    model: Model = unharmed.network(framework)
    before = model.weights()

    def stop(done: float, total: float, message: str) -> None:
        raise InterruptedError(message)

    for explainer in BUILT_IN.values():
        with pytest.raises(InterruptedError):
            explainer().explain(replace(unharmed.task_of(model), progress=stop))
    for name, weights in model.weights().items():
        np.testing.assert_array_equal(weights, before[name])
