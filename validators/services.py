"""The verbs of data evidence: suites, validations, waivers, cleanings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import Dataset, DatasetState, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.datasets import next_number
from governance.services.subjects import dataset_input, kept_file
from validators.engine.plans import check_plan, plan_from_suite
from validators.engine.suites import Problem, check_suite, with_ids
from validators.models import Cleaning, ExpectationSuite, RequiredSuite, Validation, Waiver
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create_suite(*, name: str, document: Mapping[str, Any], by: User) -> ExpectationSuite:
    """Keep a suite as the next number of its name; expectations without an id get one.

    Raises:
        InvalidInput: with one error a problem, each naming the expectation.
    """
    permissions.require(by, Action.CREATE_SUITE)
    named = {**document, "name": name}
    _refuse("suite", check_suite(named))
    identified = with_ids(named)
    try:
        return _keep_suite(name, identified, by)
    except IntegrityError as error:
        raise StateConflict(f"Somebody else added a number to {name} at the same moment; ask again.") from error


def _keep_suite(name: str, identified: dict[str, Any], by: User) -> ExpectationSuite:
    with transaction.atomic():
        last = ExpectationSuite.objects.filter(name=name).aggregate(last=Max("number"))["last"]
        suite = ExpectationSuite(
            name=name,
            number=(last or 0) + 1,
            document=identified,
            digest=digest_of_json(identified),
            created_by=by,
        )
        suite.full_clean(exclude=["created_by"])
        suite.save()
        events.record(name="suite.created", subject=suite.ref, by=by, detail={"digest": suite.digest})
    return suite


def require_suite(*, dataset: Dataset, suite: ExpectationSuite, by: User) -> RequiredSuite:
    """Pin the suite that versions of a data set have to pass before a model is trained on them."""
    permissions.require(by, Action.REQUIRE_SUITE, dataset)
    with transaction.atomic():
        required, _ = RequiredSuite.objects.update_or_create(dataset=dataset, defaults={"suite": suite, "set_by": by})
        events.record(name="suite.required", subject=dataset.name, by=by, detail={"suite": suite.ref})
    return required


def request_validation(*, dataset: DatasetVersion, suite: ExpectationSuite, by: User) -> Validation:
    """Start a job that runs a suite on a data set version.

    The first suite that any version of a data set is validated against becomes its required suite, so that the gate of
    training has something to ask for; from then on only ``require_suite`` changes it.
    """
    permissions.require(by, Action.REQUEST_VALIDATION, dataset)
    with transaction.atomic():
        required, is_new = RequiredSuite.objects.get_or_create(
            dataset=dataset.dataset, defaults={"suite": suite, "set_by": by}
        )
        if is_new:
            events.record(
                name="suite.required", subject=dataset.dataset.name, by=by, detail={"suite": required.suite.ref}
            )
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
    validation.success = value["success"]
    validation.statistics = value["statistics"]
    validation.results = value["results"]
    validation.rows = kept_file(files, "rows.parquet")
    validation.row_count = value["row_count"]
    validation.digest = digest_of_json(
        {"dataset": validation.dataset_digest, "suite": validation.suite.digest, "value": value}
    )
    validation.save()
    events.record(
        name="validation.ended",
        subject=validation.dataset.ref,
        by=job.created_by,
        detail={"validation": validation.pk, "success": validation.success, "digest": validation.digest},
    )


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
        _refuse("plan", check_plan(plan))
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


def _refuse(what: str, problems: Sequence[Problem]) -> None:
    """Raise InvalidInput when there are problems, with one error each."""
    if problems:
        raise InvalidInput(
            f"The {what} has {len(problems)} problem{'s' * (len(problems) != 1)}; the first: {problems[0].detail}",
            errors=[{"place": problem.place, "detail": problem.detail} for problem in problems],
        )
