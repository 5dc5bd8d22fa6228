"""``manage.py create_token USER``: a key for the API."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from governance.services import tokens


class Command(BaseCommand):
    help = "Print a new API key of a user; send it as `Authorization: Token KEY`. It is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['username']!r}; `create_user` makes one.")
        self.stdout.write(tokens.create_token(user=user, by=None))
