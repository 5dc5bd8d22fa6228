"""PRI-01: a model that learned its rows by heart leaks, one that did not does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.checks.rows import Rows
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel
from workers.frameworks.base import Model

WIDTH = 200
NAMES = [f"x{number}" for number in range(WIDTH)]
SCHEMA = schema_of(**dict.fromkeys(NAMES, "feature float"), y="target integer")


def data(seed: int, count: int) -> dict[str, Any]:
    """Labels are coin tosses: whatever a model says better than that about a row, it has learned from the row."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, WIDTH))
    return {**{name: features[:, place] for place, name in enumerate(NAMES)}, "y": generator.integers(0, 2, count)}


def fitted(columns: dict[str, Any]) -> Model:
    """Return the linear model of least squares: with more features than rows it fits coin tosses."""
    features = np.stack([columns[name] for name in NAMES], axis=1)
    weights = np.linalg.lstsq(features, 2.0 * columns["y"] - 1, rcond=None)[0]
    return NumpyModel(np.stack([-2 * weights, 2 * weights], axis=1), columns=NAMES)


def rows(model: Model, columns: dict[str, Any]) -> Rows:
    return rows_of(model, SCHEMA, columns)


def test_a_model_that_fits_coin_tosses_leaks(tmp_path: Path) -> None:
    training, audited = data(0, 150), data(1, 150)
    model = fitted(training)
    result = run_check("PRI-01", tmp_path, model, rows(model, audited), training=rows(model, training))
    assert (result.status, result.severity) == ("failed", "high")
    # Every member has a margin of exactly 4; the attack errs for the others that lie beyond it.
    scores, targets = rows(model, audited).logits, audited["y"]
    margin = (scores[:, 1] - scores[:, 0]) * (2 * targets - 1)
    area = result.metrics[0]
    assert area.value == pytest.approx((margin < 4).mean(), abs=0.01)
    assert area.value > 0.7
    assert metric(result, "advantage").value > 0.4
    # And those others have the lowest losses of all, so that nobody is found at few false positives.
    assert metric(result, "true positive rate at 1 % false positives").value == 0
    (chart,) = result.charts
    assert (tmp_path / "outputs" / chart["svg"]).is_file()
    assert chart["table"]["rows"][-1][:2] == [1.0, 1.0]


def test_a_model_of_many_rows_does_not_leak(tmp_path: Path) -> None:
    training, audited = data(0, 30_000), data(1, 1000)
    model = fitted(training)
    result = run_check("PRI-01", tmp_path, model, rows(model, audited), training=rows(model, training))
    assert result.status == "passed"
    assert result.metrics[0].value == pytest.approx(0.5, abs=0.06)
    assert result.detail["members"] == result.detail["others"] == 1000


def test_audited_rows_that_are_members_are_left_out(tmp_path: Path) -> None:
    training, audited = data(0, 150), data(1, 150)
    mixed = {name: np.concatenate([audited[name], training[name][:60]]) for name in audited}
    model = fitted(training)
    result = run_check("PRI-01", tmp_path, model, rows(model, mixed), training=rows(model, training))
    assert result.detail["audited_rows_left_out"] == 60
    assert result.detail["others"] == 150
    only_members = run_check("PRI-01", tmp_path, model, rows(model, training), training=rows(model, training))
    assert only_members.status == "skipped"
    assert "0 audited rows that are not members" in only_members.reason


def test_too_few_rows_are_skipped_and_no_known_members_do_not_apply(tmp_path: Path) -> None:
    training, audited = data(0, 150), data(1, 99)
    model = fitted(training)
    few = run_check("PRI-01", tmp_path, model, rows(model, audited), training=rows(model, training))
    assert few.status == "skipped"
    assert "150 members and 99 audited rows" in few.reason
    assert run_check("PRI-01", tmp_path, model, rows(model, audited)).status == "not_applicable"


def test_a_regression_leaks_by_its_squared_error(tmp_path: Path) -> None:
    schema = schema_of(x="feature float", y="target float")
    model = NumpyModel([[1.0]], kind="value", columns=["x"])
    generator = np.random.default_rng(0)
    x = generator.normal(size=200)
    known = rows_of(model, schema, {"x": x, "y": x + generator.normal(0, 0.1, 200)}, task="regression")
    other = rows_of(model, schema, {"x": x + 9, "y": x + 9 + generator.normal(0, 1, 200)}, task="regression")
    result = run_check("PRI-01", tmp_path, model, other, training=known, task="regression")
    assert result.status == "failed"
    assert result.metrics[0].value > 0.85
