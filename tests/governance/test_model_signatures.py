"""Signatures that come with uploads: verified, unknown or refused, and asked for again with each decision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from governance.exceptions import IntegrityFailure, InvalidInput
from governance.models import Event, Job, ModelSignatureState, ModelVersion, RegisteredModel
from governance.services import model_signatures, registry
from governance.storage import store
from tests import factories
from tests.api.uploads import form
from workers.provenance.keys import PublicKey

pytestmark = pytest.mark.django_db

SIGNATURES = Path(__file__).parents[1] / "workers/provenance/signatures"
CONTENT = b"not a model, but signed"


def signature(name: str = "p256") -> Any:
    return json.loads((SIGNATURES / f"{name}.sig").read_text())


@pytest.fixture
def keys(settings, tmp_path) -> Path:
    """Accept the keys of a folder; the one of the signature is in it."""
    folder = tmp_path / "keys"
    folder.mkdir()
    shutil.copy(SIGNATURES / "p384.pub", folder / "other.pem")
    shutil.copy(SIGNATURES / "p256.pub", folder)
    (folder / "README.txt").write_text("no key")
    settings.ASSAY_MODEL_SIGNING_KEYS = str(folder)
    return folder


@pytest.fixture
def model(alice) -> RegisteredModel:
    return factories.RegisteredModelFactory(name="credit-scorer")


def upload(model: RegisteredModel, bundle: Any, content: bytes = CONTENT) -> ModelVersion:
    return registry.upload_version(
        model=model, file=store().put([content]), filename="model.pt2", by=model.owner, model_signature=bundle
    )


def test_a_signature_of_an_accepted_key_is_verified_and_its_key_named(model, keys):
    version = upload(model, signature())

    assert version.model_signature_state == ModelSignatureState.VERIFIED
    assert version.model_signature_key_id == PublicKey.read((SIGNATURES / "p256.pub").read_bytes()).id
    assert version.model_signature == signature()
    assert model_signatures.problem_of(version) is None
    told = Event.objects.get(name="version.uploaded").detail["model_signature"]
    assert told == {"state": "verified", "key": version.model_signature_key_id}


def test_an_upload_without_a_signature_is_taken_and_says_so(model, keys):
    version = upload(model, None)

    assert version.model_signature_state == ModelSignatureState.ABSENT
    assert "came without a model signature" in model_signatures.problem_of(version)


def test_a_signature_of_a_key_that_nobody_accepted_is_kept_as_unknown(model):
    version = upload(model, signature())

    assert version.model_signature_state == ModelSignatureState.UNKNOWN_KEY
    assert "is not verified" in model_signatures.problem_of(version)


def test_a_key_that_is_accepted_later_verifies_what_is_kept(model, settings):
    version = upload(model, signature())

    settings.ASSAY_MODEL_SIGNING_KEYS = str(SIGNATURES / "p256.pub")

    assert model_signatures.problem_of(version) is None


def test_a_key_that_is_taken_away_takes_its_signatures_away(model, keys):
    version = upload(model, signature())

    (keys / "p256.pub").unlink()

    assert "is not verified" in model_signatures.problem_of(version)


def test_a_retrained_version_says_what_would_sign_it(model, keys):
    version = factories.ModelVersionFactory(retrained_from=factories.ModelVersionFactory())

    assert "sign its file and upload both" in model_signatures.problem_of(version)


@pytest.mark.parametrize(
    ("bundle", "content"),
    [
        (signature(), b"another file"),
        (signature("folder"), CONTENT),
        ({"mediaType": "text/plain"}, CONTENT),
        ({**signature(), "padding": "x" * 70_000}, CONTENT),
    ],
    ids=["another file", "a folder", "no bundle", "too long"],
)
def test_a_signature_that_is_none_of_the_file_refuses_the_upload(bundle, content, model, keys):
    with pytest.raises(InvalidInput, match="not one of this file") as refusal:
        upload(model, bundle, content)

    assert refusal.value.errors[0]["place"] == "model_signature"
    assert not ModelVersion.objects.exists()
    assert not Job.objects.exists()


def test_a_file_of_several_keys_is_read_whole(settings, tmp_path):
    file = tmp_path / "accepted.pem"
    file.write_bytes((SIGNATURES / "p256.pub").read_bytes() + b"\n" + (SIGNATURES / "p384.pub").read_bytes())
    settings.ASSAY_MODEL_SIGNING_KEYS = str(file)

    assert len(model_signatures.accepted_keys()) == 2


@pytest.mark.parametrize(
    "content", ["no key", "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", None]
)
def test_a_key_that_cannot_be_read_is_told_and_not_left_out(content, keys, model):
    broken = keys / "broken.pem"
    broken.mkdir() if content is None else broken.write_text(content)

    with pytest.raises(IntegrityFailure, match="ASSAY_MODEL_SIGNING_KEYS"):
        upload(model, signature())
    assert [message.id for message in run_checks(tags=["governance"]) if message.id == "governance.E022"]


def test_the_form_takes_a_signature_as_json(model, keys, alice_api):
    answer = alice_api.post(
        "/api/v1/models/credit-scorer/versions/",
        form(CONTENT, model_signature=json.dumps(signature())),
        format="multipart",
    )

    assert answer.status_code == 202
    assert answer.json()["model_signature_state"] == "verified"


def test_the_form_refuses_a_signature_of_another_file_with_its_reason(model, keys, alice_api):
    answer = alice_api.post(
        "/api/v1/models/credit-scorer/versions/",
        form(b"another file", model_signature=json.dumps(signature())),
        format="multipart",
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == "model_signature"
    assert "The signature is over sha256:" in answer.json()["errors"][0]["detail"]
