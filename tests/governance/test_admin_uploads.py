"""Uploads in the admin are streamed to the store, checked for their sender first, and answered at once."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from governance.models import DatasetVersion, ModelVersion, ModelVersionState, StoredFile
from governance.storage import ContentStore, store
from tests import factories

pytestmark = pytest.mark.django_db

VERSION = "admin:governance_modelversion_add"
DATASET_VERSION = "admin:governance_datasetversion_add"


@pytest.fixture
def engineer(alice) -> Client:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def token(client: Client, address: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(reverse(address)).content.decode())
    assert found is not None
    return found[1]


def upload(client: Client, address: str = VERSION, *, name: str = "model.pt2", csrf: str | None = None, **fields):
    """Send the form; its token and fields come before its file, as a browser sends them."""
    data = {
        "csrfmiddlewaretoken": token(client, address) if csrf is None else csrf,
        **fields,
        "file": SimpleUploadedFile(name, b"weights"),
    }
    return client.post(reverse(address), data)


def stored(settings) -> list[Path]:
    return [path for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()]


def test_the_page_answers_at_once_and_a_job_goes_on(engineer):
    model = factories.RegisteredModelFactory()

    response = upload(engineer, model=model.pk, signature="", recipe='{"loss": "mse"}', training_data="")

    version = ModelVersion.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("admin:governance_modelversion_change", args=[version.pk])
    assert (version.state, version.filename) == (ModelVersionState.QUARANTINED, "model.pt2")
    assert version.stated_recipe["loss"] == "mean_squared_error"
    with store().open(version.digest) as stream:
        assert stream.read() == b"weights"
    content = engineer.get(response["Location"]).content.decode()
    assert f"Stored as {version.ref}" in content
    assert reverse("job", args=[version.job_id]) in content


def test_a_model_signature_is_held_against_the_file(engineer):
    model = factories.RegisteredModelFactory()

    response = upload(engineer, model=model.pk, model_signature='{"mediaType": "text/plain"}')

    assert response.status_code == 422
    assert "The signature is not one of this file" in response.content.decode()
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("owner", ["alice", "bob"])
def test_a_form_that_is_refused_leaves_nothing_in_the_store(owner, engineer, settings):
    """Refused for its signature, or, of another's model, for who sends it."""
    model = factories.RegisteredModelFactory(owner=factories.person(owner, "engineers"))

    response = upload(engineer, model=model.pk, signature='{"inputs": []}')

    assert response.status_code == {"alice": 422, "bob": 403}[owner]
    assert stored(settings) == []
    assert not StoredFile.objects.exists()


def test_a_form_that_is_refused_leaves_what_others_have_of_the_same_content(engineer, settings):
    kept = store().put([b"weights"])

    upload(engineer, model=factories.RegisteredModelFactory().pk, signature='{"inputs": []}')

    assert stored(settings) == [store().path(kept.digest)]
    assert StoredFile.objects.get() == kept


def test_a_store_that_is_full_leaves_no_version(engineer, settings, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ContentStore, "_name", full)

    response = upload(engineer, model=factories.RegisteredModelFactory().pk)

    assert response.status_code == 507
    assert stored(settings) == []
    assert not ModelVersion.objects.exists()
    assert not StoredFile.objects.exists()


def test_a_data_set_is_uploaded_the_same_way(engineer):
    dataset = factories.DatasetFactory()

    upload(engineer, DATASET_VERSION, name="rows.csv", dataset=dataset.pk, schema="")

    version = DatasetVersion.objects.get()
    assert (version.dataset, version.filename, version.job.kind) == (dataset, "rows.csv", "dataset_import")


@pytest.mark.parametrize("csrf", ["", "x" * 64])
def test_a_form_from_elsewhere_stores_no_byte(csrf, engineer, settings):
    response = upload(engineer, model=factories.RegisteredModelFactory().pk, csrf=csrf)

    assert response.status_code == 403
    assert stored(settings) == []
    assert not ModelVersion.objects.exists()


def test_a_form_from_elsewhere_without_a_file_is_refused_too(engineer):
    assert engineer.post(reverse(VERSION), {"model": "1"}, format="multipart").status_code == 403


def test_who_may_not_upload_gets_no_form_and_stores_no_byte(dave, settings):
    User.objects.filter(pk=dave.pk).update(is_staff=True)
    client = Client()
    client.force_login(dave)

    assert client.get(reverse(VERSION)).status_code == 403
    assert upload(client, csrf="", model=1).status_code == 403
    assert stored(settings) == []


def test_who_is_not_signed_in_is_asked_to(settings):
    response = Client().post(reverse(VERSION), {"file": SimpleUploadedFile("model.pt2", b"weights")})

    assert response.status_code == 302
    assert "/login/" in response["Location"]
    assert stored(settings) == []


def test_what_is_wrong_stands_at_the_form(engineer):
    model = factories.RegisteredModelFactory()

    content = upload(engineer, model=model.pk, signature="{").content.decode()
    assert "Enter a valid JSON." in content

    response = upload(engineer, model=model.pk, signature='{"inputs": []}')
    assert response.status_code == 422
    assert "`inputs` of a signature is a list" in response.content.decode()

    data = {"csrfmiddlewaretoken": token(engineer, VERSION), "model": model.pk}
    assert "Choose a file." in engineer.post(reverse(VERSION), data).content.decode()
    assert not ModelVersion.objects.exists()


def test_another_persons_model_takes_no_upload(engineer):
    other = factories.RegisteredModelFactory(owner=factories.person("another", "engineers"))

    response = upload(engineer, model=other.pk)

    assert response.status_code == 403
    assert "Only the owner of" in response.content.decode()
    assert not ModelVersion.objects.exists()


def test_an_upload_that_is_too_large_is_told(engineer, settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 3

    response = upload(engineer, model=factories.RegisteredModelFactory().pk)

    assert response.status_code == 413
    assert "larger than 3 bytes" in response.content.decode()
    assert stored(settings) == []
