"""Create the people who work with Assay."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import Group, User
from django.db import transaction

from governance.exceptions import NotFound, StateConflict
from governance.services import events


def create_user(*, username: str, groups: list[str], is_superuser: bool = False) -> tuple[User, str]:
    """Create a user in the groups named; return the user and the password made for them, which is not kept readable.

    Raises:
        StateConflict: when the name is taken.
        NotFound: when a group does not exist.
    """
    if User.objects.filter(username=username).exists():
        raise StateConflict(f"There is a user {username!r} already.")
    known = {group.name: group for group in Group.objects.all()}
    unknown = [name for name in groups if name not in known]
    if unknown:
        raise NotFound(f"There is no group {unknown[0]!r}; groups are {', '.join(sorted(known))}.")
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        user = User.objects.create_user(username=username, password=password, is_staff=True, is_superuser=is_superuser)
        user.groups.set(known[name] for name in groups)
        events.record(name="user.created", subject=username, by=user, detail={"groups": sorted(groups)})
    return user, password
