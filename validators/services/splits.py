"""Divide data sets into parts, and keep which rows went where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetState, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.datasets import TREE, next_number, parsed_schema, shown_media
from governance.services.subjects import dataset_input, kept_file
from validators.engine.split_plans import SplitPlan, SplitPlanError
from validators.models import Split

if TYPE_CHECKING:
    from django.contrib.auth.models import User

TABLE = "split.parquet"


def request_split(*, dataset: DatasetVersion, plan: Any, by: User) -> Split:
    """Start a job that makes a version with a column of parts.

    Without ``by``, ``group`` and ``time`` the one column of role ``id`` decides, and where there is none the content of
    the whole row.

    Raises:
        InvalidInput: the plan is none, or does not fit the columns of the data set.
    """
    permissions.require(by, Action.REQUEST_SPLIT, dataset)
    table = dataset_input(dataset)
    schema = dataset.read_schema()
    if schema is None:
        raise StateConflict(f"{dataset.ref} has no schema yet.")
    try:
        chosen = SplitPlan.from_json(plan)
        ids = schema.with_role("id")
        if chosen.deciding is None and chosen.time is None and len(ids) == 1:
            chosen = SplitPlan.from_json({**chosen.to_json(), "by": ids[0]})
    except SplitPlanError as error:
        raise InvalidInput(f"The split is not valid: {error}", errors=[_error(str(error))]) from error
    misfits = chosen.misfits(schema)
    if misfits:
        raise InvalidInput(f"{dataset.ref} cannot be split so: {misfits[0]}", errors=[*map(_error, misfits)])
    with transaction.atomic():
        job = jobs.submit(
            kind="split",
            parameters={"plan": chosen.to_json(), "schema": schema.to_json()},
            inputs={"dataset": table},
            subject=dataset.ref,
            by=by,
        )
        split = Split.objects.create(dataset=dataset, plan=chosen.to_json(), job=job, created_by=by)
        events.record(name="split.requested", subject=dataset.ref, by=by, detail={"split": split.pk})
    return split


def record_split(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Make the version with its parts; runs in the transaction that ends the job."""
    split = Split.objects.select_related("dataset__dataset").get(job=job)
    origin = split.dataset
    made = DatasetVersion.objects.create(
        dataset=origin.dataset,
        number=next_number(origin.dataset),
        state=DatasetState.READY,
        table=kept_file(files, TABLE),
        tree=files.get(TREE),
        content_digest=value["content_digest"],
        schema=parsed_schema(value["schema"]),
        row_count=value["row_count"],
        profile=value["profile"],
        media=shown_media(value["media"], files),
        split_from=origin,
        job=job,
        created_by=job.created_by,
    )
    split.split_to, split.plan, split.report = made, value["plan"], value["report"]
    split.save()
    events.record(
        name="dataset.split",
        subject=made.ref,
        by=job.created_by,
        detail={"split": split.pk, "from": origin.ref, "digest": made.content_digest},
    )
    provenance.sign_dataset(made, by=job.created_by)


def _error(sentence: str) -> dict[str, str]:
    return {"place": "plan", "detail": sentence}
