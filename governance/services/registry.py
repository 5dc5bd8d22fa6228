"""Register models, take in their versions, and keep what the inspection made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from governance import permissions
from governance.exceptions import RefusedResult, StateConflict
from governance.models import DatasetVersion, Job, ModelVersion, ModelVersionState, RegisteredModel, StoredFile, Tier
from governance.permissions import Action
from governance.services import events, jobs, model_signatures, provenance
from governance.services.subjects import kept_file, plain_filename, read_recipe, read_signature
from workers.protocol import ErrorReport
from workers.recipe import Recipe, RecipeError
from workers.signature import Signature, SignatureError

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def register_model(
    *,
    name: str,
    task: str,
    intended_use: str,
    by: User,
    tier: str = Tier.MEDIUM,
    limitations: str = "",
) -> RegisteredModel:
    """Register a logical model; who registers it owns it."""
    permissions.require(by, Action.REGISTER_MODEL)
    model = RegisteredModel(
        name=name, task=task, tier=tier, owner=by, intended_use=intended_use, limitations=limitations
    )
    model.clean_fields()
    try:
        with transaction.atomic():
            model.save(force_insert=True)
            events.record(name="model.registered", subject=name, by=by, detail={"task": task, "tier": tier})
    except IntegrityError as error:
        raise StateConflict(f"There is a model {name!r} already.") from error
    return model


def upload_version(
    *,
    model: RegisteredModel,
    file: StoredFile,
    filename: str,
    by: User,
    stated_signature: Any = None,
    stated_recipe: Any = None,
    training_data: DatasetVersion | None = None,
    model_signature: Any = None,
) -> ModelVersion:
    """Take in a stored upload as the next version, quarantined until the job that inspects it has ended.

    The signature and the recipe need not be stated where the artefact states them itself. ``model_signature`` is the
    JSON of an OpenSSF model signature over the file; one that is none of this file refuses the upload.
    """
    permissions.require(by, Action.UPLOAD_VERSION, model)
    signature = None if stated_signature is None else read_signature(stated_signature).to_json()
    recipe = None if stated_recipe is None else read_recipe(stated_recipe).to_json()
    judged = model_signatures.judge_upload(model_signature, digest=file.digest)
    with transaction.atomic():
        version = ModelVersion(
            model=model,
            number=next_number(model),
            filename=plain_filename(filename),
            artifact=file,
            stated_signature=signature,
            stated_recipe=recipe,
            model_signature=model_signature,
            model_signature_state=judged.state,
            model_signature_key_id=judged.key_id,
            model_signature_reason=judged.reason,
            training_data=training_data,
            created_by=by,
        )
        version.job = jobs.submit(
            kind="model_inspection",
            parameters={"filename": version.filename, "stated_signature": signature, "stated_recipe": recipe},
            inputs={"artifact": ("artifact", file)},
            subject=version.ref,
            by=by,
        )
        version.save(force_insert=True)
        events.record(
            name="version.uploaded",
            subject=version,
            by=by,
            detail={
                "digest": file.digest,
                "filename": version.filename,
                "model_signature": {"state": judged.state, "key": judged.key_id},
            },
        )
    return version


def next_number(model: RegisteredModel) -> int:
    """Return the number of a model's next version, inside the transaction that creates it."""
    RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)  # numbers are given one by one
    return int(model.versions.aggregate(last=Max("number"))["last"] or 0) + 1


def record_inspection(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the inspection found, and register or reject the version; in the transaction that ends the job."""
    version = ModelVersion.objects.select_related("model").get(job=job)
    signature, recipe = _parsed(value)
    is_registered = value["verdict"] == ModelVersionState.REGISTERED
    changed = ModelVersion.objects.filter(pk=version.pk, state=ModelVersionState.QUARANTINED).update(
        state=value["verdict"],
        state_reason="" if is_registered else value["reason"],
        rewritten=kept_file(files, value["rewritten"]) if is_registered else None,
        weights_digest=value["weights_digest"] or "",
        framework=value["framework"] or "",
        format=value["format"] or "",
        signature=signature,
        recipe=recipe,
        inspection={"verdict": value["verdict"], "reason": value["reason"], "findings": value["findings"]},
        layers=value["layers"],
        parameter_count=value["parameter_count"],
    )
    if not changed:
        raise StateConflict(f"{version.ref} is {version.get_state_display()}; it was inspected before.")
    events.record(
        name="version.inspected",
        subject=version,
        by=job.created_by,
        detail={
            "verdict": value["verdict"],
            "reason": value["reason"],
            "digest": version.digest,
            "findings": [finding["id"] for finding in value["findings"]],
        },
    )
    if is_registered:
        version.refresh_from_db()
        provenance.sign_upload(version, by=job.created_by)


def record_failed_inspection(job: Job, error: ErrorReport) -> None:
    """Say at the version why it stays quarantined: nothing that was not inspected is ever loaded."""
    version = ModelVersion.objects.select_related("model").get(job=job)
    ModelVersion.objects.filter(pk=version.pk, state=ModelVersionState.QUARANTINED).update(
        state_reason=f"Its inspection did not end: {error.detail}"
    )
    events.record(
        name="version.inspected",
        subject=version,
        by=job.created_by,
        detail={"verdict": ModelVersionState.QUARANTINED, "reason": error.detail, "code": error.code},
    )


def _parsed(value: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return signature and recipe of a result in their one form; what does not parse makes the result a lie."""
    signature, recipe = value["signature"], value["recipe"]
    try:
        return (
            None if signature is None else Signature.from_json(signature).to_json(),
            None if recipe is None else Recipe.from_json(recipe).to_json(),
        )
    except (SignatureError, RecipeError) as error:
        raise RefusedResult(f"The inspection answered with a signature or recipe that is none: {error}") from error
