"""What a cleaning shows for itself: rules that must hold, flags, the second validation, and what stays exact."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import Cleaned, expectation, validate
from tests.validators.engine.test_cleaning import AGES, KIND, THERE, UNIQUE, range_of
from workers.datasets.canonical import canonical_table, tensor_array
from workers.protocol import JobError


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (range_of("fail"), "age lies between 0 and 120; not met by 2 rows: row 1: -5; row 4: 200."),
        (
            expectation("table_row_count_to_equal", value=9, id="count", clean={"action": "fail"}),
            "the number of rows is 9; observed: 8.",
        ),
    ],
)
def test_a_rule_that_has_to_hold_ends_the_cleaning_with_its_first_rows(
    tmp_path: Path, rule: dict[str, Any], says: str
) -> None:
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, AGES, rule, UNIQUE)
    assert (refused.value.code, refused.value.place) == ("rule_not_met", rule["id"])
    assert refused.value.detail.endswith(says)


def test_a_rule_that_holds_as_asked_lets_the_cleaning_go_on(tmp_path: Path) -> None:
    rule = range_of("fail")
    rule["kwargs"]["mostly"] = 0.5
    result = Cleaned(tmp_path, AGES, rule, UNIQUE)
    assert [step["action"] for step in result.value["plan"]] == ["fail", "dedupe"]
    assert result.report["steps"][0]["sentence"].startswith("It holds, as it has to")
    with pytest.raises(JobError) as refused:
        Cleaned(
            tmp_path, AGES, expectation("column_values_to_not_be_null", column="shoe", clean={"action": "fail"}), UNIQUE
        )
    assert refused.value.code == "rule_cannot_run"


def test_flags_name_the_rows_in_both_tables_and_change_neither(tmp_path: Path) -> None:
    flag = expectation("column_values_to_not_be_null", column="kind", id="kind-is-there", clean={"action": "flag"})
    result = Cleaned(tmp_path, AGES, range_of("quarantine"), flag)
    assert result.flags.to_pylist() == [
        {
            "row": 3,
            "clean_row": 2,
            "step": 1,
            "expectation": "kind-is-there",
            "reason": "Not met: kind is never missing.",
        }
    ]
    assert result.report["rows_flagged"] == 1
    assert result.clean["id"][2].as_py() == AGES["id"][3].as_py()
    # A row that has left is not flagged.
    both = Cleaned(tmp_path, AGES, range_of("quarantine"), {**range_of("flag"), "id": "again"})
    assert both.flags.num_rows == 0


def test_the_clean_table_is_validated_again_in_the_same_job(tmp_path: Path) -> None:
    suite = [range_of(max_fraction=0.5), UNIQUE, THERE, KIND]
    result = Cleaned(tmp_path, AGES, *suite)
    again, _ = validate(tmp_path, result.clean, *suite)
    assert result.value["validation"] == again
    assert again["success"] is True
    assert result.report["rules_not_met"] == {"before": 4, "after": 0}
    sides = [{side: rule[side]["unexpected_count"] for side in ("before", "after")} for rule in result.report["rules"]]
    assert sides == [{"before": count, "after": 0} for count in (2, 2, 1, 1)]
    assert all(step["holds"] for step in result.report["steps"])
    report = json.loads((result.outputs / "report.json").read_text())
    assert (report["report"], report["plan"], report["validation"]) == (result.report, result.value["plan"], again)
    assert (result.outputs / "rows.parquet").exists()


def test_a_step_that_cannot_make_its_rule_hold_says_so(tmp_path: Path) -> None:
    rule = range_of("clip", upper=150)
    result = Cleaned(tmp_path, AGES, rule)
    assert result.value["validation"]["success"] is False
    step = result.report["steps"][0]
    assert step["holds"] is False
    assert step["sentence"].endswith("The rule still does not hold, for 1 row.")
    assert result.report["rules_not_met"] == {"before": 1, "after": 1}
    by_plan = Cleaned(tmp_path, AGES, plan=result.value["plan"])
    assert by_plan.value["validation"] is None
    assert by_plan.report["steps"][0]["holds"] is False


def test_a_cell_changes_once_by_the_first_step_that_names_it(tmp_path: Path) -> None:
    plan = [
        {"action": "impute", "column": "age", "rule": {k: range_of()[k] for k in ("type", "kwargs")}},
        {"action": "clip", "column": "age", "upper": 120},
    ]
    result = Cleaned(tmp_path, AGES, plan=plan)
    assert [(change["row"], change["after"], change["step"]) for change in result.changes.to_pylist()] == [
        (1, "40", 1), (4, "120", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "step", "after", "before"),
    [
        (pa.array([Decimal("1.50"), Decimal("9.99")]), {"action": "clip", "upper": 5.255}, Decimal("5.25"), "9.99"),
        (pa.array([Decimal("1.50"), Decimal("2.51"), None]), {"action": "impute"}, Decimal("2.00"), None),
        (pa.array([date(2024, 2, 29), date(2024, 2, 29), None]), {"action": "impute", "method": "most_frequent"},
         date(2024, 2, 29), None),
        (pa.array([date(2024, 2, 29), None]), {"action": "impute", "method": "constant", "value": "1970-01-01"},
         date(1970, 1, 1), None),
        (pa.array([True, None]), {"action": "impute", "method": "constant", "value": False}, False, None),
        (pa.array([0.1, float("nan")]), {"action": "impute", "method": "mean"}, 0.1, "nan"),
    ],
    ids=["decimal clip", "decimal median", "date", "constant date", "boolean", "nan"],
)  # fmt: skip
def test_types_stay_exact(
    tmp_path: Path, column: pa.Array, step: dict[str, Any], after: Any, before: str | None
) -> None:
    table = pa.table({"v": column})
    result = Cleaned(tmp_path, table, plan=[{"column": "v", **step}])
    (change,) = result.changes.to_pylist()
    assert result.clean["v"][change["row"]].as_py() == after
    assert change["before"] == before
    assert pa.scalar(change["after"], pa.string()).cast(result.clean["v"].type).as_py() == after
    again = Cleaned(tmp_path, table, plan=result.value["plan"])
    assert again.value["content_digest"] == result.value["content_digest"]


HOSTILE = ['a"; DROP TABLE x; --', "new\nline", "🙂", "Age", "age", "row", "c0", "_row"]


def test_columns_may_be_named_anything(tmp_path: Path) -> None:
    table = pa.table({name: [1, 1, 2, None, 300] for name in HOSTILE})
    plan: list[dict[str, Any]] = [{"action": "dedupe", "columns": HOSTILE}]
    for name in HOSTILE:
        plan += [{"action": "clip", "column": name, "upper": 100}, {"action": "impute", "column": name}]
    result = Cleaned(tmp_path, table, plan=plan)
    assert result.quarantine.column(0).to_pylist() == [1]
    assert {tuple(column.to_pylist()) for column in result.clean.columns} == {(1, 2, 2, 100)}


def test_rows_with_nothing_in_their_keys_are_nobodys_twins(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([None] * 4, pa.string()), "f": [float("nan")] * 4, "v": [1, 1, 1, 1]})
    assert Cleaned(tmp_path, table, plan=[{"action": "dedupe", "columns": ["k", "f"]}]).report["rows_out"] == 4


def test_taking_every_row_is_refused_and_names_the_rule(tmp_path: Path) -> None:
    rule = expectation(
        "column_values_to_be_in_set", column="kind", value_set=["y"], id="none", clean={"max_fraction": 1}
    )
    table = AGES.set_column(2, "kind", pa.array(["x"] * 8))
    with pytest.raises(JobError) as refused:
        Cleaned(tmp_path, table, rule)
    assert refused.value.code == "too_many_rows"
    assert "8 of 8 rows" in refused.value.detail
    assert "kind is one of" in refused.value.detail


def test_images_leave_by_what_was_measured_of_them_which_nobody_may_change(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    table = pa.table({"image": tensor_array(images), "image.width": [2, 2, 2, 2, 2, 1], "label": list("aabbcc")})
    rule = expectation("column_values_to_be_between", column="image.width", min_value=2, id="wide", clean={})
    result = Cleaned(tmp_path, table, rule, roles={"image.width": "metadata"})
    assert canonical_table(result.clean).equals(table.slice(0, 5))
    assert canonical_table(result.quarantine.select(["image"]))["image"].type == table["image"].type
    for action in ({"action": "clip"}, {"action": "impute", "method": "constant", "value": 2}):
        with pytest.raises(JobError) as refused:
            Cleaned(tmp_path, table, {**rule, "meta": {"clean": action}}, roles={"image.width": "metadata"})
        assert (refused.value.code, refused.value.place) == ("column_not_editable", "image.width")
