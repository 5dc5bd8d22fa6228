"""Raise findings, deal with them, talk about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from audits.models import Disposition, Finding, FindingComment
from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import ModelVersion
from governance.permissions import Action
from governance.services import events

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def raise_finding(
    *,
    version: ModelVersion,
    severity: str,
    title: str,
    detail: str,
    by: User,
    remedy: str = "",
    references: Sequence[Mapping[str, Any]] = (),
) -> Finding:
    """Record an observation of a person; those of checks are raised when their audit ends."""
    permissions.require(by, Action.RAISE_FINDING, version)
    with transaction.atomic():
        finding = Finding(
            version=version,
            severity=severity,
            title=title,
            detail=detail,
            remedy=remedy,
            references=list(references),
            owner=version.model.owner,
            raised_by=by,
        )
        finding.full_clean()
        finding.save()
        events.record(
            name="finding.raised",
            subject=version.ref,
            by=by,
            detail={"finding": finding.pk, "severity": severity, "title": title},
        )
    return finding


def deal_with_finding(
    *,
    finding: Finding,
    by: User,
    disposition: str | None = None,
    accepted_until: datetime | None = None,
    owner: User | None = None,
    due: date | None = None,
) -> Finding:
    """Change who deals with a finding, until when, and what became of it; what is not given stays.

    An acceptance needs an end that lies ahead; nobody settles a finding on a model of their own.
    """
    permissions.require(by, Action.ASSIGN_FINDING, finding)
    if disposition is not None:
        permissions.require(by, Action.DISPOSE_FINDING, finding)
    if disposition == Disposition.ACCEPTED and (accepted_until is None or accepted_until <= timezone.now()):
        raise InvalidInput(
            "An accepted finding needs `accepted_until`, a moment in the future.",
            errors=[{"place": "accepted_until", "detail": f"It is {accepted_until}."}],
        )
    with transaction.atomic():
        finding = Finding.objects.select_for_update().get(pk=finding.pk)
        before = {"disposition": finding.disposition, "owner": str(finding.owner), "due": str(finding.due)}
        if disposition is not None:
            finding.disposition = disposition
            finding.accepted_until = accepted_until if disposition == Disposition.ACCEPTED else None
        finding.owner = owner or finding.owner
        finding.due = due or finding.due
        finding.full_clean()
        finding.save()
        after = {"disposition": finding.disposition, "owner": str(finding.owner), "due": str(finding.due)}
        events.record(
            name="finding.changed",
            subject=finding.version.ref,
            by=by,
            detail={"finding": finding.pk, "before": before, "after": after},
        )
    return finding


def comment_on_finding(*, finding: Finding, text: str, by: User) -> FindingComment:
    """Say something about a finding."""
    permissions.require(by, Action.COMMENT, finding)
    if not text.strip():
        raise InvalidInput("A comment says something.", errors=[{"place": "text", "detail": "It is empty."}])
    with transaction.atomic():
        comment = FindingComment.objects.create(finding=finding, text=text, by=by)
        events.record(name="finding.commented", subject=finding.version.ref, by=by, detail={"finding": finding.pk})
    return comment
