"""Suites and plans before they run: structure, ids, what cleaning they ask for; nothing heavy is imported."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest

from validators.engine.plans import check_plan, ordered, plan_from_suite
from validators.engine.sentences import sentence_of
from validators.engine.suites import check_suite, with_ids

BETWEEN = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "min_value": 0, "max_value": 120}}
UNIQUE = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}
COUNT = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}


def suite(*expectations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "people", "expectations": list(expectations), **more}


def cleaning(expectation: dict[str, Any], **clean: Any) -> dict[str, Any]:
    return {**expectation, "meta": {"clean": clean}}


def test_a_suite_as_great_expectations_writes_it_has_no_problem() -> None:
    full = {**BETWEEN, "severity": "warning", "meta": {}, "id": "1", "notes": None, "description": None}
    assert check_suite(suite(full, UNIQUE, id=None, meta={"great_expectations_version": "1.24.1"}, notes=None)) == []


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "suite"),
        ({"expectation_suite_name": "x", "expectations": []}, "suite"),
        ({"expectations": [BETWEEN]}, "name"),
        (suite(), "expectations"),
        (suite(BETWEEN, author="me"), "author"),
        (suite("x"), "expectations[0]"),  # type: ignore[arg-type]
        (suite(BETWEEN, {"expectation_type": "x", **UNIQUE}), "expectations[1].expectation_type"),
        (suite({**BETWEEN, "type": "Between 1 and 2"}), "expectations[0].type"),
        (suite({**BETWEEN, "kwargs": None}), "expectations[0].kwargs"),
        (suite({**BETWEEN, "kwargs": {"column": "a", "value_set": [float("nan")]}}), "expectations[0].kwargs"),
        (suite({**BETWEEN, "severity": "fatal"}), "expectations[0].severity"),
        (suite({**BETWEEN, "id": 5}), "expectations[0].id"),
        (suite({**BETWEEN, "id": "5"}, {**UNIQUE, "id": "5"}), "expectations[1]"),
        (suite({**BETWEEN, "meta": "x"}), "expectations[0].meta"),
        (suite(cleaning(BETWEEN, action="burn")), "expectations[0].meta.clean"),
        (suite(cleaning(BETWEEN, when="now")), "expectations[0].meta.clean"),
        (suite({**BETWEEN, "meta": {"clean": "drop"}}), "expectations[0].meta.clean"),
    ],
)
def test_a_problem_names_its_place(document: Any, place: str) -> None:
    problems = check_suite(document)
    assert [problem.place for problem in problems] == [place]
    assert problems[0].detail.endswith(".")


@pytest.mark.parametrize(
    ("expectation", "clean", "says"),
    [
        (COUNT, {}, "about the table as a whole"),
        (BETWEEN, {"action": "dedupe"}, "`dedupe` goes with"),
        (UNIQUE, {"action": "clip"}, "needs `lower` or `upper`"),
        (BETWEEN, {"action": "clip", "lower": 5, "upper": 1}, "is above `upper`"),
        (BETWEEN, {"action": "clip", "lower": "low"}, "are numbers"),
        (
            {**BETWEEN, "kwargs": {**BETWEEN["kwargs"], "strict_max": True}},
            {"action": "clip"},
            "would still fail",
        ),
        (BETWEEN, {"action": "impute", "method": "guess"}, "the method 'guess'"),
        (BETWEEN, {"action": "impute", "method": "constant"}, "needs a `value`"),
        (BETWEEN, {"max_fraction": 2}, "`max_fraction` is a number above 0"),
        (BETWEEN, {"priority": "first"}, "`priority` is a whole number"),
        (
            {"type": "expect_column_pair_values_to_be_equal", "kwargs": {"column_A": "a", "column_B": "b"}},
            {"action": "impute"},
            "about several",
        ),
    ],
)
def test_a_cleaning_that_cannot_be_is_told(expectation: dict[str, Any], clean: dict[str, Any], says: str) -> None:
    details = [problem.detail for problem in check_suite(suite(cleaning(expectation, **clean)))]
    assert len(details) == 1
    assert says.lower() in details[0].lower()


def test_ids_follow_from_what_is_expected() -> None:
    document = suite(BETWEEN, UNIQUE, {**UNIQUE, "id": "mine"}, UNIQUE)
    before = copy.deepcopy(document)
    ids = [entry["id"] for entry in with_ids(document)["expectations"]]
    assert document == before
    assert len(set(ids)) == 4
    assert ids[2] == "mine"
    other = with_ids(suite({**UNIQUE, "severity": "info", "meta": {"why": "x"}}, BETWEEN))["expectations"]
    assert [entry["id"] for entry in other] == [ids[1], ids[0]]
    assert with_ids(with_ids(document)) == with_ids(document)


def test_the_plan_of_a_suite_has_rows_leave_before_cells_change() -> None:
    plan = plan_from_suite(
        suite(
            cleaning(BETWEEN, action="impute"),
            cleaning(UNIQUE, action="dedupe"),
            BETWEEN,
            cleaning({**BETWEEN, "kwargs": {**BETWEEN["kwargs"], "column": "size"}}, action="clip", upper=7),
            cleaning(UNIQUE, action="drop", priority=2),
            cleaning({**BETWEEN, "id": "rule"}, max_fraction=0.5),
            cleaning(BETWEEN, action="flag"),
        )
    )
    assert [step["action"] for step in plan] == ["quarantine", "drop", "dedupe", "clip", "impute", "flag"]
    assert plan[0] == {
        "action": "quarantine",
        "max_fraction": 0.5,
        "rule": BETWEEN,
        "expectation": "rule",
        "column": "age",
    }
    assert plan[2]["columns"] == ["id"]
    assert (plan[3]["lower"], plan[3]["upper"]) == (0, 7)
    assert plan[4]["method"] == "median"
    assert check_plan(plan) == []


def test_a_suite_that_asks_for_no_cleaning_has_an_empty_plan() -> None:
    assert plan_from_suite(suite(BETWEEN, COUNT)) == []


def test_the_order_of_a_plan_holds_within_a_kind() -> None:
    steps: list[dict[str, Any]] = [
        {"action": "impute", "column": "b"},
        {"action": "impute", "column": "a"},
        {"action": "impute", "column": "c", "priority": -1},
        {"action": "dedupe", "columns": ["id"]},
    ]
    assert [step.get("column") for step in ordered(steps)] == [None, "c", "b", "a"]


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([], "at least one step"),
        ("x", "at least one step"),
        ([{}], "an object with `action`"),
        ([{"action": "burn"}], "'burn' is not one of"),
        ([{"action": "drop"}], "needs a `rule`"),
        ([{"action": "drop", "rule": {"kwargs": {}}}], "`rule` is an object"),
        ([{"action": "drop", "rule": {"type": "expect_x"}}], "`kwargs` of a `rule`"),
        ([{"action": "drop", "rule": COUNT}], "about the table as a whole"),
        ([{"action": "dedupe"}], "needs `columns`"),
        ([{"action": "impute"}], "needs a `column`"),
        ([{"action": "impute", "column": "a", "method": "guess"}], "'guess'"),
        ([{"action": "clip", "column": "a"}], "needs `lower` or `upper`"),
        ([{"action": "clip", "column": "a", "lower": 1, "speed": 2}], "no key 'speed'"),
    ],
)
def test_a_plan_that_cannot_run_is_told(plan: Any, says: str) -> None:
    assert any(says in problem.detail for problem in check_plan(plan))


@pytest.mark.parametrize(
    ("kind", "kwargs", "sentence"),
    [
        (
            "expect_column_values_to_be_between",
            {"column": "r", "min_value": 5, "max_value": 30},
            "r lies between 5 and 30",
        ),
        ("expect_column_values_to_be_between", {"column": "r", "min_value": 5.0, "strict_min": True}, "r is above 5"),
        (
            "expect_column_values_to_be_between",
            {"column": "r", "min_value": 0, "max_value": 1, "strict_max": True},
            "r is at least 0 and below 1",
        ),
        (
            "expect_column_values_to_not_be_null",
            {"column": "r", "mostly": 0.95, "row_condition": "age > 5"},
            "r is never missing, for at least 95 % of the values, in the rows where age > 5",
        ),
        ("expect_column_values_to_be_in_set", {"column": "r", "value_set": ["a", "b"]}, "r is one of a, b"),
        ("expect_column_mean_to_be_between", {"column": "r", "max_value": 2}, "the mean of r is at most 2"),
        (
            "expect_column_quantile_values_to_be_between",
            {"column": "r", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[1, None]]}},
            "the quantiles of r lie where they should (0.5: is at least 1)",
        ),
        (
            "expect_column_values_to_not_be_null",
            {
                "column": "r",
                "row_condition": {
                    "type": "and",
                    "conditions": [
                        {"type": "comparison", "column": {"name": "age"}, "operator": "IN", "parameter": [1, 2]},
                        {"type": "nullity", "column": {"name": "mail"}, "is_null": False},
                    ],
                },
            },
            "r is never missing, in the rows where age in 1, 2 and mail is not missing",
        ),
        ("expect_table_row_count_to_equal", {"value": 10}, "the number of rows is 10"),
        ("expect_lemons", {"column": "r", "sour": True}, "lemons (column r, sour True)"),
        ("expect_column_values_to_be_in_set", {"column": "r"}, "column values to be in set (column r)"),
    ],
)
def test_an_expectation_reads_as_a_sentence(kind: str, kwargs: dict[str, Any], sentence: str) -> None:
    assert sentence_of(kind, kwargs) == sentence


def test_the_control_half_pays_for_no_library() -> None:
    code = (
        "import sys; import validators.engine.suites, validators.engine.plans, validators.engine.sentences; "
        "print([name for name in ('pyarrow', 'pandas', 'numpy', 'great_expectations') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
