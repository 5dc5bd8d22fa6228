"""Outliers: bounds by the textbook, values that are no numbers, columns that have no middle, plans that hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import Cleaned
from tests.validators.planted import Planted, as_arrow
from tests.validators.screenings import screen
from validators.engine.screening import planning
from validators.engine.screening.mahalanobis import benjamini_hochberg
from validators.engine.screening.univariate import threshold_for


def numbers(*more: float, count: int = 101) -> Planted:
    return Planted({"x": np.array([*range(count), *more], dtype=float)}, {})


def test_bounds_by_quartiles_are_those_of_numpy(tmp_path: Path) -> None:
    data = numbers(1_000.0, -1_000.0)
    low, high = np.quantile(data.columns["x"], [0.25, 0.75])

    found = screen(tmp_path, data, ["iqr"], parameters={"iqr": {"max_share": 0.1}})

    (bound,) = found["iqr"]["bounds"]
    assert bound["lower"] == pytest.approx(low - 3 * (high - low))
    assert bound["upper"] == pytest.approx(high + 3 * (high - low))
    assert found.rows_of("iqr") == {101, 102}


def test_bounds_by_the_median_are_those_of_the_modified_z_score(tmp_path: Path) -> None:
    data = numbers(1_000.0)
    values = data.columns["x"]
    deviation = np.median(np.abs(values - np.median(values)))

    found = screen(tmp_path, data, ["mad"], parameters={"mad": {"max_share": 0.1}})

    (bound,) = found["mad"]["bounds"]
    assert 0.6745 * (bound["upper"] - np.median(values)) / deviation == pytest.approx(3.5)
    assert found.rows_of("mad") == {101}


def test_two_hundred_clean_columns_name_no_more_rows_than_one(tmp_path: Path) -> None:
    """At 3.5 in each column, 9 % of these rows would have a value outside; over all columns it is to be 0.05 %."""
    rows, faulty = 2_000, np.arange(0, 2_000, 100)
    values = np.random.default_rng(8).normal(size=(rows, 200))
    clean = Planted({f"x{place}": values[:, place] for place in range(200)}, {})
    planted = values.copy()
    planted[faulty, np.arange(len(faulty))] = 9.0

    on_clean = screen(tmp_path / "clean", clean, ["mad"])
    on_planted = screen(
        tmp_path / "planted", Planted({f"x{place}": planted[:, place] for place in range(200)}, {}), ["mad"]
    )

    assert len(on_clean.rows_of("mad")) <= 4, "1 is expected; 5 or more come with a chance of 0.3 %"
    assert on_planted.rows_of("mad") == {*faulty.tolist(), *on_clean.rows_of("mad")}
    assert "For 200 columns the threshold is 4.72" in on_clean["mad"]["sentence"]
    assert on_clean["mad"]["detail"]["reach"] == pytest.approx(4.7228 / 0.6745, rel=1e-4)


@pytest.mark.parametrize(("count", "threshold"), [(1, 3.5), (20, 4.231), (200, 4.7228), (1, 60.0), (1_000, 60.0)])
def test_a_threshold_grows_with_the_columns_and_stays_finite(count: int, threshold: float) -> None:
    assert threshold_for(60.0 if threshold == 60 else 3.5, count) == pytest.approx(threshold, rel=1e-4)


@pytest.mark.parametrize("detector", ["iqr", "mad"])
def test_infinities_are_outliers_and_what_is_missing_is_not(detector: str, tmp_path: Path) -> None:
    values = pa.array([*map(float, range(500)), np.inf, -np.inf, None, np.nan], pa.float64())

    found = screen(tmp_path, Planted({"x": values}, {}), [detector], parameters={detector: {"max_share": 0.01}})

    assert found.rows_of(detector) == {500, 501}
    assert "at infinity" in found[detector]["rows"][0]["reason"]


def test_bounds_of_a_skewed_column_are_widened_and_told(tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(0, 1.2, 4_000)

    found = screen(tmp_path, Planted({"x": values}, {}), ["iqr"])["iqr"]

    assert found["detail"]["widened"] == ["x"]
    assert "widened for 1 skewed column" in found["sentence"]
    assert found["count"] <= 0.005 * len(values)


def test_a_mixture_is_told_and_not_counted(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0, 1, 800), generator.normal(10_000, 1, 200)])

    found = screen(tmp_path, Planted({"x": values}, {}), ["iqr"])

    assert found["iqr"]["status"] == "not_found"
    assert found["iqr"]["detail"]["not_counted"] == ["x"]
    assert found.rows == []


@pytest.mark.parametrize(
    "columns",
    [
        {"x": np.zeros(50)},
        {"x": np.arange(50) % 3},
        {"x": pa.array([None] * 50, pa.float64())},
        {"x": ["a", "b"] * 25},
        {"x": np.array([], dtype=float)},
        {"x": np.array([1.0])},
        {"x": np.full(50, np.inf)},
    ],
    ids=["constant", "codes", "missing", "texts", "empty", "one row", "infinite"],
)
@pytest.mark.parametrize("detector", ["iqr", "mad", "mahalanobis"])
def test_columns_without_a_middle_have_no_outliers(detector: str, columns: dict[str, Any], tmp_path: Path) -> None:
    found = screen(tmp_path, Planted(columns, {}), [detector])

    assert found[detector]["status"] == "not_applicable"
    assert found.rows == []


def test_the_plan_of_a_screening_puts_aside_exactly_the_rows_that_it_named(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    columns = {"a": generator.normal(size=1_000), 'b"; DROP TABLE x; --': generator.normal(size=1_000)}
    columns["a"][[7, 8]] = [99, -99]
    columns['b"; DROP TABLE x; --'][9] = 1e9
    found = screen(tmp_path / "screening", Planted(columns, {}), ["iqr", "mad"])

    steps = planning.steps_of(found.value["detections"], screening=5, row_count=1_000)
    cleaned = Cleaned(tmp_path, pa.table({name: as_arrow(values) for name, values in columns.items()}), plan=steps)

    assert set(cleaned.quarantine["_row"].to_pylist()) == {row["row"] for row in found.rows} >= {7, 8, 9}
    assert {step["expectation"] for step in steps} == {"screening 5: iqr", "screening 5: mad"}
    again = screen(tmp_path / "again", Planted(dict(zip(columns, cleaned.clean.columns, strict=True)), {}), ["iqr"])
    assert again["iqr"]["count"] == 0


def test_what_is_not_to_be_quarantined_is_no_step() -> None:
    detections = [
        {"detector": "label_issues", "action": "flag", "status": "found", "title": "Labels", "sentence": "Two.",
         "bounds": [], "columns": []},
    ]  # fmt: skip

    assert planning.steps_of(detections, screening=1, row_count=10) == []
    assert planning.left_out(detections) == ["Labels: flag only. Two."]


def test_rows_are_flagged_at_the_asked_rate_of_false_discoveries() -> None:
    p = np.array([0.001, 0.008, 0.039, 0.041, 0.042, 0.06])

    # By hand: the largest k with p(k) <= k / 6 * 0.05 is 2 (0.008 <= 0.0167; 0.039 > 0.025).
    assert benjamini_hochberg(p, 0.05, 6).tolist() == [True, True, False, False, False, False]
    assert not benjamini_hochberg(p, 0.001, 6).any()
    assert not benjamini_hochberg(p, 0.05, 1_000).any()


def test_a_row_is_far_only_by_its_columns_together(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    height = generator.normal(size=2_000)
    data = Planted({"height": height, "weight": height + 0.1 * generator.normal(size=2_000)}, {})
    data.columns["height"][42], data.columns["weight"][42] = 1.5, -1.5

    found = screen(tmp_path, data, ["mahalanobis", "iqr"])

    assert found["mahalanobis"]["rows"][0]["row"] == 42
    assert 42 not in found.rows_of("iqr")
    assert "height" in found["mahalanobis"]["rows"][0]["reason"]
