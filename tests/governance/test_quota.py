"""What one person may hold of the store, and what counts."""

from __future__ import annotations

import pytest

from governance.exceptions import QuotaExceeded
from governance.models import ModelVersion, StoredFile, Upload
from governance.services import quota, uploads
from governance.storage import store
from tests import factories
from tests.api.pieces import TUS, create, created, metadata, sent
from tests.api.uploads import form
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db


def file(size: int) -> StoredFile:
    return factories.StoredFileFactory(size_bytes=size)


def test_nothing_is_held_by_who_uploaded_nothing(alice, bob):
    factories.ModelVersionFactory(created_by=bob)

    assert quota.used_bytes(alice) == 0


def test_what_versions_hold_counts_each_content_once(alice):
    artifact, rewritten, rows, table = file(1), file(20), file(300), file(4000)
    for _ in range(2):
        factories.ModelVersionFactory(created_by=alice, artifact=artifact, rewritten=rewritten)
        factories.DatasetVersionFactory(created_by=alice, upload=rows, table=table)
    factories.ModelVersionFactory(created_by=alice, artifact=rows, rewritten=None)
    factories.DatasetVersionFactory(created_by=alice, upload=None, table=None)

    assert quota.used_bytes(alice) == 4321


def test_uploads_that_are_not_used_count_with_their_length(alice, alice_api, dave_api):
    factories.RegisteredModelFactory(name="m")
    address = created(alice_api, 1000)
    created(dave_api, 50_000)
    number = sent(alice_api, b"x" * 200, filename="m.pt2")
    assert quota.used_bytes(alice) == 1200

    alice_api.post("/api/v1/models/m/versions/", {"upload": number}, format="json")

    assert ModelVersion.objects.get().artifact.size_bytes == 200
    assert quota.used_bytes(alice) == 1200
    alice_api.delete(address, headers=TUS)
    assert quota.used_bytes(alice) == 200


def test_an_upload_over_the_quota_is_refused_at_its_creation(alice_api, settings):
    settings.ASSAY_UPLOAD_QUOTA_BYTES = 1000
    created(alice_api, 900)

    response = create(alice_api, 101)

    assert response.status_code == 507
    problem = response.json()
    assert problem["type"] == "urn:assay:problem:quota_exceeded"
    assert "900 of the 1,000 bytes" in problem["detail"]
    assert "this is 101 more" in problem["detail"]
    assert Upload.objects.count() == 1
    assert create(alice_api, 100).status_code == 201


def test_a_form_over_the_quota_is_refused_before_a_byte_of_it_is_stored(alice, alice_api, settings):
    settings.ASSAY_UPLOAD_QUOTA_BYTES = 2000
    model = factories.RegisteredModelFactory()
    factories.ModelVersionFactory(created_by=alice, artifact=file(1500), rewritten=None)

    response = alice_api.post(f"/api/v1/models/{model.name}/versions/", form(b"x" * 600), format="multipart")

    assert response.status_code == 507
    assert not settings.ASSAY_STORE_FOLDER.exists()
    small = alice_api.post(f"/api/v1/models/{model.name}/versions/", form(b"x"), format="multipart")
    assert small.status_code == 202


def test_room_that_another_request_took_meanwhile_is_asked_for_again(alice, settings):
    settings.ASSAY_UPLOAD_QUOTA_BYTES = 1000
    with store().receive([b"x" * 600]) as arrived:
        quota.demand_room(by=alice, size_bytes=arrived.size_bytes)
        uploads.create_upload(length_bytes=600, by=alice)

        with pytest.raises(QuotaExceeded):
            keep(arrived, alice)

    assert not StoredFile.objects.exists()


def test_content_that_is_held_already_takes_no_room(alice, settings):
    settings.ASSAY_UPLOAD_QUOTA_BYTES = 1000
    held = file(900)
    factories.ModelVersionFactory(created_by=alice, artifact=held, rewritten=None)

    quota.demand_room(by=alice, size_bytes=900, digest=held.digest)
    with pytest.raises(QuotaExceeded):
        quota.demand_room(by=alice, size_bytes=900, digest=digest_of_bytes(b"another"))


def test_without_a_quota_there_is_no_limit(alice_api, settings):
    assert settings.ASSAY_UPLOAD_QUOTA_BYTES == 0
    assert create(alice_api, settings.ASSAY_MAX_UPLOAD_BYTES, **metadata(filename="m.pt2")).status_code == 201


def keep(arrived, user) -> StoredFile:
    return uploads.take(arrived=arrived, by=user, make=lambda file: file)
