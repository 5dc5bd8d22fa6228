"""``models/`` and their versions: registering, uploading, reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from rest_framework.test import force_authenticate

from governance.api.models import VersionViewSet
from governance.models import Alias, Evaluation, ModelVersion, RegisteredModel, ReviewState, StoredFile
from governance.storage import store
from tests import factories
from tests.api.uploads import form
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

MODEL = {
    "name": "credit-scorer",
    "task": "classification",
    "tier": "high",
    "intended_use": "Tells who repays.",
    "limitations": "Adults only.",
}


@pytest.fixture
def model(alice) -> RegisteredModel:
    return factories.RegisteredModelFactory(name="credit-scorer")


def upload(client, content: bytes = b"weights", **fields):
    return client.post("/api/v1/models/credit-scorer/versions/", form(content, **fields), format="multipart")


def test_a_model_is_registered_and_found_where_the_answer_says(alice_api):
    response = alice_api.post("/api/v1/models/", MODEL, format="json")

    assert response.status_code == 201
    read = alice_api.get(response["Location"]).json()
    assert read == response.json()
    assert {key: read[key] for key in MODEL} == MODEL
    assert (read["owner"], read["aliases"], read["latest"]) == ("alice", [], None)


def test_models_are_filtered_and_paged(alice_api):
    for number in range(5):
        factories.RegisteredModelFactory(tier="high" if number % 2 else "low")

    page = alice_api.get("/api/v1/models/?tier=low&page_size=2").json()
    rest = alice_api.get(page["next"]).json()

    assert (len(page["results"]), len(rest["results"])) == (2, 1)
    assert rest["next"] is None
    names = [row["name"] for row in [*page["results"], *rest["results"]]]
    assert len(set(names)) == 3


def test_an_upload_answers_202_with_the_version_its_job_and_its_address(model, alice_api):
    response = upload(
        alice_api,
        signature='{"inputs": [{"name": "x", "shape": [-1, 2], "dtype": "float32"}],'
        ' "outputs": [{"name": "y", "shape": [-1, 2], "dtype": "float32", "kind": "logits"}]}',
    )

    assert response.status_code == 202
    version = response.json()
    assert (version["ref"], version["state"]) == ("credit-scorer/1", "quarantined")
    assert version["digest"] == digest_of_bytes(b"weights")
    assert version["size_bytes"] == 7
    assert (version["job"]["kind"], version["job"]["state"]) == ("model_inspection", "queued")
    assert response["Location"] == "/api/v1/models/credit-scorer/versions/1/"
    assert alice_api.get(response["Location"]).json()["ref"] == "credit-scorer/1"
    assert ModelVersion.objects.get().stated_signature["inputs"][0]["name"] == "x"
    with store().open(version["digest"]) as stream:
        assert stream.read() == b"weights"


def test_the_same_bytes_are_stored_once(model, alice_api):
    upload(alice_api)
    upload(alice_api)

    assert (ModelVersion.objects.count(), StoredFile.objects.count()) == (2, 1)


def test_training_data_is_referred_to_as_people_write_it(model, alice_api):
    dataset = factories.DatasetVersionFactory()

    assert upload(alice_api, training_data=dataset.ref).json()["training_data"] == dataset.ref
    refused = upload(alice_api, training_data="nothing/1")
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"place": "training_data", "detail": "There is no data set version nothing/1."}]


def test_a_digest_that_the_sender_states_is_checked(model, alice_api):
    assert upload(alice_api, digest=digest_of_bytes(b"weights")).status_code == 202

    refused = upload(alice_api, digest=digest_of_bytes(b"other"))

    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:assay:problem:digest_mismatch"
    assert refused.json()["errors"][0]["place"] == "digest"
    assert ModelVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"signature": "{"}, "signature"),
        ({"signature": '{"inputs": []}'}, "signature"),
        ({"recipe": '{"loss": "unheard_of"}'}, "recipe"),
        ({"digest": "md5:1"}, "digest"),
        ({"notes": "please"}, "notes"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_makes_no_version(fields, place, model, alice_api):
    response = upload(alice_api, **fields)

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == place
    assert not ModelVersion.objects.exists()


def test_a_form_without_a_file_is_told(model, alice_api):
    address = "/api/v1/models/credit-scorer/versions/"

    for data in ({}, {"signature": "{}"}):
        response = alice_api.post(address, data, format="multipart")
        assert response.status_code == 422
        assert "file" in {error["place"] for error in response.json()["errors"]}


def test_who_may_not_upload_stores_no_byte(settings, model, alice_api, dave_api):
    another = factories.api_client(factories.person("another", "engineers"))

    assert upload(another).status_code == 403
    assert upload(dave_api).status_code == 403
    assert alice_api.post("/api/v1/models/nothing/versions/", form(), format="multipart").status_code == 404
    assert not Path(settings.ASSAY_STORE_FOLDER).exists()


def test_an_upload_that_breaks_off_is_told_and_leaves_nothing(settings, model, alice):
    whole = RequestFactory().post("/", {"file": SimpleUploadedFile("model.pt2", b"x" * 100_000)})
    body = whole.body
    request = RequestFactory().generic("POST", "/", body[:50_000], content_type=whole.headers["Content-Type"])
    request.META["CONTENT_LENGTH"] = str(len(body))
    force_authenticate(request, user=alice)

    class Cut:
        """What a server hands on when the client went away: fewer bytes than were announced."""

        def __init__(self, content: bytes) -> None:
            self.content = content

        def read(self, size: int) -> bytes:
            taken, self.content = self.content[:size], self.content[size:]
            return taken

    request._stream = Cut(body[:50_000])
    response = VersionViewSet.as_view({"post": "create"}, basename="version")(request, name="credit-scorer").render()

    assert response.status_code == 400
    assert response.data["type"] == "urn:assay:problem:unreadable_upload"
    assert "send the whole file again" in response.data["detail"]
    assert not ModelVersion.objects.exists()
    assert [path for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()] == []


def test_a_disk_that_is_full_is_told(model, alice_api, monkeypatch):
    from governance.exceptions import StorageFull
    from governance.storage import ContentStore

    def full(self, chunks, **_):
        raise StorageFull("The disk of the store is full; nothing was kept.")

    monkeypatch.setattr(ContentStore, "receive", full)

    response = upload(alice_api)

    assert response.status_code == 507
    assert not ModelVersion.objects.exists()


def test_versions_belong_to_their_model(model, alice_api):
    other = factories.ModelVersionFactory()
    factories.ModelVersionFactory(model=model)

    listed = alice_api.get("/api/v1/models/credit-scorer/versions/").json()["results"]

    assert [row["ref"] for row in listed] == ["credit-scorer/1"]
    assert alice_api.get(f"/api/v1/models/{other.model.name}/versions/2/").status_code == 404
    assert alice_api.get("/api/v1/models/nothing/versions/").status_code == 404


def test_reading_a_model_checks_whether_its_alias_still_holds(model, alice_api):
    version = factories.ModelVersionFactory(model=model)
    evaluation = factories.EvaluationFactory(version=version)
    review = factories.EvidenceFactory(
        review__version=version, review__state=ReviewState.APPROVED, object_id=evaluation.pk
    ).review
    Alias.objects.create(model=model, name="champion", version=version, review=review)
    (alias,) = alice_api.get("/api/v1/models/credit-scorer/").json()["aliases"]
    assert (alias["name"], alias["version"], alias["state"]) == ("champion", "credit-scorer/1", "approved")

    Evaluation.objects.update(digest="sha256:" + "0" * 64)

    (alias,) = alice_api.get("/api/v1/models/credit-scorer/").json()["aliases"]
    assert (alias["version"], alias["state"]) == ("credit-scorer/1", "void")
    assert "no longer what was cited" in alias["voided_because"]
