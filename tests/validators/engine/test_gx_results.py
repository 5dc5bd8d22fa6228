"""The result of a validation as Great Expectations writes one: its own class reads it, and its own page shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import expectation, suite_of
from validators.engine.validation import validate
from workers.datasets.arrays import write_table

TABLE = pa.table(
    {"age": [1, None, 300, -5], "mail": ["a@x", "b", "<script>alert(1)</script>", None], "low": [2, 2, 2, 2]}
)
SUITE = suite_of(
    expectation("column_values_to_be_between", column="age", min_value=0, max_value=120, id="range"),
    expectation("column_values_to_match_regex", column="mail", regex="@", id="mail", severity="warning"),
    expectation("column_pair_values_a_to_be_greater_than_b", column_A="age", column_B="low", id="pair"),
    expectation("column_mean_to_be_between", column="low", max_value=5, id="mean"),
    expectation("table_columns_to_match_set", column_set=["age"], id="columns"),
    expectation("column_distinct_values_to_equal_set", column="low", value_set=[2, 3], id="set"),
    expectation("column_values_to_not_be_null", column="shoe", id="broken"),
    expectation("column_values_to_be_of_type", column="mail", type_="str", id="type"),
    expectation(
        "select_column_values_to_be_unique_within_record", column_list=["age", "low"], id="record", severity="info"
    ),
)


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "table.parquet"
    write_table(TABLE, path)
    results = tmp_path / "results.json"
    validate(path, SUITE, tmp_path / "rows.parquet", work=tmp_path / "work", results_file=results)
    loaded: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return loaded


def test_results_come_in_the_order_of_the_suite_with_counts_and_first_rows(document: dict[str, Any]) -> None:
    expected = [entry["id"] for entry in SUITE["expectations"]]
    assert [result["meta"]["expectation_id"] for result in document["results"]] == expected
    assert document["success"] is False
    assert document["statistics"] == {
        "evaluated_expectations": 9,
        "successful_expectations": 3,
        "unsuccessful_expectations": 6,
        "success_percent": pytest.approx(100 / 3),
    }
    assert document["results"][0]["result"] == {
        "element_count": 4,
        "unexpected_count": 2,
        "unexpected_percent": pytest.approx(200 / 3),
        "partial_unexpected_list": [300, -5],
        "partial_unexpected_index_list": [2, 3],
        "missing_count": 1,
        "missing_percent": 25.0,
        "unexpected_percent_total": 50.0,
        "unexpected_percent_nonmissing": pytest.approx(200 / 3),
    }
    assert document["results"][2]["result"]["partial_unexpected_list"] == [[1, 2], [None, 2], [-5, 2]]
    assert document["results"][5]["result"]["missing_count"] == 1
    assert "shoe" in document["results"][6]["exception_info"]["exception_message"]


def test_great_expectations_reads_it_and_draws_its_page(document: dict[str, Any]) -> None:
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    loaded = expectationSuiteValidationResultSchema.load(document)
    assert loaded.statistics["evaluated_expectations"] == 9
    assert [result.success for result in loaded.results].count(True) == 3
    assert loaded.to_json_dict()["results"][0]["result"] == document["results"][0]["result"]
    html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(loaded))
    assert "300" in html
    assert "expect_column_values_to_be_between" in html or "greater than or equal" in html
