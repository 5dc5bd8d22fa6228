"""ROB-01: the analytic answer of linear models, what is held fixed, how severe, and too few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.catalogue import CriteriaError
from audits.engine.checks.base import CheckResult
from audits.engine.checks.robustness import draw_stratified
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel
from workers.statistics import wilson

SCHEMA = schema_of(a="feature float", b="feature float", flag="feature boolean", y="target integer")
WEIGHTS = np.array([[0.0, 1.0], [0.0, -2.0], [0.0, 3.0]])


def data(count: int, *, spread: float = 1.0, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0, spread, count), generator.normal(0, 2 * spread, count)
    flag = generator.random(count) < 0.5
    return {"a": a, "b": b, "flag": flag, "y": (a - 2 * b + 3 * flag > 0).astype(int)}


def run(
    folder: Path, columns: dict[str, Any], *, training: dict[str, Any] | None = None, **settings: Any
) -> CheckResult:
    model = NumpyModel(WEIGHTS, columns=["a", "b", "flag"])
    known = None if training is None else rows_of(model, SCHEMA, training)
    return run_check("ROB-01", folder, model, rows_of(model, SCHEMA, columns), training=known, **settings)


def analytic(columns: dict[str, Any], reference: dict[str, Any], eps: float, norm: str) -> float:
    """Return the share of rows whose margin is beyond the reach of the attack; the flag cannot move."""
    margin = np.abs(columns["a"] - 2 * columns["b"] + 3 * columns["flag"])
    slope = np.array([np.std(reference["a"]), -2 * np.std(reference["b"])])
    reach = eps * np.abs(slope).sum() if norm == "linf" else eps * np.linalg.norm(slope)
    return float((margin > reach).mean())


def test_the_ratio_is_the_analytic_one_in_units_of_the_training_spread(tmp_path: Path) -> None:
    columns, training = data(256), data(1000, spread=2.0, seed=1)
    result = run(tmp_path, columns, training=training, parameters={"eps": 0.2, "steps": 40})
    linf, l2 = analytic(columns, training, 0.2, "linf"), analytic(columns, training, 1.0, "l2")
    assert metric(result, "robust / clean, L∞").value == pytest.approx(linf, abs=1 / 256)
    assert metric(result, "robust / clean, L2").value == pytest.approx(l2, abs=1 / 256)
    judged, expected = result.metrics[0], wilson(round(min(linf, l2) * 256), 256)
    assert judged.value == pytest.approx(expected.value, abs=1 / 256)
    assert judged.low == pytest.approx(expected.low, abs=0.01)
    assert judged.n == 256
    assert result.detail["fixed"] == ["flag"]
    assert "flag" in result.limits


@pytest.mark.parametrize(
    ("eps", "status", "severity"), [(0.01, "passed", ""), (0.2, "failed", "medium"), (0.5, "failed", "high")]
)
def test_how_little_stays_right_decides_how_severe(tmp_path: Path, eps: float, status: str, severity: str) -> None:
    result = run(tmp_path, data(256), parameters={"eps": eps})
    assert (result.status, result.severity) == (status, severity)
    assert len(result.findings) == (status == "failed")


def test_the_curve_falls_and_holds_the_policy_size(tmp_path: Path) -> None:
    result = run(tmp_path, data(256), parameters={"eps": 0.1, "curve": [0.5, 2.0]})
    (chart,) = result.charts
    for attack in {row[0] for row in chart["table"]["rows"]}:
        rows = [row for row in chart["table"]["rows"] if row[0] == attack]
        assert [row[1] for row in rows] == [0, 0.05, 0.1, 0.2]
        shares = [row[2] for row in rows]
        assert shares[0] == 1
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] < shares[0]
    assert (tmp_path / "outputs" / chart["svg"]).is_file()


def test_columns_that_a_policy_fixes_do_not_move(tmp_path: Path) -> None:
    free = run(tmp_path, data(256), parameters={"eps": 0.2})
    fixed = run(tmp_path, data(256), parameters={"eps": 0.2, "fixed_columns": ["b"]})
    assert fixed.metrics[0].value > free.metrics[0].value + 0.1
    with pytest.raises(CriteriaError, match="'c', which feeds no input"):
        run(tmp_path, data(256), parameters={"fixed_columns": ["c"]})
    everything = run(tmp_path, data(256), parameters={"fixed_columns": ["a", "b"]})
    assert everything.status == "not_applicable"


def test_too_few_right_rows_are_skipped(tmp_path: Path) -> None:
    columns = data(256)
    columns["y"] = np.where(np.arange(256) < 40, columns["y"], 1 - columns["y"])
    result = run(tmp_path, columns)
    assert result.status == "skipped"
    assert "40 rows of 256 drawn are right without an attack; the check needs 50" in result.reason


def test_rows_without_a_gradient_are_told(tmp_path: Path) -> None:
    model = NumpyModel(WEIGHTS * 1e5, columns=["a", "b", "flag"])
    result = run_check("ROB-01", tmp_path, model, rows_of(model, SCHEMA, data(256)))
    assert result.detail["rows_without_gradient"] > 200
    assert "no gradient at all" in result.reason


def test_images_move_by_their_range_and_stay_in_it(tmp_path: Path) -> None:
    """Every pixel is 0 or 16 and the model adds them up: the attack can move each only inwards."""
    schema = schema_of("image", scan="feature image 4 4", y="target integer")
    model = NumpyModel(
        np.stack([np.zeros(16), np.ones(16)], axis=1), [0, -8 * 16.0], columns=["scan"], row_shape=[4, 4], name="scan"
    )
    generator = np.random.default_rng(0)
    lit = generator.permuted(np.tile(np.arange(16), (200, 1)), axis=1) < generator.integers(0, 17, (200, 1))
    count = lit.sum(axis=1)
    columns = {"scan": (lit * 16.0).reshape(200, 4, 4), "y": (count > 8).astype(int)}
    rows = rows_of(model, schema, columns)
    result = run_check("ROB-01", tmp_path, model, rows, parameters={"eps": 0.21, "l2_factor": 0.01, "steps": 40})
    # With k pixels lit the sum 16 k can rise by 0.21 x 16 x (16 - k) and fall by 0.21 x 16 x k.
    reached = np.where(count > 8, 0.79 * count < 8, 0.79 * count + 0.21 * 16 > 8)
    assert 0.05 < reached.mean() < 0.9
    assert result.metrics[0].value == pytest.approx(1 - reached.mean())
    assert result.detail["unit"] == "in the range of the image data"


def test_a_regression_has_no_classes_to_keep(tmp_path: Path) -> None:
    model = NumpyModel([[1.0]], kind="value", columns=["x"])
    schema = schema_of(x="feature float", y="target float")
    rows = rows_of(model, schema, {"x": [1.0], "y": [1.0]}, task="regression")
    assert run_check("ROB-01", tmp_path, model, rows, task="regression").status == "not_applicable"


def test_rows_are_drawn_so_that_classes_keep_their_share() -> None:
    targets = np.repeat([0, 1, 2], [700, 200, 100])
    drawn = draw_stratified(targets, 100, np.random.default_rng(0))
    assert len(set(drawn)) == 100
    assert np.bincount(targets[drawn]).tolist() == [70, 20, 10]
    assert draw_stratified(targets, 5000, np.random.default_rng(0)).tolist() == list(range(1000))
    other = draw_stratified(targets, 100, np.random.default_rng(1))
    assert drawn.tolist() != other.tolist()
