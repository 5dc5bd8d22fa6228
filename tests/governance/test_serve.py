"""``manage.py serve``: a server and a worker over a fresh home; the administrator's password is shown once."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings

from tests.faults.conftest import eventually

PASSWORD = re.compile(r"Created the administrator: user admin, password (\S+) \(shown this once\)\.")

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_once(home: Path) -> str:
    """Serve a home until the sign-in page is there and the worker works, end it as Ctrl-C does; return what it said."""
    address = f"127.0.0.1:{free_port()}"
    said = home.parent / f"said-{time.monotonic_ns()}.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    with said.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--bind", address],
            cwd=settings.BASE_FOLDER,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**environment, "ASSAY_HOME": str(home), "DJANGO_SETTINGS_MODULE": "governance.settings"},
        )
    try:
        eventually(lambda: "Worker " in said.read_text() and answers(f"http://{address}/login/"))
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0, said.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    eventually(lambda: not answers(f"http://{address}/login/"), seconds=10)
    return said.read_text()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return bool(response.status == 200)
    except urllib.error.URLError:
        return False


def test_the_first_start_makes_an_administrator_and_says_the_password_once(tmp_path: Path) -> None:
    home = tmp_path / "home"

    first, second = serve_once(home), serve_once(home)

    told = PASSWORD.search(first)
    assert told is not None, first
    assert "Created the administrator" not in second
    assert told[1] not in second
    # It is nowhere in the home but as a hash.
    assert not [path for path in home.rglob("*") if path.is_file() and told[1].encode() in path.read_bytes()]
    assert "Stopped: 0 jobs ended here" in first
    assert "Created the signing key " in first
    assert "Created the signing key " not in second
    assert (home / "signing_key.pem").stat().st_mode & 0o777 == 0o600
