"""A real web server over the database of a test, connections that end where a test says, and the kill of it all."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

from django.conf import settings

from governance.management.commands.serve import web_command
from tests.api.pieces import PIECE, TUS
from tests.faults.conftest import database_url, eventually
from tests.governance.test_serve import free_port


class WebServer:
    """Gunicorn as ``manage.py serve`` starts it; what it says goes into a file."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self.said = folder / f"web-{self.port}.txt"
        with self.said.open("wb") as stream:
            self.process = subprocess.Popen(
                web_command(f"127.0.0.1:{self.port}"),
                cwd=settings.BASE_FOLDER,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.settings",
                    "ASSAY_DATABASE_URL": database_url(),
                    "ASSAY_STORE_FOLDER": str(settings.ASSAY_STORE_FOLDER),
                    "ASSAY_EVENT_KEY": settings.ASSAY_EVENT_KEY,
                    **variables,
                },
            )
        eventually(self._answers)

    def kill(self) -> None:
        """End every process of it at once, as a power cut or the kernel's memory killer does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.said.read_text()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/login/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class RawPatch:
    """A PATCH over a socket of its own, of which only so much is sent."""

    def __init__(self, server: WebServer, token: str, address: str, content: bytes, offset: int, *, sent: int) -> None:
        headers = {
            "Host": "127.0.0.1",
            "Authorization": f"Token {token}",
            "Content-Type": PIECE,
            "Content-Length": str(len(content)),
            "Upload-Offset": str(offset),
            "Connection": "close",
            **TUS,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.socket.sendall(f"PATCH {address} HTTP/1.1\r\n{head}\r\n".encode() + content[:sent])
        self.rest = content[sent:]

    def finish(self) -> int:
        """Send what is left and return the status of the answer."""
        self.socket.sendall(self.rest)
        return self.status()

    def status(self) -> int:
        answer = b""
        while chunk := self.socket.recv(65536):
            answer += chunk
        self.socket.close()
        return int(answer.split(b" ", 2)[1])

    def end(self) -> None:
        """Close the connection in good order: the server reads what was sent, and then the end."""
        self.socket.close()

    def reset(self) -> None:
        """Break the connection: the server is told so, and may not even get what was sent."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class CuttingProxy:
    """Stands between a client and the server, and breaks each of the first connections after so many bytes."""

    def __init__(self, server: WebServer, cuts: list[int]) -> None:
        self.server = server
        self.cuts = cuts
        self.broken = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self._forward(client)

    def _forward(self, client: socket.socket) -> None:
        """Hand a request on, and its answer back; one connection at a time is enough for one client."""
        left = self.cuts.pop(0) if self.cuts else None
        with client, socket.create_connection(("127.0.0.1", self.server.port)) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            while chunk := client.recv(65536 if left is None else min(left, 65536)):
                server.sendall(chunk)
                if left is not None:
                    left -= len(chunk)
                    if not left:
                        self.broken += 1
                        # A close alone would wait for the thread that still reads from it.
                        server.shutdown(socket.SHUT_RDWR)
                        return
            server.shutdown(socket.SHUT_WR)  # the client has its answer and is gone
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
