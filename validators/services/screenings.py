"""Screen data sets, keep what was found, and make a plan for cleaning of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import charts_with_digests, dataset_input, kept_file
from validators.engine.screening import catalogue, planning
from validators.models import Screening
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def request_screening(
    *,
    dataset: DatasetVersion,
    by: User,
    against: DatasetVersion | None = None,
    purpose: str = "quality",
    detectors: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Screening:
    """Start a job that runs detectors on a version; the purposes evaluation and drift compare it with another one.

    Raises:
        InvalidInput: an unknown purpose, detector or parameter, or another version where none belongs or none is given.
        StateConflict: a version that is not ready.
    """
    permissions.require(by, Action.REQUEST_SCREENING, dataset)
    asked = _read(purpose, detectors, parameters)
    _demand_other(dataset, against, purpose)
    inputs = {"dataset": dataset_input(dataset)}
    given: dict[str, Any] = {"detectors": asked, "schema": dataset.schema, "ref": dataset.ref}
    if against is not None:
        inputs["against"] = ("against.parquet", dataset_input(against)[1])
        given |= {"against_schema": against.schema, "against_ref": against.ref}
    with transaction.atomic():
        job = jobs.submit(
            kind="screening",
            parameters=given,
            inputs=inputs,
            subject=dataset.ref if against is None else f"{dataset.ref} against {against.ref}",
            by=by,
        )
        screening = Screening.objects.create(
            dataset=dataset,
            dataset_digest=dataset.content_digest,
            against=against,
            against_digest="" if against is None else against.content_digest,
            purpose=purpose,
            detectors=asked,
            job=job,
            created_by=by,
        )
        events.record(
            name="screening.requested",
            subject=dataset.ref,
            by=by,
            detail={
                "screening": screening.pk,
                "purpose": purpose,
                "against": None if against is None else against.ref,
                "detectors": list(asked),
            },
        )
    return screening


def record_screening(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the screening job found; runs in the transaction that ends the job."""
    screening = Screening.objects.select_related("dataset__dataset").get(job=job)
    screening.detections = [
        {**detection, "charts": charts_with_digests(detection["charts"], files)} for detection in value["detections"]
    ]
    screening.rows = kept_file(files, "rows.parquet")
    screening.row_count = value["row_count"]
    screening.digest = digest_of_json(
        {
            "dataset": screening.dataset_digest,
            "against": screening.against_digest,
            "detectors": screening.detectors,
            "detections": [
                {name: entry for name, entry in detection.items() if name != "seconds"}
                for detection in screening.detections
            ],
        }
    )
    screening.save()
    found = [entry["detector"] for entry in screening.detections if entry["status"] == "found"]
    broke = [entry["detector"] for entry in screening.detections if entry["status"] == "error"]
    events.record(
        name="screening.ended",
        subject=screening.dataset.ref,
        by=job.created_by,
        detail={"screening": screening.pk, "found": found, "errors": broke, "digest": screening.digest},
    )


def plan_of(screening: Screening) -> dict[str, Any]:
    """Return the cleaning steps that a screening leads to, and a sentence for what it found and makes no step of.

    Raises:
        StateConflict: the screening has no result yet.
    """
    if not screening.has_ended:
        raise StateConflict(f"{str(screening).capitalize()} has no result yet: its job has not ended with one.")
    steps = planning.steps_of(screening.detections, screening=screening.pk, row_count=screening.dataset.row_count or 0)
    return {"dataset": screening.dataset.ref, "plan": steps, "left_out": planning.left_out(screening.detections)}


def _read(
    purpose: str, detectors: Sequence[str] | None, parameters: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    try:
        return catalogue.read_request(purpose, detectors, parameters)
    except catalogue.RequestError as error:
        raise InvalidInput(str(error), errors=[{"place": error.place, "detail": str(error)}]) from error


def _demand_other(dataset: DatasetVersion, against: DatasetVersion | None, purpose: str) -> None:
    """Refuse another version where the purpose has none, none where it has one, and a version against itself."""
    if purpose == "quality":
        problem = "" if against is None else "Screening for quality looks at one version; leave `against` out."
    elif against is None:
        problem = f"Screening for {purpose} compares two versions; name the other one in `against`."
    elif against == dataset:
        problem = f"{dataset.ref} cannot be compared with itself; name another version in `against`."
    else:
        problem = ""
    if problem:
        raise InvalidInput(problem, errors=[{"place": "against", "detail": problem}])
