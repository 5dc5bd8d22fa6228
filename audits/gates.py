"""Gates about models: may this version get the alias that a review asks for?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from audits.engine import catalogue
from audits.models import Audit, CheckResult, CheckStatus, Disposition, Explanation, Finding, Verdict
from audits.services import admission
from audits.services.audits import lock_criteria
from audits.services.verdict import JudgedCheck, judge
from governance.models import ModelVersion, Policy, Review
from governance.services import model_signatures, policies


def audit_passed(*, version: ModelVersion, review: Review) -> list[str]:
    """Return the reasons against an approval: the review cites no passed audit of it that still holds."""
    cited = Audit.objects.filter(
        pk__in=review.evidence.filter(kind="audit").values("object_id"), version=version
    ).order_by("-pk")
    if not cited:
        return [f"The review cites no audit of {version.ref}."]
    problems = [audit_problem(audit) for audit in cited]
    if None in problems:
        return []
    reasons = [problem for problem in problems if problem is not None]
    newest = cited[0]
    reasons += [
        f"{check.check_id} {check.get_status_display()}: {check.reason}"
        for check in newest.checks.exclude(status__in=[CheckStatus.PASSED, CheckStatus.NOT_APPLICABLE])
        if check.status != CheckStatus.FAILED or check.severity in newest.criteria["blocks"]
    ]
    return reasons


def audit_problem(audit: Audit) -> str | None:
    """Say why an audit is no longer, or never was, a reason to approve; None when it is.

    It has to have passed; the version must still be what was audited; no finding of a severity that blocks may have
    come up since; and the newest number of its policy must judge its recorded results as passed too.
    """
    if audit.verdict != Verdict.PASSED:
        return f"Audit {audit.pk} {audit.get_verdict_display() or 'has not ended'}: {audit.verdict_reason}"
    if audit.version.digest != audit.version_digest:
        return f"{audit.version.ref} is no longer the artefact that audit {audit.pk} measured."
    finding = blocking_findings(audit).first()
    if finding is not None:
        return f"{finding} ({finding.severity}) is open on {audit.version.ref}: {finding.title}"
    newest = Policy.objects.filter(name=audit.policy.name).order_by("-number").first()
    if policies.requires_signature(newest or audit.policy):
        unsigned = model_signatures.problem_of(audit.version)
        if unsigned is not None:
            return f"{(newest or audit.policy).ref} demands a signed model. {unsigned}"
    if newest is not None and newest.pk != audit.policy_id:
        verdict, why = rejudge(audit, newest)
        if verdict != Verdict.PASSED:
            return f"Under {newest.ref} audit {audit.pk} would be {verdict.label}: {why}"
    return None


def blocking_findings(audit: Audit) -> QuerySet[Finding]:
    """Return open findings that block: raised by hand or by this or a later audit of the same version.

    An acceptance counts until its end. Findings of earlier audits are superseded by this one's checks.
    """
    accepted = Q(disposition=Disposition.ACCEPTED, accepted_until__gt=timezone.now())
    settled = Q(disposition__in=[Disposition.REMEDIATED, Disposition.FALSE_POSITIVE])
    return (
        Finding.objects.filter(version=audit.version, severity__in=audit.criteria["blocks"])
        .filter(Q(audit__isnull=True) | Q(audit_id__gte=audit.pk))
        .exclude(accepted | settled)
        .order_by("pk")
    )


def rejudge(audit: Audit, policy: Policy) -> tuple[Verdict, str]:
    """Judge the recorded results of an audit under another policy.

    A check that the policy adds, or asks with other parameters, has no result; one with another condition is judged
    again where the condition is about the recorded number alone, else it has no result either.
    """
    criteria = lock_criteria(policy)
    results = {check.check_id: check for check in audit.checks.all()}
    judged = []
    for check_id, criterion in criteria["checks"].items():
        result = results.get(check_id)
        if result is None or result.parameters != criterion["parameters"]:
            judged.append(JudgedCheck(id=check_id, status=CheckStatus.SKIPPED))
        elif result.condition != criterion["condition"] and result.status in (CheckStatus.PASSED, CheckStatus.FAILED):
            judged.append(_judged_again(result, criterion["condition"]))
        else:
            judged.append(JudgedCheck(id=check_id, status=result.status, severity=result.severity))
    judgement = judge(judged, required=criteria["checks"], blocks=criteria["blocks"])
    return judgement.verdict, judgement.reason


def _judged_again(result: CheckResult, condition: Mapping[str, Any]) -> JudgedCheck:
    entry = catalogue.ENTRIES.get(result.check_id)
    if entry is None or not entry.is_judged_by_value or not result.metrics:
        return JudgedCheck(id=result.check_id, status=CheckStatus.SKIPPED)
    severity = entry.judge(result.metrics[0]["value"], condition)
    status = CheckStatus.FAILED if severity else CheckStatus.PASSED
    return JudgedCheck(id=result.check_id, status=status, severity=severity)


def explanation_problem(explanation: Explanation) -> str | None:
    """Say why an explanation cannot be rested on; None when it can.

    It has to have been admitted by the bounds it was asked for with, and its measures must keep to those that the
    newest policy of the model's tier states.
    """
    if explanation.admitted is None:
        return f"Explanation {explanation.pk} has not ended."
    if not explanation.admitted:
        return f"Explanation {explanation.pk} is not admitted: {' '.join(explanation.reasons)}"
    policy = admission.policy_of(explanation.version)
    reasons = [] if policy is None else admission.reasons_under(policy, explanation)
    if reasons:
        return f"Under {policy} explanation {explanation.pk} would not be admitted: {' '.join(reasons)}"
    return None
