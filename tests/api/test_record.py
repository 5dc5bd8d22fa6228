"""``policies/`` and ``events/``: the rules, and what happened."""

from __future__ import annotations

import pytest
from django.db import connection

from governance.models import Policy

pytestmark = pytest.mark.django_db

POLICY = {"name": "strict", "tier": "high", "checks": {"ART-01": {}, "ROB-01": {"condition": {"min": 0.5}}}}


def test_a_policy_is_kept_by_number(erin_api, alice_api):
    response = erin_api.post("/api/v1/policies/", POLICY, format="json")

    assert response.status_code == 201
    assert response["Location"] == "/api/v1/policies/strict/1/"
    policy = alice_api.get(response["Location"]).json()
    assert (policy["ref"], policy["checks"], policy["approvers"]) == ("strict/1", POLICY["checks"], 1)
    erin_api.post("/api/v1/policies/", POLICY, format="json")
    numbers = [row["number"] for row in alice_api.get("/api/v1/policies/strict/").json()["results"]]
    assert numbers == [2, 1]


def test_a_policy_may_demand_a_signed_model(erin_api):
    plain = erin_api.post("/api/v1/policies/", POLICY, format="json").json()
    demanding = erin_api.post("/api/v1/policies/", {**POLICY, "requires_signature": True}, format="json").json()

    assert plain["requires_signature"] is False
    assert demanding["requires_signature"] is True
    assert plain["digest"] != demanding["digest"]


def test_the_default_policies_are_listed(alice_api):
    refs = {row["ref"] for row in alice_api.get("/api/v1/policies/").json()["results"]}

    assert refs == {"low/1", "standard/1", "high/1"}


def test_a_policy_that_is_none_is_told(erin_api):
    response = erin_api.post("/api/v1/policies/", {**POLICY, "checks": {"ROB-01": {"params": {}}}}, format="json")

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == "checks['ROB-01']"
    assert not Policy.objects.filter(name="strict").exists()


def test_events_tell_who_did_what_to_what(alice_api, erin_api):
    erin_api.post("/api/v1/policies/", POLICY, format="json")

    (event,) = alice_api.get("/api/v1/events/?name=policy.created").json()["results"]

    assert (event["actor"], event["subject"]) == ("erin", "strict/1")
    assert alice_api.get(f"/api/v1/events/{event['sequence']}/").json() == event
    assert alice_api.get("/api/v1/events/?subject=other/1").json()["results"] == []


def test_the_events_of_one_request_share_a_group(settings, alice_api):
    settings.GOVERNANCE_GATES = {"training": []}
    from tests import factories

    body = {"model": factories.ModelVersionFactory().ref, "dataset": factories.DatasetVersionFactory().ref}
    alice_api.post("/api/v1/trainings/", body, format="json")
    alice_api.post("/api/v1/trainings/", body, format="json")

    groups = [row["group"] for row in alice_api.get("/api/v1/events/").json()["results"]]

    assert len(groups) == 4
    assert groups[0] == groups[1] != groups[2] == groups[3]


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_chain_is_verified_on_demand(method, erin_api, dave_api):
    erin_api.post("/api/v1/policies/", POLICY, format="json")

    state = getattr(dave_api, method)("/api/v1/events/verify/").json()
    assert state["intact"] is True
    assert state["event_count"] == 1

    with connection.cursor() as cursor:
        cursor.execute("UPDATE governance_event SET actor = 'mallory'")
    state = getattr(dave_api, method)("/api/v1/events/verify/").json()
    assert (state["intact"], state["broken_at"]) == (False, 1)
    assert "not what was recorded" in state["reason"]
