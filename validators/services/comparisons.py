"""Compare two versions of data, and keep what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import dataset_input, kept_file
from validators.models import Comparison

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DIFFERENCES = "differences.parquet"


def request_comparison(*, before: DatasetVersion, after: DatasetVersion, by: User) -> Comparison:
    """Start a job that tells how a version differs from another, of the same data set or not."""
    permissions.require(by, Action.REQUEST_COMPARISON, after)
    if before == after:
        raise InvalidInput(
            f"{before.ref} cannot be compared with itself.",
            errors=[{"place": "after", "detail": "Name another version."}],
        )
    inputs = {
        "before": ("before.parquet", dataset_input(before)[1]),
        "after": ("after.parquet", dataset_input(after)[1]),
    }
    for side, version in (("before", before), ("after", after)):
        if version.tree is not None:
            inputs[f"{side}_tree"] = (f"{side}-tree.json", version.tree)
    with transaction.atomic():
        job = jobs.submit(
            kind="comparison",
            parameters={"before_schema": before.schema, "after_schema": after.schema},
            inputs=inputs,
            subject=f"{before.ref} with {after.ref}",
            by=by,
        )
        comparison = Comparison.objects.create(
            before=before,
            after=after,
            before_digest=before.content_digest,
            after_digest=after.content_digest,
            job=job,
            created_by=by,
        )
        events.record(
            name="comparison.requested",
            subject=after.ref,
            by=by,
            detail={"comparison": comparison.pk, "before": before.ref},
        )
    return comparison


def record_comparison(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what differs; runs in the transaction that ends the job."""
    comparison = Comparison.objects.select_related("before__dataset", "after__dataset").get(job=job)
    comparison.result = value
    comparison.differences = kept_file(files, DIFFERENCES)
    comparison.save()
    events.record(
        name="comparison.ended",
        subject=comparison.after.ref,
        by=job.created_by,
        detail={"comparison": comparison.pk, "before": comparison.before.ref, "rows": value["rows"]},
    )
