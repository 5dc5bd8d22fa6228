"""Columns: constant ones, those that say the same, those that give the label away, and those that have moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from tests.validators.planted import Planted, halves, table
from tests.validators.screenings import screen
from validators.engine.screening.drift import compare, jensen_shannon

GENERATOR = np.random.default_rng


def test_a_constant_column_names_its_value_and_its_share(tmp_path: Path) -> None:
    columns = {
        "x": np.arange(1_000.0),
        "one": ["only"] * 1_000,
        "nearly": np.array([0] * 996 + [1] * 4),
        "not": np.array([0] * 990 + [1] * 10),
        "moment": pa.array([0] * 1_000, pa.timestamp("us")),
    }

    found = screen(tmp_path, Planted(columns, {}), ["constant_columns"])["constant_columns"]

    reasons = {entry["column"]: entry["reason"] for entry in found["columns"]}
    assert set(reasons) == {"one", "nearly", "moment"}
    assert "'only'" in reasons["one"]
    assert "99.6" in reasons["nearly"]
    assert "1970-01-01" in reasons["moment"]


def test_columns_that_say_the_same_say_how(tmp_path: Path) -> None:
    generator = GENERATOR(0)
    x = generator.normal(size=500)
    columns = {
        "x": x,
        "copy": x.copy(),
        "scaled": 3 - 2 * x,
        "region": generator.choice(["a", "b", "c"], 500).tolist(),
        "noise": x + 0.05 * generator.normal(size=500),
    }
    columns["code"] = [{"a": 7, "b": 5, "c": 9}[value] for value in columns["region"]]

    found = screen(tmp_path, Planted(columns, {}), ["duplicate_columns"])["duplicate_columns"]

    assert {entry["column"]: entry["reason"] for entry in found["columns"]} == {
        "copy": "In every row the same value as x.",
        "scaled": "A straight line, -2 x + 3, of x.",
        "code": "Each of its values goes with exactly one of region.",
    }


def test_a_pair_that_holds_on_the_sample_and_not_on_all_rows_is_none(tmp_path: Path) -> None:
    x = GENERATOR(0).normal(size=2_000)
    other = x.copy()
    other[np.argmax(x)] = -other[np.argmax(x)] * 50
    asked = {"duplicate_columns": {"rows": 100}}

    found = screen(tmp_path, Planted({"x": x, "y": other}, {}), ["duplicate_columns"], parameters=asked, seed=3)

    assert found["duplicate_columns"]["status"] == "not_found"


def test_missing_rows_have_to_be_the_same_for_two_columns_to_be(tmp_path: Path) -> None:
    x = GENERATOR(0).normal(size=200)
    y = 2 * x
    y[5] = np.nan

    assert screen(tmp_path, Planted({"x": x, "y": y}, {}), ["duplicate_columns"])["duplicate_columns"]["count"] == 0


def test_a_column_that_gives_a_number_away_is_found(tmp_path: Path) -> None:
    generator = GENERATOR(0)
    price = generator.lognormal(3, 1, 800)
    columns = {"with_tax": np.round(price * 1.19, 2), "size": price + generator.normal(0, 20, 800), "price": price}

    found = screen(tmp_path, Planted(columns, {"price": "target"}), ["label_giveaway"])["label_giveaway"]

    assert [entry["column"] for entry in found["columns"]] == ["with_tax"]
    assert "R²" in found["columns"][0]["reason"]


def test_an_id_in_the_order_of_the_labels_is_called_what_it_is(tmp_path: Path) -> None:
    columns = {"id": np.arange(400), "x": GENERATOR(0).normal(size=400), "label": ["a"] * 200 + ["b"] * 200}

    found = screen(tmp_path, Planted(columns, {"id": "id", "label": "target"}), ["label_giveaway"])["label_giveaway"]

    assert [entry["column"] for entry in found["columns"]] == ["id"]
    assert "should only name the row" in found["columns"][0]["reason"]


def test_a_text_of_its_own_in_each_row_gives_nothing_away(tmp_path: Path) -> None:
    columns = {"name": [f"person {n}" for n in range(400)], "label": ["a", "b"] * 200}

    found = screen(tmp_path, Planted(columns, {"label": "target"}), ["label_giveaway"])["label_giveaway"]

    assert found["status"] == "not_found"


def test_drift_of_numbers_is_that_of_scipy() -> None:
    generator = GENERATOR(0)
    ours, theirs = generator.normal(0.3, 1, 500), generator.normal(0, 1, 700)

    (moved,) = compare("x", pa.array(ours), pa.array(theirs))

    reference = ks_2samp(ours, theirs, method="asymp")
    assert moved.effect == pytest.approx(reference.statistic)
    assert moved.p == pytest.approx(reference.pvalue)
    left, right = np.array([0.1, 0.4, 0.5]), np.array([0.3, 0.3, 0.4])
    assert jensen_shannon(left, right) == pytest.approx(jensenshannon(left, right, base=2) ** 2)


def test_many_rows_alone_are_no_drift_and_few_large_changes_are(tmp_path: Path) -> None:
    generator = GENERATOR(0)
    ours = {"tiny": generator.normal(0.05, 1, 20_000), "large": generator.normal(0.5, 1, 20_000)}
    ours["gone"] = np.where(generator.random(20_000) < 0.3, np.nan, generator.normal(size=20_000))
    theirs = {name: generator.normal(size=20_000) for name in ours}

    found = screen(tmp_path, Planted(ours, {}, against=theirs), ["column_drift"], purpose="drift")["column_drift"]

    assert {entry["column"] for entry in found["columns"]} == {"large", "gone"}
    assert "Missing share" in next(entry["reason"] for entry in found["columns"] if entry["column"] == "gone")
    assert [chart["svg"] for chart in found["charts"]] == ["column-drift-1.svg"]


def test_drawn_distributions_are_those_of_both_versions(tmp_path: Path) -> None:
    ours = {"kind": ["a"] * 300 + ["b"] * 100}
    theirs = {"kind": ["a"] * 100 + ["b"] * 300}

    found = screen(tmp_path, Planted(ours, {}, against=theirs), ["column_drift"], purpose="drift")

    (chart,) = found["column_drift"]["charts"]
    assert chart["table"] == {"columns": ["kind", "ours/1", "theirs/1"], "rows": [["a", 0.75, 0.25], ["b", 0.25, 0.75]]}
    assert (found.folder / "outputs" / chart["svg"]).read_text().startswith("<svg")


def test_columns_of_one_version_only_are_named(tmp_path: Path) -> None:
    data = halves(table(GENERATOR(0), 400), GENERATOR(0))
    data.against["new"] = data.against.pop("x7")

    found = screen(tmp_path, data, ["column_drift"], purpose="drift")["column_drift"]

    assert found["detail"]["only_in_one"] == ["new", "x7"]
    assert "Only in one of the two: new and x7." in found["sentence"]
