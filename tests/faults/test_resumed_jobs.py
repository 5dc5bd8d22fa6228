"""Jobs that are cut in the middle go on behind their last whole piece, and leave nothing when they end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from governance.dispatcher import Dispatcher
from governance.models import Event, Job, JobState, StoredFile
from governance.services import jobs
from tests import factories
from tests.faults.conftest import Workers, assert_done_once, eventually, state_of
from workers.executors.local import LocalExecutor
from workers.protocol import CHECKPOINT_FOLDER, digest_of_bytes

Submit = Callable[..., Job]
Work = Callable[..., Job]


def kill(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def waits_at(job: Job, number: int) -> None:
    """Wait until a job has told that it waits at a number."""
    eventually(lambda: Job.objects.get(pk=job.pk).progress.get("done") == number)


def added(job: Job) -> list[int]:
    return Event.objects.get(name="tiny.recorded", subject=job.subject).detail["added"]


def left(settings: Any) -> list[str]:
    """Return what lies in the folders of attempts."""
    return [path.name for path in settings.ASSAY_JOBS_FOLDER.glob("*/*/*")]


def at(number: int, settings: Any) -> bool:
    """Tell whether a job has kept so many numbers."""
    files = settings.ASSAY_JOBS_FOLDER.glob(f"*/*/{CHECKPOINT_FOLDER}/numbers")
    return any(path.stat().st_size == number for path in files)


def assert_nothing_is_left(settings: Any) -> None:
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


def test_killed_workers_are_followed_by_others_that_go_on(workers: Workers, submit: Submit, settings: Any) -> None:
    job = submit("add_up", waits=[3, 9])
    for number in (3, 9):
        doomed = workers.start()
        waits_at(job, number)
        kill(doomed)
    workers.finish()
    assert_done_once(job)
    assert Job.objects.get(pk=job.pk).attempt == 3
    assert added(job) == [9]
    assert StoredFile.objects.filter(digest=digest_of_bytes(b"45")).exists(), "the total of a run that nobody cut"
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


@pytest.mark.django_db
class TestInThisProcess:
    def test_a_stopped_worker_leaves_what_the_job_has_finished(self, submit: Submit, work: Work, settings: Any) -> None:
        submit("add_up", waits=[4])
        assert work(must_stop=lambda: at(4, settings)).state == JobState.QUEUED
        assert left(settings) == [CHECKPOINT_FOLDER]
        job = work()
        assert job.state == JobState.SUCCEEDED
        assert added(job) == [4, 5, 6, 7, 8, 9]
        assert_nothing_is_left(settings)

    def test_the_checkpoint_of_a_waiting_job_survives_a_worker_that_starts(
        self, submit: Submit, work: Work, settings: Any
    ) -> None:
        submit("add_up", waits=[4])
        work(must_stop=lambda: at(4, settings))
        dispatcher = Dispatcher(executor=LocalExecutor())
        dispatcher._clean()
        dispatcher.close()
        assert left(settings) == [CHECKPOINT_FOLDER]

    def test_one_that_is_cancelled_in_the_queue_is_removed(self, submit: Submit, work: Work, settings: Any) -> None:
        submit("add_up", waits=[5])
        job = work(must_stop=lambda: at(5, settings))
        jobs.cancel(job=job, by=factories.owner())
        dispatcher = Dispatcher(executor=LocalExecutor())
        dispatcher._recover()
        dispatcher.close()
        assert_nothing_is_left(settings)

    def test_a_running_job_that_is_cancelled_leaves_none(self, submit: Submit, work: Work, settings: Any) -> None:
        job = submit("add_up", waits=[5])

        def cancel_at_five() -> bool:
            if at(5, settings) and Job.objects.get(pk=job.pk).cancel_requested_at is None:
                jobs.cancel(job=Job.objects.get(pk=job.pk), by=factories.owner())
            return False

        work(must_stop=cancel_at_five)
        assert state_of(job) == JobState.CANCELLED
        assert_nothing_is_left(settings)

    @pytest.mark.parametrize("end", ["break_down", "kill_self"])
    def test_a_job_that_fails_leaves_none(self, end: str, submit: Submit, work: Work, settings: Any) -> None:
        submit("add_up", waits=[5], end=end)
        assert work().state == JobState.FAILED
        assert_nothing_is_left(settings)
