"""The admin shows uploads that arrive in pieces, and what is held; deleting one gives it up."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from governance import partial
from governance.models import Upload, UploadState
from governance.services import uploads
from tests import factories

pytestmark = pytest.mark.django_db

LIST = "admin:governance_upload_changelist"


def client_of(user: User) -> Client:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(user)
    return client


def half(user: User, filename: str = "model.pt2") -> Upload:
    upload = uploads.create_upload(length_bytes=2048, by=user, filename=filename)
    return uploads.append(upload_id=upload.pk, offset=0, chunks=[bytes(1024)], length=1024, by=user)


def page(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def test_uploads_are_listed_with_how_far_they_are_and_what_their_owner_holds(alice, settings):
    upload = half(alice)

    shown = page(client_of(alice), LIST)
    assert "model.pt2" in shown
    assert "1.0\xa0KB" in shown
    assert "You hold 2.0\xa0KB, without a limit." in shown
    settings.ASSAY_UPLOAD_QUOTA_BYTES = 4096
    assert "You hold 2.0\xa0KB of 4.0\xa0KB." in page(client_of(alice), LIST)
    assert "2.0\xa0KB of 4.0\xa0KB" in page(client_of(alice), "admin:governance_upload_change", upload.pk)


def test_a_list_takes_as_many_queries_for_many_as_for_one(alice):
    client = client_of(alice)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(client, LIST)
        return len(captured)

    half(alice)
    few = queries()
    for _ in range(5):
        half(alice)
    assert queries() == few


def test_everybody_sees_their_own_and_administrators_see_all(alice, dave, erin):
    half(alice, "of-alice.pt2")
    of_dave = half(dave, "of-dave.csv")

    assert "of-dave.csv" not in page(client_of(alice), LIST)
    response = client_of(alice).post(reverse("admin:governance_upload_delete", args=[of_dave.pk]), {"post": "yes"})
    assert response.status_code == 302
    assert Upload.objects.filter(pk=of_dave.pk).exists()
    shown = page(client_of(erin), LIST)
    assert "of-alice.pt2" in shown
    assert "of-dave.csv" in shown


@pytest.mark.parametrize("role", ["owner", "administrator"])
def test_deleting_an_upload_gives_it_up(role, alice, erin):
    upload = half(alice)
    client = client_of(alice if role == "owner" else erin)

    client.post(reverse("admin:governance_upload_delete", args=[upload.pk]), {"post": "yes"})

    assert not Upload.objects.exists()
    assert partial.numbers() == []


def test_one_that_is_written_to_is_told_and_stays(alice):
    upload = half(alice)

    with partial.held(upload.pk):
        response = client_of(alice).post(
            reverse("admin:governance_upload_delete", args=[upload.pk]), {"post": "yes"}, follow=True
        )

    assert "Another request is writing to this upload" in response.content.decode()
    assert Upload.objects.exists()
    assert "delete_selected" not in page(client_of(alice), LIST)


def test_an_upload_that_was_used_stays_and_nothing_is_added_or_changed(alice, erin):
    upload = half(alice)
    Upload.objects.update(state=UploadState.USED)
    client = client_of(erin)

    for verb, args in (("delete", [upload.pk]), ("change", [upload.pk]), ("add", [])):
        address = reverse(f"admin:governance_upload_{verb}", args=args)
        assert client.post(address, {"post": "yes"}).status_code == 403
    assert Upload.objects.exists()


def test_who_is_in_no_group_sees_none(carol):
    assert client_of(carol).get(reverse(LIST)).status_code == 403


def test_a_form_over_the_quota_is_told_in_the_admin(alice, settings):
    from tests.governance.test_admin_uploads import upload

    settings.ASSAY_UPLOAD_QUOTA_BYTES = 10
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    response = upload(client, model=factories.RegisteredModelFactory().pk)

    assert response.status_code == 507
    assert "of the 10 bytes that one person may" in response.content.decode()
    assert not settings.ASSAY_STORE_FOLDER.exists()
