"""A file that arrived in pieces becomes a version, once."""

from __future__ import annotations

import pytest

from governance import partial
from governance.models import DatasetVersion, IdempotencyRecord, ModelVersion, StoredFile, Upload, UploadState
from governance.storage import store
from tests import factories
from tests.api.pieces import ADDRESS, TUS, created, head, number_of, patch, sent
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

CONTENT = b"weights"
VERSIONS = "/api/v1/models/credit-scorer/versions/"


@pytest.fixture
def model(alice):
    return factories.RegisteredModelFactory(name="credit-scorer")


@pytest.fixture(autouse=True)
def committed(django_capture_on_commit_callbacks):
    """Run at the end what a commit runs."""
    with django_capture_on_commit_callbacks(execute=True):
        yield


def use(client, number: object, address: str = VERSIONS, headers: dict[str, str] | None = None, **fields):
    return client.post(address, {"upload": number, **fields}, format="json", headers=headers or {})


def test_a_model_version_is_made_of_an_upload(model, alice_api):
    number = sent(alice_api, CONTENT, filename="model.pt2")
    assert not StoredFile.objects.exists()

    response = use(alice_api, number, signature=factories.SIGNATURE, recipe=factories.RECIPE)

    assert response.status_code == 202
    version = response.json()
    assert (version["ref"], version["filename"]) == ("credit-scorer/1", "model.pt2")
    assert (version["digest"], version["size_bytes"]) == (digest_of_bytes(CONTENT), len(CONTENT))
    assert version["job"]["kind"] == "model_inspection"
    kept = ModelVersion.objects.get()
    assert kept.stated_signature["inputs"][0]["name"] == "features"
    assert kept.stated_recipe["loss"] == "cross_entropy"
    with store().open(kept.digest) as stream:
        assert stream.read() == CONTENT
    read = alice_api.get(f"{ADDRESS}{number}/").json()
    assert (read["state"], read["used_for"]) == ("used", "credit-scorer/1")


def test_a_data_set_version_is_made_of_an_upload(alice_api, alice):
    factories.DatasetFactory(name="applicants")
    number = sent(alice_api, b"age,income\n1,2\n", filename="a.csv")

    response = use(alice_api, number, "/api/v1/datasets/applicants/versions/", schema=factories.SCHEMA)

    assert response.status_code == 202
    version = DatasetVersion.objects.get()
    assert (version.filename, version.stated_schema["modality"]) == ("a.csv", "tabular")


def test_the_bytes_leave_the_partial_files_when_the_version_is_committed(
    model, alice_api, django_capture_on_commit_callbacks
):
    number = sent(alice_api, CONTENT, filename="model.pt2")
    with django_capture_on_commit_callbacks(execute=True):
        use(alice_api, number)
        assert partial.numbers() == [number]
    assert partial.numbers() == []
    assert store().path(digest_of_bytes(CONTENT)).is_file()


def test_an_upload_is_used_once(model, alice_api):
    number = sent(alice_api, CONTENT, filename="model.pt2")
    use(alice_api, number)

    response = use(alice_api, number)

    assert response.status_code == 409
    assert "was used for credit-scorer/1" in response.json()["detail"]
    assert alice_api.delete(f"{ADDRESS}{number}/", headers=TUS).status_code == 409
    assert head(alice_api, f"{ADDRESS}{number}/")["Upload-Offset"] == str(len(CONTENT))
    assert ModelVersion.objects.count() == 1


def test_the_same_request_with_its_key_gets_the_same_version(model, alice_api):
    number = sent(alice_api, CONTENT, filename="model.pt2")
    key = {"Idempotency-Key": "one"}

    first, second = use(alice_api, number, headers=key), use(alice_api, number, headers=key)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert ModelVersion.objects.count() == IdempotencyRecord.objects.count() == 1


def test_a_version_that_is_refused_leaves_the_upload_to_be_used(model, alice_api, monkeypatch):
    from governance.exceptions import StateConflict
    from governance.services import jobs

    def refuse(**_):
        raise StateConflict("Not now.")

    number = sent(alice_api, CONTENT, filename="model.pt2")
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "submit", refuse)
        assert use(alice_api, number).status_code == 409

    assert Upload.objects.get().state == UploadState.COMPLETE
    assert use(alice_api, number).status_code == 202


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"signature": {"inputs": []}}, "signature"),
        ({"recipe": {"loss": "unheard_of"}}, "recipe"),
        ({"notes": "please"}, "notes"),
        ({"digest": digest_of_bytes(CONTENT)}, "digest"),
        ({"filename": 3.5}, "filename"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_stores_nothing(fields, place, model, alice_api):
    number = sent(alice_api, CONTENT, filename="model.pt2")

    response = use(alice_api, number, **fields)

    assert response.status_code == (202 if place == "filename" else 422)
    if response.status_code == 422:
        assert response.json()["errors"][0]["place"] == place
        assert not StoredFile.objects.exists()


def test_an_upload_without_a_file_name_gets_one_when_it_is_used(model, alice_api):
    number = sent(alice_api, CONTENT)

    refused = use(alice_api, number)
    assert refused.status_code == 422
    assert "file name" in refused.json()["detail"]
    assert not StoredFile.objects.exists()
    assert use(alice_api, number, filename="../m.pt2").json()["filename"] == "m.pt2"


def test_a_half_upload_cannot_be_used(model, alice_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:3], 0)

    response = use(alice_api, number_of(address))

    assert response.status_code == 409
    assert "3 of its 7 bytes" in response.json()["detail"]
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize("number", [999_999, "1", 0, -1, 2**63, 1.5, None, [], {}, True])
def test_what_is_no_upload_of_the_sender_is_told(number, model, alice_api):
    response = use(alice_api, number, filename="m.pt2")

    assert response.status_code in (404, 422)
    assert not ModelVersion.objects.exists()


def test_an_upload_of_somebody_else_does_not_exist(model, alice_api):
    adam = factories.api_client(factories.person("adam", "engineers"))
    number = sent(adam, CONTENT, filename="model.pt2")

    assert use(alice_api, number).status_code == 404
    assert Upload.objects.get().state == UploadState.COMPLETE


def test_a_complete_upload_whose_bytes_were_lost_is_told(model, alice_api):
    number = sent(alice_api, CONTENT, filename="model.pt2")
    partial.path_of(number).write_bytes(b"")

    response = use(alice_api, number)

    assert response.status_code == 500
    assert response.json()["type"] == "urn:assay:problem:integrity_failure"
    assert not ModelVersion.objects.exists()


def test_the_same_content_is_stored_once(model, alice_api):
    for _ in range(2):
        use(alice_api, sent(alice_api, CONTENT, filename="model.pt2"))

    assert (ModelVersion.objects.count(), StoredFile.objects.count()) == (2, 1)
