"""The rows that fail, on the page of a version: filtered, and a piece at a time."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import DatasetVersion
from tests import factories, page_factories
from validators.views import failures

pytestmark = pytest.mark.django_db


def result(identity: str, column: str, count: int, **fields: Any) -> dict[str, Any]:
    kind = "expect_column_values_to_be_between"
    return {
        **page_factories.SUITE_RESULTS[0], "id": identity, "type": kind, "kwargs": {"column": column, "min_value": 0},
        "severity": "critical", "status": "failed", "unexpected_count": count, "unexpected_percent": 10.0,
        "sentence": f"{column} is at least 0", "message": "", **fields,
    }  # fmt: skip


@pytest.fixture
def version() -> DatasetVersion:
    """A version of which 60 rows fail a rule about age, and every tenth of them one about income as well."""
    version = factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    made = page_factories.validation(version, results=[result("a", "age", 60), result("b", "income", 6)], success=False)
    lines = [
        (
            row,
            identity,
            "expect_column_values_to_be_between",
            column,
            str(-row - 1),
            f"{column} of row {row} is below 0.",
        )
        for row in range(60)
        for identity, column in (("a", "age"), ("b", "income"))
        if identity == "a" or row % 10 == 0
    ]
    made.rows, made.row_count = page_factories.rows_file(lines), 60
    made.save()
    return version


@pytest.fixture
def browser(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def page_of(browser: Client, version: DatasetVersion, query: str = "") -> str:
    response = browser.get(reverse("dataset-version", args=[version.dataset.name, version.number]) + query)
    assert response.status_code == 200
    return response.content.decode()


def test_rows_come_a_piece_at_a_time_with_all_their_reasons(browser: Client, version: DatasetVersion) -> None:
    first = page_of(browser, version)

    assert first.count(" is below 0.") == failures.LINES
    assert "income of row 0 is below 0." in first
    assert "60\N{NO-BREAK SPACE}rows fail" in first
    cursor = first[first.index("cursor=") :].split('"')[0].split("#")[0]
    rest = page_of(browser, version, f"?{cursor}")
    assert rest.count(" is below 0.") == 66 - failures.LINES
    assert "Further rows" not in rest


def test_rows_are_filtered_by_rule_by_column_and_from_a_row(browser: Client, version: DatasetVersion) -> None:
    by_rule, by_column = page_of(browser, version, "?rule=b"), page_of(browser, version, "?of=income&from_row=30")
    none = page_of(browser, version, "?rule=b&from_row=51")

    assert by_rule.count(" is below 0.") == 6
    assert "age of row" not in by_rule
    assert by_column.count(" is below 0.") == 3
    assert "No row that fails is like that." in none


@pytest.mark.parametrize("query", ["?from_row=many", "?cursor=-1", "?cursor=" + "9" * 40, "?rule='; DROP", "?of=%00"])
def test_what_is_no_filter_breaks_nothing(browser: Client, version: DatasetVersion, query: str) -> None:
    assert page_of(browser, version, query)


def test_the_page_of_a_column_shows_the_rows_that_fail_its_rules(browser: Client, version: DatasetVersion) -> None:
    place = list(version.schema["columns"]).index("income")

    page = browser.get(reverse("column", args=[version.dataset.name, version.number, place])).content.decode()

    assert page.count(" is below 0.") == 6
    assert "age of row" not in page
