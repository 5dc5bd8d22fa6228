"""Policies are versioned data, checked before they are kept."""

from __future__ import annotations

import pytest

from governance.exceptions import InvalidInput, NotAllowed, NotFound
from governance.models import Event, Policy
from governance.services import policies
from workers.protocol import digest_of_json

pytestmark = pytest.mark.django_db

DOCUMENT = {
    "name": "strict",
    "tier": "high",
    "checks": {"ROB-01": {"parameters": {"eps": 0.1}, "condition": {"min": 0.5}}, "ART-01": {}},
    "blocks": ["critical", "high", "medium"],
    "approvers": 2,
}


def test_each_tier_has_a_policy_after_migrate():
    known = {tier: policies.newest_for_tier(tier) for tier in ("low", "medium", "high")}

    assert {tier: policy.ref for tier, policy in known.items()} == {
        "low": "low/1",
        "medium": "standard/1",
        "high": "high/1",
    }
    assert set(known["medium"].document["checks"]) == {
        "ART-01", "DAT-03", "DAT-04", "PER-01", "CAL-01", "ROB-01", "PRI-01", "FAIR-01", "EXP-01",
    }  # fmt: skip
    for policy in known.values():
        assert {"critical", "high"} <= set(policy.document["blocks"])
        assert policy.digest == digest_of_json(policy.document)
    assert policies.approvers_of(known["medium"]) == 1


def test_a_change_is_the_next_number(erin):
    first, second = (policies.create_policy(document=DOCUMENT, by=erin) for _ in range(2))

    assert (first.ref, second.ref) == ("strict/1", "strict/2")
    assert first.digest == digest_of_json(first.document)
    assert policies.newest_for_tier("high") == second
    assert Event.objects.filter(name="policy.created").count() == 2


def test_severities_that_block_and_approvers_are_filled_in(erin):
    document = {key: DOCUMENT[key] for key in ("name", "tier", "checks")}

    policy = policies.create_policy(document=document, by=erin)

    assert policy.document == {**document, "blocks": ["critical", "high"], "approvers": 1}


def test_only_an_administrator_makes_rules(alice, bob, dave):
    for person in (alice, bob, dave):
        with pytest.raises(NotAllowed):
            policies.create_policy(document=DOCUMENT, by=person)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "Strict Rules"}, "name"),
        ({"tier": "extreme"}, "tier"),
        ({"checks": {}}, "checks"),
        ({"checks": {"ROB-01": {"params": {}}}}, "checks['ROB-01']"),
        ({"checks": {"ROB 01": {}}}, "checks"),
        ({"blocks": ["high"]}, "blocks"),
        ({"blocks": ["critical", "terrible"]}, "blocks[1]"),
        ({"approvers": 0}, "approvers"),
        ({"approver": 1}, ""),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_with_its_place(change, place, erin):
    with pytest.raises(InvalidInput) as refusal:
        policies.create_policy(document={**DOCUMENT, **change}, by=erin)

    assert refusal.value.errors[0]["place"] == place
    assert not Policy.objects.filter(name="strict").exists()


def test_a_tier_without_a_policy_is_told():
    Policy.objects.filter(tier="low").delete()

    with pytest.raises(NotFound, match="no policy for the tier 'low'"):
        policies.newest_for_tier("low")
