"""Uploads through a real server: memory that they take, and their speed against a plain copy of the same bytes.

Run it with ``python -m benchmarks.uploads`` (``--gib 5`` for the size that the limit on memory is stated for). The web
server runs as ``manage.py serve`` starts it. One block after the other is made as it is sent, over the loopback
interface, as a form (multipart) and by tus in one piece and in pieces of 64 MiB with a checksum each; beside them, the
same blocks are written to a file of the same disk, with and without a SHA-256, and made durable. The ways alternate;
medians, ratios and the processor time of the server (of the loop, for a copy) are printed. It fails when an upload
takes more memory than 64 MiB.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

ROUNDS = 3
MIB = 1024 * 1024
BLOCK = MIB
PIECE_BLOCKS = 64
LIMIT_MIB = 64
BIND = "127.0.0.1:8765"
VERSIONS = "/api/v1/models/bench/versions/"
OUTPUT = Path(__file__).parents[1] / ".bench" / "uploads.json"


def blocks(count: int) -> Iterator[bytes]:
    """Yield blocks of which no two are the same, at hardly any cost."""
    content = bytearray(secrets.token_bytes(BLOCK))
    for number in range(count):
        content[:8] = number.to_bytes(8, "big")
        yield bytes(content)


def write(folder: Path, count: int, *, hashed: bool) -> None:
    """Be the floor: write the blocks to a file and make it durable."""
    path = folder / "plain"
    hasher = hashlib.sha256()
    with path.open("wb", buffering=0) as sink:
        for block in blocks(count):
            if hashed:
                hasher.update(block)
            sink.write(block)
        os.fsync(sink.fileno())
    path.unlink()


class Server:
    """The web server over a home of its own, with one engineer and one model."""

    def __init__(self, home: Path) -> None:
        self.home = home
        os.environ.update(ASSAY_HOME=str(home), ASSAY_LOG_LEVEL="WARNING", DJANGO_SETTINGS_MODULE="governance.settings")
        os.environ.pop("ASSAY_DATABASE_URL", None)
        import django

        django.setup()
        from django.contrib.auth.models import Group, User
        from django.core.management import call_command

        from governance.management.commands.serve import web_command
        from governance.services import registry
        from governance.services.tokens import create_token

        call_command("migrate", verbosity=0)
        user = User.objects.create_user("bench")
        user.groups.add(Group.objects.get(name="engineers"))
        registry.register_model(name="bench", task="classification", intended_use="None.", by=user)
        self.headers = {"Authorization": f"Token {create_token(user=user, by=None)}"}
        self.master = subprocess.Popen(web_command(BIND))
        while not self._answers():
            time.sleep(0.1)
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text().split()
        self.worker = int(children[0])

    def stop(self) -> None:
        self.master.terminate()
        self.master.wait()

    def ask(self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | bytes = b"") -> HTTPResponse:
        connection = HTTPConnection(BIND, blocksize=BLOCK)
        connection.request(method, path, body=body, headers={**self.headers, **headers})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status >= 400:
            raise SystemExit(f"{method} {path} answered {response.status}: {content.decode()}")
        return response

    def memory_mib(self, field: str) -> float:
        """Return ``VmRSS``, what the serving process holds now, or ``VmHWM``, the most since the last reset."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) / 1024

    def processor_seconds(self) -> float:
        """Return the processor time of the serving process so far."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.worker}/clear_refs").write_text("5")

    def empty_store(self) -> None:
        """Make room for the next upload; nothing reads what this home has stored."""
        for path in (self.home / "store").rglob("*"):
            if path.is_file():
                path.unlink()

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/api/v1/models/", {})
        except ConnectionError:
            return False
        return True


def send_form(server: Server, count: int) -> None:
    head = b'--next\r\nContent-Disposition: form-data; name="file"; filename="model.bin"\r\n\r\n'
    tail = b"\r\n--next--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        yield from blocks(count)
        yield tail

    length = len(head) + count * BLOCK + len(tail)
    headers = {"Content-Type": "multipart/form-data; boundary=next", "Content-Length": str(length)}
    server.ask("POST", VERSIONS, headers, body())


def send_tus(server: Server, count: int, *, piece_blocks: int, checked: bool) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    created = server.ask("POST", "/api/v1/uploads/", {**tus, "Upload-Length": str(count * BLOCK)})
    address = created.headers["Location"]
    content = blocks(count)
    for first in range(0, count, piece_blocks):
        number = min(piece_blocks, count - first)
        headers = {
            **tus,
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(number * BLOCK),
            "Upload-Offset": str(first * BLOCK),
        }
        piece: list[bytes] | Iterator[bytes] = (next(content) for _ in range(number))
        if checked:
            piece = list(piece)
            digest = hashlib.sha256()
            for block in piece:
                digest.update(block)
            headers["Upload-Checksum"] = f"sha256 {base64.b64encode(digest.digest()).decode()}"
        server.ask("PATCH", address, headers, iter(piece))
    body = json.dumps({"upload": int(address.rstrip("/").rpartition("/")[2]), "filename": "model.bin"})
    server.ask("POST", VERSIONS, {"Content-Type": "application/json"}, body.encode())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=1.0, help="size of an upload (default: 1)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    count = round(options.gib * 1024)
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        home = Path(name)
        server = Server(home)
        try:
            measured = measure(server, home, count, options.rounds)
        finally:
            server.stop()
    report(measured, count, options.rounds)
    return 1 if any(entry.extra_memory_mib > LIMIT_MIB for entry in measured.values()) else 0


@dataclass
class Measured:
    """One way: seconds of each round, on the clock and of the processor, and the most memory that the server took."""

    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    extra_memory_mib: float = 0.0


def measure(server: Server, home: Path, count: int, rounds: int) -> dict[str, Measured]:
    copies: dict[str, Callable[[], None]] = {
        "plain copy": lambda: write(home, count, hashed=False),
        "plain copy with SHA-256": lambda: write(home, count, hashed=True),
    }
    uploads: dict[str, Callable[[], None]] = {
        "form": lambda: send_form(server, count),
        "tus, one piece": lambda: send_tus(server, count, piece_blocks=count, checked=False),
        "tus, checked pieces": lambda: send_tus(server, count, piece_blocks=PIECE_BLOCKS, checked=True),
    }
    send_form(server, 1)  # what is imported at the first request is no part of an upload
    send_tus(server, 1, piece_blocks=1, checked=True)
    measured = {name: Measured() for name in (*copies, *uploads)}
    for _ in range(rounds):
        for name, way in (*copies.items(), *uploads.items()):
            entry = measured[name]
            processor = server.processor_seconds if name in uploads else time.process_time
            resident, spent = server.memory_mib("VmRSS"), processor()
            server.forget_peak()
            began = time.monotonic()
            way()
            entry.seconds.append(time.monotonic() - began)
            entry.processor_seconds.append(processor() - spent)
            if name in uploads:
                entry.extra_memory_mib = max(entry.extra_memory_mib, server.memory_mib("VmHWM") - resident)
                server.empty_store()
    return measured


def report(measured: dict[str, Measured], count: int, rounds: int) -> None:
    medians = {name: statistics.median(entry.seconds) for name, entry in measured.items()}
    print(f"{count:,} MiB, medians of {rounds} alternating rounds:")
    print(
        f"{'':<26}{'MiB/s':>8}{'of the copy':>13}{'of copy + SHA-256':>19}{'processor s/GiB':>17}{'extra memory':>14}"
    )
    for name, entry in measured.items():
        plain, hashed = (medians[floor] / medians[name] for floor in ("plain copy", "plain copy with SHA-256"))
        processor = statistics.median(entry.processor_seconds) / count * 1024
        memory = f"{entry.extra_memory_mib:.1f} MiB" if entry.extra_memory_mib else ""
        rate = count / medians[name]
        print(f"{name:<26}{rate:>8.0f}{plain:>13.2f}{hashed:>19.2f}{processor:>17.2f}{memory:>14}")
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {"mib": count, "rounds": rounds, "ways": {name: asdict(entry) for name, entry in measured.items()}}
    OUTPUT.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    sys.exit(main())
