"""Give people keys for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from knox.models import AuthToken

from governance.services import events

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create_token(*, user: User, by: User | None) -> str:
    """Return a new key of a user; only its digest is kept. ``by`` is None for whoever holds the command line."""
    with transaction.atomic():
        token, key = AuthToken.objects.create(user)
        events.record(name="token.created", subject=user.get_username(), by=by, detail={"begins_with": token.token_key})
    return str(key)
