"""``manage.py create_user NAME --group GROUP``: create a user and print the password once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance.exceptions import AssayError
from governance.services import people


class Command(BaseCommand):
    help = "Create a user in one or more groups and print the password, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--group", action="append", default=[], help="may be given more than once")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user, password = people.create_user(username=options["username"], groups=options["group"])
        except AssayError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{user.username} may sign in with the password {password} (shown this once).")
