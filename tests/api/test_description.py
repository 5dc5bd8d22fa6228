"""The description of the API is drawn once, whoever asks first and however many ask at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from governance.views.description import DescriptionView

#: A new process, since only the first description of a process finds the extensions; a short switch interval lets the
#: threads meet. As in the server, there is one application, and threads call it.
PROGRAM = """
import sys
import threading
from django.test import RequestFactory
from governance.wsgi import application
sys.setswitchinterval(1e-6)
statuses = []
together = threading.Barrier(8)
def ask():
    environ = RequestFactory().get("/api/v1/schema/?format=json").environ
    together.wait()
    application(environ, lambda status, headers: statuses.append(status[:3]))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*statuses)
"""


def test_many_may_ask_first(tmp_path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "governance.settings",
        "ASSAY_HOME": str(tmp_path),
        "ASSAY_ALLOWED_HOSTS": "testserver",
    }

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    assert ended.stdout.split() == ["200"] * 8, ended.stderr


def test_it_is_drawn_once(monkeypatch: pytest.MonkeyPatch):
    drawn = []

    class Counting(SchemaGenerator):
        def get_schema(self, *args, **kwargs):
            drawn.append(1)
            return super().get_schema(*args, **kwargs)

    monkeypatch.setattr(DescriptionView, "_drawn", None)
    monkeypatch.setattr(DescriptionView, "generator_class", Counting)

    answers = [Client().get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["info"]["title"] == "Assay"
    assert len(drawn) == 1


def test_both_forms_say_the_same():
    text = Client().get("/api/v1/schema/")

    assert text.headers["Content-Type"].startswith("application/vnd.oai.openapi")
    assert text.headers["Content-Disposition"] == 'inline; filename="Assay.yaml"'
    assert b"openapi: 3.1.0" in text.content
