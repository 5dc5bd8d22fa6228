"""Register models, take in their versions, and keep what the inspection made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from governance import permissions
from governance.exceptions import InvalidInput, NotFound, RefusedResult, StateConflict
from governance.models import (
    DatasetVersion,
    Job,
    ModelVersion,
    ModelVersionState,
    RegisteredModel,
    StoredFile,
    Tier,
    Training,
)
from governance.permissions import Action
from governance.services import events, jobs, model_signatures, policies, provenance
from governance.services.subjects import kept_file, plain_filename, read_recipe, read_signature
from workers.artifacts.findings import ACCEPTABLE
from workers.protocol import ErrorReport
from workers.recipe import Recipe, RecipeError
from workers.signature import Signature, SignatureError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_LONGEST_REASON = 2000


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

    What the newest policy of the model's tier accepts does not keep it there. The signature and the recipe need not be
    stated where the artefact states them itself. ``model_signature`` is the JSON of an OpenSSF model signature over the
    file; one that is none of this file refuses the upload.
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
            inspection=_accepted_by_policy(model),
            created_by=by,
        )
        version.job = submit_inspection(version=version, by=by)
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


def release_version(*, version: ModelVersion, reason: str, by: User) -> ModelVersion:
    """Accept what a version is quarantined for, and have it inspected once more with that accepted.

    Only the ids of findings that it has now are accepted: a new one quarantines again. The state stays until the second
    inspection has ended.

    Raises:
        StateConflict: it is not quarantined, is being inspected, or has nothing that can be accepted.
    """
    permissions.require(by, Action.RELEASE_VERSION, version)
    why = _reason(reason)
    with transaction.atomic():
        held = _quarantined(version)
        accepted = sorted({entry["id"] for entry in held.inspection.get("findings", [])} & ACCEPTABLE)
        if held.inspection.get("verdict") != ModelVersionState.QUARANTINED or not accepted:
            raise StateConflict(f"{held.ref} has no findings that could be accepted. {held.state_reason}".rstrip())
        held.inspection = {
            **held.inspection,
            "accepted": {
                "ids": accepted,
                "by": by.get_username(),
                "reason": why,
                "at": timezone.now().isoformat(timespec="seconds"),
            },
        }
        held.state_reason = f"{by.get_username()} released it; it is inspected once more with what was found accepted."
        held.job = submit_inspection(version=held, by=by)
        held.save(update_fields=["inspection", "state_reason", "job"])
        events.record(
            name="version.released",
            subject=held,
            by=by,
            detail={
                "accepted": accepted,
                "reason": why,
                "digest": held.digest,
                "sources": held.inspection.get("sources", {}),
            },
        )
    return held


def reject_version(*, version: ModelVersion, reason: str, by: User) -> ModelVersion:
    """Close a quarantined version for good: it is never loaded.

    Raises:
        StateConflict: it is not quarantined, or is being inspected.
    """
    permissions.require(by, Action.REJECT_VERSION, version)
    why = _reason(reason)
    with transaction.atomic():
        held = _quarantined(version)
        held.state = ModelVersionState.REJECTED
        held.state_reason = f"{by.get_username()} rejected it: {why}"
        held.save(update_fields=["state", "state_reason"])
        events.record(name="version.rejected", subject=held, by=by, detail={"reason": why, "digest": held.digest})
    return held


def submit_inspection(*, version: ModelVersion, by: User, sources: Mapping[str, str] | None = None) -> Job:
    """Start the job that inspects a version with what was accepted of it.

    ``sources`` are the digests that the sources of a package have to have, where they are known beforehand.
    """
    return jobs.submit(
        kind="model_inspection",
        parameters={
            "filename": version.filename,
            "stated_signature": version.stated_signature,
            "stated_recipe": version.stated_recipe,
            "limits": settings.ASSAY_INSPECTION_LIMITS,
            "accepted": version.accepted.get("ids", []),
            "sources": None if sources is None else dict(sources),
        },
        inputs={"artifact": ("artifact", version.artifact)},
        subject=version.ref,
        by=by,
    )


def next_number(model: RegisteredModel) -> int:
    """Return the number of a model's next version, inside the transaction that creates it."""
    RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)  # numbers are given one by one
    return int(model.versions.aggregate(last=Max("number"))["last"] or 0) + 1


def record_inspection(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the inspection found, and register or reject the version; in the transaction that ends the job."""
    version = ModelVersion.objects.select_related("model").get(job=job)
    signature, recipe = _parsed(value)
    stored = {file.digest for file in files.values()}
    if not stored.issuperset(value["sources"].values()):
        raise RefusedResult("The result names a source that the job did not write.")
    accepted = _used(version.accepted, value["findings"])
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
        inspection={
            **{key: value[key] for key in ("verdict", "reason", "findings", "sources")},
            **({"accepted": accepted} if accepted else {}),
        },
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
            **({"accepted": accepted} if accepted else {}),
        },
    )
    if is_registered:
        version.refresh_from_db()
        training = Training.objects.filter(produced=version).first()
        if training is None:
            provenance.sign_upload(version, by=job.created_by)
        else:
            provenance.sign_retraining(training, by=job.created_by)


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


def _accepted_by_policy(model: RegisteredModel) -> dict[str, Any]:
    """Return what is known of an inspection before it begins: what the newest policy of the tier accepts."""
    try:
        policy = policies.newest_for_tier(model.tier)
    except NotFound:
        return {}
    accepts = policies.accepted_by(policy)
    return {"accepted": {"ids": accepts, "policy": policy.ref}} if accepts else {}


def _used(accepted: dict[str, Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return who accepted which of the findings; nothing where none of them needed it."""
    found = {entry["id"] for entry in findings}
    ids = [identifier for identifier in accepted.get("ids", []) if identifier in found]
    return {**accepted, "ids": ids} if ids else {}


def _quarantined(version: ModelVersion) -> ModelVersion:
    """Lock a version on which somebody may decide now.

    Raises:
        StateConflict: with its state, or with the job that is still at it.
    """
    held = ModelVersion.objects.select_for_update(of=("self",)).select_related("model", "job").get(pk=version.pk)
    if held.state != ModelVersionState.QUARANTINED:
        raise StateConflict(f"{held.ref} is {held.get_state_display()}; only a quarantined version waits for a word.")
    if held.job is not None and not held.job.is_finished:
        raise StateConflict(f"{held.ref} is still being inspected, by job {held.job.pk}; wait for its end.")
    return held


def _reason(text: str) -> str:
    reason = text.strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InvalidInput(
            "A decision needs a reason.",
            errors=[{"place": "reason", "detail": f"Write 1 to {_LONGEST_REASON:,} characters."}],
        )
    return reason


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
