"""Validate data sets, keep what came out, and waive what failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import dataset_input, kept_file
from validators.models import ExpectationSuite, Validation, Waiver
from validators.services.suites import require_first_suite
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def request_validation(*, dataset: DatasetVersion, suite: ExpectationSuite, by: User) -> Validation:
    """Start a job that runs a suite on a data set version.

    The first suite that any version of a data set is validated against becomes its required suite, so that the gate of
    training has something to ask for; from then on only ``require_suite`` changes it.
    """
    permissions.require(by, Action.REQUEST_VALIDATION, dataset)
    with transaction.atomic():
        require_first_suite(dataset=dataset.dataset, suite=suite, by=by)
        job = jobs.submit(
            kind="validation",
            parameters={"suite": suite.document, "schema": dataset.schema},
            inputs={"dataset": dataset_input(dataset)},
            subject=f"{dataset.ref} against {suite.ref}",
            by=by,
        )
        validation = Validation.objects.create(
            dataset=dataset, suite=suite, dataset_digest=dataset.content_digest, job=job, created_by=by
        )
        events.record(
            name="validation.requested",
            subject=dataset.ref,
            by=by,
            detail={"validation": validation.pk, "suite": suite.ref, "suite_digest": suite.digest},
        )
    return validation


def record_validation(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the validation job found; runs in the transaction that ends the job."""
    validation = Validation.objects.select_related("dataset__dataset", "suite").get(job=job)
    keep_result(validation, value, files)


def record_validation_of_cleaned(
    *,
    dataset: DatasetVersion,
    suite: ExpectationSuite,
    job: Job,
    value: Mapping[str, Any],
    files: Mapping[str, StoredFile],
) -> Validation:
    """Keep that the job which made a cleaned version validated it too; in the transaction that ends the job."""
    validation = Validation(
        dataset=dataset, suite=suite, dataset_digest=dataset.content_digest, job=job, created_by=job.created_by
    )
    return keep_result(validation, value, files)


def keep_result(validation: Validation, value: Mapping[str, Any], files: Mapping[str, StoredFile]) -> Validation:
    """Write down what a suite found on a data set version, and give it its digest."""
    validation.success = value["success"]
    validation.statistics = value["statistics"]
    validation.results = value["results"]
    validation.rows = kept_file(files, "rows.parquet")
    validation.result_file = kept_file(files, "results.json")
    validation.row_count = value["row_count"]
    validation.digest = digest_of_json(
        {"dataset": validation.dataset_digest, "suite": validation.suite.digest, "value": value}
    )
    validation.save()
    events.record(
        name="validation.ended",
        subject=validation.dataset.ref,
        by=validation.job.created_by,
        detail={"validation": validation.pk, "success": validation.success, "digest": validation.digest},
    )
    return validation


def grant_waiver(*, validation: Validation, reason: str, expires_at: datetime, by: User) -> Waiver:
    """Let a data set be used although its validation failed, for a reason and until a moment."""
    permissions.require(by, Action.GRANT_WAIVER, validation)
    if validation.success is not False:
        raise StateConflict(f"{str(validation).capitalize()} did not fail; there is nothing to waive.")
    if not reason.strip():
        raise InvalidInput("A waiver needs a reason.", errors=[{"place": "reason", "detail": "It is empty."}])
    if expires_at <= timezone.now():
        raise InvalidInput(
            "A waiver ends in the future.", errors=[{"place": "expires_at", "detail": f"{expires_at} has passed."}]
        )
    with transaction.atomic():
        waiver = Waiver.objects.create(validation=validation, reason=reason, expires_at=expires_at, granted_by=by)
        events.record(
            name="waiver.granted",
            subject=validation.dataset.ref,
            by=by,
            detail={"validation": validation.pk, "reason": reason, "expires_at": expires_at.isoformat()},
        )
    return waiver
