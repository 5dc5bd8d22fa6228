"""Unexpected rows as the API and the page show them: each row once, with all its reasons."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from governance.exceptions import IntegrityFailure
from tests.factories import ValidationFactory
from tests.page_factories import rows_file
from validators.models import Validation
from validators.rows import unexpected_rows


@pytest.fixture
def validation(alice: User) -> Validation:
    return ValidationFactory(
        created_by=alice,
        rows=rows_file(
            [
                (7, "b", "expect_column_values_to_be_between", "age", "-1", "It is below 0."),
                (2, "a", "expect_column_values_to_not_be_null", "age", None, "It is missing."),
                (7, "c", "expect_column_values_to_be_in_set", "sex", "x", "It is not in the set."),
            ]
        ),
        row_count=2,
    )


def test_rows_come_in_order_each_once_with_all_its_reasons(validation: Validation) -> None:
    rows = unexpected_rows(validation)

    assert [row["row"] for row in rows] == [2, 7]
    assert [reason["expectation_id"] for reason in rows[1]["reasons"]] == ["b", "c"]
    assert rows[0]["reasons"][0]["value"] is None


def test_a_limit_counts_rows_and_keeps_their_reasons_whole(validation: Validation) -> None:
    validation.rows = rows_file(
        [(0, "a", "x", "c", "1", "r"), (0, "b", "x", "c", "1", "r"), (1, "a", "x", "c", "1", "r")]
    )

    (row,) = unexpected_rows(validation, limit=1)

    assert (row["row"], len(row["reasons"])) == (0, 2)


def test_no_file_means_no_rows(validation: Validation) -> None:
    validation.rows = None

    assert unexpected_rows(validation) == []


def test_a_file_of_another_shape_is_an_integrity_failure(validation: Validation) -> None:
    validation.rows = rows_file([(1, "x")], names=["row", "secret"])

    with pytest.raises(IntegrityFailure, match="secret"):
        unexpected_rows(validation)


def test_one_validation_is_answered_with_its_rows_and_a_list_without(
    validation: Validation, dave_api: APIClient
) -> None:
    answer = dave_api.get(f"/api/v1/validations/{validation.pk}/").json()

    assert [row["row"] for row in answer["rows"]] == [2, 7]
    assert answer["waiver"] is None
    assert "rows" not in dave_api.get("/api/v1/validations/").json()["results"][0]


def test_the_page_of_the_data_shows_rows_with_their_reasons(validation: Validation, dave: User, client: Client) -> None:
    client.force_login(dave)

    page = client.get(f"/data/{validation.dataset.dataset.name}/{validation.dataset.number}/").content.decode()

    assert "It is below 0." in page
    lines = page[page.index('<th scope="row" class="num">7</th>') :]
    assert page.count('<th scope="row" class="num">7</th>') == 1
    first, second = lines.split("</tr>")[:2]
    assert "It is below 0." in first
    assert "It is not in the set." in second
