"""Uploads over real connections to a real server: cut, stalled, sent twice at once, and the server killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from governance import partial
from governance.models import ModelVersion, Upload, UploadState
from governance.services.tokens import create_token
from governance.storage import store
from tests import factories
from tests.api.pieces import PIECE, TUS, created, number_of, offset_at, patch
from tests.faults.conftest import eventually
from tests.faults.web import CuttingProxy, RawPatch, WebServer
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 1024
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "resume-an-upload.md"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., WebServer]]:
    started: list[WebServer] = []

    def run(**variables: str) -> WebServer:
        started.append(WebServer(tmp_path, **variables))
        return started[-1]

    yield run
    for server in started:
        server.kill()


@pytest.fixture
def alice_token(alice: Any) -> str:
    return create_token(user=alice, by=None)


def is_free(address: str) -> bool:
    """Tell whether no request holds the upload; asking does not hold it either."""
    path = partial.path_of(number_of(address))
    return not path.exists() or f":{path.stat().st_ino} " not in Path("/proc/locks").read_text()


def goes_on(client: Any, address: str, *, at_most: int) -> bool:
    """Send what is missing, and tell whether the server took it: a request that was cut may only now begin or end."""
    offset = offset_at(client, address)
    assert offset <= at_most
    return patch(client, address, CONTENT[offset:], offset).status_code == 204


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_connection_that_is_cut_goes_on_at_the_byte_that_the_server_tells(how, start, alice_token, alice_api):
    server = start()
    for cut in (0, 1, 65_535, 65_536, 65_537, len(CONTENT) - 1):
        address = created(alice_api, len(CONTENT))
        getattr(RawPatch(server, alice_token, address, CONTENT, 0, sent=cut), how)()

        if how == "end":  # everything that was sent counts
            eventually(lambda at=address, count=cut: offset_at(alice_api, at) == count)
        eventually(lambda at=address, count=cut: goes_on(alice_api, at, at_most=count))
        assert Upload.objects.get(pk=number_of(address)).digest == digest_of_bytes(CONTENT)


def test_of_two_connections_at_once_one_writes(start, alice_token, alice_api):
    server = start()
    address = created(alice_api, len(CONTENT))
    first = RawPatch(server, alice_token, address, CONTENT, 0, sent=1000)
    eventually(lambda: not is_free(address))

    second = RawPatch(server, alice_token, address, CONTENT, 0, sent=len(CONTENT))

    assert second.status() == 423
    assert first.finish() == 204
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_a_client_that_vanished_does_not_hold_its_upload(start, alice_token, alice_api):
    server = start(ASSAY_UPLOAD_STALL_SECONDS="1")
    address = created(alice_api, len(CONTENT))
    silent = RawPatch(server, alice_token, address, CONTENT, 0, sent=1000)
    eventually(lambda: not is_free(address))

    eventually(lambda: is_free(address))

    assert silent.status() == 400
    offset = offset_at(alice_api, address)
    assert offset <= 1000
    assert patch(alice_api, address, CONTENT[offset:], offset).status_code == 204


def test_a_body_in_chunks_is_refused(start, alice_token, alice_api):
    server = start()
    address = created(alice_api, len(CONTENT))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {**TUS, "Authorization": f"Token {alice_token}", "Content-Type": PIECE, "Upload-Offset": "0"}

    # The headers alone are answered; a chunk sent after them might meet a connection that is closed by then.
    connection.putrequest("PATCH", address)
    for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()

    assert connection.getresponse().status == 411
    connection.close()
    assert offset_at(alice_api, address) == 0


def test_a_server_that_is_killed_in_the_middle_of_a_piece_told_the_truth(start, alice_token, alice_api):
    server = start()
    content = CONTENT * 400
    address = created(alice_api, len(content))
    number = number_of(address)
    request = RawPatch(server, alice_token, address, content, 0, sent=90 * MIB)
    eventually(
        lambda: Upload.objects.get().offset_bytes and partial.size_of(number) > Upload.objects.get().offset_bytes
    )

    server.kill()
    request.end()

    offset = offset_at(alice_api, address)
    assert 64 * MIB <= offset == Upload.objects.get().offset_bytes < partial.size_of(number) <= 90 * MIB
    assert patch(alice_api, address, content[offset:], offset).status_code == 204
    upload = Upload.objects.get()
    assert (upload.state, upload.digest) == (UploadState.COMPLETE, digest_of_bytes(content))


def test_the_client_of_the_how_to_goes_on_after_every_break(start, alice_token, alice, tmp_path):
    server = start()
    factories.RegisteredModelFactory(name="credit-scorer", owner=alice)
    (program,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    (tmp_path / "resume_upload.py").write_text(program.replace("16 * 1024 * 1024", "100_000"))
    (tmp_path / "model.pt2").write_bytes(CONTENT)
    whole = 10**6
    # What goes through first: creation, question, piece, question. Then a piece, a question and a piece again break.
    proxy = CuttingProxy(server, [whole, whole, whole, whole, 50_000, 40, whole, 99_000])

    ended = subprocess.run(
        [sys.executable, "resume_upload.py", "model.pt2", "credit-scorer"],
        cwd=tmp_path,
        env={**os.environ, "ASSAY_URL": f"http://127.0.0.1:{proxy.port}", "ASSAY_TOKEN": alice_token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    proxy.close()

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("The connection broke") == proxy.broken == 3
    version = ModelVersion.objects.get()
    assert version.ref in ended.stdout
    assert (version.filename, version.digest) == ("model.pt2", digest_of_bytes(CONTENT))
    assert store().path(version.digest).read_bytes() == CONTENT
    assert not (tmp_path / "model.pt2.upload").exists()
    assert [path.name for path in Path(django_settings.ASSAY_STORE_FOLDER, "partial").iterdir()] == []
