"""Suites, validations, waivers and cleanings as services: what they keep, and what they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import DatasetState, Event, Job
from tests.factories import DatasetVersionFactory, ExpectationSuiteFactory, StoredFileFactory, ValidationFactory, person
from validators.models import Cleaning, ExpectationSuite, RequiredSuite, Validation
from validators.services import cleanings, suites, validations

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "age"}, "severity": "critical"}


def test_a_suite_is_kept_with_ids_and_the_next_number(alice: User) -> None:
    first = suites.create_suite(name="applicants", document={"expectations": [NOT_NULL]}, by=alice)
    second = suites.create_suite(name="applicants", document={"expectations": [NOT_NULL]}, by=alice)

    assert (first.ref, second.ref) == ("applicants/1", "applicants/2")
    assert first.digest == second.digest
    assert first.document["expectations"][0]["id"]
    assert Event.objects.filter(name="suite.created").count() == 2


def test_a_number_that_somebody_else_took_at_the_same_moment_is_a_conflict(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites.create_suite(name="applicants", document={"expectations": [NOT_NULL]}, by=alice)
    monkeypatch.setattr(QuerySet, "aggregate", lambda *args, **kwargs: {"last": 0})
    monkeypatch.setattr(ExpectationSuite, "full_clean", lambda *args, **kwargs: None)  # the other is not committed yet

    with pytest.raises(StateConflict, match="same moment"):
        suites.create_suite(name="applicants", document={"expectations": [NOT_NULL]}, by=alice)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"expectations": "all of them"},
        {"expectations": [{"type": "expect_column_values_to_not_be_null"}]},
        {"expectations": [{**NOT_NULL, "severity": "terrible"}]},
        {"expectations": [{**NOT_NULL, "meta": {"clean": {"action": "hope"}}}]},
    ],
)
def test_a_suite_that_is_none_is_refused_with_its_places(alice: User, document: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        suites.create_suite(name="applicants", document=document, by=alice)

    assert refused.value.errors
    assert all(error["detail"] for error in refused.value.errors)


def test_bob_writes_no_suites(bob: User) -> None:
    with pytest.raises(NotAllowed):
        suites.create_suite(name="applicants", document={"expectations": [NOT_NULL]}, by=bob)


def test_the_first_suite_becomes_the_required_one_and_the_second_does_not(alice: User) -> None:
    dataset, first, second = DatasetVersionFactory(), ExpectationSuiteFactory(), ExpectationSuiteFactory()

    validations.request_validation(dataset=dataset, suite=first, by=alice)
    validation = validations.request_validation(dataset=dataset, suite=second, by=alice)

    assert RequiredSuite.objects.get(dataset=dataset.dataset).suite == first
    assert validation.success is None
    assert validation.dataset_digest == dataset.content_digest
    assert validation.job.spec["inputs"]["dataset"]["digest"] == dataset.table_id


def test_what_is_not_imported_yet_is_not_validated(alice: User) -> None:
    dataset = DatasetVersionFactory(state=DatasetState.IMPORTING, table=None)

    with pytest.raises(StateConflict, match="importing"):
        validations.request_validation(dataset=dataset, suite=ExpectationSuiteFactory(), by=alice)

    assert not Job.objects.exists()
    assert not RequiredSuite.objects.exists()


def test_a_recorded_validation_has_a_digest_and_an_event(alice: User) -> None:
    validation = validations.request_validation(
        dataset=DatasetVersionFactory(), suite=ExpectationSuiteFactory(), by=alice
    )
    value = {"success": False, "statistics": {"failed": 1}, "results": [{"status": "failed"}], "row_count": 3}

    validations.record_validation(
        validation.job, value, {"rows.parquet": StoredFileFactory(), "results.json": StoredFileFactory()}
    )

    kept = Validation.objects.get(pk=validation.pk)
    assert kept.success is False
    assert kept.row_count == 3
    assert kept.digest.startswith("sha256:")
    assert Event.objects.filter(name="validation.ended").get().detail["success"] is False


@pytest.fixture
def failed(alice: User) -> Validation:
    return ValidationFactory(created_by=alice)


def test_a_waiver_has_a_reason_and_an_end_ahead(failed: Validation, bob: User) -> None:
    tomorrow, yesterday = timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=1)

    with pytest.raises(InvalidInput, match="reason"):
        validations.grant_waiver(validation=failed, reason="  ", expires_at=tomorrow, by=bob)
    with pytest.raises(InvalidInput, match="future"):
        validations.grant_waiver(validation=failed, reason="Because.", expires_at=yesterday, by=bob)
    assert not failed.waivers.exists()


def test_what_passed_is_not_waived(failed: Validation, bob: User) -> None:
    failed.success = True

    with pytest.raises(StateConflict):
        validations.grant_waiver(
            validation=failed, reason="To be sure.", expires_at=timezone.now() + timedelta(days=1), by=bob
        )


def test_alice_does_not_waive_what_her_own_data_failed(failed: Validation, alice: User) -> None:
    alice = person("alice", "engineers", "approvers")

    with pytest.raises(NotAllowed, match="owns"):
        validations.grant_waiver(
            validation=failed, reason="I know.", expires_at=timezone.now() + timedelta(days=1), by=alice
        )


def test_a_cleaning_takes_a_suite_or_a_plan_and_something_to_do(alice: User) -> None:
    dataset, suite = DatasetVersionFactory(), ExpectationSuiteFactory()

    with pytest.raises(InvalidInput, match="either"):
        cleanings.request_cleaning(dataset=dataset, by=alice)
    with pytest.raises(InvalidInput, match="needs a `rule`"):
        cleanings.request_cleaning(dataset=dataset, suite=suite, plan=[{"action": "drop"}], by=alice)
    with pytest.raises(InvalidInput, match="at least one step"):
        cleanings.request_cleaning(dataset=dataset, plan=[], by=alice)
    with pytest.raises(InvalidInput, match="no step"):
        cleanings.request_cleaning(
            dataset=dataset, suite=ExpectationSuiteFactory(document={"expectations": []}), by=alice
        )
    assert not Cleaning.objects.exists()
