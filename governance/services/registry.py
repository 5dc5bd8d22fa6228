"""Register models, take in their versions, and decide on those that are held in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from governance import permissions
from governance.exceptions import InvalidInput, NotFound, StateConflict
from governance.models import (
    DatasetVersion,
    ModelVersion,
    ModelVersionState,
    RegisteredModel,
    StoredFile,
    Tier,
)
from governance.permissions import Action
from governance.services import events, inspections, model_signatures, policies
from governance.services.subjects import plain_filename, read_recipe, read_signature
from workers.artifacts.findings import ACCEPTABLE

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
        version.job = inspections.submit_inspection(version=version, by=by)
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
        held.job = inspections.submit_inspection(version=held, by=by)
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


def next_number(model: RegisteredModel) -> int:
    """Return the number of a model's next version, inside the transaction that creates it."""
    RegisteredModel.objects.select_for_update(of=("self",)).get(pk=model.pk)  # numbers are given one by one
    return int(model.versions.aggregate(last=Max("number"))["last"] or 0) + 1


def _accepted_by_policy(model: RegisteredModel) -> dict[str, Any]:
    """Return what is known of an inspection before it begins: what the newest policy of the tier accepts."""
    try:
        policy = policies.newest_for_tier(model.tier)
    except NotFound:
        return {}
    accepts = policies.accepted_by(policy)
    return {"accepted": {"ids": accepts, "policy": policy.ref}} if accepts else {}


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
