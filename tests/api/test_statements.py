"""``statements/``: found by the digest that they are about, and downloaded as anybody verifies them."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.models import SignedStatement
from governance.services import provenance
from tests import factories
from workers.provenance.dsse import Envelope
from workers.provenance.keys import PublicKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_key")]


@pytest.fixture
def signed() -> list[SignedStatement]:
    """Return the statements about two data set versions."""
    with transaction.atomic():
        return [provenance.sign_dataset(factories.DatasetVersionFactory(), by=None) for _ in range(2)]


def test_statements_are_found_by_any_digest_that_they_are_about(signed, dave_api):
    for subject in signed[0].subjects.all():
        rows = dave_api.get("/api/v1/statements/", {"subject": subject.digest}).json()["results"]

        assert [row["id"] for row in rows] == [signed[0].pk]
        assert subject.digest in rows[0]["subjects"]
    assert dave_api.get("/api/v1/statements/", {"subject": "sha256:" + "0" * 64}).json()["results"] == []
    assert len(dave_api.get("/api/v1/statements/", {"kind": "dataset"}).json()["results"]) == 2


def test_the_envelope_is_downloaded_as_it_was_signed(signed, dave_api):
    response = dave_api.get(f"/api/v1/statements/{signed[0].pk}/envelope/")

    assert response["Content-Type"] == "application/vnd.dsse.envelope.v1+json"
    assert response["Content-Disposition"].startswith('attachment; filename="dataset-')
    key = PublicKey.read(dave_api.get("/api/v1/keys/").json()["results"][0]["public_key"])
    assert Envelope.from_json(response.json()).signers([key]) == [key]
