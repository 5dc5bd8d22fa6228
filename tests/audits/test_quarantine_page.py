"""The page of a quarantined version: why it is held, what to read, who may decide, and the decision."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import Job, JobState, ModelVersion, StoredFile
from tests import factories

FINDING = {
    "id": "ART-03.package",
    "severity": "medium",
    "title": "The model needs the Python code of its package",
    "detail": "Loading it runs the Python code of model.py.",
    "place": "model.py",
    "references": ["CWE-94", "OWASP ML06:2023"],
}
DIGEST = "sha256:" + "b" * 64


@pytest.fixture
def version(db) -> ModelVersion:
    StoredFile.objects.create(digest=DIGEST, size_bytes=10)
    return factories.ModelVersionFactory(
        state="quarantined",
        state_reason="It needs code.",
        rewritten=None,
        format="package",
        inspection={"verdict": "quarantined", "findings": [FINDING], "sources": {"parts/model.py": DIGEST}},
        job=factories.JobFactory(state=JobState.SUCCEEDED),
    )


def page(client: Client, user, version: ModelVersion) -> str:
    client.force_login(user)
    response = client.get(reverse("version", args=[version.model.name, version.number]))
    assert response.status_code == 200
    return response.content.decode()


def decide(client: Client, version: ModelVersion, **typed: str):
    address = reverse("version", args=[version.model.name, version.number])
    return client.post(f"{address}decide/", {**typed, "next": address}, follow=True)


def test_a_quarantined_version_says_why_what_to_read_and_what_happens_next(client, version, erin) -> None:
    shown = page(client, erin, version)

    box = shown[shown.index('id="quarantine"') : shown.index('id="lineage"')]
    for piece in ("ART-03.package", "medium", FINDING["title"], FINDING["detail"], "CWE-94, OWASP ML06:2023"):
        assert piece in box
    assert reverse("file", args=[DIGEST, "parts.model.py.txt"]) in box
    assert "inspected once more with exactly these findings accepted" in box
    assert 'value="release"' in box
    assert "An administrator has to release or reject it" in shown


def test_who_may_not_decide_is_told_why(client, version, alice, bob) -> None:
    for person in (alice, bob):
        shown = page(client, person, version)
        assert "This takes a member of administrators." in shown
        assert 'value="release"' not in shown
    owner = factories.person("alice", "engineers", "administrators")
    assert "You uploaded" in page(client, owner, version)


def test_a_release_on_the_page_starts_the_second_inspection(client, version, erin) -> None:
    page(client, erin, version)

    answer = decide(client, version, decision="release", reason="Read the source.").content.decode()

    version.refresh_from_db()
    assert version.accepted["by"] == "erin"
    assert "is kept. erin released it" in answer
    assert 'id="quarantine"' not in answer, "nobody has to say a word while it is inspected"
    Job.objects.filter(pk=version.job_id).update(state=JobState.SUCCEEDED)
    ModelVersion.objects.filter(pk=version.pk).update(state="registered")
    shown = page(client, erin, version)
    assert "with what erin accepted" in shown
    assert "ART-03.package, by erin: “Read the source.”" in shown


def test_a_rejection_on_the_page_is_shown_with_its_reason(client, version, erin) -> None:
    page(client, erin, version)

    answer = decide(client, version, decision="reject", reason="It opens files.").content.decode()

    assert "Rejected" in answer
    assert "erin rejected it: It opens files." in answer


def test_a_decision_that_is_not_allowed_changes_nothing(client, version, bob, erin) -> None:
    for person, typed, words in (
        (bob, {"decision": "release", "reason": "Please."}, "This takes a member of administrators."),
        (erin, {"decision": "release", "reason": " "}, "A decision needs a reason."),
        (erin, {"decision": "approve", "reason": "Read."}, "A decision is one of release and reject."),
    ):
        client.force_login(person)
        assert words in decide(client, version, **typed).content.decode()
    assert client.get(reverse("version-decide", args=[version.model.name, version.number])).status_code == 405
    version.refresh_from_db()
    assert (version.state, version.accepted) == ("quarantined", {})


def test_a_version_whose_inspection_has_not_ended_waits_for_nobody(client, alice) -> None:
    waiting = factories.ModelVersionFactory(
        state="quarantined",
        rewritten=None,
        inspection={"accepted": {"ids": ["ART-03.package"], "policy": "lenient/1"}},
        job=factories.JobFactory(),
    )

    shown = page(client, alice, waiting)

    assert 'id="quarantine"' not in shown
    assert "Its inspection has not ended; nothing loads it before." in shown
    assert "The inspection has not given a result yet." in shown


@pytest.mark.parametrize(
    ("said", "of_signature", "of_layers"),
    [([], False, False), (["layers"], False, True), (["layers", "signature"], True, True)],
    ids=["nothing", "layers", "layers and signature"],
)
def test_what_only_the_code_of_a_package_says_is_told_as_that(
    client, alice, said: list[str], of_signature: bool, of_layers: bool
) -> None:
    layer = {"name": "dense", "kind": "Linear", "output_shape": [-1, 2], "parameter_count": 6}
    inspection = {"verdict": "registered", "findings": [FINDING], "said_by_code": said}
    shown = page(client, alice, factories.ModelVersionFactory(format="package", layers=[layer], inspection=inspection))

    assert ("Signature, as the package's own code says it" in shown) is of_signature
    assert ("as the package's own code tells them" in shown) is of_layers
