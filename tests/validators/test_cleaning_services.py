"""Cleanings as services: the version with its validation, the replay that agrees or not, and who may ask."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from governance.exceptions import NotAllowed, RefusedResult, StateConflict
from governance.models import DatasetState, DatasetVersion, Event, InstallationKey, StatementKind
from governance.services import statements
from tests.factories import DatasetVersionFactory, StoredFileFactory
from tests.validators.test_services import NOT_NULL
from validators.gates import data_validated
from validators.models import Cleaning, ExpectationSuite, RequiredSuite, Validation
from validators.services import cleanings, suites
from workers.protocol import digest_of_bytes
from workers.provenance.dsse import Envelope
from workers.provenance.statement import TABLE, Statement

DIGEST = digest_of_bytes(b"clean")
REPORT = {"rows_in": 40, "rows_out": 39, "rows_quarantined": 1, "cells_changed": 0, "steps": []}
VALIDATION = {
    "success": True,
    "statistics": {"passed": 1},
    "results": [{"status": "passed", "severity": "critical"}],
    "row_count": 0,
}


def answer(cleaning: Cleaning, **more: Any) -> dict[str, Any]:
    """Return what the job of a cleaning may answer."""
    return {
        "plan": [{**step, "pinned": True} for step in cleaning.plan],
        "report": REPORT,
        "content_digest": DIGEST,
        "row_count": 39,
        "schema": cleaning.dataset.schema,
        "profile": {},
        "media": {},
        "validation": VALIDATION,
        **more,
    }


def record(cleaning: Cleaning, **more: Any) -> Cleaning:
    tables = ("clean", "quarantine", "changes", "flags", "rows")
    names = (*(f"{name}.parquet" for name in tables), "report.json", "tree.json", "results.json")
    cleanings.record_cleaning(cleaning.job, answer(cleaning, **more), {name: StoredFileFactory() for name in names})
    return Cleaning.objects.get(pk=cleaning.pk)


@pytest.fixture
def suite(alice: User) -> ExpectationSuite:
    document = {"expectations": [{**NOT_NULL, "meta": {"clean": {"action": "drop"}}}]}
    return suites.create_suite(name="applicants", document=document, by=alice)


@pytest.fixture
def cleaned(alice: User, suite: ExpectationSuite, signing_key: InstallationKey) -> Cleaning:
    return record(cleanings.request_cleaning(dataset=DatasetVersionFactory(), suite=suite, by=alice))


def test_a_recorded_cleaning_makes_the_next_version_and_signs_it(cleaned: Cleaning) -> None:
    version, origin = DatasetVersion.objects.get(cleaned_by=cleaned), cleaned.dataset

    assert (version.number, version.state, version.cleaned_from) == (origin.number + 1, DatasetState.READY, origin)
    assert version.content_digest == DIGEST
    assert cleaned.plan[0]["pinned"] is True
    assert all(getattr(cleaned, field) is not None for field in cleanings.EVIDENCE.values())
    signed = statements.of(StatementKind.DATASET, version.ref)
    assert signed is not None
    statement = Statement.parse(Envelope.from_json(signed.envelope).payload)
    assert statement.has_subject(version.content_digest, algorithm=TABLE)
    assert statement.predicate["cleanedFrom"]["name"] == origin.ref


def test_the_validation_of_the_same_job_opens_the_gate_at_once(cleaned: Cleaning, suite: ExpectationSuite) -> None:
    version = DatasetVersion.objects.get(cleaned_by=cleaned)
    validation = Validation.objects.get(dataset=version)

    assert (validation.success, validation.dataset_digest, validation.job) == (True, DIGEST, cleaned.job)
    assert RequiredSuite.objects.get(dataset=version.dataset).suite == suite
    assert data_validated(dataset=version) == []
    assert data_validated(dataset=cleaned.dataset) != []
    assert Event.objects.filter(name="validation.ended", subject=version.ref).count() == 1


def test_a_second_validation_that_failed_leaves_the_gate_closed(alice: User, suite: ExpectationSuite) -> None:
    failed = {**VALIDATION, "success": False, "results": [{"status": "failed", "severity": "critical"}]}
    cleaning = record(
        cleanings.request_cleaning(dataset=DatasetVersionFactory(), suite=suite, by=alice), validation=failed
    )

    version = DatasetVersion.objects.get(cleaned_by=cleaning)
    assert "failed" in data_validated(dataset=version)[0]


def test_a_cleaning_by_a_plan_alone_validates_nothing(alice: User) -> None:
    plan = [{"action": "dedupe", "columns": ["age"]}]
    cleaning = record(cleanings.request_cleaning(dataset=DatasetVersionFactory(), plan=plan, by=alice), validation=None)

    assert cleaning.cleaned_to is not None
    assert not Validation.objects.exists()
    assert not RequiredSuite.objects.exists()


def test_a_result_without_its_files_makes_no_version(alice: User, suite: ExpectationSuite) -> None:
    cleaning = cleanings.request_cleaning(dataset=DatasetVersionFactory(), suite=suite, by=alice)

    with pytest.raises(RefusedResult, match=r"quarantine\.parquet"):
        cleanings.record_cleaning(cleaning.job, answer(cleaning), {"clean.parquet": StoredFileFactory()})


@pytest.mark.parametrize(("digest", "agrees"), [(DIGEST, True), (digest_of_bytes(b"other"), False)])
def test_a_replay_runs_the_pinned_plan_and_says_whether_it_agrees(
    cleaned: Cleaning, dave: User, digest: str, agrees: bool
) -> None:
    versions = DatasetVersion.objects.count()

    replay = cleanings.replay_cleaning(cleaning=cleaned, by=dave)
    assert replay.job.spec["parameters"]["plan"] == cleaned.plan
    assert replay.job.spec["parameters"]["suite"] == cleaned.job.spec["parameters"]["suite"]
    assert replay.job.spec["inputs"] == cleaned.job.spec["inputs"]
    replay = record(replay, content_digest=digest)

    assert (replay.agrees, replay.cleaned_to, replay.replay_of) == (agrees, None, cleaned)
    assert DatasetVersion.objects.count() == versions
    assert Validation.objects.count() == 1
    assert Event.objects.get(name="cleaning.replayed").detail["agrees"] is agrees


def test_only_what_made_a_version_is_replayed_and_not_by_everybody(
    alice: User, bob: User, suite: ExpectationSuite, cleaned: Cleaning
) -> None:
    pending = cleanings.request_cleaning(dataset=cleaned.dataset, suite=suite, by=alice)

    with pytest.raises(StateConflict, match="no version"):
        cleanings.replay_cleaning(cleaning=pending, by=alice)
    with pytest.raises(NotAllowed):
        cleanings.replay_cleaning(cleaning=cleaned, by=bob)
