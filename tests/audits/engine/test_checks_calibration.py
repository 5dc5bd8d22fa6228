"""CAL-01 tells a calibrated model from an overconfident one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.checks.base import CheckResult
from audits.engine.checks.calibration import measure
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel

SCHEMA = schema_of(x="feature float", y="target integer")


def run(folder: Path, *, temperature: float, count: int = 3000, **settings: Any) -> CheckResult:
    """Labels are drawn from sigmoid(x); the model says sigmoid(temperature * x)."""
    generator = np.random.default_rng(0)
    x = generator.normal(0, 2, count)
    y = (generator.random(count) < 1 / (1 + np.exp(-x))).astype(int)
    model = NumpyModel([[temperature]], kind="probabilities", columns=["x"])
    return run_check("CAL-01", folder, model, rows_of(model, SCHEMA, {"x": x, "y": y}), **settings)


def test_a_calibrated_model_passes_at_about_what_chance_gives(tmp_path: Path) -> None:
    result = run(tmp_path, temperature=1)
    assert result.status == "passed"
    error, chance = result.metrics[0], metric(result, "error by chance alone")
    assert error.value < 0.03
    assert error.value == pytest.approx(chance.value, abs=0.012)
    assert error.low <= error.value <= error.high


def test_overconfidence_is_found_and_its_size_decides_how_severe(tmp_path: Path) -> None:
    mild = run(tmp_path, temperature=3)
    assert (mild.status, mild.severity) == ("failed", "medium")
    assert 0.05 < mild.metrics[0].value < 0.15
    inverted = run(tmp_path, temperature=-1)
    assert (inverted.status, inverted.severity) == ("failed", "high")
    assert inverted.metrics[0].value > 0.15


def test_the_error_by_hand() -> None:
    """Two bins: 0.2 predicted and 0 seen, 0.9 predicted and 0.5 seen; four rows each."""
    confidence = np.array([0.2] * 4 + [0.9] * 4)
    outcome = np.array([False] * 4 + [True, True, False, False])
    measured = measure(confidence, outcome, bins=2, generator=np.random.default_rng(0))
    assert measured.error.value == pytest.approx((0.2 + 0.4) / 2)
    assert [(entry["predicted"], entry["observed"], entry["n"]) for entry in measured.bins] == [
        (pytest.approx(0.2), 0.0, 4),
        (pytest.approx(0.9), 0.5, 4),
    ]


def test_opposite_gaps_do_not_cancel() -> None:
    confidence = np.array([0.3] * 10 + [0.7] * 10)
    outcome = np.array([True] * 10 + [False] * 10)
    measured = measure(confidence, outcome, bins=2, generator=np.random.default_rng(0))
    assert measured.error.value == pytest.approx(0.7)
    assert (measured.error.low, measured.error.high) == (pytest.approx(0.7), pytest.approx(0.7))


def test_of_many_classes_the_predicted_one_is_taken(tmp_path: Path) -> None:
    """A constant model says 0.6, 0.3, 0.1 and is right in 60 % of the rows."""
    model = NumpyModel(np.zeros((1, 3)), np.log([0.6, 0.3, 0.1]), columns=["x"])
    rows = rows_of(model, SCHEMA, {"x": np.zeros(300), "y": [0] * 180 + [1] * 90 + [2] * 30})
    bins = {"bins": 2, "minimum_rows": 100}
    shuffled = rows_of(model, SCHEMA, {"x": np.zeros(300), "y": ([0] * 6 + [1] * 3 + [2]) * 30})
    assert run_check("CAL-01", tmp_path, model, shuffled, parameters=bins).metrics[0].value == pytest.approx(
        0, abs=1e-6
    )
    assert run_check("CAL-01", tmp_path, model, rows, parameters=bins).metrics[0].value == pytest.approx(0.4, abs=1e-6)


def test_a_regression_has_no_probabilities_and_few_rows_are_skipped(tmp_path: Path) -> None:
    skipped = run(tmp_path, temperature=1, count=60)
    assert skipped.status == "skipped"
    assert "60 audited rows are too few for 15 bins; the check needs 100" in skipped.reason
    model = NumpyModel([[1.0]], kind="value", columns=["x"])
    rows = rows_of(model, schema_of(x="feature float", y="target float"), {"x": [1.0], "y": [1.0]}, task="regression")
    assert run_check("CAL-01", tmp_path, model, rows, task="regression").status == "not_applicable"
