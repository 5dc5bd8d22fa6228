"""ART-01: code in the artefact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audits.engine.catalogue import ENTRIES
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric
from workers.words import counted, listed

PREFIX = "ART-01"


class CodeInArtefact(Check):
    """How many places of the uploaded file hold, or would become, code when it is loaded.

    How: the static inspection of the upload parses the file without loading it and compares pickle globals, classes,
    operators, expressions and names with lists of what is allowed. This check reads its findings from the record.

    Code that the tier's policy or an administrator has accepted by name (a model package) is no finding of this check;
    the result says who accepted it.

    Signs of high risk: any finding. Code in an artefact runs with the rights of whoever loads it.

    What it does not show: whether the numbers in the weights do harm; a backdoor needs no code. Nor what a file could
    do to a loader with a flaw of its own.

    References: OWASP ML06, MITRE ATLAS AML.T0011.000, AML.T0010.003 and AML.T0018.002.
    """

    entry = ENTRIES["ART-01"]

    def run(self, context: CheckContext) -> CheckResult:
        inspection = context.facts.get("inspection")
        if not inspection or "findings" not in inspection:
            return CheckResult(
                status="error",
                reason="The record holds no inspection of the artefact, so nothing is known about code in it.",
            )
        reported = list(inspection["findings"])
        about_code = [finding for finding in reported if str(finding.get("id", "")).startswith(PREFIX)]
        status, severity = context.judge(len(about_code))
        drafts = [
            FindingDraft(
                severity=finding.get("severity", self.entry.severity),
                title=str(finding["title"]),
                detail=f"{finding.get('detail', '')} Place: {finding.get('place') or 'the whole file'}.".strip(),
                remedy="Save the model in its code-free format (.keras without own code, or .pt2) and register that.",
                evidence=[{"kind": "inspection", "id": finding["id"], "place": finding.get("place", "")}],
            )
            for finding in about_code
        ]
        if status == "passed":
            reason = f"The inspection of the artefact found {counted(len(about_code), 'place')} with code."
        else:
            reason = f"The inspection of the artefact found {counted(len(about_code), 'place')} with code, first: "
            reason += f"{about_code[0]['title']}."
        accepted = inspection.get("accepted") or {}
        if accepted.get("ids"):
            reason += f" {_told(accepted)}"
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[Metric("findings about code", float(len(about_code)), n=1, unit="findings", note="of one file")],
            findings=drafts,
            detail={
                "verdict": inspection.get("verdict", ""),
                "accepted": accepted,
                "sources": inspection.get("sources") or {},
                "artifact_digest": context.facts.get("artifact_digest") or "",
                "other_findings": [str(finding.get("id", "")) for finding in reported if finding not in about_code],
            },
        )


def _told(accepted: Mapping[str, Any]) -> str:
    """Say who accepted what the artefact needs, and why."""
    what = listed([str(identifier) for identifier in accepted["ids"]])
    if accepted.get("by"):
        return f"{accepted['by']} released it with {what}: {accepted.get('reason', '')}"
    return f"The policy {accepted.get('policy', '')} accepts {what}."
