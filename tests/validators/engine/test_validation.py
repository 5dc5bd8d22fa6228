"""Validation: Great Expectations' own answers, every failing row, and no result lost to another's error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import expectation, suite_of, validate, with_metadata
from tests.workers.job_folders import job
from validators.engine import validation
from validators.engine.suites import columns_of, is_row_rule
from workers.datasets.arrays import write_table
from workers.datasets.canonical import tensor_array
from workers.datasets.images.columns import WORDS
from workers.protocol import JobError

ROWS = 600


def people() -> pa.Table:
    """Return 600 rows with faults: more failing rows than the 200 that Great Expectations lists."""
    generator = np.random.default_rng(5)
    numbers = np.arange(ROWS)
    return pa.table(
        {
            "id": [f"p{n % 590}" for n in numbers.tolist()],
            "age": pa.array(generator.integers(0, 130, ROWS), mask=numbers % 11 == 0),
            "size": pa.array(generator.normal(170, 20, ROWS), mask=numbers % 13 == 0),
            "low": generator.integers(0, 50, ROWS),
            "high": pa.array(generator.integers(30, 90, ROWS), mask=numbers % 17 == 0),
            "member": pa.array(numbers % 3 == 0, mask=numbers % 19 == 0),
            "mail": [None if n % 7 == 0 else f"p{n}@x.org" if n % 5 else "nobody" for n in numbers.tolist()],
            "since": pa.array(numbers * 86_400_000_000, pa.timestamp("us")),
            "rising": np.sort(generator.integers(0, 1000, ROWS)),
        }
    )


EXPECTATIONS = [
    expectation("column_values_to_be_unique", column="id"),
    expectation("column_values_to_be_unique", column="age"),
    expectation("column_values_to_not_be_null", column="size"),
    expectation("column_values_to_not_be_null", column="age", mostly=0.9),
    expectation("column_values_to_be_null", column="mail"),
    expectation("column_values_to_be_between", column="age", min_value=18, max_value=65),
    expectation("column_values_to_be_between", column="size", min_value=150.5, strict_min=True),
    expectation("column_values_to_be_between", column="age", max_value=120, mostly=0.5),
    expectation(
        "column_values_to_be_between", column="age", max_value=60, row_condition="size > 170", condition_parser="pandas"
    ),
    expectation(
        "column_values_to_be_between",
        column="age",
        max_value=60,
        row_condition={
            "type": "or",
            "conditions": [
                {"type": "nullity", "column": {"name": "mail"}, "is_null": True},
                {"type": "comparison", "column": {"name": "low"}, "operator": ">", "parameter": 25},
            ],
        },
    ),
    expectation("column_values_to_be_in_set", column="age", value_set=list(range(60))),
    expectation("column_values_to_not_be_in_set", column="mail", value_set=["nobody"]),
    expectation("column_values_to_be_in_set", column="member", value_set=[True]),
    expectation("column_values_to_match_regex", column="mail", regex=r"^p\d+@x\.org$"),
    expectation("column_values_to_not_match_regex", column="mail", regex="nobody"),
    expectation("column_values_to_match_regex_list", column="mail", regex_list=["^p1", "^p2"]),
    expectation("column_value_lengths_to_be_between", column="mail", min_value=7),
    expectation("column_values_to_be_increasing", column="rising"),
    expectation("column_values_to_be_increasing", column="low", strictly=True),
    expectation("column_values_to_be_decreasing", column="low"),
    expectation("column_value_z_scores_to_be_less_than", column="size", threshold=1.5, double_sided=True),
    expectation("column_pair_values_a_to_be_greater_than_b", column_A="high", column_B="low", or_equal=True),
    expectation("column_pair_values_to_be_equal", column_A="low", column_B="rising"),
    expectation("column_pair_values_to_be_in_set", column_A="low", column_B="member", value_pairs_set=[[1, True]]),
    expectation("compound_columns_to_be_unique", column_list=["age", "low"]),
    expectation("select_column_values_to_be_unique_within_record", column_list=["low", "rising", "high"]),
    expectation("multicolumn_sum_to_equal", column_list=["low", "rising"], sum_total=100),
    expectation("column_mean_to_be_between", column="age", min_value=60, max_value=70),
    expectation("column_max_to_be_between", column="size", max_value=100),
    expectation("column_median_to_be_between", column="size", min_value=100),
    expectation("column_stdev_to_be_between", column="size", min_value=15, max_value=25),
    expectation("column_unique_value_count_to_be_between", column="age", max_value=5),
    expectation("column_proportion_of_unique_values_to_be_between", column="id", min_value=0.9),
    expectation("column_distinct_values_to_be_in_set", column="member", value_set=[True, False]),
    expectation("column_most_common_value_to_be_in_set", column="mail", value_set=["nobody"]),
    expectation(
        "column_quantile_values_to_be_between",
        column="size",
        quantile_ranges={"quantiles": [0.25, 0.75], "value_ranges": [[100, 200], [200, 300]]},
    ),
    expectation(
        "column_kl_divergence_to_be_less_than",
        column="member",
        partition_object={"values": [True, False], "weights": [0.33, 0.67]},
        threshold=0.1,
    ),
    expectation("column_to_exist", column="age"),
    expectation("column_to_exist", column="shoe"),
    expectation("table_row_count_to_be_between", min_value=100, max_value=500),
    expectation("table_column_count_to_equal", value=9),
    expectation("table_columns_to_match_set", column_set=["id", "age"]),
]


def great_expectations_alone(table: pa.Table, document: dict[str, Any]) -> dict[str, Any]:
    """Run the whole suite with plain pandas, as its own documentation does, and return its results by id."""
    import great_expectations
    from great_expectations.core import ExpectationSuite

    context = great_expectations.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("oracle").add_dataframe_asset("oracle")
    batch = asset.add_batch_definition_whole_dataframe("oracle").get_batch({"dataframe": table.to_pandas()})
    outcome = batch.validate(
        ExpectationSuite(**document),
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    return {result.expectation_config.id: result for result in outcome.results}


def test_results_are_those_of_great_expectations_and_rows_are_complete(tmp_path: Path) -> None:
    table = people()
    named = [{**entry, "id": f"e{number}"} for number, entry in enumerate(EXPECTATIONS)]
    value, rows = validate(tmp_path, table, *named)
    oracle = great_expectations_alone(table, suite_of(*named))
    assert [result["id"] for result in value["results"]] == [entry["id"] for entry in named]
    assert {result["status"] for result in value["results"]} == {"passed", "failed"}
    assert max(result["unexpected_count"] or 0 for result in value["results"]) > 400
    for result in value["results"]:
        other = oracle[result["id"]]
        assert result["status"] == ("passed" if other.success else "failed"), result["sentence"]
        for key in ("unexpected_count", "element_count", "unexpected_percent"):
            assert result[key] == pytest.approx(other.result.get(key)), result["sentence"]
        if is_row_rule(result["type"]):
            kept = [row["row"] for row in rows if row["expectation_id"] == result["id"]]
            assert kept == sorted(other.result["unexpected_index_list"]), result["sentence"]
        observed = other.result.get("observed_value")
        if isinstance(observed, float):
            assert result["observed"] == pytest.approx(observed)


def test_every_failing_row_has_every_reason(tmp_path: Path) -> None:
    table = pa.table({"age": pa.array([30, -5, None, -7]), "mail": ["a@x", "b", "c@x", "d"]})
    value, rows = validate(
        tmp_path,
        table,
        expectation("column_values_to_be_between", column="age", min_value=0, id="range"),
        expectation("column_values_to_match_regex", column="mail", regex="@", id="mail"),
        expectation("column_values_to_not_be_null", column="age", id="there", severity="warning"),
        expectation("column_pair_values_to_be_equal", column_A="age", column_B="mail", id="pair", severity="info"),
    )
    assert value["row_count"] == 4
    assert [(row["row"], row["expectation_id"]) for row in rows if row["expectation_id"] != "pair"] == [
        (1, "range"),
        (1, "mail"),
        (2, "there"),
        (3, "range"),
        (3, "mail"),
    ]
    assert rows[1] == {
        "row": 1,
        "expectation_id": "range",
        "expectation": "expect_column_values_to_be_between",
        "column": "age",
        "value": "-5",
        "reason": "Expected: age is at least 0. Found: -5.",
    }
    missing = next(row for row in rows if row["expectation_id"] == "there")
    assert missing["value"] is None
    assert missing["reason"] == "Expected: age is never missing. Found: missing."
    pair = next(row for row in rows if row["expectation_id"] == "pair")
    assert (pair["column"], pair["value"]) == ("age, mail", "age = 30, mail = a@x")


BROKEN = {
    "column_values_to_be_lemons": ({"column": "age"}, "There is no expectation `expect_column_values_to_be_lemons`"),
    "column_values_to_match_regex": ({"column": "mail", "regex": "("}, "The regular expression '(' is not valid"),
    "column_values_to_be_between": ({"column": "shoe", "min_value": 1}, "The column 'shoe' is not in the data set."),
    "column_values_to_be_in_set": ({"column": "age", "value_set": 5}, "Its arguments are not those of"),
    "column_values_to_not_be_null": (
        {"column": "age", "row_condition": "@x > 1", "condition_parser": "pandas"},
        "made of columns, values and comparisons",
    ),
    "column_values_to_be_null": (
        {"column": "age", "row_condition": "age.to_csv('x') > 1", "condition_parser": "pandas"},
        "calls 'to_csv'",
    ),
    "column_values_to_not_be_in_set": (
        {
            "column": "age",
            "value_set": [1],
            "row_condition": {"type": "and", "conditions": [{"type": "pass_through", "pass_through_filter": "a.b()"}]},
        },
        "calls 'b'",
    ),
    "column_value_lengths_to_equal": (
        {
            "column": "mail",
            "value": 1,
            "row_condition": {"type": "nullity", "column": {"name": "ear"}, "is_null": True},
        },
        "The column 'ear' of the row condition is not",
    ),
    "column_mean_to_be_between": ({"column": "mail", "min_value": 1}, "Great Expectations could not run it"),
    "column_pair_values_to_be_equal": ({"column_A": "age", "column_B": "foot"}, "The column 'foot' is not"),
    "multicolumn_sum_to_equal": ({"column_list": ["age", "toe"], "sum_total": 1}, "The column 'toe' is not"),
    "column_quantile_values_to_be_between": ({"column": "age"}, "Its arguments are not those of"),
    "column_values_to_be_unique": ({"column": "age", "mostly": 7}, "Its arguments are not those of"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_expectation_that_cannot_run_is_an_error_of_its_own(tmp_path: Path, kind: str) -> None:
    kwargs, says = BROKEN[kind]
    table = pa.table({"age": [1, 2], "mail": ["a", "b"]})
    good = expectation("column_values_to_be_between", column="age", max_value=1, severity="warning")
    value, rows = validate(
        tmp_path, table, good, expectation(kind, **kwargs), expectation("column_to_exist", column="age")
    )
    assert [result["status"] for result in value["results"]] == ["failed", "error", "passed"]
    assert says in value["results"][1]["message"]
    assert value["results"][1]["unexpected_count"] is None
    assert value["success"] is False
    assert value["statistics"]["errored"] == 1
    assert [row["row"] for row in rows] == [1]


@pytest.mark.parametrize(
    ("severity", "success"), [(None, False), ("critical", False), ("warning", True), ("info", True)]
)
def test_only_critical_expectations_decide(tmp_path: Path, severity: str | None, success: bool) -> None:
    entry = expectation("column_values_to_be_between", column="age", max_value=1)
    if severity:
        entry["severity"] = severity
    value, _ = validate(tmp_path, pa.table({"age": [1, 2]}), entry, expectation("column_to_exist", column="age"))
    assert value["success"] is success
    assert value["results"][0]["severity"] == (severity or "critical")
    assert value["statistics"]["by_severity"][severity or "critical"]["failed"] == 1
    assert {key: value["statistics"][key] for key in ("evaluated", "passed", "failed", "errored")} == {
        "evaluated": 2,
        "passed": 1,
        "failed": 1,
        "errored": 0,
    }


def test_mostly_lets_an_expectation_pass_and_the_rows_are_told_all_the_same(tmp_path: Path) -> None:
    table = pa.table({"age": [1, 1, 1, 9]})
    value, rows = validate(
        tmp_path, table, expectation("column_values_to_be_between", column="age", max_value=5, mostly=0.75)
    )
    assert value["success"] is True
    assert value["results"][0]["mostly"] == 0.75
    assert value["results"][0]["message"] == "1 of 4 rows do not meet it (25 % of the values): row 3: 9"
    assert [row["row"] for row in rows] == [3]


def test_images_are_validated_through_their_metadata(tmp_path: Path) -> None:
    images = np.full((4, 2, 2), 8, dtype=np.float32)
    images[1] = 0
    images[2, 0, 0] = 99
    images[3, 1, 1] = np.nan
    table = with_metadata(pa.table({"image": tensor_array(images), "digit": [1, 2, 3, 4]}))
    value, rows = validate(
        tmp_path,
        table,
        expectation("column_values_to_be_between", column="image.maximum", min_value=1, id="ink"),
        expectation("column_values_to_be_between", column="image.maximum", max_value=16, id="bright"),
        expectation("column_values_to_be_between", column="image.minimum", min_value=8, id="dark"),
        expectation("column_values_to_be_between", column="image.mean", max_value=8, id="mean"),
        expectation("column_values_to_be_in_set", column="image.missing", value_set=[0], id="whole"),
        expectation("column_values_to_not_be_null", column="image", id="there"),
        expectation("table_column_count_to_equal", value=2 + len(WORDS), id="columns"),
        expectation("column_values_to_be_between", column="image", max_value=8, id="array"),
    )
    found = {entry["id"]: entry["status"] for entry in value["results"]}
    assert found == {
        "ink": "failed",
        "bright": "failed",
        "dark": "failed",
        "mean": "failed",
        "whole": "failed",
        "there": "passed",
        "columns": "passed",
        "array": "error",
    }
    by_rule = {(row["expectation_id"], row["row"]): row["value"] for row in rows}
    assert by_rule == {("ink", 1): "0", ("bright", 2): "99", ("dark", 1): "0", ("mean", 2): "30.75", ("whole", 3): "1"}


def test_integers_stay_exact_next_to_missing_values(tmp_path: Path) -> None:
    big = 2**53
    table = pa.table({"n": pa.array([big, big + 1, None])})
    value, rows = validate(
        tmp_path,
        table,
        expectation("column_values_to_be_in_set", column="n", value_set=[big]),
        expectation("column_values_to_be_unique", column="n"),
    )
    assert [result["status"] for result in value["results"]] == ["failed", "passed"]
    assert [(row["row"], row["value"]) for row in rows] == [(1, str(big + 1))]


def test_a_column_with_nothing_in_it_and_a_single_row(tmp_path: Path) -> None:
    table = pa.table({"empty": pa.array([None], pa.float64()), "text": pa.array([None], pa.string())})
    value, rows = validate(
        tmp_path,
        table,
        expectation("column_values_to_be_between", column="empty", min_value=0),
        expectation("column_values_to_match_regex", column="text", regex="a"),
        expectation("column_values_to_not_be_null", column="text"),
    )
    assert [result["status"] for result in value["results"]] == ["passed", "passed", "failed"]
    assert len(rows) == 1


def test_a_suite_that_is_none_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(JobError) as refused:
        validate(tmp_path, pa.table({"a": [1]}), {"type": "expect_column_to_exist"})
    assert (refused.value.code, refused.value.place) == ("suite_not_valid", "expectations[0].kwargs")


def test_nothing_reaches_for_the_network(tmp_path: Path) -> None:
    write_table(pa.table({"age": [1, 2]}), tmp_path / "table.parquet")
    entries = (expectation("column_values_to_be_between", column="age", max_value=1),)
    context = job(
        tmp_path / "job",
        kind="validation",
        inputs={"dataset": tmp_path / "table.parquet"},
        parameters={"suite": suite_of(*entries), "schema": None},
    )
    context.spec.write(context.folder)
    code = """
