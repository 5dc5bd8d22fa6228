"""Have versions inspected and packages loaded, and keep what the jobs that did it have found.

An upload is read, rewritten and measured by one job, ``model_inspection``. Where loading it runs code that came with
it, that job loads nothing, and a second one does, ``model_loading``: what a process says that has run such code may be
the code's invention, so that only what nothing else can tell is taken from it, and is kept as said by the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings

from governance.exceptions import RefusedResult, StateConflict
from governance.models import Job, ModelVersion, ModelVersionState, StoredFile, Training
from governance.services import events, jobs, provenance
from governance.services.subjects import kept_file
from workers.artifacts.formats import FORMATS
from workers.protocol import ErrorReport
from workers.recipe import Recipe, RecipeError
from workers.signature import Signature, SignatureError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_QUARANTINED, _REGISTERED = ModelVersionState.QUARANTINED, ModelVersionState.REGISTERED
_TO_BE_LOADED = "What can be told without running its code is in order; a job of its own loads it now."


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


def record_inspection(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the inspection found, and register or reject the version; in the transaction that ends the job.

    A version whose code has to run is neither yet: it stays in quarantine until the job that loads it has ended.
    """
    version = ModelVersion.objects.select_related("model").get(job=job)
    signature, recipe = _signature(value["signature"]), _recipe(value["recipe"])
    stored = {file.digest for file in files.values()}
    if not stored.issuperset(value["sources"].values()):
        raise RefusedResult("The result names a source that the job did not write.")
    accepted = _used(version.accepted, value["findings"])
    passed = value["verdict"] == _REGISTERED
    is_to_be_loaded = passed and FORMATS[value["format"]].runs_code
    state = _QUARANTINED if is_to_be_loaded else value["verdict"]
    _keep(
        version,
        state=state,
        state_reason=_TO_BE_LOADED if is_to_be_loaded else "" if passed else value["reason"],
        rewritten=kept_file(files, value["rewritten"]) if passed else None,
        weights_digest=value["weights_digest"] or "",
        framework=value["framework"] or "",
        format=value["format"] or "",
        signature=signature,
        recipe=recipe,
        inspection={
            "verdict": state,
            **{key: value[key] for key in ("reason", "findings", "sources")},
            **({"accepted": accepted} if accepted else {}),
        },
        layers=value["layers"],
        parameter_count=value["parameter_count"],
    )
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
    if is_to_be_loaded:
        version.job = _submit_loading(version=version, by=job.created_by)
        version.save(update_fields=["job"])
    elif passed:
        _sign(version, by=job.created_by)


def record_loading(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Register or reject a version whose code has run; in the transaction that ends the job.

    Of the code's word only this counts: whether it loads, its layers, and its signature where nobody has stated it.
    """
    version = ModelVersion.objects.select_related("model").get(job=job)
    if files:
        raise RefusedResult(f"The code wrote {min(files)}; a job that loads a package makes no file.")
    facts = _rejected(version, value) if value["findings"] else _loaded(version, value)
    _keep(version, **facts)
    inspection = facts["inspection"]
    events.record(
        name="version.loaded",
        subject=version,
        by=job.created_by,
        detail={
            "verdict": inspection["verdict"],
            "reason": inspection["reason"],
            "digest": version.digest,
            "findings": [finding["id"] for finding in value["findings"]],
            "said_by_code": inspection.get("said_by_code", []),
        },
    )
    if facts["state"] == _REGISTERED:
        _sign(version, by=job.created_by)


def _loaded(version: ModelVersion, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a package that loads; its code has no say about a signature that is stated."""
    said = _signature(value["signature"])
    if version.signature not in (None, said):
        raise RefusedResult("The code answers with another signature than the one that is stated for it.")
    said_by_code = ["layers"] if version.signature is not None else ["layers", "signature"]
    return {
        "state": _REGISTERED,
        "state_reason": "",
        "inspection": {**version.inspection, "verdict": _REGISTERED, "said_by_code": said_by_code},
        "signature": said,
        "layers": value["layers"],
    }


def _rejected(version: ModelVersion, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a package that does not load: the finding, and nothing of the copy."""
    state, findings = ModelVersionState.REJECTED, [*version.inspection["findings"], *value["findings"]]
    return {
        "state": state,
        "state_reason": value["reason"],
        "inspection": {**version.inspection, "verdict": state, "reason": value["reason"], "findings": findings},
        "rewritten": None,
        "weights_digest": "",
        "parameter_count": None,
        "signature": None,
    }


def record_failure(job: Job, error: ErrorReport) -> None:
    """Say at the version why it stays quarantined: nothing that was not inspected is ever loaded."""
    version = ModelVersion.objects.select_related("model").get(job=job)
    ModelVersion.objects.filter(pk=version.pk, state=_QUARANTINED).update(
        state_reason=f"Its inspection did not end: {error.detail}"
    )
    events.record(
        name="version.inspected",
        subject=version,
        by=job.created_by,
        detail={"verdict": _QUARANTINED, "reason": error.detail, "code": error.code},
    )


def _submit_loading(*, version: ModelVersion, by: User) -> Job:
    """Start the job that runs the code of an inspected package: on its canonical copy, with the signature it has."""
    version.refresh_from_db()
    if version.rewritten is None:
        raise ValueError(f"{version.ref} has no canonical copy to load.")
    return jobs.submit(
        kind="model_loading",
        parameters={"framework": version.framework, "signature": version.signature},
        inputs={"model": (FORMATS[version.format].input_name, version.rewritten)},
        subject=version.ref,
        by=by,
    )


def _keep(version: ModelVersion, **facts: Any) -> None:
    """Write what was found of a version that is still held, or refuse: it is decided once."""
    changed = ModelVersion.objects.filter(pk=version.pk, state=_QUARANTINED).update(**facts)
    if not changed:
        raise StateConflict(f"{version.ref} is {version.get_state_display()}; it was inspected before.")


def _sign(version: ModelVersion, *, by: User | None) -> None:
    """Sign what is now registered: as an upload, or as what a training made."""
    version.refresh_from_db()
    training = Training.objects.filter(produced=version).first()
    if training is None:
        provenance.sign_upload(version, by=by)
    else:
        provenance.sign_retraining(training, by=by)


def _used(accepted: dict[str, Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return who accepted which of the findings; nothing where none of them needed it."""
    found = {entry["id"] for entry in findings}
    ids = [identifier for identifier in accepted.get("ids", []) if identifier in found]
    return {**accepted, "ids": ids} if ids else {}


def _signature(document: Any) -> dict[str, Any] | None:
    """Return the signature of a result in its one form; what does not parse makes the result a lie."""
    try:
        return None if document is None else Signature.from_json(document).to_json()
    except SignatureError as error:
        raise RefusedResult(f"The job answered with a signature that is none: {error}") from error


def _recipe(document: Any) -> dict[str, Any] | None:
    try:
        return None if document is None else Recipe.from_json(document).to_json()
    except RecipeError as error:
        raise RefusedResult(f"The job answered with a recipe that is none: {error}") from error
