"""Every built-in method has its measures, on the same network of both frameworks."""

from __future__ import annotations

import numpy as np
import pytest

from audits.engine.explainers import explainer_named
from audits.engine.explainers.base import Task
from audits.engine.explainers.quality import Bounds, ErrorSummary, Measure, Subject, measure, measured_rows
from audits.engine.measures import SAMPLED_ADDITIVITY
from tests import tiny_models
from tests.audits.engine.explained import all_outputs, flat_players
from tests.workers.loaded_models import load
from workers.frameworks.base import Model

METHODS = ("permutation", "exact", "kernel", "partition", "expected_gradients", "deeplift")
FEATURES, OUTPUTS = 6, 3


@pytest.fixture(scope="module", params=["mlp.pt2", "mlp.keras"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("models") / request.param
    tiny_models.mlp(path, inputs=FEATURES, classes=OUTPUTS)
    return load(path, tiny_models.signature(inputs=FEATURES, outputs=OUTPUTS))


def measures(model: Model, method: str) -> dict[str, Measure]:
    generator = np.random.default_rng(0)
    name = model.signature.inputs[0].name
    task = Task(
        model=model,
        rows={name: generator.normal(size=(10, FEATURES)).astype(np.float32)},
        background={name: generator.normal(size=(64, FEATURES)).astype(np.float32)},
        players=flat_players(FEATURES, name),
        outputs=all_outputs(10, OUTPUTS),
        output_names=("a", "b", "c"),
        seed=4,
    )
    explainer = explainer_named(method)()
    attribution = explainer.explain(task)
    rows = measured_rows(task)
    before = model.weights()
    found = measure(
        Subject(task, explainer),
        attribution.of_rows(rows),
        rows,
        ErrorSummary.of_all(task, attribution),
        Bounds(),
    )
    after = model.weights()
    assert all((after[key] == before[key]).all() for key in before)
    return {entry.name: entry for entry in found}


@pytest.mark.parametrize("method", METHODS)
def test_a_small_network_is_admitted(model: Model, method: str) -> None:
    found = measures(model, method)
    assert [entry.reason for entry in found.values() if entry.reason] == []
    assert found["faithfulness"].value > 0.7
    assert found["randomisation"].value < 0.5
    assert found["agreement"].is_applicable is (method not in ("deeplift", "partition"))
    looser = method == "expected_gradients"
    assert found["additivity_residual"].bound == (SAMPLED_ADDITIVITY if looser else Bounds().additivity_residual)
