"""Failing rows over REST: by rule, column, severity and rows, a page at a time; and Great Expectations' own file."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.factories import ValidationFactory
from tests.page_factories import stored
from validators import rows
from validators.models import Validation
from validators.rows import COLUMNS, FailureFilter, failures

RESULTS = [
    {"id": "range", "severity": "critical"},
    {"id": "there", "severity": "warning"},
    {"id": "pair", "severity": "critical"},
]
LINES = [
    line
    for row in range(40)
    for line in [
        (row, "range", "expect_column_values_to_be_between", "age", str(-row), "Too low."),
        *([(row, "there", "expect_column_values_to_not_be_null", "size", None, "Gone.")] if row % 10 == 0 else []),
        *([(row, "pair", "expect_column_pair_values_to_be_equal", "age, a, b", "x", "Apart.")] if row == 7 else []),
    ]
]


@pytest.fixture
def validation(alice: User) -> Validation:
    """A validation whose rows are in groups of eight lines, with words as the engine writes them."""
    words = pa.dictionary(pa.int32(), pa.string())
    types = dict.fromkeys(("expectation_id", "expectation", "column"), words) | {"row": pa.int64()}
    columns = {
        name: pa.array([line[index] for line in LINES], types.get(name, pa.string()))
        for index, name in enumerate(COLUMNS)
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=8)
    return ValidationFactory(
        results=RESULTS,
        created_by=alice,
        rows=stored(sink.getvalue().to_pybytes()),
        result_file=stored(b'{"success": false}'),
        row_count=40,
    )


def get(api: APIClient, validation: Validation, **query: Any) -> dict[str, Any]:
    response = api.get(f"/api/v1/validations/{validation.pk}/failures/", query)
    assert response.status_code == 200, response.content
    return response.json()


def test_all_lines_come_page_by_page_each_once(validation: Validation, dave_api: APIClient) -> None:
    page = get(dave_api, validation, limit=9)
    found = page["results"]
    while page["next"]:
        page = dave_api.get(page["next"]).json()
        found += page["results"]
    assert [tuple(line[name] for name in COLUMNS) for line in found] == LINES
    assert page["previous"] is None
    assert {line["severity"] for line in found if line["expectation_id"] == "there"} == {"warning"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"expectation": "there"}, [(0, "there"), (10, "there"), (20, "there"), (30, "there")]),
        ({"expectation": "expect_column_pair_values_to_be_equal"}, [(7, "pair")]),
        ({"column": "b"}, [(7, "pair")]),
        ({"column": "a, b"}, [(7, "pair")]),
        ({"column": "ag"}, []),
        ({"severity": "warning", "from_row": 10, "to_row": 20}, [(10, "there"), (20, "there")]),
        ({"severity": "critical", "from_row": 7, "to_row": 7}, [(7, "range"), (7, "pair")]),
        ({"severity": "info"}, []),
        ({"from_row": 39}, [(39, "range")]),
        ({"from_row": 9, "to_row": 8}, []),
        ({"expectation": "there' OR 1=1 --"}, []),
    ],
)
def test_lines_are_filtered(
    validation: Validation, dave_api: APIClient, query: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    page = get(dave_api, validation, **query)
    assert [(line["row"], line["expectation_id"]) for line in page["results"]] == expected
    assert page["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 1001},
        {"cursor": -1},
        {"from_row": "x"},
        {"severity": "fatal"},
        {"rows": 1},
        {"to_row": 2**70},
    ],
)
def test_a_query_that_is_wrong_is_told(validation: Validation, dave_api: APIClient, query: dict[str, Any]) -> None:
    response = dave_api.get(f"/api/v1/validations/{validation.pk}/failures/", query)
    assert response.status_code in (400, 422)
    assert response["Content-Type"] == "application/problem+json"
    assert next(iter(query)) in response.content.decode()


def test_groups_of_other_rows_are_not_read(validation: Validation, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    places = rows._places

    def told(table: pa.Table, *arguments: Any) -> list[int]:
        read.append(table["row"][0].as_py())
        return places(table, *arguments)

    monkeypatch.setattr(rows, "_places", told)
    found, following = failures(validation, FailureFilter(from_row=30, to_row=31), limit=2)
    assert ([line["row"] for line in found], len(read)) == ([30, 30], 1)
    assert following == len([line for line in LINES if line[0] <= 30])


def test_a_validation_without_an_end_has_no_failures_and_no_result(validation: Validation, dave_api: APIClient) -> None:
    validation.rows = validation.result_file = None
    validation.save()
    assert get(dave_api, validation) == {"next": None, "previous": None, "results": []}
    assert dave_api.get(f"/api/v1/validations/{validation.pk}/results/").status_code == 409


def test_the_result_is_downloaded_as_it_was_written(validation: Validation, dave_api: APIClient) -> None:
    response = dave_api.get(f"/api/v1/validations/{validation.pk}/results/")
    assert b"".join(response.streaming_content) == b'{"success": false}'
    assert response["Content-Type"] == "application/json"
    assert f"validation-{validation.pk}-results.json" in response["Content-Disposition"]