import json, socket, sys
from pathlib import Path

attempts = []

def refuse(*arguments, **options):
    attempts.append(repr(arguments))
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from validators.engine import validation
from workers.context import JobContext
from workers.protocol import JobSpec

folder = Path(sys.argv[1])
value = validation.run(JobContext(JobSpec.read(folder), folder))
print(json.dumps([value["statistics"]["failed"], attempts]))
"""
    run = subprocess.run([sys.executable, "-c", code, str(context.folder)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[1, []]"


def test_row_rules_name_their_columns() -> None:
    for entry in EXPECTATIONS:
        if is_row_rule(entry["type"]):
            assert columns_of(entry["kwargs"]), entry["type"]


def test_progress_is_told_in_rows_pass_by_pass(tmp_path: Path) -> None:
    write_table(pa.table({"age": [1, 2]}), tmp_path / "table.parquet")
    through_gx = expectation("column_values_to_be_of_type", column="age", type_="int64")
    context = job(
        tmp_path / "job",
        kind="validation",
        inputs={"dataset": tmp_path / "table.parquet"},
        parameters={
            "suite": suite_of(expectation("column_values_to_be_unique", column="age"), through_gx),
            "schema": None,
        },
    )
    validation.run(context)
    told = [json.loads(line) for line in (context.folder / "messages").read_text().splitlines()]
    assert {line["unit"] for line in told} == {"rows"}
    assert [(line["done"], line["total"]) for line in told] == [(0, 6), (2, 6), (4, 6), (2, 2)]
    assert "Great Expectations" in told[2]["message"]
    assert told[-1]["message"] == "writing the rows that fail"
