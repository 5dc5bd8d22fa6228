"""The gate before approval: a cited, passed audit that still holds."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audits import gates
from audits.models import Audit, CheckResult, CheckStatus, Disposition, Verdict
from audits.services import findings
from audits.services.audits import lock_criteria
from governance.models import Policy, Review
from tests.factories import (
    DatasetVersionFactory,
    JobFactory,
    ModelVersionFactory,
    PolicyFactory,
    ReviewFactory,
    StoredFileFactory,
)
from workers.protocol import digest_of_bytes, digest_of_json

CHECKS: dict[str, Any] = {"ART-01": {}, "ROB-01": {"condition": {"min": 0.5}}}


@pytest.fixture
def policy(alice: User) -> Policy:
    document = {"name": "standard-of-test", "tier": "medium", "checks": CHECKS, "blocks": ["critical", "high"]}
    return PolicyFactory(name="standard-of-test", document=document)


@pytest.fixture
def audit(policy: Policy, alice: User) -> Audit:
    """A passed audit whose robustness ratio is 0.62."""
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
def review(audit: Audit) -> Review:
    review = ReviewFactory(version=audit.version)
    review.evidence.create(kind="audit", object_id=audit.pk, digest=audit.digest)
    return review


def next_policy(policy: Policy, **checks: Any) -> Policy:
    return PolicyFactory(
        name=policy.name, number=policy.number + 1, document={**policy.document, "checks": {**CHECKS, **checks}}
    )


def test_closed_without_a_cited_audit(audit: Audit) -> None:
    reasons = gates.audit_passed(version=audit.version, review=ReviewFactory(version=audit.version))

    assert reasons == [f"The review cites no audit of {audit.version.ref}."]


def test_an_audit_of_another_version_does_not_open_it(audit: Audit) -> None:
    other = ReviewFactory(version=ModelVersionFactory(model=audit.version.model))
    other.evidence.create(kind="audit", object_id=audit.pk, digest=audit.digest)

    assert "cites no audit" in gates.audit_passed(version=other.version, review=other)[0]


def test_open_on_a_passed_audit(review: Review) -> None:
    assert gates.audit_passed(version=review.version, review=review) == []


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE, ""])
def test_closed_on_anything_but_a_pass_and_names_the_checks(review: Review, audit: Audit, verdict: str) -> None:
    Audit.objects.filter(pk=audit.pk).update(verdict=verdict)
    audit.checks.filter(check_id="ROB-01").update(status=CheckStatus.FAILED, severity="high", reason="It fell to 0.1.")

    reasons = gates.audit_passed(version=review.version, review=review)

    assert reasons[0].startswith(f"Audit {audit.pk}")
    assert any("ROB-01 failed: It fell to 0.1." in reason for reason in reasons)


def test_a_new_high_finding_closes_it_and_its_settlement_opens_it(review: Review, dave: User) -> None:
    finding = findings.raise_finding(
        version=review.version, severity="high", title="Leaks the postcode", detail="Seen in the answers.", by=dave
    )

    assert "Leaks the postcode" in gates.audit_passed(version=review.version, review=review)[0]

    findings.deal_with_finding(finding=finding, disposition=Disposition.REMEDIATED, by=dave)

    assert gates.audit_passed(version=review.version, review=review) == []


def test_an_accepted_finding_counts_again_after_its_end(review: Review, dave: User) -> None:
    finding = findings.raise_finding(version=review.version, severity="high", title="Old", detail="Data.", by=dave)
    findings.deal_with_finding(
        finding=finding,
        disposition=Disposition.ACCEPTED,
        accepted_until=timezone.now() + timedelta(days=1),
        by=dave,
    )

    assert gates.audit_passed(version=review.version, review=review) == []

    type(finding).objects.update(accepted_until=timezone.now() - timedelta(seconds=1))

    assert gates.audit_passed(version=review.version, review=review)


def test_a_medium_finding_does_not_close_it(review: Review, dave: User) -> None:
    findings.raise_finding(version=review.version, severity="medium", title="Slow", detail="Sometimes.", by=dave)

    assert gates.audit_passed(version=review.version, review=review) == []


def test_a_stricter_condition_is_judged_on_the_recorded_number(review: Review, policy: Policy) -> None:
    next_policy(policy, **{"ROB-01": {"condition": {"min": 0.6}}})
    assert gates.audit_passed(version=review.version, review=review) == []

    stricter = PolicyFactory(
        name=policy.name,
        number=3,
        document={
            **policy.document,
            "checks": {**CHECKS, "ROB-01": {"condition": {"min": 0.7, "high_below": 0.65}}},
        },
    )

    (reason,) = gates.audit_passed(version=review.version, review=review)
    assert reason.startswith(f"Under {stricter.ref}")


@pytest.mark.parametrize(
    "change",
    [{"PRI-01": {}}, {"ROB-01": {"parameters": {"eps": 0.9}}}],
    ids=["a check more", "other parameters"],
)
def test_what_was_not_measured_cannot_pass_a_new_policy(review: Review, policy: Policy, change: dict[str, Any]) -> None:
    next_policy(policy, **change)

    (reason,) = gates.audit_passed(version=review.version, review=review)

    assert "inconclusive" in reason


def demand_signature(policy: Policy) -> Policy:
    """Make the next number of a policy, which demands a signature and is as before otherwise."""
    document = {**policy.document, "requires_signature": True}
    return PolicyFactory(name=policy.name, number=policy.number + 1, document=document)


def test_a_policy_can_demand_a_signed_model(audit: Audit, policy: Policy) -> None:
    demanded = demand_signature(policy)

    problem = gates.audit_problem(audit)

    assert problem is not None
    assert problem.startswith(f"{demanded.ref} demands a signed model.")
    assert f"{audit.version.ref} came without a model signature" in problem


def test_a_signed_model_is_approved_under_such_a_policy(audit: Audit, policy: Policy, settings: Any) -> None:
    demand_signature(policy)
    signatures = Path(__file__).parents[1] / "workers/provenance/signatures"
    settings.ASSAY_MODEL_SIGNING_KEYS = str(signatures / "p256.pub")
    version = audit.version
    version.model_signature = json.loads((signatures / "p256.sig").read_text())
    version.artifact = StoredFileFactory(digest=digest_of_bytes(b"not a model, but signed"))
    version.save()
    Audit.objects.filter(pk=audit.pk).update(version_digest=version.digest)
    audit.refresh_from_db()

    assert gates.audit_problem(audit) is None

    settings.ASSAY_MODEL_SIGNING_KEYS = str(signatures / "p384.pub")
    assert "demands a signed model" in str(gates.audit_problem(audit))
