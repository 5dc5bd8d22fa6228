"""An installation to demonstrate on: a home, a web server on a free port, a worker, three people with tokens."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PEOPLE = {"alice": "engineers", "bob": "approvers", "dave": "auditors"}
START_SECONDS = 60


def manage(*arguments: str) -> str:
    """Run a management command and return what it printed; what it says when it fails is shown."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"`manage.py {' '.join(arguments)}` failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def tokens(home: Path) -> dict[str, str]:
    """Return a token for each person of the demo; people are created once, tokens are kept in the home folder."""
    path = home / "demo" / "tokens.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    found = {}
    for name, group in PEOPLE.items():
        manage("create_user", name, "--group", group)
        found[name] = manage("create_token", name).strip().split()[-1]
    path.touch(mode=0o600)
    path.write_text(json.dumps(found))
    return found


@contextmanager
def running(home: Path) -> Iterator[str]:
    """Serve the home on a free port of the loopback interface, with one worker, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (home / "demo" / "serve.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "manage.py"),
            "serve",
            "--bind",
            f"127.0.0.1:{port}",
            "--slots",
            "2",
            "--without-administrator",
        ],
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | {"ASSAY_HOME": str(home)},
    )
    try:
        _wait_until_up(port, server, Path(log.name))
        yield f"http://127.0.0.1:{port}/api/v1/"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        log.close()


def _wait_until_up(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/login/", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"The web server did not start; its log:\n{log.read_text()[-3000:]}")
