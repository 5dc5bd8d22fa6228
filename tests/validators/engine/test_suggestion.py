"""What is suggested for columns whose rules are known by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.validators.engine.suggestion_tables import of_kind, one, suggestions_for

ROWS = 1_000


def test_digits_that_all_come_alike_often_are_a_closed_list(tmp_path: Path) -> None:
    digits = np.random.default_rng(1).permutation(np.arange(ROWS) % 10)

    found = suggestions_for(tmp_path, {"digit": digits})

    assert {entry["type"].removeprefix("expect_") for entry in found if entry["column"]} == {
        "column_values_to_be_in_type_list",
        "column_values_to_not_be_null",
        "column_values_to_be_in_set",
        "column_distinct_values_to_contain_set",
        "column_mean_to_be_between",
        "column_quantile_values_to_be_between",
    }
    values = one(found, "column_values_to_be_in_set")
    assert values["kwargs"] == {"column": "digit", "value_set": list(range(10))}
    assert values["sentence"].startswith("digit is one of 0, 1, 2")
    assert values["meta"] == {"clean": {"action": "quarantine"}}
    fit, others = values["evidence"]["fit"], values["evidence"]["holdout"]
    assert fit["failed"] == others["failed"] == 0
    assert fit["rows"] + others["rows"] == ROWS
    assert 150 < others["rows"] < 250


def test_a_tail_is_continued_and_a_usual_range_asks_for_a_share(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(100, 10, ROWS)

    possible, usual = of_kind(suggestions_for(tmp_path, {"x": values}), "column_values_to_be_between")

    assert "mostly" not in possible["kwargs"]
    assert possible["kwargs"]["min_value"] < 100 - 6 * 10
    assert possible["kwargs"]["max_value"] > 100 + 6 * 10
    assert possible["kwargs"]["max_value"] < 1_000
    assert 0.97 < usual["kwargs"]["mostly"] < 1
    assert usual["meta"] == {}
    assert abs(usual["kwargs"]["max_value"] - usual["evidence"]["highest"]) < 1


def test_a_tail_so_heavy_that_its_range_says_nothing_gets_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    columns = {
        "both": rng.standard_cauchy(ROWS),
        "above": rng.pareto(1, ROWS),
        "whole": (rng.pareto(0.7, ROWS) * 10).astype(np.int64),
        "light": rng.normal(size=ROWS),
    }

    found = suggestions_for(tmp_path, columns)

    ranges = {name: of_kind(found, "column_values_to_be_between", name) for name in columns}
    for name, seen in columns.items():
        usual = next(entry for entry in ranges[name] if "mostly" in entry["kwargs"])
        assert ("the tail is so heavy" in usual["why"]) == (name != "light")
        assert usual["kwargs"]["max_value"] - usual["kwargs"]["min_value"] < 1.1 * float(seen.max() - seen.min())
    for_every_value = {
        name: next((entry["kwargs"] for entry in entries if "mostly" not in entry["kwargs"]), None)
        for name, entries in ranges.items()
    }
    assert for_every_value["both"] is None
    assert for_every_value["above"] == {"column": "above", "min_value": 0}
    assert for_every_value["whole"] == {"column": "whole", "min_value": 0}
    assert {"min_value", "max_value"} <= for_every_value["light"].keys()
    (above,) = (entry for entry in ranges["above"] if "mostly" not in entry["kwargs"])
    assert above["why"].endswith("; below, the source ends there.")


def test_a_source_that_ends_at_zero_never_goes_below(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    found = suggestions_for(tmp_path, {"wait": rng.exponential(3, ROWS), "share": rng.uniform(0, 1, ROWS)})

    assert of_kind(found, "column_values_to_be_between", "wait")[0]["kwargs"]["min_value"] == 0
    share = one(found, "column_values_to_be_between", "share")
    assert (share["kwargs"]["min_value"], share["kwargs"]["max_value"]) == (0, 1)


def test_a_positive_column_that_only_happens_to_be_positive_is_not_bounded_by_zero(tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(4.5, 1, ROWS)
    assert values.min() > 0

    possible = of_kind(suggestions_for(tmp_path, {"x": values}), "column_values_to_be_between")[0]

    assert possible["kwargs"]["min_value"] < 0


def test_what_is_missing_sometimes_may_be_missing_about_as_often(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    values = [None if lost else 1.5 for lost in rng.random(ROWS) < 0.2]

    found = suggestions_for(tmp_path, {"x": values, "y": np.ones(ROWS)}, {"y": "metadata"})

    rule = one(found, "column_values_to_not_be_null", "x")
    assert 0.65 < rule["kwargs"]["mostly"] < 0.8
    assert rule["severity"] == "warning"
    assert "mostly" not in one(found, "column_values_to_not_be_null", "y")["kwargs"]


def test_texts_that_are_built_alike_have_a_pattern_and_others_lengths(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    columns = {
        "code": [f"AB-{rng.integers(10_000):04d}" for _ in range(ROWS)],
        "mail": [f"{'x' * int(rng.integers(1, 9))}{n}@y.org" for n in range(ROWS)],
        "prose": [" ".join(["word", "und", "Ä!"][: 1 + n % 3] * (1 + n % 17)) + str(n) for n in range(ROWS)],
    }

    found = suggestions_for(tmp_path, columns)

    assert one(found, "column_values_to_match_regex", "code")["kwargs"]["regex"] == "^AB-[0-9]{4}$"
    mail = one(found, "column_values_to_match_regex", "mail")["kwargs"]["regex"]
    assert mail == r"^[a-z]+[0-9]+@[a-z]+\.[a-z]+$"
    assert not of_kind(found, "column_values_to_match_regex", "prose")
    assert len(of_kind(found, "column_value_lengths_to_be_between", "prose")) == 3


def test_a_key_is_unique_by_its_role_or_since_chance_could_not_make_it_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    columns = {
        "number": rng.permutation(ROWS) + 5,
        "few": rng.choice(10**5, ROWS, replace=False),
        "person": rng.choice(10**5, ROWS, replace=False),
    }

    found = suggestions_for(tmp_path, columns, {"person": "id"})

    assert one(found, "column_values_to_be_unique", "number")["severity"] == "warning"
    assert one(found, "column_values_to_be_unique", "person")["severity"] == "critical"
    assert not of_kind(found, "column_values_to_be_unique", "few")
    assert not of_kind(found, "column_values_to_be_between", "person")


def test_two_columns_are_a_key_together(tmp_path: Path) -> None:
    columns = {"shop": np.arange(ROWS) % 20, "day": np.arange(ROWS) // 20, "sold": np.arange(ROWS) % 7}

    rule = one(suggestions_for(tmp_path, columns), "compound_columns_to_be_unique")

    assert set(rule["kwargs"]["column_list"]) == {"shop", "day"}


def test_rows_in_an_order_keep_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    up = np.sort(rng.normal(0, 1, ROWS))

    found = suggestions_for(tmp_path, {"up": up, "down": -up, "neither": rng.normal(0, 1, ROWS)})

    assert one(found, "column_values_to_be_increasing")["column"] == "up"
    assert one(found, "column_values_to_be_decreasing")["column"] == "down"
    assert not of_kind(found, "column_mean_to_be_between", "up")
    assert of_kind(found, "column_mean_to_be_between", "neither")


def test_pairs_say_what_is_greater_and_leave_out_what_follows(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    low = rng.normal(0, 5, ROWS)
    middle = low + np.where(rng.random(ROWS) < 0.2, 0, rng.exponential(2, ROWS))
    columns = {"low": low, "middle": middle, "high": middle + rng.exponential(2, ROWS), "copy": low, "far": low + 500}

    found = suggestions_for(tmp_path, columns)

    rules = {
        (entry["kwargs"]["column_A"], entry["kwargs"]["column_B"]): entry["kwargs"].get("mostly", 1)
        for entry in of_kind(found, "column_pair_values_a_to_be_greater_than_b")
    }
    assert set(rules) == {("middle", "low"), ("high", "middle")}
    assert rules["middle", "low"] == 1
    assert rules["high", "middle"] < 1
    equal = one(found, "column_pair_values_to_be_equal")["kwargs"]
    assert {equal["column_A"], equal["column_B"]} == {"low", "copy"}


def test_what_is_missing_together_is_there_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    lost = rng.random(ROWS) < 0.3
    columns = {
        "paid_at": pa.array(rng.normal(0, 1, ROWS), mask=lost),
        "paid_by": pa.array(rng.normal(0, 1, ROWS), mask=lost),
        "other": pa.array(rng.normal(0, 1, ROWS), mask=rng.random(ROWS) < 0.3),
    }

    conditional = [
        entry
        for entry in of_kind(suggestions_for(tmp_path, columns), "column_values_to_not_be_null")
        if "row_condition" in entry["kwargs"]
    ]

    pairs = {(entry["column"], entry["kwargs"]["row_condition"]["column"]["name"]) for entry in conditional}
    assert pairs == {("paid_at", "paid_by")}
    assert "in the rows where paid_by is not missing" in conditional[0]["sentence"]


def test_moments_leave_room_for_the_next_period_but_not_for_another_century(tmp_path: Path) -> None:
    start = datetime(2024, 1, 1)
    moments = [start + timedelta(hours=number) for number in range(ROWS)]

    rule = one(suggestions_for(tmp_path, {"at": pa.array(moments, pa.timestamp("us"))}), "column_values_to_be_between")

    assert rule["kwargs"]["min_value"] == "2023-12-11T00:00:00"
    assert rule["kwargs"]["max_value"] == "2024-03-25T00:00:00"


def test_a_rule_that_the_other_rows_do_not_meet_is_not_suggested(tmp_path: Path) -> None:
    from validators.engine.suggestion.candidate import Candidate, RowTest
    from validators.engine.suggestion.profile import Reader
    from validators.engine.suggestion.trial import surviving
    from workers.datasets.arrays import write_table

    path = tmp_path / "table.parquet"
    write_table(pa.table({"x": np.arange(ROWS)}), path)

    def candidate(limit: int, mostly: float) -> Candidate:
        kwargs = {"column": "x", "max_value": limit, "mostly": mostly}
        return Candidate("expect", kwargs, "info", "x", "", test=RowTest("true", "c0 > ?", [limit]))

    with Reader(path, work=tmp_path / "work") as reader:
        kept = list(surviving(reader, [candidate(998, 1), candidate(900, 0.8), candidate(900, 0.95)], lambda *_: None))

    assert [entry.kwargs["max_value"] for entry in kept] == [900]
    assert kept[0].evidence["fit"]["failed"] + kept[0].evidence["holdout"]["failed"] == 99


def test_what_breaks_training_is_critical(tmp_path: Path) -> None:
    columns = {"x": np.arange(ROWS) % 50, "label": np.arange(ROWS) % 2, "image.decodes": np.ones(ROWS, dtype=bool)}

    found = suggestions_for(tmp_path, columns, {"label": "target", "image.decodes": "metadata"})

    critical = {(entry["column"], entry["type"]) for entry in found if entry["severity"] == "critical"}
    assert ("", "expect_table_columns_to_match_set") in critical
    assert ("label", "expect_column_values_to_be_in_set") in critical
    assert ("image.decodes", "expect_column_values_to_be_in_set") in critical
    assert ("x", "expect_column_values_to_not_be_null") in critical
    assert ("x", "expect_column_values_to_be_between") not in critical
