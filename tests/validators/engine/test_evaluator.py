"""Expectations of a suite run together on a file: hostile names and sizes, and no answer lost to another's error."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import expectation
from validators.engine.compiled.columns import Table
from validators.engine.compiled.registry import compile_expectation
from validators.engine.expectations import Evaluator, Outcome
from workers.datasets.arrays import write_table

HOSTILE_NAMES = [
    'a"b', "a'b", "Age", "age", "new\nline", "emoji 😀", "x; DROP TABLE data; --", "c0", "c1", "row", "file_row_number",
    "count(*)", "ünï", "a.b", "", "*", "$p0", "%s",
]  # fmt: skip


def evaluate(base: Path, table: pa.Table, *expectations: dict[str, Any]) -> list[Outcome]:
    path = base / "table.parquet"
    write_table(table, path)
    return Evaluator(path, work=base / "work").evaluate_all(expectations)


def is_compiled(base: Path, table: pa.Table, entry: dict[str, Any]) -> bool:
    path = base / "is-compiled.parquet"
    write_table(table, path)
    return compile_expectation(entry, Table.of(path)) is not None


def test_names_are_names_whatever_they_hold(tmp_path: Path) -> None:
    table = pa.table([pa.array([place, 100 + place, None]) for place in range(len(HOSTILE_NAMES))], HOSTILE_NAMES)
    outcomes = evaluate(
        tmp_path,
        table,
        *(expectation("column_values_to_be_between", column=name, max_value=99) for name in HOSTILE_NAMES),
        *(expectation("column_max_to_be_between", column=name, max_value=99) for name in HOSTILE_NAMES),
        expectation("compound_columns_to_be_unique", column_list=HOSTILE_NAMES),
    )
    count = len(HOSTILE_NAMES)
    assert [outcome.rows.tolist() for outcome in outcomes[:count]] == [[1]] * count
    assert [outcome.observed for outcome in outcomes[count : 2 * count]] == [100 + place for place in range(count)]
    assert outcomes[-1].status == "passed"


HOSTILE_TEXTS = [
    "'; DROP TABLE data; --",
    'quo"te',
    "back\\slash",
    "new\nline",
    "nul\x00l",
    "😀",
    "%",
    "--",
    "it''s",
    "",
]


def test_values_are_values_whatever_they_hold(tmp_path: Path) -> None:
    table = pa.table({"text": [*HOSTILE_TEXTS, "other"], "other": [*HOSTILE_TEXTS[1:], "x", "y"]})
    inside, outside, pairs, common = evaluate(
        tmp_path,
        table,
        expectation("column_values_to_be_in_set", column="text", value_set=HOSTILE_TEXTS),
        expectation("column_values_to_not_be_in_set", column="text", value_set=HOSTILE_TEXTS),
        expectation(
            "column_pair_values_to_be_in_set",
            column_A="text",
            column_B="other",
            value_pairs_set=[list(pair) for pair in itertools.pairwise(HOSTILE_TEXTS)],
        ),
        expectation("column_distinct_values_to_equal_set", column="text", value_set=[*HOSTILE_TEXTS, "other"]),
    )
    assert inside.rows.tolist() == [len(HOSTILE_TEXTS)]
    assert outside.rows.tolist() == list(range(len(HOSTILE_TEXTS)))
    assert pairs.rows.tolist() == [len(HOSTILE_TEXTS) - 1, len(HOSTILE_TEXTS)]
    assert common.status == "passed"


def test_a_suite_for_other_columns_is_an_error_for_each_that_names_the_column(tmp_path: Path) -> None:
    outcomes = evaluate(
        tmp_path,
        pa.table({"age": [1]}),
        expectation("column_values_to_not_be_null", column="Age"),
        expectation("multicolumn_sum_to_equal", column_list=["age", "toe"], sum_total=1),
        expectation("column_mean_to_be_between", column="shoe", max_value=1),
        expectation("column_values_to_be_of_type", column="hat", type_="int64"),
    )
    assert [outcome.status for outcome in outcomes] == ["error"] * 4
    for outcome, name in zip(outcomes, ["Age", "toe", "shoe", "hat"], strict=True):
        assert f"The column {name!r} is not in the data set." in outcome.error


def test_an_empty_table_has_an_answer_to_everything(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([], pa.int64()), "t": pa.array([], pa.string()), "f": pa.array([], pa.float64())})
    outcomes = evaluate(
        tmp_path,
        table,
        expectation("column_values_to_be_unique", column="n"),
        expectation("column_values_to_be_increasing", column="f"),
        expectation("column_values_to_match_regex", column="t", regex="(?=a)"),
        expectation("column_value_z_scores_to_be_less_than", column="f", threshold=3, double_sided=True),
        expectation("column_max_to_be_between", column="n", max_value=1),
        expectation("table_row_count_to_equal", value=0),
    )
    assert [outcome.status for outcome in outcomes] == ["passed"] * 4 + ["failed", "passed"]
    assert [outcome.element_count for outcome in outcomes[:4]] == [0] * 4


def test_ten_thousand_expectations_run_together_without_great_expectations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({f"n{number}": np.arange(50) for number in range(20)})
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    outcomes = evaluate(
        tmp_path,
        table,
        *(
            expectation("column_values_to_be_between", column=f"n{number % 20}", max_value=number % 61)
            for number in range(10_000)
        ),
    )
    assert len(outcomes) == 10_000
    for number, outcome in enumerate(outcomes):
        assert outcome.rows.tolist() == list(range(number % 61 + 1, 50)), number


def test_a_set_of_a_hundred_thousand_values(tmp_path: Path) -> None:
    members = [f"v{number}" for number in range(100_000)]
    entry = expectation("column_values_to_be_in_set", column="v", value_set=members)
    table = pa.table({"v": ["v5", "w", "v99999", None, "v100000"]})
    (outcome,) = evaluate(tmp_path, table, entry)
    assert outcome.rows.tolist() == [1, 4]
    assert is_compiled(tmp_path, table, entry)


def test_a_thousand_columns_in_one_rule(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(1_000)]
    table = pa.table([pa.array([number, number, number, 5]) for number in range(1_000)], names)
    unique, different = evaluate(
        tmp_path,
        table,
        expectation("compound_columns_to_be_unique", column_list=names),
        expectation("select_column_values_to_be_unique_within_record", column_list=names),
    )
    assert unique.rows.tolist() == [0, 1, 2]
    assert different.rows.tolist() == [3]


def test_nan_is_missing_where_the_statistics_of_the_file_do_not_tell_of_it(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([1.0, float("nan"), 2.0]), "with_null": pa.array([float("nan"), None, 3.0])})
    there, null, top, order = evaluate(
        tmp_path,
        table,
        expectation("column_values_to_not_be_null", column="n"),
        expectation("column_values_to_be_null", column="with_null"),
        expectation("column_max_to_be_between", column="n", max_value=2),
        expectation("column_values_to_be_increasing", column="n"),
    )
    assert (there.rows.tolist(), null.rows.tolist()) == ([1], [2])
    assert (top.status, top.observed) == ("passed", 2.0)
    assert (order.status, order.missing_count) == ("passed", 1)


def test_order_is_that_of_the_file_across_row_groups(tmp_path: Path) -> None:
    numbers = np.arange(200_000)
    numbers[[65_536, 150_000]] = 0
    rising, falling = evaluate(
        tmp_path,
        pa.table({"n": numbers}),
        expectation("column_values_to_be_increasing", column="n", strictly=True),
        expectation("column_values_to_be_decreasing", column="n"),
    )
    assert rising.rows.tolist() == [65_536, 150_000]
    assert len(falling.rows) == 199_999 - 2
    assert np.all(np.diff(falling.rows) > 0)


def test_two_columns_whose_names_differ_in_case_are_kept_apart_or_refused(tmp_path: Path) -> None:
    table = pa.table({"age": [1, 2], "Age": [5, 0]})
    compiled, through_gx = evaluate(
        tmp_path,
        table,
        expectation("column_pair_values_a_to_be_greater_than_b", column_A="Age", column_B="age"),
        expectation("multicolumn_sum_to_equal", column_list=["Age", "age"], sum_total="x"),
    )
    assert compiled.rows.tolist() == [1]
    assert (through_gx.status, "differ in case" in through_gx.error) == ("error", True)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("column_values_to_be_between", {"column": "n", "max_value": 2**70}),
        ("column_values_to_be_between", {"column": "n", "max_value": True}),
        ("column_values_to_be_between", {"column": "n", "max_value": 1, "unknown": 1}),
        ("column_values_to_be_between", {"column": "n", "max_value": 1, "mostly": "0.5"}),
        ("column_values_to_be_between", {"column": "n", "min_value": 2, "max_value": 1}),
        ("column_values_to_be_in_set", {"column": "n", "value_set": [1, "a"]}),
        ("column_values_to_be_in_set", {"column": "n", "value_set": [2**70]}),
        ("column_values_to_be_in_set", {"column": "n", "value_set": {"$PARAMETER": "x"}}),
        ("column_values_to_match_regex", {"column": "t", "regex": "[[:alpha:]]"}),
        ("column_values_to_not_be_null", {"column": "n", "row_condition": "n.abs() > 1", "condition_parser": "pandas"}),
        ("column_values_to_not_be_null", {"column": "n", "row_condition": 'col("n") > 1', "condition_parser": "spark"}),
        ("column_values_to_not_be_null", {"column": "n", "row_condition": "(" * 500 + "n > 1" + ")" * 500}),
        ("compound_columns_to_be_unique", {"column_list": ["n", "n"]}),
        ("column_quantile_values_to_be_between", {"column": "n", "quantile_ranges": {"quantiles": [2]}}),
    ],
)
def test_what_is_not_understood_is_left_to_great_expectations(
    tmp_path: Path, kind: str, kwargs: dict[str, Any]
) -> None:
    table = pa.table({"n": [1, 2], "t": ["a", "b"]})
    assert not is_compiled(tmp_path, table, expectation(kind, **kwargs))


def test_a_file_that_is_not_there_breaks_the_run_and_not_each_rule(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(pa.table({"n": [1]}), path)
    evaluator = Evaluator(path, work=tmp_path / "elsewhere" / "work")
    with pytest.raises(Exception, match=r"table\.parquet"):
        evaluator.evaluate(expectation("column_values_to_not_be_null", column="n"))
