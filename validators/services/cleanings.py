"""Make cleaned versions of data sets, and keep what was removed or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import DatasetState, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.datasets import TREE, next_number
from governance.services.subjects import dataset_input, kept_file
from validators.engine.plans import check_plan, plan_from_suite
from validators.models import Cleaning, ExpectationSuite
from validators.services.problems import refuse

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def request_cleaning(
    *,
    dataset: DatasetVersion,
    by: User,
    suite: ExpectationSuite | None = None,
    plan: list[dict[str, Any]] | None = None,
) -> Cleaning:
    """Start a job that makes a cleaned version, by an explicit plan or by what the suite's ``meta.clean`` says."""
    permissions.require(by, Action.REQUEST_CLEANING, dataset)
    if (suite is None) == (plan is None):
        raise InvalidInput("A cleaning takes either a suite or a plan.")
    if suite is not None:
        plan = plan_from_suite(suite.document)
    else:
        refuse("plan", check_plan(plan))
    if not plan:
        raise InvalidInput("There is no step to run: no expectation of the suite says how to clean (`meta.clean`).")
    with transaction.atomic():
        job = jobs.submit(
            kind="cleaning",
            parameters={
                "suite": None if suite is None else suite.document,
                "plan": plan if suite is None else None,
                "schema": dataset.schema,
            },
            inputs={"dataset": dataset_input(dataset)},
            subject=dataset.ref,
            by=by,
        )
        cleaning = Cleaning.objects.create(dataset=dataset, suite=suite, plan=plan, job=job, created_by=by)
        events.record(name="cleaning.requested", subject=dataset.ref, by=by, detail={"cleaning": cleaning.pk})
    return cleaning


def record_cleaning(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Make the cleaned version; runs in the transaction that ends the job."""
    cleaning = Cleaning.objects.select_related("dataset__dataset").get(job=job)
    origin = cleaning.dataset
    cleaned = DatasetVersion.objects.create(
        dataset=origin.dataset,
        number=next_number(origin.dataset),
        state=DatasetState.READY,
        table=kept_file(files, "clean.parquet"),
        tree=files.get(TREE),
        content_digest=value["content_digest"],
        schema=value["schema"],
        row_count=value["row_count"],
        profile=value["profile"],
        cleaned_from=origin,
        job=job,
        created_by=job.created_by,
    )
    cleaning.cleaned_to = cleaned
    cleaning.plan = value["plan"]
    cleaning.report = {**value["report"], "examples": value["examples"]}
    cleaning.quarantine = kept_file(files, "quarantine.parquet")
    cleaning.changes = kept_file(files, "changes.parquet")
    cleaning.save()
    events.record(
        name="dataset.cleaned",
        subject=cleaned.ref,
        by=job.created_by,
        detail={"cleaning": cleaning.pk, "from": origin.ref, "digest": cleaned.content_digest},
    )
    provenance.sign_dataset(cleaned, by=job.created_by)
