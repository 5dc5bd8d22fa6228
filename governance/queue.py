"""The job table as a queue: claim, renew, release, recover, finish and cancel, each one conditional UPDATE.

No function here trusts what it read before. Every UPDATE names the state, and for a running job the attempt, that it
changes *from*; the database evaluates that condition on the row as it is when the row is locked, on SQLite under the
one write lock of an IMMEDIATE transaction, on PostgreSQL again after waiting for a concurrent writer. So of two
workers that want the same change exactly one changes a row, and the number of changed rows is the answer.

The attempt is the fence: it is raised by every claim and never goes down, so that a worker that was thought dead and
comes back changes nothing. Leases are set and compared with the database's clock. Events and other tables are the
business of ``governance.services.jobs``, which calls these functions inside its transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import F, Q

from governance.clock import database_now, seconds_from_now
from governance.models import Job, JobState
from governance.models.job import JobQuerySet

#: The only ways from one state to another; there is none out of an end state.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.TIMED_OUT,
            JobState.LOST,
        }
    ),
}

CPU = "cpu"
CUDA = "cuda"

#: As many candidates as one claim looks at; when all of them are taken by others it looks again at the next poll.
_CANDIDATES = 16


@dataclass(frozen=True)
class Held:
    """What a worker learns of a job that it believes to hold."""

    is_held: bool
    cancel_requested_at: datetime | None = None


def may_follow(old: str, new: str) -> bool:
    """Tell whether a job may go from one state to another."""
    return JobState(new) in TRANSITIONS.get(JobState(old), frozenset())


def fitting(devices: Sequence[str]) -> Q:
    """Return the condition that a job fits these devices: ``cpu``, or as many ``cuda:N`` as it asks for."""
    cards = sum(device.startswith(CUDA) for device in devices)
    condition = Q(device_kind=CUDA, device_count__lte=cards)
    return condition | Q(device_kind=CPU) if CPU in devices else condition


def claim(*, worker: str, devices: Sequence[str]) -> Job | None:
    """Take the oldest queued job that fits these free devices; None when there is none.

    Two workers may read the same candidate. Both then UPDATE it under the condition that it is still queued under
    the attempt they read: the first changes one row, the second none, and goes on to the next candidate.
    """
    candidates = Job.objects.queued().filter(fitting(devices)).order_by("id")
    for pk, attempt, kind, count in candidates.values_list("pk", "attempt", "device_kind", "device_count")[
        :_CANDIDATES
    ]:
        taken = [CPU] if kind == CPU else [device for device in devices if device.startswith(CUDA)][:count]
        changed = Job.objects.filter(pk=pk, state=JobState.QUEUED, attempt=attempt).update(
            state=JobState.RUNNING,
            attempt=attempt + 1,
            worker=worker,
            devices=taken,
            lease_until=seconds_from_now(settings.ASSAY_LEASE_SECONDS),
            started_at=database_now(),
            progress={},
            progress_at=None,
        )
        if changed:
            return Job.objects.select_related("created_by").get(pk=pk)
    return None


def renew(*, job: Job, progress: Mapping[str, Any] | None = None) -> bool:
    """Prolong the lease, with the newest progress where there is some; False when the job is no longer held.

    False is final: another worker may already run the next attempt, so the caller kills its child and lets go.
    """
    values: dict[str, Any] = {"lease_until": seconds_from_now(settings.ASSAY_LEASE_SECONDS)}
    if progress is not None:
        values.update(progress=dict(progress), progress_at=database_now())
    return bool(_held(job).update(**values))


def look(*, job: Job) -> Held:
    """Read, without changing anything, whether the job is still held and whether somebody wants it to end."""
    row = _held(job).values_list("cancel_requested_at").first()
    return Held(False) if row is None else Held(True, row[0])


def release(*, job: Job) -> bool:
    """Give a running job back to the queue because its worker was asked to stop; False when it was no longer held.

    The attempt number stays used, since it is the fence; one more attempt is allowed instead, so that restarting
    workers never uses up the attempts of a job that did nothing wrong.
    """
    return bool(
        _held(job).update(
            state=JobState.QUEUED,
            max_attempts=F("max_attempts") + 1,
            worker="",
            devices=[],
            lease_until=None,
            started_at=None,
            progress={},
            progress_at=None,
        )
    )


def expired() -> list[Job]:
    """Return the running jobs whose worker has not renewed in time."""
    return list(Job.objects.running().filter(lease_until__lt=database_now()).select_related("created_by"))


def requeue(*, job: Job) -> bool:
    """Queue a job again whose lease ran out; False when it was renewed, finished or recovered meanwhile.

    The condition names the lease again: a worker that renewed after it was read keeps its job. Between two workers
    that recover the same job, the second finds it queued, or running under a higher attempt.
    """
    return bool(
        _held(job)
        .filter(lease_until__lt=database_now(), attempt__lt=F("max_attempts"), cancel_requested_at=None)
        .update(
            state=JobState.QUEUED,
            worker="",
            devices=[],
            lease_until=None,
            started_at=None,
            progress={},
            progress_at=None,
        )
    )


def finish(
    *,
    job: Job,
    state: JobState,
    values: Mapping[str, Any] | None = None,
    only_expired: bool = False,
) -> bool:
    """Bring a running job to an end state with what is known of it; False when it is no longer held.

    ``only_expired`` is for a recovery: it ends the job only while its lease is still over.
    """
    if not may_follow(JobState.RUNNING, state) or state == JobState.QUEUED:
        raise ValueError(f"{state} is not an end state of a running job")
    held = _held(job)
    if only_expired:
        held = held.filter(lease_until__lt=database_now())
    return bool(held.update(state=state, lease_until=None, finished_at=database_now(), **(values or {})))


def cancel_queued(*, job: Job, values: Mapping[str, Any]) -> bool:
    """End a job that nobody has claimed; False when a worker was faster."""
    return bool(
        Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(
            state=JobState.CANCELLED,
            cancel_requested_at=database_now(),
            finished_at=database_now(),
            **values,
        )
    )


def request_cancel(*, job: Job) -> bool:
    """Ask the worker of a running job to end it; False when it does not run, or was asked already."""
    return bool(
        Job.objects.filter(pk=job.pk, state=JobState.RUNNING, cancel_requested_at=None).update(
            cancel_requested_at=database_now()
        )
    )


def _held(job: Job) -> JobQuerySet:
    """Return the row as long as it runs under the attempt that the caller claimed."""
    return Job.objects.filter(pk=job.pk, state=JobState.RUNNING, attempt=job.attempt)
