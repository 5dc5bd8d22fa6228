"""Ask for a measurement of a version, alone or against another, and keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import gates, permissions
from governance.exceptions import InvalidInput, RefusedResult
from governance.models import DatasetVersion, Evaluation, Job, ModelVersion, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.subjects import (
    dataset_input,
    demand_fit,
    demand_target,
    kept_file,
    model_input,
    split_or_all,
)
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PREDICTIONS = "predictions.parquet"


def request_evaluation(
    *,
    version: ModelVersion,
    dataset: DatasetVersion,
    by: User,
    slices: Sequence[str] = (),
    compare_with: ModelVersion | None = None,
    devices: str = "cpu",
) -> Evaluation:
    """Start a job that measures a version on a data set (its ``test`` rows where it has a split column).

    Raises:
        InvalidInput: when the data set cannot feed a model, or lacks the target or a column to slice by.
        StateConflict: when a version is not registered or the data set not ready.
        GateClosed: with the reasons of the gate ``evaluation``.
    """
    permissions.require(by, Action.REQUEST_EVALUATION, version)
    inputs = {"model": model_input(version), "dataset": dataset_input(dataset)}
    signature, schema = demand_fit(version, dataset)
    demand_target(dataset, schema)
    unknown = [name for name in slices if name not in schema.columns]
    if unknown:
        raise InvalidInput(
            f"{dataset.ref} has no column {unknown[0]!r} to slice by.",
            errors=[{"place": "slices", "detail": f"There is no column {name!r}."} for name in unknown],
        )
    parameters: dict[str, Any] = {
        "framework": version.framework,
        "signature": signature.to_json(),
        "schema": schema.to_json(),
        "task": version.model.task,
        "slices": list(dict.fromkeys(slices)),
        "split": split_or_all(schema, "test"),
    }
    if compare_with is not None:
        inputs["other"] = _other_input(version, compare_with)
        other_signature, _ = demand_fit(compare_with, dataset)
        parameters["other"] = {"framework": compare_with.framework, "signature": other_signature.to_json()}
    with transaction.atomic():
        refusal = f"{dataset.ref} may not be used to evaluate {version.ref}"
        gates.demand("evaluation", refusal, version=version, dataset=dataset)
        job = jobs.submit(
            kind="evaluation",
            parameters=parameters,
            inputs=inputs,
            subject=f"{version.ref} on {dataset.ref}",
            by=by,
            devices=devices,
        )
        evaluation = Evaluation.objects.create(
            version=version,
            dataset=dataset,
            slices=parameters["slices"],
            compare_with=compare_with,
            job=job,
            created_by=by,
        )
        events.record(
            name="evaluation.requested",
            subject=version,
            by=by,
            detail={
                "evaluation": evaluation.pk,
                "dataset": dataset.ref,
                "compare_with": None if compare_with is None else compare_with.ref,
            },
        )
    return evaluation


def record_evaluation(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what was measured; in the transaction that ends the job."""
    evaluation = Evaluation.objects.select_related(
        "version__model", "dataset__dataset", "compare_with__model", "created_by"
    ).get(job=job)
    if (value["comparison"] is None) != (evaluation.compare_with is None):
        raise RefusedResult("The result has a comparison that nobody asked for, or lacks the one that was asked for.")
    other = evaluation.compare_with
    evaluation.metrics = value["metrics"]
    evaluation.comparison = value["comparison"]
    evaluation.digest = digest_of_json(
        {
            "version": evaluation.version.digest,
            "dataset": evaluation.dataset.digest,
            "compare_with": None if other is None else other.digest,
            "value": value,
            "predictions": kept_file(files, PREDICTIONS).digest,
        }
    )
    evaluation.save(update_fields=["metrics", "comparison", "digest"])
    events.record(
        name="evaluation.ended",
        subject=evaluation.version,
        by=evaluation.created_by,
        detail={"evaluation": evaluation.pk, "dataset": evaluation.dataset.ref, "digest": evaluation.digest},
    )
    provenance.sign_evaluation(evaluation, by=evaluation.created_by)


def evaluation_problem(evaluation: Evaluation) -> str | None:
    """Say why an evaluation cannot be rested on; None when it has ended."""
    if not evaluation.digest:
        return f"{str(evaluation).capitalize()} has no result: its job is {evaluation.job.get_state_display()}."
    return None


def _other_input(version: ModelVersion, other: ModelVersion) -> tuple[str, StoredFile]:
    if other.pk == version.pk:
        raise InvalidInput(
            f"{version.ref} cannot be compared with itself.",
            errors=[{"place": "compare_with", "detail": "Name another version."}],
        )
    if other.model.task != version.model.task:
        raise InvalidInput(
            f"{other.ref} does {other.model.task}, {version.ref} does {version.model.task}; they cannot be compared.",
            errors=[{"place": "compare_with", "detail": f"Name a version that does {version.model.task}."}],
        )
    filename, file = model_input(other)
    return f"other-{filename}", file
