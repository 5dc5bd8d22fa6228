"""EXP-01 admits what explains well, and does not where a bound is missed; the model is left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.checks.base import CheckResult
from audits.engine.measures import MEASURES
from tests.audits.engine.cases import rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel

NAMES = [f"x{number}" for number in range(6)]
SCHEMA = schema_of(**dict.fromkeys(NAMES, "feature float"), y="target integer")


def model() -> NumpyModel:
    generator = np.random.default_rng(3)
    return NumpyModel(
        generator.normal(size=(12, 3)), hidden=generator.normal(size=(6, 12)), hidden_bias=0.1, columns=NAMES
    )


def data(seed: int, count: int) -> dict[str, Any]:
    features = np.random.default_rng(seed).normal(size=(count, 6))
    return {**{name: features[:, place] for place, name in enumerate(NAMES)}, "y": np.zeros(count, int)}


def run(folder: Path, subject: NumpyModel, *, rows: int = 40, **settings: Any) -> CheckResult:
    audited, training = rows_of(subject, SCHEMA, data(0, rows), first=500), rows_of(subject, SCHEMA, data(1, 200))
    return run_check("EXP-01", folder, subject, audited, training=training, **settings)


def test_a_small_network_is_admitted_and_keeps_its_weights(tmp_path: Path) -> None:
    subject = model()
    before = subject.weights()
    result = run(tmp_path, subject)
    assert (result.status, result.metrics[0].value) == ("passed", 0)
    assert {entry["name"] for entry in result.detail["measures"]} == set(MEASURES)
    assert len(result.detail["rows"]) == 10
    assert all(500 <= number < 540 for number in result.detail["rows"])
    assert result.detail["background_rows"] == 50
    assert subject.weights().keys() == before.keys()
    assert all((subject.weights()[name] == before[name]).all() for name in before)


def test_a_bound_of_the_policy_that_is_missed_fails_by_name(tmp_path: Path) -> None:
    result = run(tmp_path, model(), parameters={"stability": 0.0, "rows": 4})
    assert (result.status, result.severity) == ("failed", "medium")
    assert result.metrics[0].value == 1
    assert "stability" in result.findings[0].title
    assert "above the bound of 0" in result.reason
    assert len(result.detail["rows"]) == 4


def test_a_model_whose_weights_do_not_matter_is_not_admitted(tmp_path: Path) -> None:
    """Values that a random network gives too say nothing about what was learned."""

    class Fixed(NumpyModel):
        def set_weights(self, weights: Any) -> None:
            """Pay no attention."""

    generator = np.random.default_rng(3)
    subject = Fixed(generator.normal(size=(6, 3)), columns=NAMES)
    result = run(tmp_path, subject)
    assert result.status == "failed"
    assert "Likeness to a random network: 1, above the bound of 0.5" in result.reason


def test_a_regression_is_explained_too(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    subject = NumpyModel(generator.normal(size=(6, 1)), kind="value", columns=NAMES)
    schema = schema_of(**dict.fromkeys(NAMES, "feature float"), y="target float")
    rows = rows_of(subject, schema, data(0, 60), task="regression")
    result = run_check("EXP-01", tmp_path, subject, rows, task="regression")
    assert result.status == "passed"


def test_one_row_has_no_background(tmp_path: Path) -> None:
    subject = model()
    result = run_check("EXP-01", tmp_path, subject, rows_of(subject, SCHEMA, data(0, 1)))
    assert result.status == "skipped"


@pytest.mark.parametrize("rows", [10])
def test_the_seed_of_the_check_gives_the_same_numbers(tmp_path: Path, rows: int) -> None:
    first, second = (run(tmp_path, model(), rows=rows) for _ in range(2))
    assert [entry.value for entry in first.metrics] == [entry.value for entry in second.metrics]
