"""DAT-04: the validation of the training data."""

from __future__ import annotations

from typing import Any

from audits.engine.catalogue import ENTRIES
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Severity


class ValidationOfTrainingData(Check):
    """How the data that the model was trained on stand against the suite that they require.

    How: reads the validation from the record and compares the digest of the content it was made on with the digest of
    the training data. A waiver is a decision of a person about a failure, and is not a pass.

    Signs of high risk: no validation at all, a failed one, or one of another content than the model was trained on.

    What it does not show: whether the suite asks the right questions; a suite that expects little passes much.

    References: NIST AI RMF MEASURE 2.5; EU AI Act Article 10 on data and data governance.
    """

    entry = ENTRIES["DAT-04"]

    def run(self, context: CheckContext) -> CheckResult:
        digest = context.facts.get("training_dataset_digest")
        validation: dict[str, Any] = dict(context.facts.get("validation") or {})
        status, reason = self._status(validation, digest)
        detail = {"validation": validation or None, "training_dataset_digest": digest, "state": status}
        if status in context.condition["accepts"]:
            return CheckResult(status="passed", reason=reason, detail=detail)
        # A waiver has been granted by somebody with an end date; what it waives is still told, as a warning.
        severity: Severity = "medium" if status == "waived" else "high"
        finding = FindingDraft(
            severity=severity,
            title={
                "waived": "The training data failed their validation, and a person waived it",
                "failed": "The training data failed their validation",
                "other content": "The validation is of other data than the model was trained on",
            }.get(status, "The training data have no validation"),
            detail=reason,
            remedy="Clean the data, validate the cleaned version against the required suite, and train on that.",
            evidence=[{"kind": "validation", "id": validation["id"]}] if validation.get("id") else [],
        )
        return CheckResult(status="failed", severity=severity, reason=reason, findings=[finding], detail=detail)

    def _status(self, validation: dict[str, Any], digest: str | None) -> tuple[str, str]:
        status = validation.get("status") or "none"
        if not digest:
            return (
                "none",
                "The record does not say on which data the model was trained, so no validation speaks for them.",
            )
        if status == "none":
            return status, validation.get("reason") or "The training data have not been validated."
        name = f"Validation {validation.get('id')}" + (
            f" against {validation['suite']}" if validation.get("suite") else ""
        )
        if validation.get("dataset_digest") != digest:
            return "other content", f"{name} was made on {validation.get('dataset_digest')}, not on {digest}."
        if status == "waived":
            waiver = validation.get("waiver") or {}
            until = f" until {waiver['expires_at']}" if waiver.get("expires_at") else ""
            return status, f"{name} failed and is waived{until}: {waiver.get('reason', 'no reason is on record')}"
        words = {"passed": "passed on the digest of the training data", "failed": "failed on the training data"}
        return status, f"{name} {words.get(status, f'has the unknown state {status!r}')}."
