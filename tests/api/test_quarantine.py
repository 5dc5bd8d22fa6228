"""Release and reject over REST: who may, what is answered, once for an Idempotency-Key."""

from __future__ import annotations

import pytest

from governance.models import Event, Job, JobState, ModelVersion
from tests import factories
from tests.api.working import Person

pytestmark = pytest.mark.django_db

FINDING = {
    "id": "ART-03.package",
    "severity": "medium",
    "title": "The model needs code",
    "detail": "It needs model.py.",
    "place": "model.py",
    "references": [],
}
BODY = {"reason": "Read the source."}


@pytest.fixture
def address() -> str:
    """The address of a quarantined version of Alice's."""
    version = factories.ModelVersionFactory(
        state="quarantined",
        rewritten=None,
        format="package",
        inspection={"verdict": "quarantined", "findings": [FINDING]},
        job=factories.JobFactory(state=JobState.SUCCEEDED),
    )
    return f"models/{version.model.name}/versions/{version.number}/"


@pytest.fixture
def administrator() -> Person:
    return Person("erin", "administrators")


def test_a_release_answers_with_the_version_and_its_second_inspection(address: str, administrator: Person) -> None:
    answer = administrator.client.post(f"/api/v1/{address}release/", BODY, format="json")

    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/{address}"
    version = answer.json()
    assert (version["state"], version["job"]["state"]) == ("quarantined", "queued")
    assert version["inspection"]["accepted"]["ids"] == ["ART-03.package"]
    assert Job.objects.get(pk=version["job"]["id"]).spec["parameters"]["accepted"] == ["ART-03.package"]


def test_the_same_key_releases_once(address: str, administrator: Person) -> None:
    answers = [
        administrator.client.post(f"/api/v1/{address}release/", BODY, format="json", headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["job"]["id"] == answers[1].json()["job"]["id"]
    assert Event.objects.filter(name="version.released").count() == 1


def test_a_version_that_is_inspected_already_is_a_conflict(address: str, administrator: Person) -> None:
    administrator.post(f"{address}release/", BODY)

    for verb in ("release", "reject"):
        assert "still being inspected" in administrator.post(f"{address}{verb}/", BODY, status=409)["detail"]


def test_a_rejection_is_final(address: str, administrator: Person) -> None:
    version = administrator.post(f"{address}reject/", BODY, status=200)

    assert (version["state"], version["state_reason"]) == ("rejected", "erin rejected it: Read the source.")
    administrator.post(f"{address}release/", BODY, status=409)


@pytest.mark.parametrize("verb", ["release", "reject"])
def test_only_an_administrator_who_is_not_concerned_decides(address: str, verb: str) -> None:
    Person("alice", "engineers").post(f"{address}{verb}/", BODY, status=403)
    answer = Person("alice", "engineers", "administrators").post(f"{address}{verb}/", BODY, status=403)
    assert "somebody else" in answer["detail"]
    assert set(ModelVersion.objects.values_list("state", flat=True)) == {"quarantined"}


@pytest.mark.parametrize("verb", ["release", "reject"])
@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 2001}, {"reason": "x", "accepted": ["all"]}])
def test_a_body_that_says_something_else_is_refused(
    address: str, administrator: Person, verb: str, body: dict[str, object]
) -> None:
    answer = administrator.client.post(f"/api/v1/{address}{verb}/", body, format="json")
    assert answer.status_code in (400, 422)
    assert not Event.objects.filter(name__startswith="version.re").exists()


def test_a_policy_says_what_it_accepts(administrator: Person) -> None:
    body = {"name": "lenient", "tier": "low", "checks": {"ART-01": {}}}

    made = administrator.post("policies/", {**body, "accepts": ["ART-03.package"]}, status=201)
    assert made["accepts"] == ["ART-03.package"]
    assert administrator.post("policies/", body, status=201)["accepts"] == []
    refused = administrator.client.post("/api/v1/policies/", {**body, "accepts": ["ART-01.pickle"]}, format="json")
    assert refused.status_code in (400, 422)
