"""PER-01 holds the lower end of the interval against the floor and a trivial baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from audits.engine.catalogue import CriteriaError
from audits.engine.checks.base import CheckResult
from audits.engine.checks.rows import Rows
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel
from workers.statistics import wilson

SCHEMA = schema_of(x="feature float", y="target string")
#: Says "yes" where x is above 0.
MODEL = NumpyModel([[-1.0, 1.0]], classes=["no", "yes"], columns=["x"])


def rows(right: int, wrong: int, *, yes: int) -> Rows:
    """Return rows of which so many are right; the first `yes` have the label yes, and the wrong ones come first."""
    labels = np.array(["yes"] * yes + ["no"] * (right + wrong - yes))
    says_yes = labels == "yes"
    says_yes[:wrong] = ~says_yes[:wrong]
    return rows_of(MODEL, SCHEMA, {"x": np.where(says_yes, 1.0, -1.0), "y": labels})


def run(folder: Path, audited: Rows, **settings: Any) -> CheckResult:
    return run_check("PER-01", folder, MODEL, audited, **settings)


def test_accuracy_with_its_interval_against_floor_and_baseline(tmp_path: Path) -> None:
    result = run(tmp_path, rows(180, 20, yes=120), condition={"min": 0.8})
    assert result.status == "passed"
    measured, expected = result.metrics[0], wilson(180, 200)
    assert (measured.value, measured.low, measured.high, measured.n) == (0.9, expected.low, expected.high, 200)
    assert metric(result, "accuracy of the baseline").value == 0.6
    assert "always says 'yes'" in result.reason


@pytest.mark.parametrize(
    ("yes", "floor", "told"),
    [(120, 0.88, "is not at least the floor of 88.0 %"), (175, 0.5, "is not above the 87.5 % of the baseline")],
)
def test_the_value_may_be_above_and_its_lower_end_not(tmp_path: Path, yes: int, floor: float, told: str) -> None:
    """0.900 reaches down to 0.851: below a floor of 0.88, and below always saying yes."""
    result = run(tmp_path, rows(180, 20, yes=yes), condition={"min": floor})
    assert (result.status, result.severity) == ("failed", "high")
    assert told in result.reason
    assert result.findings[0].severity == "high"


def test_a_policy_may_leave_the_baseline_out(tmp_path: Path) -> None:
    result = run(tmp_path, rows(180, 20, yes=175), condition={"min": 0.5, "above_baseline": False})
    assert result.status == "passed"


def test_the_baseline_learns_from_the_training_rows(tmp_path: Path) -> None:
    training = rows(50, 0, yes=10)
    result = run(tmp_path, rows(180, 20, yes=120), training=training)
    assert metric(result, "accuracy of the baseline").value == pytest.approx(0.4)
    assert "always says 'no'" in result.reason


def test_balanced_accuracy_is_that_of_scikit_learn(tmp_path: Path) -> None:
    audited = rows(170, 30, yes=160)
    result = run(tmp_path, audited, parameters={"metric": "balanced_accuracy"})
    expected = balanced_accuracy_score(audited.targets, audited.predicted)
    assert result.metrics[0].value == pytest.approx(expected)
    assert expected != pytest.approx(0.85)
    assert result.metrics[0].low < expected < result.metrics[0].high
    assert metric(result, "balanced accuracy of the baseline").value == 0.5


def test_too_few_rows_are_skipped(tmp_path: Path) -> None:
    result = run(tmp_path, rows(20, 0, yes=10))
    assert result.status == "skipped"
    assert "20 audited rows are too few; the check needs 30" in result.reason


def test_the_chart_shows_both_intervals_and_has_its_table(tmp_path: Path) -> None:
    result = run(tmp_path, rows(180, 20, yes=120))
    (chart,) = result.charts
    assert (tmp_path / "outputs" / chart["svg"]).read_text().startswith("<svg")
    assert [row[0] for row in chart["table"]["rows"]] == ["this version", "baseline"]
    assert chart["table"]["rows"][0][1] == 0.9
    assert "90.0 %" in chart["caption"]


REGRESSION = NumpyModel([[2.0]], 1.0, kind="value", columns=["x"])
VALUES = schema_of(x="feature float", y="target float")


def test_a_regression_is_judged_by_r_squared(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=300)
    y = 2 * x + 1 + generator.normal(size=300)
    audited = rows_of(REGRESSION, VALUES, {"x": x, "y": y}, task="regression")
    result = run_check("PER-01", tmp_path, REGRESSION, audited, task="regression")
    expected = r2_score(y, 2 * x.astype(np.float32) + 1)
    assert result.status == "passed"
    assert result.metrics[0].value == pytest.approx(expected, abs=1e-6)
    assert result.metrics[0].low < 0.8 < result.metrics[0].high
    assert metric(result, "R² of the baseline").value == pytest.approx(0, abs=1e-6)


def test_a_regression_that_learned_nothing_fails(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    audited = rows_of(
        REGRESSION, VALUES, {"x": generator.normal(size=300), "y": generator.normal(size=300)}, task="regression"
    )
    assert run_check("PER-01", tmp_path, REGRESSION, audited, task="regression").status == "failed"


def test_a_metric_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CriteriaError, match="r2 does not go with a classification"):
        run(tmp_path, rows(180, 20, yes=120), parameters={"metric": "r2"})
