"""``manage.py serve``: web server and one worker over one home; what ``make run`` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand

from governance.services import people, signing_keys


class Command(BaseCommand):
    help = "Run the web server and one worker until Ctrl-C; the first start makes an administrator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", help="address and port of the web server")
        parser.add_argument(
            "--without-administrator",
            action="store_true",
            help="make none: the password that is shown once would be shown to a script",
        )
        parser.add_argument("--slots", default=2, type=int, help="jobs that the worker runs at a time")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        wanted = not options["without_administrator"]
        if wanted and not User.objects.filter(is_superuser=True).exists():
            _, password = people.create_user(username="admin", groups=["administrators"], is_superuser=True)
            self.stdout.write(f"Created the administrator: user admin, password {password} (shown this once).")
        if not signing_keys.is_configured():
            key = signing_keys.create_key()
            self.stdout.write(f"Created the signing key {key.id} ({settings.ASSAY_SIGNING_KEY_FILE}).")
        self.stdout.write(f"Assay is on http://{options['bind']} (home: {settings.ASSAY_HOME}). Ctrl-C ends it.")
        self.stdout.flush()
        _stop_on_signals()
        children: list[subprocess.Popen[bytes]] = []
        try:
            for command in _commands(**options):
                children.append(subprocess.Popen(command))  # noqa: S603 - each is stopped if the next fails
            while all(child.poll() is None for child in children):
                time.sleep(0.2)
            ended = next(child for child in children if child.poll() is not None)
            self.stderr.write(f"A part of Assay ended with status {ended.returncode}; stopping the other.")
            status = 1
        except KeyboardInterrupt:
            status = 0
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()
        sys.exit(status)


def web_command(bind: str) -> list[str]:
    """Return what the web server is started with."""
    return [
        sys.executable, "-m", "gunicorn", "governance.wsgi", "--bind", bind,
        "--workers", "1", "--threads", "8", "--timeout", "120", "--graceful-timeout", "3",
        "--log-level", "warning",
    ]  # fmt: skip


def _commands(*, bind: str, slots: int, **_: Any) -> list[list[str]]:
    """Return what the two parts are started with: the web server and the worker."""
    return [
        web_command(bind),
        [sys.executable, str(settings.BASE_FOLDER / "manage.py"), "worker", "--slots", str(slots)],
    ]


def _stop_on_signals() -> None:
    """Let SIGTERM end the command the way Ctrl-C does, so that its children are never left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
