"""Ask for a retraining, and keep the version that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from governance import gates, permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetVersion, Job, ModelVersion, ModelVersionState, StoredFile, Training
from governance.permissions import Action
from governance.services import events, inspections, jobs, provenance, registry
from governance.services.subjects import (
    charts_with_digests,
    dataset_input,
    demand_fit,
    demand_model,
    demand_target,
    kept_file,
    model_input,
    read_recipe,
    split_or_all,
)
from workers.artifacts.formats import FORMATS

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def request_training(
    *, version: ModelVersion, dataset: DatasetVersion, by: User, recipe: Any = None, devices: str = "cpu"
) -> Training:
    """Start a job that trains a version further on a data set, by the given recipe or the version's own.

    Raises:
        InvalidInput: when the data set cannot feed the model (with names and shapes), or there is no recipe.
        StateConflict: when the version is not registered or of a format that is not trained, or the data set not ready.
        GateClosed: with the reasons of the gate ``training``.
    """
    permissions.require(by, Action.REQUEST_TRAINING, version)
    demand_model(version)
    _demand_trainable(version)
    inputs = {"model": model_input(version), "dataset": dataset_input(dataset)}
    signature, schema = demand_fit(version, dataset)
    demand_target(dataset, schema)
    if recipe is None and version.recipe is None:
        raise InvalidInput(
            f"{version.ref} has no recipe of its own, so the training needs one.",
            errors=[{"place": "recipe", "detail": "Give an object with at least `loss`."}],
        )
    chosen = read_recipe(version.recipe if recipe is None else recipe)
    if chosen.own_loss is not None and not FORMATS[version.format].runs_code:
        raise InvalidInput(
            f"The loss {chosen.loss} is a model package's own, and {version.ref} is no package.",
            errors=[{"place": "recipe", "detail": "Name a loss that Assay knows."}],
        )
    with transaction.atomic():
        refusal = f"{dataset.ref} may not be used to train {version.ref}"
        gates.demand("training", refusal, version=version, dataset=dataset)
        job = jobs.submit(
            kind="training",
            parameters={
                "framework": version.framework,
                "format": version.format,
                "accepted": version.accepted.get("ids", []),
                "limits": settings.ASSAY_INSPECTION_LIMITS,
                "signature": signature.to_json(),
                "schema": schema.to_json(),
                "recipe": chosen.to_json(),
                "split": split_or_all(schema, "train"),
            },
            inputs=inputs,
            subject=f"{version.ref} on {dataset.ref}",
            by=by,
            devices=devices,
            seed=chosen.seed,
        )
        training = Training.objects.create(
            version=version, dataset=dataset, recipe=chosen.to_json(), job=job, created_by=by
        )
        events.record(
            name="training.requested",
            subject=version,
            by=by,
            detail={"training": training.pk, "dataset": dataset.ref, "dataset_digest": dataset.digest},
        )
    return training


def _demand_trainable(version: ModelVersion) -> None:
    """Refuse formats that can be run and not saved again; a version without one is refused for not being registered."""
    known = FORMATS.get(version.format)
    if known is not None and not known.trains:
        raise StateConflict(
            f"{version.ref} is {known.title}, which is evaluated and audited and not retrained. To retrain the model, "
            "save it in a format that is, such as .keras or .pt2, and upload that as a version."
        )


def record_training(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Make the new version; in the transaction that ends the job.

    The child inspected what it saved and wrote the canonical copy, as is done with an upload. Where it had loaded a
    code-free copy, no uploader's code could speak for it, and the version is registered. A package's code runs in the
    child, so that nobody takes its word for what it wrote: the version is quarantined until a child that has loaded
    nothing has compared its sources with those that were released. Columns and class labels are those of the version
    that it came from.
    """
    training = Training.objects.select_related("version__model", "dataset__dataset", "created_by").get(job=job)
    origin = training.version
    ran_code = FORMATS[origin.format].runs_code
    produced = ModelVersion(
        model=origin.model,
        number=registry.next_number(origin.model),
        state=ModelVersionState.QUARANTINED if ran_code else ModelVersionState.REGISTERED,
        filename=value["file"],
        artifact=kept_file(files, value["file"]),
        rewritten=None if ran_code else kept_file(files, value["rewritten"]),
        weights_digest=value["weights_digest"],
        framework=origin.framework,
        format=value["format"],
        signature=origin.signature,
        recipe=training.recipe,
        inspection={"accepted": origin.accepted} if ran_code else value["inspection"],
        layers=value["layers"],
        parameter_count=value["parameter_count"],
        training_data=training.dataset,
        retrained_from=origin,
        job=job,
        created_by=training.created_by,
    )
    if ran_code:
        produced.job = inspections.submit_inspection(
            version=produced, by=training.created_by, sources=origin.inspection.get("sources", {})
        )
    produced.save(force_insert=True)
    training.produced = produced
    training.history = value["history"]
    training.summary = {
        **value["summary"],
        "weights_digest": value["weights_digest"],
        "charts": charts_with_digests(value["charts"], files),
    }
    training.save(update_fields=["produced", "history", "summary"])
    events.record(
        name="training.ended",
        subject=produced,
        by=training.created_by,
        detail={
            "training": training.pk,
            "retrained_from": origin.ref,
            "dataset": training.dataset.ref,
            "digest": produced.digest,
            "weights_digest": value["weights_digest"],
        },
    )
    if not ran_code:
        provenance.sign_retraining(training, by=training.created_by)


def training_problem(training: Training) -> str | None:
    """Say why a training cannot be rested on; None when it made a version."""
    if training.produced is None:
        return f"{str(training).capitalize()} has made no version: its job is {training.job.get_state_display()}."
    if training.produced.state != ModelVersionState.REGISTERED:
        return f"{training.produced.ref}, which it made, is {training.produced.get_state_display()}."
    return None


def digest_of(training: Training) -> str:
    """Return what a training is cited by: the digest of the version that it made, empty until there is one."""
    return "" if training.produced is None else training.produced.digest
