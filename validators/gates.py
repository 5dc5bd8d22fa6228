"""Gates about data: may a model be trained on this content?"""

from __future__ import annotations

from typing import Any

from governance.models import DatasetVersion, ModelVersion
from validators.models import RequiredSuite, Validation, Waiver


def data_validated(*, dataset: DatasetVersion, version: ModelVersion | None = None) -> list[str]:  # noqa: ARG001 - the gates that ask it get both
    """Return the reasons against using a data set: the required suite must have passed, or be waived, on this digest.

    It fails closed: no required suite, no validation, and a validation that has not ended or broke are all a no.
    """
    state = validation_state(dataset)
    return [] if state["status"] in ("passed", "waived") else [state["reason"]]


def validation_state(dataset: DatasetVersion) -> dict[str, Any]:
    """Say how a data set stands against its required suite.

    Returns:
        ``status`` (``passed``, ``waived``, ``failed``, ``none``), ``reason`` (a sentence), and, where there is one, the
        ``id`` of the validation, its ``suite`` and ``dataset_digest``, and the ``waiver``.
    """
    required = RequiredSuite.objects.select_related("suite").filter(dataset=dataset.dataset).first()
    if required is None:
        return {
            "status": "none",
            "reason": f"{dataset.dataset.name} requires no suite yet: validate {dataset.ref} against one first.",
        }
    suite = required.suite
    validation = (
        Validation.objects.filter(
            dataset_digest=dataset.content_digest, suite__digest=suite.digest, success__isnull=False
        )
        .order_by("-id")
        .first()
    )
    if validation is None:
        return {
            "status": "none",
            "suite": suite.ref,
            "reason": f"{dataset.ref} has not been validated against {suite.ref}, the suite that it requires.",
        }
    known = {"id": validation.pk, "suite": suite.ref, "dataset_digest": validation.dataset_digest}
    if validation.success:
        return {
            **known,
            "status": "passed",
            "reason": f"Validation {validation.pk} of {dataset.ref} passed {suite.ref}.",
        }
    waiver = Waiver.objects.in_force().filter(validation=validation).select_related("granted_by").first()
    if waiver is not None:
        return {
            **known,
            "status": "waived",
            "reason": (
                f"Validation {validation.pk} of {dataset.ref} failed {suite.ref}; {waiver.granted_by} waived it until "
                f"{waiver.expires_at:%d %b %Y}: {waiver.reason}"
            ),
            "waiver": {
                "id": waiver.pk,
                "reason": waiver.reason,
                "granted_by": str(waiver.granted_by),
                "expires_at": waiver.expires_at.isoformat(),
            },
        }
    return {
        **known,
        "status": "failed",
        "reason": (
            f"Validation {validation.pk} of {dataset.ref} failed {suite.ref}: {_failed_count(validation)}. "
            "Clean the data, or have the validation waived with a reason and an end."
        ),
    }


def _failed_count(validation: Validation) -> str:
    failed = sum(result["status"] == "failed" for result in validation.results)
    errored = sum(result["status"] == "error" for result in validation.results)
    parts = [f"{failed} of {len(validation.results)} expectations were not met"]
    if errored:
        parts.append(f"{errored} could not be run")
    return " and ".join(parts)


def validation_problem(validation: Validation) -> str | None:
    """Say why a validation is not, or no longer, a reason to go on; None when it passed or is waived."""
    if validation.success:
        return None
    if validation.success is None:
        return f"Validation {validation.pk} has not ended."
    if Waiver.objects.in_force().filter(validation=validation).exists():
        return None
    expired = validation.waivers.first()
    if expired is not None:
        return f"The waiver of validation {validation.pk} ended on {expired.expires_at:%d %b %Y}."
    return f"Validation {validation.pk} failed: {_failed_count(validation)}."
