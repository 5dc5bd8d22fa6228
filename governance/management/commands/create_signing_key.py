"""``manage.py create_signing_key``: the key pair with which this installation signs its statements."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from governance.exceptions import StateConflict
from governance.services import signing_keys


class Command(BaseCommand):
    help = (
        "Make the Ed25519 key pair that signs statements: the private half goes to ASSAY_SIGNING_KEY_FILE (mode 0600), "
        "the public half is printed; give it to whoever verifies."
    )
    #: A key that is broken or missing is what this command is there for.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--rotate", action="store_true", help="replace the key; what it signed still verifies with its public half"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row = signing_keys.create_key(rotate=options["rotate"])
        except StateConflict as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"The key {row.id} signs from now on. Private half: {settings.ASSAY_SIGNING_KEY_FILE}")
        self.stdout.write(row.public_key, ending="")
