"""Tiny jobs, and workers in processes of their own over the database of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection

from governance import job_kinds
from governance.attempt import Attempt
from governance.models import Event, Job, JobState
from governance.services import events, jobs
from tests import factories
from tests.faults.kinds import ESCAPE, EXPLAINED, TINY
from workers.executors.base import Executor
from workers.executors.local import LocalExecutor

LEASE_SECONDS = 2

#: Where a worker is stopped dead: what has happened by then.
PAUSE_PLACES = {
    "before-claim": "governance.services.jobs:start_next",
    "claimed": "governance.attempt:Attempt.run",
    "folder-made": "governance.attempt:Attempt._run_child",
    "child-ended": "governance.attempt:read_outcome",
    "files-stored": "governance.services.jobs:succeed",
    "recorded-not-committed": "governance.services.jobs:_tell_end",
}


@pytest.fixture
def tiny_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (TINY, ESCAPE, EXPLAINED):
        monkeypatch.setitem(job_kinds._kinds, kind.name, kind)


@pytest.fixture
def submit(tiny_kind: None) -> Callable[..., Job]:
    """Leave a tiny job in the queue: ``submit("answer", inputs=..., **parameters)``."""

    def leave(do: str = "answer", *, by: User | None = None, subject: str = "a tiny thing", **parameters: Any) -> Job:
        options = {name: parameters.pop(name) for name in ("inputs", "devices", "seed") if name in parameters}
        return jobs.submit(
            kind="tiny",
            parameters={"do": do, **parameters},
            subject=subject,
            by=by or factories.owner(),
            **{"inputs": {}, **options},
        )

    return leave


@pytest.fixture
def work(tiny_kind: None) -> Callable[..., Job]:
    """Claim the next job and run it in this process: ``work(executor=...)``."""

    def run(executor: Executor | None = None, devices: Sequence[str] = ("cpu",), **options: Any) -> Job:
        claimed_at = time.monotonic()
        job = jobs.start_next(worker="test", devices=devices)
        assert job is not None
        chosen = executor or LocalExecutor(runner_packages=["tests.faults"])
        Attempt(job=job, executor=chosen, claimed_at=claimed_at, **options).run()
        return Job.objects.get(pk=job.pk)

    return run


class Workers:
    """Starts workers; each writes what it says into a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        said = (self.folder / f"worker-{len(self.started)}.txt").open("wb")
        with said:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", "--threads", "1", "--poll-seconds", "0.05", *arguments],
                cwd=django_settings.BASE_FOLDER,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
                    "ASSAY_DATABASE_URL": database_url(),
                    "ASSAY_STORE_FOLDER": str(django_settings.ASSAY_STORE_FOLDER),
                    "ASSAY_JOBS_FOLDER": str(django_settings.ASSAY_JOBS_FOLDER),
                    "ASSAY_EVENT_KEY": django_settings.ASSAY_EVENT_KEY,
                    "ASSAY_LEASE_SECONDS": str(LEASE_SECONDS),
                    **variables,
                },
            )
        self.started.append(process)
        return process

    def finish(self, *arguments: str, **variables: str) -> str:
        """Run a worker until the queue is empty, and return what it said."""
        process = self.start("--until-idle", *arguments, **variables)
        assert process.wait(timeout=120) == 0, self.said(process)
        return self.said(process)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.started.index(process)}.txt").read_text()

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[Workers]:
    group = Workers(tmp_path)
    yield group
    group.end()


def database_url() -> str:
    """Return the address of the test's database for another process."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}/{at['NAME']}"


def eventually(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Return what a condition says as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return value


def state_of(job: Job) -> str:
    return Job.objects.get(pk=job.pk).state


def told_by(job: Job) -> str:
    """Wait until the running child has told something, and return it."""
    return eventually(lambda: Job.objects.get(pk=job.pk).progress.get("message"))


def processes_of(folder: Path) -> dict[int, str]:
    """Return the living processes that name a folder, or one below it, in their command line, and that line.

    For the folder of a job these are bubblewrap, the child, its lifeline and what it started. A child in a process
    namespace of its own does not know by which number the machine calls it.
    """
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(folder) in line:
                    found[int(process.name)] = line
    return found


def assert_done_once(*done: Job) -> None:
    """Every job succeeded, was recorded and told as ended exactly once, and the chain of events holds."""
    for job in done:
        assert state_of(job) == JobState.SUCCEEDED
        assert Event.objects.filter(name="job.ended", subject=f"job/{job.pk}").count() == 1
    assert Event.objects.filter(name="tiny.recorded").count() == len(done)
    assert events.verify().intact
