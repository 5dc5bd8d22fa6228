"""What this installation says of model versions, data sets and evaluations when they become final, and signs.

The predicates are described in ``docs/decisions/0011-provenance.md``. Times are whole seconds, RFC 3339, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from governance.models import (
    DatasetVersion,
    Evaluation,
    Job,
    ModelVersion,
    SignedStatement,
    StatementKind,
    StoredFile,
    Training,
)
from governance.services import statements
from workers.provenance.statement import (
    DATASET,
    EVAL_RESULT,
    PROVENANCE,
    REGISTRATION,
    RETRAINING,
    TABLE,
    Subject,
    digest_set,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def sign_upload(version: ModelVersion, *, by: User | None) -> SignedStatement | None:
    """Sign what was uploaded and what the inspection made of it."""
    training_data = version.training_data
    predicate = {
        "filename": version.filename,
        "sizeBytes": version.artifact.size_bytes,
        "framework": version.framework,
        "format": version.format,
        "rewritten": _file("rewritten copy", version.rewritten),
        "weightsDigest": version.weights_digest,
        "inspection": {
            "verdict": version.inspection.get("verdict"),
            "findings": [finding["id"] for finding in version.inspection.get("findings", [])],
            **({"accepted": version.accepted} if version.accepted else {}),
        },
        "modelSignature": {"state": version.model_signature_state, "keyId": version.model_signature_key_id},
        "trainingData": None if training_data is None else dataset_subject(training_data).to_json(),
        "uploadedBy": version.created_by.get_username(),
        "uploadedAt": instant(version.created_at),
        "registeredAt": instant(timezone.now()),
    }
    return _sign_version(version, REGISTRATION, predicate, by)


def sign_retraining(training: Training, *, by: User | None) -> SignedStatement | None:
    """Sign how a retrained version came to be: SLSA provenance v1."""
    produced, job = training.produced, training.job
    if produced is None:
        raise ValueError(f"{training} has made no version.")
    predicate = {
        "buildDefinition": {
            "buildType": RETRAINING,
            "externalParameters": {
                "model": training.version.ref,
                "dataset": training.dataset.ref,
                "recipe": training.recipe,
                "devices": f"{job.device_kind}:{job.device_count}",
            },
            "internalParameters": {
                "spec": digest_set(job.spec_digest),
                "seed": job.spec.get("seed"),
                "attempt": job.attempt,
            },
            "resolvedDependencies": [
                version_subject(training.version).to_json(),
                dataset_subject(training.dataset).to_json(),
            ],
        },
        "runDetails": {
            "builder": {"id": f"urn:assay:executor:{_executor(job)}", "version": _versions(job)},
            "metadata": {
                "invocationId": f"job {job.pk}",
                "startedOn": instant(job.started_at or job.created_at),
                "finishedOn": instant(job.finished_at or timezone.now()),
            },
            "byproducts": [_file("rewritten copy", produced.rewritten)],
        },
    }
    return _sign_version(produced, PROVENANCE, predicate, by)


def sign_dataset(version: DatasetVersion, *, by: User | None) -> SignedStatement | None:
    """Sign which table a ready data set version is, and where it came from."""
    cleaned_from, split_from = version.cleaned_from, version.split_from
    schema = version.schema or {}
    predicate = {
        "modality": schema.get("modality"),
        "rowCount": version.row_count,
        "upload": None if version.upload is None else _file(version.filename, version.upload),
        "cleanedFrom": None if cleaned_from is None else dataset_subject(cleaned_from).to_json(),
        "splitFrom": None if split_from is None else dataset_subject(split_from).to_json(),
        "createdBy": version.created_by.get_username(),
        "readyAt": instant(timezone.now()),
    }
    return statements.sign(
        kind=StatementKind.DATASET,
        name=version.ref,
        subjects=[dataset_subject(version)],
        predicate_type=DATASET,
        predicate=predicate,
        event_subject=version,
        by=by,
    )


def sign_evaluation(evaluation: Evaluation, *, by: User | None) -> SignedStatement | None:
    """Sign what an evaluation measured: numbers with their intervals, and no verdict."""
    other = evaluation.compare_with
    predicate = {
        "dataset": dataset_subject(evaluation.dataset).to_json(),
        "metrics": evaluation.metrics,
        "comparedWith": None if other is None else version_subject(other).to_json(),
        "comparison": evaluation.comparison,
        "resultDigest": evaluation.digest,
        "evaluatedAt": instant(timezone.now()),
    }
    return statements.sign(
        kind=StatementKind.EVALUATION,
        name=str(evaluation.pk),
        subjects=[version_subject(evaluation.version), Subject(str(evaluation), digest_set(evaluation.digest))],
        predicate_type=EVAL_RESULT,
        predicate=predicate,
        event_subject=evaluation.version,
        by=by,
    )


def version_subject(version: ModelVersion) -> Subject:
    """Name a version by its artefact, the digest that evidence is bound to."""
    return Subject(version.ref, digest_set(version.digest))


def dataset_subject(version: DatasetVersion) -> Subject:
    """Name a data set version by its rows (the digest that evidence is bound to) and by the bytes of its table."""
    table = {} if version.table_id is None else digest_set(version.table_id)
    return Subject(version.ref, {**table, **digest_set(version.digest, algorithm=TABLE)})


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def register_kinds() -> None:
    """Say where the digest of each kind of thing stands in the record."""
    statements.register(StatementKind.VERSION, _digest_of_version)
    statements.register(StatementKind.DATASET, _digest_of_dataset)
    statements.register(StatementKind.EVALUATION, _digest_of_evaluation)


def _sign_version(
    version: ModelVersion, predicate_type: str, predicate: Mapping[str, Any], by: User | None
) -> SignedStatement | None:
    return statements.sign(
        kind=StatementKind.VERSION,
        name=version.ref,
        subjects=[version_subject(version)],
        predicate_type=predicate_type,
        predicate=predicate,
        event_subject=version,
        by=by,
    )


def _file(name: str, file: StoredFile | None) -> dict[str, Any] | None:
    return None if file is None else Subject(name, digest_set(file.digest)).to_json()


def _executor(job: Job) -> str:
    return "cuda" if job.device_kind == "cuda" else "local"


def _versions(job: Job) -> dict[str, str]:
    """Return the versions of Python and of the libraries that took part, as the child named them."""
    packages = job.environment.get("packages", {})
    return {"python": str(job.environment.get("python", "")), **{str(k): str(v) for k, v in packages.items()}}


def _digest_of_version(name: str) -> str | None:
    model, _, number = name.rpartition("/")
    found = ModelVersion.objects.filter(model__name=model, number=number).first()
    return None if found is None else found.digest


def _digest_of_dataset(name: str) -> str | None:
    dataset, _, number = name.rpartition("/")
    found = DatasetVersion.objects.filter(dataset__name=dataset, number=number).first()
    return None if found is None else found.digest


def _digest_of_evaluation(name: str) -> str | None:
    found = Evaluation.objects.filter(pk=name).first()
    return None if found is None else found.digest
