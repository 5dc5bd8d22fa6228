"""``uploads/`` speaks tus 1.0: core protocol, creation, creation with upload, checksum, expiration, termination."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

import pytest
from django.utils import timezone

from governance import partial
from governance.models import StoredFile, Upload, UploadState
from tests.api.pieces import (
    ADDRESS,
    PIECE,
    TUS,
    create,
    created,
    head,
    metadata,
    number_of,
    offset_at,
    patch,
    sent,
)
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

CONTENT = b"some content of a file"


def checksum(content: bytes, algorithm: str = "sha256") -> dict[str, str]:
    digest = hashlib.new(algorithm, content).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def test_options_tell_what_the_server_can_do(alice_api, settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 1000

    response = alice_api.options(ADDRESS)

    assert response.status_code == 204
    assert response["Tus-Version"] == "1.0.0"
    extensions = set(response["Tus-Extension"].split(","))
    assert extensions == {"creation", "creation-with-upload", "checksum", "expiration", "termination"}
    assert response["Tus-Max-Size"] == "1000"
    assert {"sha1", "sha256"} <= set(response["Tus-Checksum-Algorithm"].split(","))
    assert "Tus-Resumable" not in response


def test_a_file_arrives_in_pieces_and_is_whole(alice_api):
    response = create(alice_api, len(CONTENT), **metadata(filename="model.pt2"))
    assert (response.status_code, response["Upload-Offset"]) == (201, "0")
    address = response["Location"]

    first = patch(alice_api, address, CONTENT[:5], 0)
    assert (first.status_code, first["Upload-Offset"], first.content) == (204, "5", b"")
    between = head(alice_api, address)
    assert (between.status_code, between["Upload-Offset"], between["Upload-Length"]) == (200, "5", str(len(CONTENT)))
    assert between["Cache-Control"] == "no-store"
    last = patch(alice_api, address, CONTENT[5:], 5)

    assert (last.status_code, last["Upload-Offset"]) == (204, str(len(CONTENT)))
    read = alice_api.get(address).json()
    assert (read["state"], read["filename"]) == ("complete", "model.pt2")
    assert read["digest"] == digest_of_bytes(CONTENT)
    assert read["offset_bytes"] == read["length_bytes"] == len(CONTENT)
    for answer in (response, first, between, last):
        assert answer["Tus-Resumable"] == "1.0.0"


def test_metadata_are_told_back_as_they_came(alice_api):
    said = {"Upload-Metadata": f"filename {base64.b64encode('größe.csv'.encode()).decode()},is_confidential,x eA=="}

    address = created(alice_api, 3, **said)

    assert head(alice_api, address)["Upload-Metadata"] == said["Upload-Metadata"]
    assert Upload.objects.get().filename == "größe.csv"


def test_a_creation_may_bring_the_first_piece(alice_api):
    response = create(alice_api, len(CONTENT), CONTENT[:7])
    assert (response.status_code, response["Upload-Offset"]) == (201, "7")
    patch(alice_api, response["Location"], CONTENT[7:], 7)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)

    whole = create(alice_api, len(CONTENT), CONTENT)
    assert whole.json()["state"] == "complete"


def test_a_creation_whose_first_piece_is_refused_leaves_nothing(alice_api):
    assert create(alice_api, 100, CONTENT, **checksum(b"another")).status_code == 460
    assert create(alice_api, 5, CONTENT).status_code == 413

    assert not Upload.objects.exists()
    assert partial.numbers() == []


def test_an_empty_file_is_whole_at_once(alice_api):
    response = create(alice_api, 0)

    assert response.json()["state"] == "complete"
    assert response.json()["digest"] == digest_of_bytes(b"")


def test_a_half_upload_is_in_no_store_and_no_list_of_others(alice_api, dave_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:5], 0)

    assert not StoredFile.objects.exists()
    assert [row["id"] for row in alice_api.get(ADDRESS).json()["results"]] == [number_of(address)]
    assert dave_api.get(ADDRESS).json()["results"] == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_piece_with_its_checksum_is_taken(algorithm, alice_api):
    address = created(alice_api, len(CONTENT))

    assert patch(alice_api, address, CONTENT, 0, **checksum(CONTENT, algorithm)).status_code == 204
    assert Upload.objects.get().state == UploadState.COMPLETE


def test_a_piece_with_another_checksum_counts_for_nothing(alice_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:5], 0)

    response = patch(alice_api, address, b"x" * 10, 5, **checksum(CONTENT[5:15]))

    assert (response.status_code, response.reason_phrase) == (460, "Checksum Mismatch")
    assert response.json()["type"] == "urn:assay:problem:checksum_mismatch"
    assert offset_at(alice_api, address) == partial.size_of(number_of(address)) == 5
    assert patch(alice_api, address, CONTENT[5:], 5, **checksum(CONTENT[5:])).status_code == 204
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


@pytest.mark.parametrize(
    "value",
    ["md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha256", "sha256 !!!", "sha256 AAAA", "sha1  AAAA", "SHA1 AAAA", "sha1 A"],
)
def test_a_checksum_that_is_none_is_told(value, alice_api):
    address = created(alice_api, len(CONTENT))

    response = patch(alice_api, address, CONTENT, 0, **{"Upload-Checksum": value})

    assert response.status_code == 400
    assert "Upload-Checksum" in response.json()["detail"]
    assert offset_at(alice_api, address) == 0


def test_an_upload_says_when_it_expires_and_lives_on_while_bytes_arrive(alice_api):
    response = create(alice_api, len(CONTENT))
    expiry = parsedate_to_datetime(response["Upload-Expires"])
    assert timedelta(hours=23) < expiry.astimezone(UTC) - timezone.now() <= timedelta(hours=24)
    Upload.objects.update(expires_at=timezone.now() + timedelta(seconds=30))

    later = patch(alice_api, response["Location"], CONTENT[:1], 0)

    assert parsedate_to_datetime(later["Upload-Expires"]) - timezone.now() > timedelta(hours=23)


def test_an_upload_that_has_expired_is_gone(alice_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:5], 0)
    Upload.objects.update(expires_at=timezone.now())

    for response in (head(alice_api, address), patch(alice_api, address, CONTENT[5:], 5)):
        assert response.status_code == 410
        assert "Upload-Offset" not in response
    assert partial.size_of(number_of(address)) == 5


def test_a_terminated_upload_is_gone_with_its_bytes(alice_api):
    address = created(alice_api, len(CONTENT))
    patch(alice_api, address, CONTENT[:5], 0)

    assert alice_api.delete(address, headers=TUS).status_code == 204

    assert head(alice_api, address).status_code == 404
    assert alice_api.delete(address, headers=TUS).status_code == 404
    assert partial.numbers() == []


def test_an_upload_that_is_complete_can_be_given_up_too(alice_api):
    number = sent(alice_api, CONTENT)

    assert alice_api.delete(f"{ADDRESS}{number}/", headers=TUS).status_code == 204
    assert partial.numbers() == []


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1", "2.0.0", "1.0.0, 2.0.0"])
def test_another_version_of_the_protocol_is_refused_and_does_nothing(version, alice_api):
    address = created(alice_api, len(CONTENT))
    headers = {} if version is None else {"Tus-Resumable": version}
    piece = {**headers, "Upload-Offset": "0"}

    for response in (
        alice_api.post(ADDRESS, headers={**headers, "Upload-Length": "3"}),
        alice_api.head(address, headers=headers),
        alice_api.generic("PATCH", address, CONTENT, content_type=PIECE, headers=piece),
        alice_api.delete(address, headers=headers),
    ):
        assert response.status_code == 412
        assert response["Tus-Version"] == "1.0.0"
        assert response["Tus-Resumable"] == "1.0.0"
    assert Upload.objects.count() == 1
    assert offset_at(alice_api, address) == 0


def test_clients_that_know_no_patch_name_the_method_in_a_header(alice_api):
    address = created(alice_api, len(CONTENT))
    headers = {**TUS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}

    response = alice_api.generic("POST", address, CONTENT, content_type=PIECE, headers=headers)
    assert (response.status_code, response["Upload-Offset"]) == (204, str(len(CONTENT)))

    gone = alice_api.post(address, headers={**TUS, "X-HTTP-Method-Override": "delete"})
    assert gone.status_code == 204
    assert not Upload.objects.exists()
