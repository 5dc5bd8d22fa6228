"""An approval that rests on a real audit and a waived validation is void, visibly, once one of them no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from audits.models import Audit, CheckResult, CheckStatus, Disposition, Verdict
from audits.services import findings
from audits.services.audits import lock_criteria
from governance import references
from governance.exceptions import StateConflict
from governance.models import Alias, Event, ModelVersion, Policy, Review, ReviewState
from governance.services import policies, reviews
from tests.factories import DatasetVersionFactory, ExpectationSuiteFactory, JobFactory, ModelVersionFactory
from validators.models import Validation, Waiver
from validators.services import validations
from workers.protocol import digest_of_bytes, digest_of_json

CHECKS: dict[str, Any] = {"ART-01": {}, "ROB-01": {"condition": {"min": 0.5}}}


@pytest.fixture
def policy(erin: User) -> Policy:
    return policies.create_policy(document={"name": "of-test", "tier": "medium", "checks": CHECKS}, by=erin)


@pytest.fixture
def audit(policy: Policy, alice: User) -> Audit:
    """A passed audit that measured a robustness of 0.62."""
    version, dataset = ModelVersionFactory(), DatasetVersionFactory()
    criteria = lock_criteria(policy)
    audit = Audit.objects.create(
        version=version,
        dataset=dataset,
        policy=policy,
        criteria=criteria,
        criteria_digest=digest_of_json(criteria),
        version_digest=version.digest,
        dataset_digest=dataset.digest,
        verdict=Verdict.PASSED,
        digest=digest_of_bytes(b"audit"),
        job=JobFactory(kind="audit"),
        created_by=alice,
    )
    for check_id, value in (("ART-01", 0), ("ROB-01", 0.62)):
        CheckResult.objects.create(
            audit=audit,
            check_id=check_id,
            title=check_id,
            status=CheckStatus.PASSED,
            reason="It met its condition.",
            metrics=[{"name": "value", "value": value, "low": None, "high": None, "n": 40}],
            condition=criteria["checks"][check_id]["condition"],
            parameters=criteria["checks"][check_id]["parameters"],
        )
    return audit


@pytest.fixture
def waiver(audit: Audit, alice: User, bob: User) -> Waiver:
    """What lets a failed validation of the audited data pass for a day."""
    validation = Validation.objects.create(
        dataset=audit.dataset,
        suite=ExpectationSuiteFactory(),
        dataset_digest=audit.dataset.content_digest,
        success=False,
        results=[{"status": "failed"}],
        digest=digest_of_bytes(b"validation"),
        job=JobFactory(kind="validation"),
        created_by=alice,
    )
    tomorrow = timezone.now() + timedelta(days=1)
    return validations.grant_waiver(validation=validation, reason="A known fault.", expires_at=tomorrow, by=bob)


@pytest.fixture
def approved(audit: Audit, waiver: Waiver, alice: User, bob: User) -> Review:
    """An approval by the real gates, whose alias leads to the version."""
    evidence = [f"audit:{audit.pk}", f"validation:{waiver.validation_id}"]
    review = reviews.request_review(version=audit.version, alias="champion", evidence=evidence, by=alice)
    approved = reviews.decide(review=review, outcome="approve", comment="It holds.", by=bob)
    assert approved.state == ReviewState.APPROVED
    assert references.model_version(f"{audit.version.model.name}@champion") == audit.version
    return approved


def waiver_ends(version: ModelVersion, policy: Policy, dave: User, erin: User) -> None:
    Waiver.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def finding_is_raised(version: ModelVersion, policy: Policy, dave: User, erin: User) -> None:
    findings.raise_finding(version=version, severity="high", title="It leaks", detail="Seen in answers.", by=dave)


def acceptance_ends(version: ModelVersion, policy: Policy, dave: User, erin: User) -> None:
    finding = findings.raise_finding(version=version, severity="high", title="It leaks", detail="Seen.", by=dave)
    tomorrow = timezone.now() + timedelta(days=1)
    findings.deal_with_finding(finding=finding, disposition=Disposition.ACCEPTED, accepted_until=tomorrow, by=dave)
    type(finding).objects.update(accepted_until=timezone.now() - timedelta(seconds=1))


def policy_gets_stricter(version: ModelVersion, policy: Policy, dave: User, erin: User) -> None:
    checks = {**CHECKS, "ROB-01": {"condition": {"min": 0.7, "high_below": 0.65}}}
    policies.create_policy(document={**policy.document, "checks": checks}, by=erin)


def policy_asks_for_more(version: ModelVersion, policy: Policy, dave: User, erin: User) -> None:
    policies.create_policy(document={**policy.document, "checks": {**CHECKS, "PRI-01": {}}}, by=erin)


@pytest.mark.parametrize(
    ("happens", "because"),
    [
        (waiver_ends, "The waiver of validation"),
        (finding_is_raised, "It leaks"),
        (acceptance_ends, "It leaks"),
        (policy_gets_stricter, "Under of-test/2 audit"),
        (policy_asks_for_more, "Under of-test/2 audit"),
    ],
)
def test_an_approval_is_void_once_its_evidence_no_longer_holds(
    happens: Callable[..., None], because: str, approved: Review, policy: Policy, dave: User, erin: User
) -> None:
    happens(approved.version, policy, dave, erin)

    voided = reviews.recheck(approved)

    assert voided.state == ReviewState.VOID
    assert because in voided.voided_because
    assert Event.objects.get(name="review.voided").detail["because"] == voided.voided_because
    # The alias is still to be seen where it was, and leads nowhere.
    assert Alias.objects.get(name="champion").version == approved.version
    with pytest.raises(StateConflict, match="leads nowhere"):
        references.model_version(f"{approved.version.model.name}@champion")


def test_an_approval_stays_while_nothing_that_counts_changes(
    approved: Review, policy: Policy, dave: User, erin: User
) -> None:
    findings.raise_finding(version=approved.version, severity="medium", title="Slow", detail="At times.", by=dave)
    findings.raise_finding(version=ModelVersionFactory(), severity="critical", title="Other", detail="x", by=dave)
    looser = {**CHECKS, "ROB-01": {"condition": {"min": 0.6}}}
    policies.create_policy(document={**policy.document, "checks": looser}, by=erin)

    assert reviews.recheck(approved).state == ReviewState.APPROVED


def test_verify_voids_what_nobody_looked_at(approved: Review, capsys: pytest.CaptureFixture[str]) -> None:
    Waiver.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(CommandError, match="does not verify"):  # factories put no bytes into the store
        call_command("verify")

    assert f"VOID    review {approved.pk} of {approved.version.ref}: The waiver of" in capsys.readouterr().out
    approved.refresh_from_db()
    assert approved.state == ReviewState.VOID
