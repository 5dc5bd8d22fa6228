"""Rows that left and cells that changed, read from their files a part at a time, over REST too."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from governance.exceptions import IntegrityFailure
from tests import factories, page_factories
from validators.cleaned_rows import changed_cells, removed_rows, unknown_rows
from validators.models import Cleaning


@pytest.fixture
def cleaning(alice: User) -> Cleaning:
    return page_factories.cleaning(factories.DatasetVersionFactory())


def test_rows_come_in_order_with_every_reason_and_their_cells(cleaning: Cleaning) -> None:
    found = removed_rows(cleaning)

    assert [line["row"] for line in found.lines] == [4, 9, 31]
    assert found.has_more is False
    assert found.lines[2] == {
        "row": 31,
        "action": "drop",
        "expectation": "b",
        "reason": "Not met: age is there; age lies between 18 and 100.",
        "steps": [0, 1],
        "values": {"age": None, "income": "9000", "repaid": "<b>no</b>"},
    }


@pytest.mark.parametrize(
    ("step", "offset", "limit", "rows", "has_more"),
    [
        (None, 0, 2, [4, 9], True),
        (None, 2, 2, [31], False),
        (None, 1, 1, [9], True),
        (0, 0, 3, [4, 9, 31], False),
        (1, 0, 3, [31], False),
        (1, 1, 3, [], False),
        (7, 0, 3, [], False),
        (None, 99, 3, [], False),
    ],
)
def test_a_part_is_what_a_step_named_from_one_on(
    cleaning: Cleaning, step: int | None, offset: int, limit: int, rows: list[int], has_more: bool
) -> None:
    found = removed_rows(cleaning, step=step, offset=offset, limit=limit)

    assert [line["row"] for line in found.lines] == rows
    assert found.has_more is has_more


def test_changed_cells_are_those_of_a_step_and_a_column(cleaning: Cleaning) -> None:
    assert [(line["row"], line["column"]) for line in changed_cells(cleaning).lines] == [
        (2, "age"), (2, "income"), (7, "income"),
    ]  # fmt: skip
    assert [line["row"] for line in changed_cells(cleaning, column="income", offset=1).lines] == [7]
    assert [line["after"] for line in changed_cells(cleaning, step=2).lines] == ["100"]
    assert changed_cells(cleaning, step=2, column="income").lines == []
    assert changed_cells(cleaning, limit=2).has_more is True


def test_rows_that_did_not_leave_are_told_apart(cleaning: Cleaning) -> None:
    assert unknown_rows(cleaning, [31, 30, 4, 1]) == [1, 30]


def test_a_file_of_another_shape_is_an_integrity_failure(cleaning: Cleaning) -> None:
    cleaning.quarantine, cleaning.changes = cleaning.changes, cleaning.quarantine

    with pytest.raises(IntegrityFailure, match="quarantine"):
        removed_rows(cleaning)
    with pytest.raises(IntegrityFailure, match="changes"):
        changed_cells(cleaning)


def test_what_has_not_run_has_no_rows(cleaning: Cleaning) -> None:
    cleaning.quarantine = cleaning.changes = None

    assert removed_rows(cleaning).lines == changed_cells(cleaning).lines == []
    assert unknown_rows(cleaning, [4]) == [4]


def test_rest_leads_from_part_to_part(cleaning: Cleaning, dave_api: APIClient) -> None:
    first = dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/removed/?limit=2").json()
    second = dave_api.get(first["next"]).json()
    changed = dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/changed/?column=income&step=3").json()

    assert [line["row"] for line in first["results"] + second["results"]] == [4, 9, 31]
    assert (first["previous"], second["next"]) == (None, None)
    assert dave_api.get(second["previous"]).json() == first
    assert [line["row"] for line in changed["results"]] == [2, 7]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "step=x", "page=2"])
def test_a_part_that_is_none_is_refused(cleaning: Cleaning, dave_api: APIClient, query: str) -> None:
    assert dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/removed/?{query}").status_code == 422


def test_each_file_is_downloaded_under_its_name(cleaning: Cleaning, dave_api: APIClient) -> None:
    cleaning.report_file = page_factories.stored("{}")
    cleaning.save()

    assert set(dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/").json()["files"]) == {"quarantine", "changes", "report"}
    report = dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/files/report/")
    assert (report.getvalue(), report["Content-Type"]) == (b"{}", "application/json")
    assert f'filename="cleaning-{cleaning.pk}-report.json"' in report["Content-Disposition"]
    assert dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/files/flags/").status_code == 404
    assert dave_api.get(f"/api/v1/cleanings/{cleaning.pk}/files/job/").status_code == 404
