"""Senders that lie, stop, or are somebody else: an upload is what arrived, and nobody else's."""

from __future__ import annotations

import base64
import hashlib

import pytest

from governance import partial
from governance.models import StoredFile, Upload, UploadState
from tests import factories
from tests.api.pieces import (
    ADDRESS,
    TUS,
    create,
    created,
    head,
    metadata,
    number_of,
    offset_at,
    patch,
    patch_cut,
    sent,
)
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(40))
WRONG_COUNTS = ["-1", "+1", "1.0", "1e3", "0x10", "", " ", "٣", "1,1", "9" * 19, "nan", "1\t"]


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("cut", range(len(CONTENT)))
def test_a_cut_at_any_byte_keeps_what_arrived_and_goes_on_there(cut, is_reset, alice, alice_api):
    address = created(alice_api, len(CONTENT))

    broken = patch_cut(alice, address, CONTENT, 0, cut=cut, is_reset=is_reset)

    assert broken.status_code == 400
    assert broken.data["type"] == "urn:assay:problem:unreadable_upload"
    assert f"after {cut:,} of 40 bytes" in broken.data["detail"]
    assert offset_at(alice_api, address) == partial.size_of(number_of(address)) == cut
    assert patch(alice_api, address, CONTENT[cut:], cut).status_code == 204
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_a_cut_of_a_piece_with_a_checksum_counts_for_nothing(alice, alice_api):
    address = created(alice_api, len(CONTENT))
    digest = base64.b64encode(hashlib.sha1(CONTENT[10:]).digest()).decode()
    patch(alice_api, address, CONTENT[:10], 0)

    for cut in (0, 1, 29):
        headers = {"Upload-Checksum": f"sha1 {digest}"}
        assert patch_cut(alice, address, CONTENT[10:], 10, cut=cut, headers=headers).status_code == 400
        assert offset_at(alice_api, address) == partial.size_of(number_of(address)) == 10


@pytest.mark.parametrize("count", WRONG_COUNTS)
def test_a_length_that_is_none_is_told(count, alice_api):
    response = create(alice_api, count)

    assert response.status_code == 400
    assert "Upload-Length" in response.json()["detail"]
    assert not Upload.objects.exists()


def test_a_length_that_is_not_known_yet_is_told(alice_api):
    response = alice_api.post(ADDRESS, headers={**TUS, "Upload-Defer-Length": "1"})

    assert response.status_code == 400
    assert "Upload-Length is missing" in response.json()["detail"]


@pytest.mark.parametrize("offset", WRONG_COUNTS)
def test_an_offset_that_is_none_is_told(offset, alice_api):
    address = created(alice_api, len(CONTENT))

    response = patch(alice_api, address, CONTENT, offset)

    assert response.status_code == 400
    assert "Upload-Offset" in response.json()["detail"]
    assert offset_at(alice_api, address) == 0


@pytest.mark.parametrize("offset", [0, 9, 11, 40, 10**17])
def test_another_offset_is_a_conflict_and_writes_nothing(offset, alice_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:10], 0)

    response = patch(alice_api, address, b"x", offset)

    assert response.status_code == 409
    assert "goes on at byte 10" in response.json()["detail"]
    assert offset_at(alice_api, address) == 10


def test_more_than_was_announced_is_refused_before_it_is_read(alice, alice_api):
    address = created(alice_api, 10)

    assert patch(alice_api, address, CONTENT, 0).status_code == 413
    patch(alice_api, address, CONTENT[:8], 0)
    assert patch(alice_api, address, CONTENT[8:11], 8).status_code == 413
    # Nothing can be read of a body whose sender is cut off at once; the answer is the same.
    assert patch_cut(alice, address, CONTENT, 8, cut=0).status_code == 413
    assert offset_at(alice_api, address) == 8


