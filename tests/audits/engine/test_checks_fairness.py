"""FAIR-01 finds planted differences between groups, and says which groups are too small to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.catalogue import CriteriaError
from audits.engine.checks.base import CheckResult
from audits.engine.checks.fairness import groups_of
from audits.engine.statistics import difference_of_shares, ratio_of_shares
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel

SCHEMA = schema_of(x="feature float", sex="protected category", y="target string")
#: Says "grant" where x is above 0.
MODEL = NumpyModel([[-1.0, 1.0]], classes=["refuse", "grant"], columns=["x"])


def planted(groups: dict[str, tuple[int, int, int, int]]) -> dict[str, Any]:
    """Return rows of a group's true positives, false negatives, false positives and true negatives."""
    columns: dict[str, list[Any]] = {"x": [], "sex": [], "y": []}
    for group, counts in groups.items():
        for count, says, label in zip(counts, (1, -1, 1, -1), ("grant", "grant", "refuse", "refuse"), strict=True):
            columns["x"] += [float(says)] * count
            columns["y"] += [label] * count
            columns["sex"] += [group] * count
    return columns


def run(folder: Path, columns: dict[str, Any], **settings: Any) -> CheckResult:
    return run_check("FAIR-01", folder, MODEL, rows_of(MODEL, SCHEMA, columns), **settings)


def test_every_rate_by_hand(tmp_path: Path) -> None:
    result = run(tmp_path, planted({"f": (60, 40, 10, 90), "m": (80, 20, 30, 70)}))
    told = {entry["measure"]: entry["difference"]["value"] for entry in result.detail["comparisons"]}
    assert told == {
        "error rate": pytest.approx(0.0),
        "selection rate of 'grant'": pytest.approx(110 / 200 - 70 / 200),
        "true positive rate of 'grant'": pytest.approx(0.2),
        "false positive rate of 'grant'": pytest.approx(0.2),
    }
    assert (result.status, result.severity) == ("failed", "medium")
    ratio = next(entry["ratio"]["value"] for entry in result.detail["comparisons"] if "false" in entry["measure"])
    assert ratio == pytest.approx(1 / 3)


def test_the_largest_difference_is_judged_with_newcombes_interval(tmp_path: Path) -> None:
    result = run(tmp_path, planted({"f": (30, 70, 5, 95), "m": (85, 15, 5, 95)}))
    assert (result.status, result.severity) == ("failed", "high")
    assert "true positive rate of 'grant', sex: m 85.0 % (n = 100) against f 30.0 % (n = 100)" in result.reason
    expected = difference_of_shares(85, 100, 30, 100)
    judged = result.metrics[0]
    assert (judged.value, judged.low, judged.high) == (expected.value, expected.low, expected.high)
    (chart,) = result.charts
    assert chart["table"]["rows"] == [
        ["f", 0.3, pytest.approx(0.219, abs=1e-3), pytest.approx(0.396, abs=1e-3), 100],
        ["m", 0.85, pytest.approx(0.767, abs=1e-3), pytest.approx(0.907, abs=1e-3), 100],
    ]
    assert (tmp_path / "outputs" / chart["svg"]).is_file()


def test_equal_groups_pass(tmp_path: Path) -> None:
    result = run(tmp_path, planted({"f": (80, 20, 20, 80), "m": (160, 40, 40, 160)}))
    assert (result.status, result.severity) == ("passed", "")
    assert result.metrics[0].value == pytest.approx(0)


def test_an_interval_that_crosses_the_limit_is_said(tmp_path: Path) -> None:
    result = run(tmp_path, planted({"f": (42, 8, 10, 40), "m": (45, 5, 10, 40)}))
    assert result.status == "passed"
    assert "reaches above the limit of 0.1" in result.reason


def test_small_groups_are_left_out_and_told(tmp_path: Path) -> None:
    """The third group would differ by everything; it has 20 rows."""
    result = run(tmp_path, planted({"f": (80, 20, 20, 80), "m": (80, 20, 20, 80), "x": (0, 10, 0, 10)}))
    assert result.status == "passed"
    assert {entry["group"] for entry in result.detail["too_small"]} == {"x"}
    assert "4 rates of small groups were left out" in result.limits
    nobody = run(tmp_path, planted({"f": (20, 0, 0, 5), "m": (20, 0, 0, 5)}))
    assert nobody.status == "skipped"
    assert "two groups of at least 30 rows in sex" in nobody.reason


