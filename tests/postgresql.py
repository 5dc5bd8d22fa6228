"""A throw-away PostgreSQL cluster for a run of the tests, started from Debian's binaries as an unprivileged user."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

#: What adds the server where it is missing.
INSTALL_COMMAND = "apt-get install postgresql"


def binaries() -> Path | None:
    """Return the folder of the newest server binaries, None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def start() -> str:
    """Start a cluster in a temporary folder and return its database URL; it ends with this process."""
    folder = binaries()
    if folder is None:
        raise SystemExit(f"PostgreSQL's server binaries are missing; `{INSTALL_COMMAND}` adds them.")
    home = Path(tempfile.mkdtemp(prefix="assay-postgresql-"))
    user = _unprivileged_user()
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        ended = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=home,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(home)},
        )
        if ended.returncode:
            log = home / "log"
            raise SystemExit(f"{command[0]} failed:\n{ended.stderr}{log.read_text() if log.exists() else ''}")

    data = str(home / "data")
    run(str(folder / "initdb"), "--pgdata", data, "--username", "assay", "--auth", "trust", "--no-sync")
    # Durability is PostgreSQL's own promise, not what these tests ask; without it they are three times as fast.
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off -c max_connections=200"
    )
    run(str(folder / "pg_ctl"), "--pgdata", data, "--options", options, "--log", str(home / "log"), "--wait", "start")

    owner = os.getpid()

    def stop() -> None:
        if os.getpid() != owner:
            return
        run(str(folder / "pg_ctl"), "--pgdata", data, "--mode", "immediate", "--wait", "stop")
        shutil.rmtree(home)

    atexit.register(stop)
    run(str(folder / "createdb"), "--host", "127.0.0.1", "--port", str(port), "--username", "assay", "assay")
    return f"postgres://assay@127.0.0.1:{port}/assay"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom to become: the server refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
