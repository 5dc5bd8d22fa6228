"""The queue: every change of state is a conditional UPDATE, and the number of changed rows is the answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from governance import queue
from governance.models import Job, JobState
from tests.factories import JobFactory

pytestmark = pytest.mark.django_db


def claimed(**values: Any) -> Job:
    JobFactory(**values)
    job = queue.claim(worker="a", devices=["cpu", "cuda:0", "cuda:1"])
    assert job is not None
    return job


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def fresh(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_a_claim_takes_the_oldest_and_raises_the_attempt(settings: Any) -> None:
    settings.ASSAY_LEASE_SECONDS = 60
    first, second = JobFactory(), JobFactory()
    job = queue.claim(worker="a", devices=["cpu"])
    assert job is not None
    assert job == first
    assert (job.state, job.attempt, job.worker, job.devices) == (JobState.RUNNING, 1, "a", ["cpu"])
    assert job.lease_until is not None
    assert job.started_at is not None
    assert 59 < (job.lease_until - job.started_at).total_seconds() < 61
    assert fresh(second).state == JobState.QUEUED
    assert queue.claim(worker="a", devices=["cpu"]) == second
    assert queue.claim(worker="a", devices=["cpu"]) is None


@pytest.mark.parametrize(
    ("devices", "kind", "count", "taken"),
    [
        (["cpu"], "cpu", 1, ["cpu"]),
        (["cpu"], "cuda", 1, None),
        (["cuda:0"], "cpu", 1, None),
        (["cuda:3"], "cuda", 1, ["cuda:3"]),
        (["cuda:0"], "cuda", 2, None),
        (["cpu", "cuda:0", "cuda:2"], "cuda", 2, ["cuda:0", "cuda:2"]),
        (["cpu", "cuda:0", "cuda:2"], "cuda", 1, ["cuda:0"]),
        ([], "cpu", 1, None),
    ],
)
def test_a_claim_takes_only_what_fits(devices: list[str], kind: str, count: int, taken: list[str] | None) -> None:
    JobFactory(device_kind=kind, device_count=count)
    job = queue.claim(worker="a", devices=devices)
    assert (None if job is None else job.devices) == taken


def test_a_claim_goes_on_to_the_next_when_another_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker takes the first candidate between this one's read and its UPDATE."""
    first, second = JobFactory(), JobFactory()
    real = queue.seconds_from_now
    raced: list[int] = []

    def race(seconds: float) -> Any:
        if not raced:
            raced.append(1)
            Job.objects.filter(pk=first.pk).update(state=JobState.RUNNING, attempt=1, worker="b")
        return real(seconds)

    monkeypatch.setattr(queue, "seconds_from_now", race)
    assert queue.claim(worker="a", devices=["cpu"]) == second
    assert fresh(first).worker == "b"


@pytest.mark.django_db(transaction=True)
def test_many_claims_at_once_take_each_job_once() -> None:
    for _ in range(24):
        JobFactory()

    def take(worker: int) -> list[int]:
        taken = []
        try:
            while (job := queue.claim(worker=f"worker {worker}", devices=["cpu"])) is not None:
                taken.append(job.pk)
        finally:
            connections.close_all()
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [pk for part in pool.map(take, range(6)) for pk in part]
    assert len(taken) == len(set(taken))
    # A claim that lost every candidate to others gives up until the next poll; the rest is still queued then.
    assert len(taken) + Job.objects.queued().count() == 24
    assert set(Job.objects.running().values_list("attempt", flat=True)) == {1}


def test_a_renewal_prolongs_the_lease_and_tells_progress() -> None:
    job = claimed()
    expire(job)
    assert queue.renew(job=job, progress={"done": 1})
    renewed = fresh(job)
    assert renewed.lease_until is not None
    assert renewed.lease_until > timezone.now()
    assert renewed.progress == {"done": 1}
    assert renewed.progress_at is not None
    assert queue.renew(job=job)
    assert fresh(job).progress == {"done": 1}


