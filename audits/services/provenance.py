"""What this installation says of an audit and of its reports when it has ended, and signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils import timezone

from audits.models import Audit, CheckResult, Report
from governance.models import SignedStatement, StatementKind
from governance.services import statements
from governance.services.provenance import dataset_subject, instant, version_subject
from workers.provenance.statement import EVAL_RESULT, REPORT, Subject, digest_set

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def sign_audit(audit: Audit, checks: Sequence[CheckResult], *, by: User | None) -> SignedStatement | None:
    """Sign verdict, coverage and the result of each check, with the digests of what was measured against what."""
    training_data = audit.training_data
    predicate = {
        "dataset": dataset_subject(audit.dataset).to_json(),
        "trainingData": None if training_data is None else dataset_subject(training_data).to_json(),
        "policy": {"name": audit.policy.ref, "digest": digest_set(audit.policy.digest)},
        "criteriaDigest": audit.criteria_digest,
        "verdict": audit.verdict,
        "coverage": audit.coverage,
        "checks": [
            {
                "id": check.check_id,
                "status": check.status,
                "severity": check.severity,
                "condition": check.condition,
                "metrics": check.metrics,
            }
            for check in sorted(checks, key=lambda check: check.check_id)
        ],
        "resultDigest": audit.digest,
        "evaluatedAt": instant(timezone.now()),
    }
    return statements.sign(
        kind=StatementKind.AUDIT,
        name=str(audit.pk),
        subjects=[version_subject(audit.version), Subject(str(audit), digest_set(audit.digest))],
        predicate_type=EVAL_RESULT,
        predicate=predicate,
        event_subject=audit.version,
        by=by,
    )


def sign_report(report: Report, *, by: User | None) -> SignedStatement | None:
    """Sign which audit a frozen report is of."""
    audit = report.audit
    return statements.sign(
        kind=StatementKind.REPORT,
        name=report_name(report),
        subjects=[Subject(f"report.{report.format}", digest_set(report.digest))],
        predicate_type=REPORT,
        predicate={
            "audit": str(audit),
            "format": report.format,
            "resultDigest": audit.digest,
            "model": version_subject(audit.version).to_json(),
            "dataset": dataset_subject(audit.dataset).to_json(),
            "frozenAt": instant(report.created_at),
        },
        event_subject=audit.version,
        by=by,
    )


def report_name(report: Report) -> str:
    """Return the name under which the statement about a report is found: ``12.html``."""
    return f"{report.audit_id}.{report.format}"


def register_kinds() -> None:
    """Say where the digest of each kind of thing stands in the record."""
    statements.register(StatementKind.AUDIT, _digest_of_audit)
    statements.register(StatementKind.REPORT, _digest_of_report)


def _digest_of_audit(name: str) -> str | None:
    found = Audit.objects.filter(pk=name).first()
    return None if found is None else found.digest


def _digest_of_report(name: str) -> str | None:
    audit, _, format_ = name.partition(".")
    found = Report.objects.filter(audit_id=audit, format=format_).first()
    return None if found is None else found.digest
