"""What the log says: one line a record, readable or JSON, with the job that it is about."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from structlog.contextvars import bound_contextvars

from governance.dispatcher import Dispatcher
from governance.logs import formatter
from tests import factories


class Written:
    """A logger of its own, and what it wrote."""

    def __init__(self, log_format: str) -> None:
        self._text = io.StringIO()
        handler = logging.StreamHandler(self._text)
        handler.setFormatter(formatter(log_format))
        self.logger = logging.Logger("governance.attempt")
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()


def test_a_plain_record_is_one_line_to_read():
    written = Written("plain")

    with bound_contextvars(job=12, attempt=2):
        written.logger.warning("%s was taken back.", "job 12")

    (line,) = written.lines
    time, rest = line.split(" ", 1)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()) < 60
    assert rest == "WARNING governance.attempt: job 12 was taken back. attempt=2 job=12"


def test_a_message_cannot_pretend_to_be_a_line_of_its_own():
    written = Written("plain")

    written.logger.warning("no such model: %s", "x\n2026-01-01T00:00:00Z INFO governance.attempt: job 1 succeeded.")

    assert len(written.lines) == 1
    assert r"x\n2026" in written.lines[0]


def test_a_plain_record_has_its_traceback_under_it():
    written = Written("plain")

    try:
        raise ValueError("no such thing")
    except ValueError:
        written.logger.exception("It broke.")

    assert written.lines[0].endswith("ERROR governance.attempt: It broke.")
    assert written.lines[1] == "Traceback (most recent call last):"
    assert written.lines[-1] == "ValueError: no such thing"


def test_a_json_record_is_one_object_a_line():
    written = Written("json")

    with bound_contextvars(job=12, attempt=2):
        try:
            raise ValueError("no such thing")
        except ValueError:
            written.logger.exception("It broke\nhere.")
    written.logger.info("Afterwards.")

    broke, afterwards = [json.loads(line) for line in written.lines]
    assert list(broke)[:4] == ["time", "level", "logger", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", broke["time"])
    assert (broke["level"], broke["logger"], broke["message"]) == ("error", "governance.attempt", "It broke\nhere.")
    assert (broke["job"], broke["attempt"]) == (12, 2)
    assert broke["exception"].endswith("ValueError: no such thing")
    assert set(afterwards) == {"time", "level", "logger", "message"}


def test_what_a_worker_logs_about_a_job_carries_the_job(db):
    job = factories.JobFactory(attempt=3)
    written = Written("json")

    class Running:
        def __init__(self) -> None:
            self.job = job

        def run(self) -> None:
            written.logger.info("starts")

    dispatcher = Dispatcher(executor=None)
    try:
        dispatcher._work(Running())
    finally:
        dispatcher.close()

    (line,) = written.lines
    assert (json.loads(line)["job"], json.loads(line)["attempt"]) == (job.pk, 3)


PROGRAM = "import django, logging; django.setup(); logging.getLogger('governance').warning('Said.')"


def start(tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "governance.settings", "ASSAY_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("variables", [{}, {"ASSAY_LOG_FORMAT": "plain"}])
def test_an_installation_logs_plainly(tmp_path, variables):
    assert start(tmp_path, **variables).stderr.rstrip().endswith("Z WARNING governance: Said.")


def test_an_installation_logs_json_where_it_is_told_to(tmp_path):
    record = json.loads(start(tmp_path, ASSAY_LOG_FORMAT="json").stderr)

    assert (record["level"], record["logger"], record["message"]) == ("warning", "governance", "Said.")


def test_another_format_is_refused_at_the_start(tmp_path):
    ended = start(tmp_path, ASSAY_LOG_FORMAT="xml")

    assert ended.returncode != 0
    assert "ASSAY_LOG_FORMAT is 'xml'; it is one of plain, json." in ended.stderr