def test_which_class_is_favourable_can_be_said(tmp_path: Path) -> None:
    columns = planted({"f": (60, 40, 10, 90), "m": (80, 20, 30, 70)})
    result = run(tmp_path, columns, parameters={"positive_class": "refuse"})
    measures = {entry["measure"] for entry in result.detail["comparisons"]}
    assert "true positive rate of 'refuse'" in measures
    assert not any("grant" in measure for measure in measures)
    with pytest.raises(CriteriaError, match="'maybe' is not a class of the model"):
        run(tmp_path, columns, parameters={"positive_class": "maybe"})


def test_of_more_than_two_classes_each_is_looked_at(tmp_path: Path) -> None:
    model = NumpyModel([[-1.0, 0.0, 1.0]], [0.0, 0.5, 0.0], columns=["x"])
    schema = schema_of(x="feature float", sex="protected category", y="target integer")
    columns = {"x": [2.0] * 100 + [0.0] * 100, "sex": ["f"] * 100 + ["m"] * 100, "y": [2] * 100 + [1] * 100}
    result = run_check("FAIR-01", tmp_path, model, rows_of(model, schema, columns))
    measures = {entry["measure"] for entry in result.detail["comparisons"]}
    assert {"selection rate of '0'", "selection rate of '1'", "selection rate of '2'"} <= measures
    assert result.metrics[0].value == 1


def test_it_does_not_apply_without_a_protected_column_or_without_classes(tmp_path: Path) -> None:
    schema = schema_of(x="feature float", y="target string")
    rows = rows_of(MODEL, schema, {"x": [1.0], "y": ["grant"]})
    assert run_check("FAIR-01", tmp_path, MODEL, rows).status == "not_applicable"
    model = NumpyModel([[1.0]], kind="value", columns=["x"])
    values = schema_of(x="feature float", sex="protected category", y="target float")
    regression = rows_of(model, values, {"x": [1.0], "sex": ["f"], "y": [1.0]}, task="regression")
    assert run_check("FAIR-01", tmp_path, model, regression, task="regression").status == "not_applicable"


def test_many_numbers_become_bands_that_hold_every_row_once() -> None:
    values: list[Any] = [*range(20, 100), None, float("nan")]
    groups = groups_of(values, 4)
    assert list(groups) == ["20 to below 39.75", "39.75 to below 59.5", "59.5 to below 79.25", "79.25 to 99", "missing"]
    assert [int(members.sum()) for members in groups.values()] == [20, 20, 20, 20, 2]
    assert np.sum(list(groups.values()), axis=0).tolist() == [1] * 82


def test_few_values_are_groups_of_their_own() -> None:
    assert {name: members.tolist() for name, members in groups_of([1, 0, 1, None], 4).items()} == {
        "0": [False, True, False, False],
        "1": [True, False, True, False],
        "missing": [False, False, False, True],
    }
    assert list(groups_of([True, False], 4)) == ["False", "True"]


def test_newcombes_and_katz_intervals_as_published() -> None:
    """Newcombe (1998), table II: 56/70 - 48/80 is 0.0524 to 0.3339 (method 10)."""
    difference = difference_of_shares(56, 70, 48, 80)
    assert (difference.value, difference.low, difference.high) == (
        pytest.approx(0.2),
        pytest.approx(0.0524, abs=5e-5),
        pytest.approx(0.3339, abs=5e-5),
    )
    ratio = ratio_of_shares(10, 100, 20, 100)
    spread = np.exp(1.959964 * np.sqrt(1 / 10 - 1 / 100 + 1 / 20 - 1 / 100))
    assert (ratio.value, ratio.low, ratio.high) == (0.5, pytest.approx(0.5 / spread), pytest.approx(0.5 * spread))
    assert difference_of_shares(0, 0, 1, 2).value is None
    assert ratio_of_shares(1, 2, 0, 5).value is None


def test_metrics_name_the_groups(tmp_path: Path) -> None:
    result = run(tmp_path, planted({"f": (30, 70, 5, 95), "m": (85, 15, 5, 95)}))
    assert "m against f" in metric(result, "largest difference").note
