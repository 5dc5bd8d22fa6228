"""``reviews/``: asked for, decided, and void when no longer true."""

from __future__ import annotations

import pytest

from governance.models import Evaluation, ModelVersion, Review
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


@pytest.fixture
def version(alice) -> ModelVersion:
    return factories.ModelVersionFactory()


@pytest.fixture
def review(version, alice_api) -> dict:
    evaluation = factories.EvaluationFactory(version=version)
    body = {"model": version.ref, "alias": "champion", "evidence": [f"evaluation:{evaluation.pk}"], "comment": "New."}
    response = alice_api.post("/api/v1/reviews/", body, format="json")
    assert response.status_code == 201
    assert alice_api.get(response["Location"]).json() == response.json()
    return response.json()


def decide(client, review: dict, **body):
    body = {"decision": "approve", "comment": "I read it all.", **body}
    return client.post(f"/api/v1/reviews/{review['id']}/decide/", body, format="json")


def test_a_review_shows_its_evidence_by_digest(review, version):
    evaluation = Evaluation.objects.get()

    assert review["evidence"] == [
        {
            "ref": f"evaluation:{evaluation.pk}",
            "kind": "evaluation",
            "object_id": evaluation.pk,
            "digest": evaluation.digest,
        }
    ]
    assert (review["model"], review["state"], review["requested_by"]) == (version.ref, "open", "alice")


def test_an_approval_moves_the_alias_which_then_names_the_version(review, version, bob_api, dave_api):
    response = decide(bob_api, review)

    assert (response.status_code, response.json()["state"]) == (200, "approved")
    (decision,) = response.json()["decisions"]
    assert (decision["decision"], decision["decided_by"]) == ("approve", "bob")
    body = {"model": f"{version.model.name}@champion", "dataset": factories.DatasetVersionFactory().ref}
    assert dave_api.post("/api/v1/evaluations/", body, format="json").json()["model"] == version.ref


def test_an_approval_is_void_visibly_and_its_alias_leads_nowhere(review, version, bob_api, dave_api):
    decide(bob_api, review)
    Evaluation.objects.update(digest="sha256:" + "0" * 64)

    body = {"model": f"{version.model.name}@champion", "dataset": factories.DatasetVersionFactory().ref}
    refused = dave_api.post("/api/v1/evaluations/", body, format="json")

    assert refused.status_code == 409
    assert "leads nowhere" in refused.json()["detail"]
    read = dave_api.get(f"/api/v1/reviews/{review['id']}/").json()
    assert read["state"] == "void"
    assert "no longer what was cited" in read["voided_because"]
    assert read["voided_at"] is not None


def test_reading_a_review_is_enough_to_void_it(review, dave_api):
    Evaluation.objects.update(digest="sha256:" + "0" * 64)

    assert dave_api.get(f"/api/v1/reviews/{review['id']}/").json()["state"] == "void"
    assert Review.objects.get().state == "void"


def test_the_owner_does_not_decide(review):
    both = factories.api_client(factories.person("alice", "engineers", "approvers"))

    response = decide(both, review)

    assert response.status_code == 403
    assert "somebody else" in response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"decision": "maybe"}, "decision"),
        ({"comment": ""}, "comment"),
        ({"comment": "  "}, "comment"),
        ({"because": "x"}, "because"),
    ],
)
def test_a_decision_that_is_none_is_told(change, place, review, bob_api):
    response = decide(bob_api, review, **change)

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == place


def test_a_review_without_evidence_is_told(version, alice_api):
    body = {"model": version.ref, "alias": "champion", "evidence": []}

    response = alice_api.post("/api/v1/reviews/", body, format="json")

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == "evidence"


def test_the_gate_of_the_installation_asks_for_a_passed_audit(settings, version, alice_api, bob_api):
    settings.GOVERNANCE_GATES = {"approval": ["audits.gates.audit_passed"]}
    evaluation = factories.EvaluationFactory(version=version)
    body = {"model": version.ref, "alias": "champion", "evidence": [f"evaluation:{evaluation.pk}"]}

    asked = alice_api.post("/api/v1/reviews/", body, format="json")
    decision = {"decision": "approve", "comment": "It looks good."}
    response = bob_api.post(f"{asked['Location']}decide/", decision, format="json")

    assert response.status_code == 409
    assert response.json()["reasons"] == [f"The review cites no audit of {version.ref}."]
