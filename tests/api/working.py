"""People who work through the API, and the worker that does what they started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command
from rest_framework.test import APIClient

from tests import factories
from tests.api.uploads import form

API = "/api/v1/"


class Person:
    """One user with a client of the API; each call says which status it expects."""

    def __init__(self, username: str, *groups: str) -> None:
        self.client: APIClient = factories.api_client(factories.person(username, *groups))

    def get(self, path: str, *, status: int = 200) -> Any:
        return _read(self.client.get(API + path), status)

    def post(self, path: str, body: dict[str, Any], *, status: int = 202) -> Any:
        return _read(self.client.post(API + path, body, format="json"), status)

    def upload(self, path: str, file: Path, *, status: int = 202, **fields: Any) -> Any:
        body = form(file.read_bytes(), name=file.name, **fields)
        return _read(self.client.post(API + path, body, format="multipart"), status)

    def download(self, path: str) -> bytes:
        response = self.client.get(API + path)
        assert response.status_code == 200, response.content
        return response.getvalue()


def _read(response: Any, status: int) -> Any:
    assert response.status_code == status, response.content.decode()
    return response.json()


def work() -> str:
    """Work the queue empty with ``manage.py worker``, and return what it said."""
    said = StringIO()
    with _signals_come_back():
        call_command("worker", "--until-idle", "--slots=2", "--threads=1", "--poll-seconds=0.02", stdout=said)
    return said.getvalue()


@contextmanager
def _signals_come_back() -> Iterator[None]:
    """Give Ctrl-C back to the tests: the command takes it for itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
