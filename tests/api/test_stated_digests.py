"""A form whose sender says what its body will be (RFC 9530) is held to it, and nothing else is kept."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from governance.models import ModelVersion, RegisteredModel, StoredFile
from tests import factories
from tests.api.uploads import form
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

BODY = encode_multipart(BOUNDARY, form(b"weights"))


@pytest.fixture
def model(alice) -> RegisteredModel:
    return factories.RegisteredModelFactory(name="credit-scorer")


def stated(content: bytes, algorithm: str = "sha-256") -> str:
    digest = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def upload(client, headers: dict[str, str]):
    return client.generic(
        "POST", "/api/v1/models/credit-scorer/versions/", BODY, content_type=MULTIPART_CONTENT, headers=headers
    )


def stored(settings) -> list[Path]:
    return [path for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()]


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_the_digest_of_the_body_is_checked(algorithm, header, model, alice_api, settings):
    assert upload(alice_api, {header: stated(BODY, algorithm)}).status_code == 202
    assert len(stored(settings)) == 1

    refused = upload(alice_api, {header: stated(b"another body", algorithm)})

    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:assay:problem:digest_mismatch"
    assert header in refused.json()["detail"]
    assert (ModelVersion.objects.count(), len(stored(settings))) == (1, 1)


def test_each_of_several_digests_is_checked(model, alice_api):
    both = f"{stated(BODY)}, {stated(b'another', 'sha-512')}"
    assert upload(alice_api, {"Content-Digest": both}).status_code == 422
    assert upload(alice_api, {"Content-Digest": stated(BODY), "Repr-Digest": stated(b"another")}).status_code == 422
    assert upload(alice_api, {"Content-Digest": f"{stated(BODY)}, md5=:AAAA:"}).status_code == 202


@pytest.mark.parametrize(
    "value",
    ["", "md5=:AAAA:", "sha-256", "sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:A:", "sha-256=:!:", "sha-256=:AAAA:,"],
)
def test_a_digest_that_would_check_nothing_is_told(value, model, alice_api, settings):
    response = upload(alice_api, {"Content-Digest": value})

    assert response.status_code == 400
    assert "Content-Digest" in response.json()["detail"]
    assert stored(settings) == []


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_file_that_is_not_what_its_form_says_is_not_kept(place, model, alice_api, settings):
    said = {"digest": digest_of_bytes(b"another")}
    fields = {**said, **form(b"weights")} if place == "before" else {**form(b"weights"), **said}

    response = alice_api.post("/api/v1/models/credit-scorer/versions/", fields, format="multipart")

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == "digest"
    assert stored(settings) == []
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize("fields", [{"signature": "{"}, {"recipe": '{"loss": "unheard_of"}'}, {"notes": "please"}])
def test_a_file_whose_form_is_wrong_is_not_kept(fields, model, alice_api, settings):
    response = alice_api.post("/api/v1/models/credit-scorer/versions/", form(b"weights", **fields), format="multipart")

    assert response.status_code == 422
    assert stored(settings) == []
    assert not StoredFile.objects.exists()
