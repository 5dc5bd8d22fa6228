"""``manage.py create_token`` prints a key that opens the API."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from governance.models import Event

pytestmark = pytest.mark.django_db


def test_the_key_opens_the_api_for_its_user(alice):
    out = StringIO()
    call_command("create_token", "alice", stdout=out)
    key = out.getvalue().strip()

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")

    assert client.get("/api/v1/models/").status_code == 200
    event = Event.objects.get(name="token.created")
    assert event.subject == "alice"
    assert key not in str(event.detail)


def test_a_wrong_key_opens_nothing(alice):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Token " + "0" * 64)

    response = client.get("/api/v1/models/")

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"


def test_who_does_not_exist_gets_none():
    with pytest.raises(CommandError, match="no active user 'mallory'"):
        call_command("create_token", "mallory")
