"""The report of an audit as JSON, after the schema in ``schema.json``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from audits.models import Audit, Finding
from audits.reports.content import Check, Content, content_of
from governance.models import DatasetVersion

SCHEMA_NAME = "urn:assay:report:1"

_SCHEMA_FILE = Path(__file__).with_name("schema.json")


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Return the published JSON schema of the report."""
    document: dict[str, Any] = json.loads(_SCHEMA_FILE.read_text(encoding="utf-8"))
    return document


def build_json(audit: Audit) -> dict[str, Any]:
    """Return the report of an ended audit: the same audit gives the same document."""
    content = content_of(audit)
    version = audit.version
    return {
        "schema": SCHEMA_NAME,
        "audit": {
            "id": audit.pk,
            "verdict": audit.verdict,
            "reason": audit.verdict_reason,
            "asked_at": _moment(audit.created_at),
            "asked_by": audit.created_by.get_username(),
            "policy": {"ref": audit.policy.ref, "tier": audit.policy.tier, "digest": audit.policy.digest},
            "criteria": audit.criteria,
            "criteria_digest": audit.criteria_digest,
            "result_digest": audit.digest,
            "job": {"id": audit.job_id, "spec_digest": audit.job.spec_digest},
        },
        "model": {
            "ref": version.ref,
            "digest": audit.version_digest,
            "framework": version.framework,
            "format": version.format,
            "tier": version.model.tier,
            "owner": version.model.owner.get_username(),
            "intended_use": version.model.intended_use,
            "limitations": version.model.limitations,
        },
        "dataset": {**_dataset(audit.dataset), "digest": audit.dataset_digest},
        "training_data": None if audit.training_data is None else _dataset(audit.training_data),
        "coverage": {
            "selected": len(content.checks),
            "applicable": content.applicable_count,
            "with_result": content.with_result_count,
            "by_status": dict(content.counts),
        },
        "blocking": [check.id for check in content.blocking],
        "changes": _changes(content),
        "findings": [_finding(finding) for finding in content.findings],
        "checks": [_check(check) for check in content.checks],
    }


def _dataset(version: DatasetVersion) -> dict[str, Any]:
    return {"ref": version.ref, "digest": version.digest, "row_count": version.row_count}


def _changes(content: Content) -> dict[str, Any] | None:
    if content.previous is None:
        return None
    return {
        "since_audit": content.previous.pk,
        "verdict_then": content.previous.verdict,
        "unchanged_count": content.unchanged_count,
        "changed": [
            {
                "check": change.check.id,
                "then": change.before.status,
                "now": change.check.result.status,
                "what": change.what,
            }
            for change in content.changes
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.pk,
        "check": finding.check_id,
        "severity": finding.severity,
        "title": finding.title,
        "detail": finding.detail,
        "remedy": finding.remedy,
        "references": finding.references,
        "evidence": finding.evidence,
        "owner": None if finding.owner is None else finding.owner.get_username(),
        "due": None if finding.due is None else finding.due.isoformat(),
        "disposition": finding.disposition,
        "accepted_until": None if finding.accepted_until is None else _moment(finding.accepted_until),
    }


def _check(check: Check) -> dict[str, Any]:
    result = check.result
    return {
        "id": result.check_id,
        "title": result.title,
        "status": result.status,
        "severity": result.severity,
        "reason": result.reason,
        "limits": check.limits,
        "metrics": result.metrics,
        "condition": result.condition,
        "parameters": result.parameters,
        "seed": check.seed,
        "seconds": result.seconds,
        "detail": {key: value for key, value in result.detail.items() if key not in ("limits", "seed")},
        "references": check.references,
        "charts": result.charts,
        "findings": [finding.pk for finding in check.findings],
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