@pytest.mark.parametrize(
    "values", [{"attempt": 2}, {"state": JobState.QUEUED}, {"state": JobState.LOST}], ids=["attempt", "queued", "lost"]
)
def test_whoever_no_longer_holds_a_job_changes_nothing(values: dict[str, Any]) -> None:
    job = claimed()
    Job.objects.filter(pk=job.pk).update(**values)
    expire(job)
    before = Job.objects.filter(pk=job.pk).values().get()
    assert not queue.renew(job=job, progress={"done": 1})
    assert not queue.release(job=job)
    assert not queue.requeue(job=job)
    assert not queue.finish(job=job, state=JobState.SUCCEEDED)
    assert not queue.look(job=job).is_held
    assert Job.objects.filter(pk=job.pk).values().get() == before


def test_a_release_burns_no_attempt_and_reuses_no_number() -> None:
    job = claimed(max_attempts=1)
    assert queue.release(job=job)
    released = fresh(job)
    assert (released.state, released.attempt, released.max_attempts) == (JobState.QUEUED, 1, 2)
    assert (released.worker, released.devices, released.lease_until) == ("", [], None)
    again = queue.claim(worker="b", devices=["cpu"])
    assert again is not None
    assert again.attempt == 2
    # The one that released it is fenced off.
    assert not queue.renew(job=job)


def test_only_an_expired_lease_is_taken_back() -> None:
    job = claimed()
    assert queue.expired() == []
    assert not queue.requeue(job=job)
    expire(job)
    assert queue.expired() == [job]
    assert queue.requeue(job=job)
    assert fresh(job).state == JobState.QUEUED
    assert not queue.requeue(job=job)


def test_a_lease_renewed_after_it_was_read_is_not_taken_back() -> None:
    job = claimed()
    expire(job)
    (read,) = queue.expired()
    assert queue.renew(job=job)
    assert not queue.requeue(job=read)
    assert not queue.finish(job=read, state=JobState.LOST, only_expired=True)
    assert fresh(job).state == JobState.RUNNING


def test_a_job_without_attempts_left_or_with_a_wish_to_end_is_not_queued_again() -> None:
    last = claimed(max_attempts=1)
    unwanted = claimed()
    queue.request_cancel(job=unwanted)
    for job in (last, unwanted):
        expire(job)
        assert not queue.requeue(job=fresh(job))


def test_an_end_keeps_what_is_known() -> None:
    job = claimed()
    assert queue.finish(job=job, state=JobState.SUCCEEDED, values={"result_digest": "sha256:x"})
    ended = fresh(job)
    assert (ended.state, ended.result_digest, ended.lease_until) == (JobState.SUCCEEDED, "sha256:x", None)
    assert ended.finished_at is not None
    assert not queue.finish(job=job, state=JobState.FAILED)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_an_end_is_an_end(state: JobState) -> None:
    with pytest.raises(ValueError, match="is not an end state"):
        queue.finish(job=claimed(), state=state)


def test_cancelling_knows_queued_from_running() -> None:
    waiting = JobFactory()
    assert queue.cancel_queued(job=waiting, values={})
    assert fresh(waiting).state == JobState.CANCELLED
    assert not queue.request_cancel(job=waiting)
    running = claimed()
    assert not queue.cancel_queued(job=running, values={})
    assert queue.request_cancel(job=running)
    assert queue.look(job=running).cancel_requested_at is not None
    assert not queue.request_cancel(job=running)


def test_the_table_of_transitions_is_that_of_the_design() -> None:
    ends = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT, JobState.LOST}
    allowed = {(old, new) for old in JobState for new in JobState if queue.may_follow(old, new)}
    assert allowed == {
        (JobState.QUEUED, JobState.RUNNING),
        (JobState.QUEUED, JobState.CANCELLED),
        (JobState.RUNNING, JobState.QUEUED),
        *((JobState.RUNNING, end) for end in ends),
    }
