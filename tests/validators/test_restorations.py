"""Restorations as services and over REST: which rows, by whom, why, into what, and never twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import DatasetVersion, Event, InstallationKey, JobState, StatementKind
from governance.services import statements
from tests import factories, page_factories
from validators.gates import data_validated
from validators.lineage import datasets_behind, graph_of
from validators.models import Cleaning, Restoration
from validators.services import restorations
from validators.views.lineage import Act, row_of
from workers.protocol import digest_of_bytes

REASON = "The birth date was checked against the register."


@pytest.fixture
def cleaning(alice: User) -> Cleaning:
    return page_factories.cleaning(factories.DatasetVersionFactory())


def end(restoration: Restoration, **more: Any) -> DatasetVersion:
    """End the job of a restoration as its child would."""
    value = {
        "content_digest": digest_of_bytes(f"restored {restoration.pk}".encode()),
        "row_count": 37 + len(restoration.rows),
        "schema": factories.SCHEMA,
        "profile": {},
        "media": {},
        **more,
    }
    files = {name: factories.StoredFileFactory() for name in ("table.parquet", "tree.json")}
    restorations.record_restoration(restoration.job, value, files)
    type(restoration.job).objects.filter(pk=restoration.job_id).update(state=JobState.SUCCEEDED)
    restoration.refresh_from_db()
    assert restoration.restored_to is not None
    return restoration.restored_to


def test_rows_come_back_as_a_new_version_that_is_signed_and_has_to_be_validated(
    cleaning: Cleaning, alice: User, signing_key: InstallationKey
) -> None:
    page_factories.validation(cleaning.cleaned_to)
    assert data_validated(dataset=cleaning.cleaned_to) == []

    restoration = restorations.restore_rows(cleaning=cleaning, rows=[31, 4, 4], reason=f" {REASON} ", by=alice)
    restored = end(restoration)

    assert (restoration.rows, restoration.reason, restoration.base) == ([4, 31], REASON, cleaning.cleaned_to)
    inputs = restoration.job.spec["inputs"]
    assert inputs["base"]["digest"] == cleaning.cleaned_to.table_id
    assert inputs["quarantine"]["digest"] == cleaning.quarantine_id
    assert (restored.cleaned_from, restored.row_count) == (cleaning.cleaned_to, 39)
    assert data_validated(dataset=restored) != []
    assert statements.of(StatementKind.DATASET, restored.ref) is not None
    requested = Event.objects.get(name="restoration.requested")
    assert requested.detail["reason"] == REASON
    assert Event.objects.get(name="dataset.restored").subject == restored.ref


def test_restorations_build_on_each_other_and_nobody_restores_twice(cleaning: Cleaning, alice: User) -> None:
    first = restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=alice)
    with pytest.raises(StateConflict, match="under way"):
        restorations.restore_rows(cleaning=cleaning, rows=[9], reason=REASON, by=alice)
    restored = end(first)
    with pytest.raises(StateConflict, match=r"twice.*: 4\."):
        restorations.restore_rows(cleaning=cleaning, rows=[4, 9], reason=REASON, by=alice)

    second = restorations.restore_rows(cleaning=cleaning, rows=[9], reason=REASON, by=alice)

    assert second.base == restored
    assert second.job.spec["parameters"]["restored"] == [4]
    assert restorations.restored_rows(cleaning) == {4}


def test_a_restoration_whose_job_failed_leaves_its_rows_free(cleaning: Cleaning, alice: User) -> None:
    failed = restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=alice)
    type(failed.job).objects.filter(pk=failed.job_id).update(state=JobState.FAILED)

    again = restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=alice)

    assert again.base == cleaning.cleaned_to


@pytest.mark.parametrize(
    ("rows", "reason", "says"),
    [
        ([5, 4, 7], REASON, "did not leave in cleaning .*: 5, 7"),
        ([], REASON, "1 to 10,000 rows"),
        (range(10_001), REASON, "1 to 10,000 rows"),
        ([4], "  ", "needs a reason"),
        ([4], "x" * 2_001, "needs a reason"),
    ],
)
def test_what_cannot_be_restored_is_told(cleaning: Cleaning, alice: User, rows: Any, reason: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        restorations.restore_rows(cleaning=cleaning, rows=rows, reason=reason, by=alice)

    assert not Restoration.objects.exists()


def test_a_cleaning_without_a_version_gives_nothing_back(cleaning: Cleaning, alice: User) -> None:
    cleaning.cleaned_to = None

    with pytest.raises(StateConflict, match="no version"):
        restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=alice)


@pytest.mark.parametrize("group", ["auditors", "administrators"])
def test_who_reviews_the_data_may_and_other_engineers_and_approvers_may_not(cleaning: Cleaning, group: str) -> None:
    reviewer, other = factories.person("rita", group), factories.person("fred", "engineers")

    with pytest.raises(NotAllowed, match="member of engineers, auditors or administrators"):
        restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=factories.person("pia", "approvers"))
    with pytest.raises(NotAllowed, match="Only the owner"):
        restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=other)
    assert restorations.restore_rows(cleaning=cleaning, rows=[4], reason=REASON, by=reviewer).created_by == reviewer


def test_rest_starts_a_restoration_once_and_answers_with_it(cleaning: Cleaning, alice_api: APIClient) -> None:
    address, body = f"/api/v1/cleanings/{cleaning.pk}/restore/", {"rows": [4], "reason": REASON}

    answers = [alice_api.post(address, body, format="json", HTTP_IDEMPOTENCY_KEY="k") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[0]["Location"] == f"/api/v1/restorations/{answers[0].json()['id']}/"
    assert alice_api.get(answers[0]["Location"]).json()["rows"] == [4]
    assert alice_api.post(address, {"rows": [9], "reason": REASON}, format="json").status_code == 409
    unknown = alice_api.post(address, {"rows": [6], "reason": REASON}, format="json")
    assert (unknown.status_code, unknown.json()["errors"][0]["place"]) == (422, "rows")
    assert alice_api.post(address, {"rows": ["first"], "reason": REASON}, format="json").status_code == 422
    assert alice_api.post(address, {"rows": [4]}, format="json").status_code == 422


def test_rest_keeps_approvers_and_strangers_out(cleaning: Cleaning, bob_api: APIClient, carol_api: APIClient) -> None:
    address, body = f"/api/v1/cleanings/{cleaning.pk}/restore/", {"rows": [4], "reason": REASON}

    assert bob_api.post(address, body, format="json").status_code == 403
    assert carol_api.post(address, body, format="json").status_code == 404


def test_the_lineage_of_a_restored_version_says_that_rows_were_put_back(cleaning: Cleaning, alice: User) -> None:
    restored = end(restorations.restore_rows(cleaning=cleaning, rows=[4, 31], reason=REASON, by=alice))

    edges = {(edge["to"], edge["verb"]) for edge in graph_of(restored)["edges"]}
    assert (f"dataset:{restored.ref}", "restored") in edges
    assert (f"dataset:{cleaning.cleaned_to.ref}", "cleaned") in edges
    acts = [(entry.above, entry.below) for entry in row_of(datasets_behind(restored)) if isinstance(entry, Act)]
    (restoration,) = Restoration.objects.all()
    assert acts[-1] == (f"restoration {restoration.pk}", "2\N{NO-BREAK SPACE}rows back")
    assert acts[-2][0] == f"cleaning {cleaning.pk}"
