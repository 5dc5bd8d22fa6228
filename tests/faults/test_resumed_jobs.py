"""Jobs that are cut in the middle go on behind their last whole piece, and leave nothing when they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.models import Event, Job, JobState, StoredFile
from governance.services import jobs
from tests import factories
from tests.faults.conftest import Workers, assert_done_once, eventually, processes_of, told_by
from workers.checkpoint import JOURNAL
from workers.protocol import CHECKPOINT_FOLDER, digest_of_bytes

Submit = Callable[..., Job]


def kill(worker: Any) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def waits_at(job: Job, number: int) -> None:
    """Wait until a job has told that it waits at a number."""
    eventually(lambda: Job.objects.get(pk=job.pk).progress.get("done") == number)


def added(job: Job) -> list[int]:
    return Event.objects.get(name="tiny.recorded", subject=job.subject).detail["added"]


def assert_nothing_is_left(settings: Any) -> None:
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


@pytest.mark.parametrize("waits", [[0], [3, 7], [9]], ids=str)
def test_a_killed_worker_is_followed_by_one_that_goes_on(
    waits: list[int], workers: Workers, submit: Submit, settings: Any
) -> None:
    job = submit("add_up", waits=waits)
    for number in waits:
        doomed = workers.start()
        waits_at(job, number)
        kill(doomed)
    workers.finish()
    assert_done_once(job)
    assert added(job) == list(range(waits[-1], 10))
    assert Job.objects.get(pk=job.pk).attempt == len(waits) + 1
    assert StoredFile.objects.filter(digest=digest_of_bytes(b"45")).exists(), "the total of a run that nobody cut"
    assert_nothing_is_left(settings)


def test_a_stopped_worker_leaves_what_the_job_has_finished(workers: Workers, submit: Submit, settings: Any) -> None:
    job = submit("add_up", waits=[4])
    stopped = workers.start()
    waits_at(job, 4)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(timeout=30) == 0
    (left,) = settings.ASSAY_JOBS_FOLDER.glob("*/*/*")
    assert left.name == CHECKPOINT_FOLDER
    workers.finish()
    assert_done_once(job)
    assert added(job) == [4, 5, 6, 7, 8, 9]
    assert_nothing_is_left(settings)


def test_a_corrupt_checkpoint_is_used_as_far_as_it_is_whole(workers: Workers, submit: Submit, settings: Any) -> None:
    job = submit("add_up", waits=[6])
    doomed = workers.start()
    waits_at(job, 6)
    kill(doomed)
    (numbers,) = settings.ASSAY_JOBS_FOLDER.glob(f"*/*/{CHECKPOINT_FOLDER}/numbers")
    numbers.write_bytes(b"\0\1\2\7\4\5")
    workers.finish()
    assert_done_once(job)
    assert added(job) == [3, 4, 5, 6, 7, 8, 9]
    assert "Piece 4 of the checkpoint is not whole" in jobs.read_log(job=Job.objects.get(pk=job.pk))


def test_the_checkpoint_of_another_job_is_not_used(workers: Workers, submit: Submit, settings: Any) -> None:
    job, other = submit("add_up", waits=[2]), submit("add_up", waits=[8], subject="another thing")
    doomed = workers.start("--slots", "2")
    waits_at(job, 2)
    waits_at(other, 8)
    kill(doomed)
    for name in (JOURNAL, "numbers"):
        foreign = settings.ASSAY_JOBS_FOLDER / str(other.pk) / "1" / CHECKPOINT_FOLDER / name
        (settings.ASSAY_JOBS_FOLDER / str(job.pk) / "1" / CHECKPOINT_FOLDER / name).write_bytes(foreign.read_bytes())
    workers.finish()
    assert_done_once(job, other)
    assert (added(job), added(other)) == (list(range(10)), [8, 9])
    assert "something else than what this job was asked" in jobs.read_log(job=Job.objects.get(pk=job.pk))


def test_a_link_in_the_place_of_a_stream_makes_the_job_begin_anew(
    workers: Workers, submit: Submit, settings: Any, tmp_path: Path
) -> None:
    job = submit("add_up", waits=[6])
    doomed = workers.start()
    waits_at(job, 6)
    kill(doomed)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(6)))
    (numbers,) = settings.ASSAY_JOBS_FOLDER.glob(f"*/*/{CHECKPOINT_FOLDER}/numbers")
    numbers.unlink()
    numbers.symlink_to(secret)
    said = workers.finish()
    assert_done_once(job)
    assert added(job) == list(range(10))
    assert "is not used" in said
    assert secret.read_bytes() == bytes(range(6))


@pytest.mark.parametrize("end", ["cancel", "break", "kill the child"])
def test_a_job_that_ends_without_a_result_leaves_no_checkpoint(
    end: str, workers: Workers, submit: Submit, settings: Any
) -> None:
    job = submit("add_up", waits=[5], end="break" if end == "break" else "wait")
    worker = workers.start("--until-idle")
    if end != "break":
        told_by(job)
    if end == "cancel":
        jobs.cancel(job=Job.objects.get(pk=job.pk), by=factories.owner())
    elif end == "kill the child":
        for pid in processes_of(settings.ASSAY_JOBS_FOLDER):
            os.kill(pid, signal.SIGKILL)
    assert worker.wait(timeout=60) == 0
    assert Job.objects.get(pk=job.pk).state == (JobState.CANCELLED if end == "cancel" else JobState.FAILED)
    assert_nothing_is_left(settings)


def test_a_cut_job_that_is_cancelled_in_the_queue_leaves_no_checkpoint(
    workers: Workers, submit: Submit, settings: Any
) -> None:
    job = submit("add_up", waits=[5])
    stopped = workers.start()
    waits_at(job, 5)
    stopped.send_signal(signal.SIGTERM)
    stopped.wait(timeout=30)
    assert list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))
    jobs.cancel(job=Job.objects.get(pk=job.pk), by=factories.owner())
    workers.finish()
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert_nothing_is_left(settings)
