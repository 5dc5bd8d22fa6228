"""Workers that die, stop or stall in every phase, and others that take over: nothing is lost, nothing done twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.models import Event, Job, JobState, StoredFile
from tests.faults.conftest import (
    PAUSE_PLACES,
    Workers,
    assert_done_once,
    eventually,
    processes_of,
    state_of,
    told_by,
)

Submit = Callable[..., Job]


@pytest.mark.parametrize("place", PAUSE_PLACES.values(), ids=PAUSE_PLACES)
def test_a_worker_killed_at_any_point_is_followed_by_another(
    place: str, workers: Workers, submit: Submit, tmp_path: Path
) -> None:
    job = submit("answer")
    marker = tmp_path / "reached"
    doomed = workers.start(ASSAY_TEST_PAUSE=f"{place}={marker}")
    eventually(marker.exists)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert state_of(job) in (JobState.QUEUED, JobState.RUNNING)
    workers.finish()
    assert_done_once(job)
    assert not Event.objects.filter(name="tiny.failed").exists()


def test_a_worker_killed_while_its_child_runs_takes_child_and_grandchild_along(
    workers: Workers, submit: Submit, settings
) -> None:
    job = submit("wait_once", devices="cuda")
    doomed = workers.start("--devices", "cuda:0")
    told_by(job)
    assert any("grandchild" in line for line in processes_of(settings.ASSAY_JOBS_FOLDER).values())
    doomed.send_signal(signal.SIGKILL)
    eventually(lambda: not processes_of(settings.ASSAY_JOBS_FOLDER), seconds=10)
    said = workers.finish("--devices", "cuda:0")
    assert_done_once(job)
    job.refresh_from_db()
    assert job.attempt == 2
    assert "was taken back" in said
    retried = Event.objects.get(name="job.retried")
    assert retried.detail["reason"] == "its worker stopped answering"
    # Neither the dead worker's folder nor the other one's is left.
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


def test_a_child_that_keeps_the_interpreter_to_itself_dies_with_its_worker(
    workers: Workers, submit: Submit, settings
) -> None:
    job = submit("hold_the_interpreter")
    doomed = workers.start()
    told_by(job)
    assert processes_of(settings.ASSAY_JOBS_FOLDER)
    doomed.send_signal(signal.SIGKILL)
    eventually(lambda: not processes_of(settings.ASSAY_JOBS_FOLDER), seconds=10)


def test_a_job_without_attempts_left_is_lost(workers: Workers, submit: Submit) -> None:
    job = submit("wait")
    Job.objects.filter(pk=job.pk).update(max_attempts=1)
    doomed = workers.start()
    told_by(job)
    doomed.send_signal(signal.SIGKILL)
    workers.finish()
    job.refresh_from_db()
    assert job.state == JobState.LOST
    assert job.error["code"] == "lost"
    assert "attempt 1 of 1" in job.error["detail"]
    assert Event.objects.filter(name="tiny.failed").count() == 1
    assert job.lease_until is None
    assert job.finished_at is not None


def test_a_worker_that_stalled_finds_its_job_taken_and_changes_nothing(
    workers: Workers, submit: Submit, settings
) -> None:
    job = submit("wait_once")
    stalled = workers.start()
    told_by(job)
    stalled.send_signal(signal.SIGSTOP)
    workers.finish()
    assert_done_once(job)
    stalled.send_signal(signal.SIGCONT)
    eventually(lambda: "no longer holds" in workers.said(stalled))
    eventually(lambda: not processes_of(settings.ASSAY_JOBS_FOLDER), seconds=10)
    stalled.send_signal(signal.SIGTERM)
    assert stalled.wait(timeout=30) == 0
    assert_done_once(job)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminate"])
def test_a_stopped_worker_gives_its_jobs_back(number: int, workers: Workers, submit: Submit, settings) -> None:
    job, waiting = submit("wait_once"), submit("answer")
    stopped = workers.start()
    told_by(job)
    stopped.send_signal(number)
    assert stopped.wait(timeout=10) == 0
    assert "Stopped: 0 jobs ended here; 1 went back to the queue." in workers.said(stopped)
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)
    job.refresh_from_db()
    assert (job.state, job.attempt, job.max_attempts) == (JobState.QUEUED, 1, 4)
    assert state_of(waiting) == JobState.QUEUED
    workers.finish()
    assert_done_once(job, waiting)


def test_a_killed_child_fails_its_job_and_not_its_worker(workers: Workers, submit: Submit, settings) -> None:
    job = submit("wait")
    worker = workers.start("--until-idle")
    told_by(job)
    for pid in processes_of(settings.ASSAY_JOBS_FOLDER):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert worker.wait(timeout=30) == 0
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert job.error["code"] == "child_died"
    assert "SIGKILL" in job.error["detail"]
    assert job.error["errored"] is True
    assert Event.objects.filter(name="tiny.failed").count() == 1


def test_two_workers_run_each_of_many_jobs_once(workers: Workers, submit: Submit) -> None:
    submitted = [submit("answer", number=number) for number in range(32)]
    pair = [workers.start("--until-idle", "--slots", "2") for _ in range(2)]
    for worker in pair:
        assert worker.wait(timeout=180) == 0, workers.said(worker)
    assert_done_once(*submitted)
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    assert len(set(Job.objects.values_list("worker", flat=True))) == 2
    # 32 files of the same bytes are one file.
    assert StoredFile.objects.filter(size_bytes=2).count() == 1


def test_a_worker_answers_a_wrong_device_with_a_sentence(workers: Workers) -> None:
    worker: subprocess.Popen[bytes] = workers.start("--devices", "gpu0")
    assert worker.wait(timeout=30) != 0
    assert "--devices has 'gpu0'" in workers.said(worker)
