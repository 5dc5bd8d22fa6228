"""Make cleaned versions of data sets, keep what was removed or changed, and replay a cleaning to see that it agrees."""

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
from validators.engine.plans import check_plan, plan_from_suite
from validators.models import Cleaning, ExpectationSuite
from validators.services.problems import refuse
from validators.services.suites import require_first_suite
from validators.services.validations import record_validation_of_cleaned

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: What a cleaning leaves beside the clean table: the field that keeps a file, by the name of the file.
EVIDENCE = {
    "quarantine.parquet": "quarantine",
    "changes.parquet": "changes",
    "flags.parquet": "flags",
    "report.json": "report_file",
}


def request_cleaning(
    *,
    dataset: DatasetVersion,
    by: User,
    suite: ExpectationSuite | None = None,
    plan: list[dict[str, Any]] | None = None,
) -> Cleaning:
    """Start a job that makes a cleaned version, by an explicit plan or by what the suite's ``meta.clean`` says.

    With a suite the same job validates what is left against it; with both, the plan is run and the suite is the proof.
    """
    permissions.require(by, Action.REQUEST_CLEANING, dataset)
    if suite is None and plan is None:
        raise InvalidInput("A cleaning takes either a suite or a plan, or both.")
    steps = plan
    if steps is None and suite is not None:
        steps = plan_from_suite(suite.document)
        if not steps:
            raise InvalidInput("There is no step to run: no expectation of the suite says how to clean (`meta.clean`).")
    refuse("plan", check_plan(steps))
    with transaction.atomic():
        if suite is not None:
            require_first_suite(dataset=dataset.dataset, suite=suite, by=by)
        cleaning = _start(Cleaning(dataset=dataset, suite=suite, plan=steps, created_by=by), steps=plan)
        events.record(name="cleaning.requested", subject=dataset.ref, by=by, detail={"cleaning": cleaning.pk})
    return cleaning


def replay_cleaning(*, cleaning: Cleaning, by: User) -> Cleaning:
    """Start a job that runs the pinned plan of a cleaning again on the same content; it makes no version.

    Raises:
        StateConflict: the cleaning has not made a version, so that there is nothing to compare with.
    """
    permissions.require(by, Action.REPLAY_CLEANING, cleaning)
    if cleaning.cleaned_to is None:
        raise StateConflict(f"{str(cleaning).capitalize()} has made no version, so there is nothing to agree with.")
    with transaction.atomic():
        replay = Cleaning(
            dataset=cleaning.dataset, suite=cleaning.suite, plan=cleaning.plan, replay_of=cleaning, created_by=by
        )
        _start(replay, steps=cleaning.plan)
        events.record(
            name="cleaning.requested",
            subject=cleaning.dataset.ref,
            by=by,
            detail={"cleaning": replay.pk, "replay_of": cleaning.pk},
        )
    return replay


def record_cleaning(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what a cleaning did and make its version, or compare a replay; in the transaction that ends the job."""
    cleaning = Cleaning.objects.select_related(
        "dataset__dataset", "suite", "replay_of__cleaned_to__dataset", "created_by"
    ).get(job=job)
    cleaning.plan = value["plan"]
    cleaning.report = value["report"]
    for filename, field in EVIDENCE.items():
        setattr(cleaning, field, kept_file(files, filename))
    if cleaning.replay_of is not None:
        _record_replay(cleaning, cleaning.replay_of, value["content_digest"])
    else:
        _record_version(cleaning, value, files)


def _start(cleaning: Cleaning, *, steps: list[dict[str, Any]] | None) -> Cleaning:
    """Leave the job of a cleaning in the queue; without steps it takes those of the suite."""
    suite, dataset = cleaning.suite, cleaning.dataset
    cleaning.job = jobs.submit(
        kind="cleaning",
        parameters={"suite": None if suite is None else suite.document, "plan": steps, "schema": dataset.schema},
        inputs={"dataset": dataset_input(dataset)},
        subject=dataset.ref,
        by=cleaning.created_by,
    )
    cleaning.save()
    return cleaning


def _record_version(cleaning: Cleaning, value: Mapping[str, Any], files: Mapping[str, StoredFile]) -> None:
    origin, job = cleaning.dataset, cleaning.job
    cleaned = DatasetVersion.objects.create(
        dataset=origin.dataset,
        number=next_number(origin.dataset),
        state=DatasetState.READY,
        table=kept_file(files, "clean.parquet"),
        tree=files.get(TREE),
        content_digest=value["content_digest"],
        schema=parsed_schema(value["schema"]),
        row_count=value["row_count"],
        profile=value["profile"],
        media=shown_media(value["media"], files),
        cleaned_from=origin,
        job=job,
        created_by=cleaning.created_by,
    )
    cleaning.cleaned_to = cleaned
    cleaning.save()
    events.record(
        name="dataset.cleaned",
        subject=cleaned.ref,
        by=cleaning.created_by,
        detail={"cleaning": cleaning.pk, "from": origin.ref, "digest": cleaned.content_digest},
    )
    provenance.sign_dataset(cleaned, by=cleaning.created_by)
    if cleaning.suite is not None and value["validation"] is not None:
        record_validation_of_cleaned(
            dataset=cleaned, suite=cleaning.suite, job=job, value=value["validation"], files=files
        )


def _record_replay(replay: Cleaning, first: Cleaning, digest: str) -> None:
    made = first.cleaned_to
    replay.agrees = made is not None and made.content_digest == digest
    replay.save()
    events.record(
        name="cleaning.replayed",
        subject=replay.dataset.ref,
        by=replay.created_by,
        detail={"cleaning": replay.pk, "replay_of": first.pk, "agrees": replay.agrees, "digest": digest},
    )