def test_a_length_over_the_limit_is_refused_at_creation(alice_api, settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 100

    assert create(alice_api, 101).status_code == 413
    assert create(alice_api, 100).status_code == 201


def test_a_piece_after_the_end_is_a_conflict(alice_api):
    number = sent(alice_api, CONTENT)

    for content, offset in ((b"x", len(CONTENT)), (b"", len(CONTENT)), (CONTENT, 0)):
        assert patch(alice_api, f"{ADDRESS}{number}/", content, offset).status_code == 409
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_an_upload_of_somebody_else_does_not_exist(alice_api):
    address = created(alice_api, len(CONTENT))
    others = [factories.api_client(factories.person("adam", "engineers"))]
    others.append(factories.api_client(factories.person("root", is_superuser=True)))

    for client in others:
        assert head(client, address).status_code == 404
        assert client.get(address).status_code == 404
        assert patch(client, address, CONTENT, 0).status_code == 404
        assert client.delete(address, headers=TUS).status_code == 404
    assert (offset_at(alice_api, address), partial.numbers()) == (0, [])


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "application/json", "multipart/form-data"])
def test_another_content_type_is_refused(content_type, alice_api):
    address = created(alice_api, len(CONTENT))
    headers = {**TUS, "Upload-Offset": "0"}

    response = alice_api.generic("PATCH", address, b"bytes", content_type=content_type, headers=headers)
    assert response.status_code == 415
    response = alice_api.generic(
        "POST", ADDRESS, b"bytes", content_type=content_type, headers={**TUS, "Upload-Length": "5"}
    )
    assert response.status_code == 415
    assert (Upload.objects.count(), offset_at(alice_api, address)) == (1, 0)


def test_a_body_without_a_length_is_refused(alice_api):
    address = created(alice_api, len(CONTENT))

    response = patch(alice_api, address, b"", 0, **{"Transfer-Encoding": "chunked"})

    assert response.status_code == 411
    assert create(alice_api, 5, **{"Transfer-Encoding": "chunked"}).status_code == 411


@pytest.mark.parametrize(
    "value",
    [
        "filename not-base64!",
        "filename " + base64.b64encode(b"\xff\xfe").decode(),
        "filename YQ==,filename YQ==",
        "a YQ==, ,b YQ==",
        "größe YQ==",
        ",",
        "filename YQ==,",
        "filename  YQ==",
        "filename YQ",
        "filename Y\nQ==",
        "note " + "QUFB" * 1100,
        "sha256 YQ==",
        "digest " + base64.b64encode(b"md5:00").decode(),
    ],
)
def test_metadata_that_cannot_be_read_are_told(value, alice_api):
    response = create(alice_api, 5, **{"Upload-Metadata": value})

    assert response.status_code == 400
    assert "Upload-Metadata" in response.json()["detail"]
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\models\\m.pt2", "m.pt2"),
        ("/absolute/m.keras", "m.keras"),
    ],
)
def test_a_file_name_is_never_a_path(said, kept, alice_api):
    create(alice_api, 5, **metadata(filename=said))

    assert Upload.objects.get().filename == kept


@pytest.mark.parametrize("said", ["a\nb", "a\0b", "x" * 256, "folder/", "\u202egpj.exe"])
def test_a_file_name_that_cannot_be_kept_is_told(said, alice_api):
    response = create(alice_api, 5, **metadata(filename=said))

    assert response.status_code == 422
    assert not Upload.objects.exists()


def test_two_digests_that_differ_are_told(alice_api):
    said = metadata(sha256="0" * 64, digest="sha256:" + "1" * 64)

    assert create(alice_api, 5, **said).status_code == 400


@pytest.mark.parametrize("key", ["sha256", "digest"])
def test_a_file_that_is_not_what_was_said_begins_again(key, alice_api):
    digest = digest_of_bytes(CONTENT)
    said = {key: digest.removeprefix("sha256:") if key == "sha256" else digest}
    address = created(alice_api, len(CONTENT), **metadata(**said))

    response = patch(alice_api, address, bytes(40), 0)

    assert response.status_code == 422
    assert response.json()["type"] == "urn:assay:problem:digest_mismatch"
    assert offset_at(alice_api, address) == partial.size_of(number_of(address)) == 0
    assert not StoredFile.objects.exists()
    assert patch(alice_api, address, CONTENT, 0).status_code == 204
    assert Upload.objects.get().state == UploadState.COMPLETE


def test_who_may_not_upload_writes_no_byte(alice_api, bob_api, settings):
    assert create(bob_api, 5).status_code == 403
    assert not Upload.objects.exists()
    assert not settings.ASSAY_STORE_FOLDER.exists()
