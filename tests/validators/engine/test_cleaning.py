"""Cleaning: every row and cell accounted for, pinned values, replay, and a result that passes its suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import Cleaned, expectation, validate, with_metadata
from tests.validators.engine.test_validation import people
from workers.datasets.canonical import content_digest, tensor_array
from workers.protocol import JobError

AGES = pa.table(
    {
        "id": ["a", "b", "c", "d", "e", "e", "f", "g"],
        "age": [30, -5, None, 40, 200, 50, 60, 20],
        "kind": ["x", "y", "x", None, "x", "y", "?", "x"],
    }
)


def range_of(action: str = "quarantine", **clean: Any) -> dict[str, Any]:
    return expectation(
        "column_values_to_be_between",
        column="age",
        min_value=0,
        max_value=120,
        id="range",
        clean={"action": action, **clean},
    )


UNIQUE = expectation("column_values_to_be_unique", column="id", id="unique", clean={"action": "dedupe"})
THERE = expectation("column_values_to_not_be_null", column="age", id="there", clean={"action": "impute"})
KIND = expectation(
    "column_values_to_be_in_set", column="kind", value_set=["x", "y"], id="kind", clean={"action": "drop"}
)


def test_rows_leave_with_their_reasons_and_cells_change_with_theirs(tmp_path: Path) -> None:
    result = Cleaned(tmp_path, AGES, range_of(max_fraction=0.5), UNIQUE, THERE, KIND)
    # Row 4 (age 200) is put aside first, so its twin, row 5, is the first of its id that is left.
    assert result.clean.to_pydict() == {
        "id": ["a", "c", "d", "e", "g"],
        "age": [30, 35, 40, 50, 20],
        "kind": ["x", "x", None, "y", "x"],
    }
    assert {key: value for key, value in result.report.items() if key.startswith(("rows", "cells", "columns"))} == {
        "rows_in": 8,
        "rows_out": 5,
        "rows_quarantined": 3,
        "rows_by_action": {"quarantine": 2, "drop": 1, "dedupe": 0},
        "rows_flagged": 0,
        "cells_changed": 1,
        "columns": {"age": 1},
    }
    removed = result.quarantine.select(["_row", "_action", "_expectation", "_reason", "id", "age"]).to_pylist()
    assert removed == [
        {
            "_row": 1,
            "_action": "quarantine",
            "_expectation": "range",
            "_reason": "Not met: age lies between 0 and 120.",
            "id": "b",
            "age": -5,
        },
        {
            "_row": 4,
            "_action": "quarantine",
            "_expectation": "range",
            "_reason": "Not met: age lies between 0 and 120.",
            "id": "e",
            "age": 200,
        },
        {
            "_row": 6,
            "_action": "drop",
            "_expectation": "kind",
            "_reason": "Not met: kind is one of x, y.",
            "id": "f",
            "age": 60,
        },
    ]
    assert result.changes.to_pylist() == [
        {
            "row": 2,
            "column": "age",
            "before": None,
            "after": "35",
            "reason": "Filled in with the median of the 4 others.",
            "expectation": "there",
            "step": 3,
        }
    ]
    assert [step["action"] for step in result.value["plan"]] == ["quarantine", "drop", "dedupe", "impute"]
    assert result.value["plan"][-1]["value"] == 35
    assert [(step["rows"], step["cells"]) for step in result.report["steps"]] == [(2, 0), (1, 0), (0, 0), (1, 1)]
    assert result.report["steps"][0]["sentence"] == "2 rows put into quarantine; not met: age lies between 0 and 120."
    assert result.value["row_count"] == 5
    assert result.value["content_digest"] == content_digest(result.clean)
    assert result.value["profile"]["age"]["missing"] == 0


def test_a_row_of_several_faults_leaves_once_and_says_all_of_them(tmp_path: Path) -> None:
    table = pa.table({"age": [1, -1, 2, 3], "kind": ["x", "?", "x", "x"]})
    result = Cleaned(tmp_path, table, KIND, range_of())
    assert result.report["rows_by_action"] == {"quarantine": 0, "drop": 1, "dedupe": 0}
    assert [step["rows"] for step in result.report["steps"]] == [1, 0]
    assert result.quarantine["_reason"].to_pylist() == ["Not met: kind is one of x, y; age lies between 0 and 120."]
    assert result.quarantine["_steps"].to_pylist() == [[0, 1]]
    first = Cleaned(tmp_path, table, {**KIND, "meta": {"clean": {"action": "drop", "priority": 1}}}, range_of())
    assert first.report["rows_by_action"]["quarantine"] == 1


def test_quarantine_beats_edits(tmp_path: Path) -> None:
    clip = {"action": "clip", "column": "age", "lower": 0, "upper": 120}
    quarantine = {
        "action": "quarantine",
        "rule": {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "max_value": 120}},
    }
    result = Cleaned(tmp_path, AGES, plan=[clip, quarantine])
    assert result.quarantine["age"].to_pylist() == [200]
    assert result.changes.to_pylist() == [
        {"row": 1, "column": "age", "before": "-5", "after": "0", "reason": "Clipped to at least 0 and at most 120.",
         "expectation": "", "step": 1}
    ]  # fmt: skip
    assert [step["action"] for step in result.value["plan"]] == ["quarantine", "clip"]


def test_dedupe_keeps_the_first_and_names_it(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", "x", "y", "x", None, None], "b": [1, 1, 1, 2, None, None]})
    result = Cleaned(tmp_path, table, plan=[{"action": "dedupe", "columns": ["a", "b"]}])
    assert result.quarantine["_row"].to_pylist() == [1]
    assert result.quarantine["_reason"].to_pylist() == ["The same as row 0, which is kept, in a, b."]
    assert result.report["rows_by_action"]["dedupe"] == 1
    compound = expectation("compound_columns_to_be_unique", column_list=["a", "b"], clean={"action": "dedupe"})
    assert Cleaned(tmp_path, table, compound).clean.equals(result.clean)


def test_whole_images_can_be_what_repeats(tmp_path: Path) -> None:
    images = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
    images[3] = images[1]
    result = Cleaned(
        tmp_path, pa.table({"image": tensor_array(images)}), plan=[{"action": "dedupe", "columns": ["image"]}]
    )
    assert result.quarantine["_row"].to_pylist() == [3]
    assert result.clean["image"].type == pa.fixed_shape_tensor(pa.float32(), [2, 2])


def test_images_are_put_aside_by_their_metadata(tmp_path: Path) -> None:
    images = np.ones((5, 2, 2), dtype=np.uint8)
    images[2] = 0
    rule = expectation(
        "column_values_to_be_between", column="image.maximum", min_value=1, id="ink", clean={"action": "quarantine"}
    )
    result = Cleaned(tmp_path, with_metadata(pa.table({"image": tensor_array(images), "n": list(range(5))})), rule)
    assert result.clean["image.maximum"].to_pylist() == [1] * 4
    assert result.quarantine["n"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("method", "values", "filled"),
    [
        ("median", [1, 2, 9, None], 2),
        ("median", [1, 2, None, None], 2),
        ("mean", [1, 2, 5, None], 3),
        ("median", [1.0, 2.0, None], 1.5),
        ("mean", [1.0, 2.0, 4.5, None], 2.5),
        ("most_frequent", ["b", "a", "b", "a", None], "a"),
        ("most_frequent", [True, True, False, None], True),
    ],
)
def test_what_is_imputed_keeps_the_type(tmp_path: Path, method: str, values: list[Any], filled: Any) -> None:
    table = pa.table({"v": values})
    result = Cleaned(tmp_path, table, plan=[{"action": "impute", "column": "v", "method": method}])
    assert result.clean["v"].to_pylist() == [filled if value is None else value for value in values]
    assert result.clean.schema == table.schema
    assert result.value["plan"][0]["value"] == filled


@pytest.mark.parametrize(
    ("column", "step"),
    [
        (pa.array([None, None], pa.float64()), {"method": "median"}),
        (pa.array(["a", None]), {"method": "mean"}),
        (pa.array([1, None]), {"method": "constant", "value": 2.5}),
        (pa.array([1, None]), {"method": "constant", "value": "two"}),
        (pa.array([True, None]), {"method": "constant", "value": "yes"}),
        (pa.array([float("inf"), None]), {"method": "mean"}),
        (tensor_array(np.zeros((2, 2, 2))), {"method": "median"}),
    ],
)
def test_what_cannot_be_imputed_is_told(tmp_path: Path, column: Any, step: dict[str, Any]) -> None:
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, pa.table({"v": column}), plan=[{"action": "impute", "column": "v", **step}])
    assert (refused.value.code, refused.value.place) == ("imputation_not_possible", "v")


def test_a_constant_moment_is_imputed(tmp_path: Path) -> None:
    table = pa.table({"when": pa.array([0, None], pa.timestamp("us"))})
    step = {"action": "impute", "column": "when", "method": "constant", "value": "2024-02-29"}
    assert str(Cleaned(tmp_path, table, plan=[step]).clean["when"][1]) == "2024-02-29 00:00:00"


def test_values_that_break_a_rule_can_be_imputed_from_those_that_do_not(tmp_path: Path) -> None:
    result = Cleaned(tmp_path, AGES, range_of("impute"))
    assert result.clean["age"].to_pylist() == [30, 40, None, 40, 40, 50, 60, 20]
    assert result.report["cells_changed"] == 2


def test_clipping_an_integer_stays_within_the_bounds_and_whole(tmp_path: Path) -> None:
    step = {"action": "clip", "column": "n", "lower": -1.5, "upper": 2.5}
    result = Cleaned(tmp_path, pa.table({"n": [-9, 0, None, 9]}), plan=[step])
    assert result.clean["n"].to_pylist() == [-1, 0, None, 2]
    assert result.clean.schema.field("n").type == pa.int64()
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, pa.table({"n": ["a"]}), plan=[step])
    assert refused.value.code == "clip_not_possible"


def test_a_flag_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    result = Cleaned(tmp_path, AGES, range_of("flag"))
    assert result.clean.equals(AGES)
    assert result.report["steps"][0]["rows"] == 2
    assert result.report["rows_out"] == 8
    assert result.quarantine.num_rows == result.changes.num_rows == 0


@pytest.mark.parametrize(
    ("expectations", "place"),
    [
        ([range_of(max_fraction=0.2)], "range"),
        ([range_of("clip", max_fraction=0.1)], "range"),
        ([range_of("flag", max_fraction=0.1)], "range"),
        (
            [
                expectation(
                    "column_values_to_be_between", column="age", max_value=25, id="most", clean={"max_fraction": 0.9}
                ),
            ],
            "plan",
        ),
        (
            [expectation("column_values_to_be_in_set", column="kind", value_set=["y"], id="default", clean={})],
            "default",
        ),
    ],
)
def test_more_than_the_allowed_share_is_refused(tmp_path: Path, expectations: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, AGES, *expectations)
    assert (refused.value.code, refused.value.place) == ("too_many_rows", place)


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ([{"action": "burn"}], "plan_not_valid"),
        ([{"action": "impute", "column": "shoe"}], "column_missing"),
        ([{"action": "dedupe", "columns": ["shoe"]}], "column_missing"),
        (
            [{"action": "drop", "rule": {"type": "expect_column_values_to_match_regex",
                                         "kwargs": {"column": "kind", "regex": "("}}}],
            "rule_cannot_run",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_run_ends_the_job(tmp_path: Path, plan: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, AGES, plan=plan)
    assert refused.value.code == code


def test_a_cleaning_needs_something_to_do(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"`meta\.clean`"):
        Cleaned(tmp_path, AGES, expectation("column_to_exist", column="age"))
    with pytest.raises(JobError, match="a suite or a plan"):
        Cleaned(tmp_path, AGES)


SUITE = [
    expectation("column_values_to_be_unique", column="id", clean={"action": "dedupe"}),
    expectation("column_values_to_not_be_null", column="age", clean={"action": "impute", "method": "median"}),
    expectation("column_values_to_be_between", column="age", max_value=120, clean={}),
    expectation("column_values_to_be_between", column="size", min_value=130, max_value=210, clean={"action": "clip"}),
    expectation(
        "column_values_to_not_be_null",
        column="mail",
        clean={"action": "impute", "method": "constant", "value": "p0@x.org"},
    ),
    expectation(
        "column_values_to_match_regex",
        column="mail",
        regex="^p.*@",
        clean={"action": "quarantine", "max_fraction": 0.4},
    ),
    expectation(
        "column_pair_values_a_to_be_greater_than_b",
        column_A="high",
        column_B="low",
        or_equal=True,
        ignore_row_if="either_value_is_missing",
        clean={"action": "drop", "max_fraction": 0.3},
    ),
]


def test_the_cleaned_table_passes_the_suite_that_cleaned_it(tmp_path: Path) -> None:
    before, _ = validate(tmp_path, people(), *SUITE)
    assert before["statistics"]["failed"] == len(SUITE)
    result = Cleaned(tmp_path, people(), *SUITE)
    after, rows = validate(tmp_path, result.clean, *SUITE)
    assert after["statistics"]["passed"] == len(SUITE)
    assert (after["success"], rows) == (True, [])
    report = result.report
    assert report["rows_in"] == report["rows_out"] + report["rows_quarantined"] == 600
    assert result.clean.schema == people().schema
    removed = result.quarantine["_row"].to_pylist()
    assert len(removed) == len(set(removed)) == report["rows_quarantined"] == sum(report["rows_by_action"].values())
    untouched = people().take(result.quarantine["_row"])
    assert result.quarantine.select(people().column_names).equals(untouched)


def test_a_replay_gives_the_same_digest(tmp_path: Path) -> None:
    first = Cleaned(tmp_path, people(), *SUITE)
    again = Cleaned(tmp_path, people(), *SUITE)
    by_plan = Cleaned(tmp_path, people(), *SUITE, plan=first.value["plan"])
    assert again.value == first.value
    assert by_plan.value["content_digest"] == first.value["content_digest"]
    assert by_plan.value["plan"] == first.value["plan"]
    assert by_plan.report == first.report
    assert (
        Cleaned(tmp_path, people(), plan=first.value["plan"]).value["content_digest"] == by_plan.value["content_digest"]
    )


def test_columns_named_like_ours_stay(tmp_path: Path) -> None:
    table = pa.table({"_row": [5, 6, 7, 8], "age": [1, 2, 3, 999]})
    result = Cleaned(tmp_path, table, range_of())
    assert result.quarantine.column_names == [
        "__row",
        "__action",
        "__expectation",
        "__reason",
        "__steps",
        "_row",
        "age",
    ]
    assert result.quarantine["_row"].to_pylist() == [8]
