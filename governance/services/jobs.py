"""The verbs of jobs: submit and cancel for people; start, retry and end for workers; the log for readers."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from governance import job_kinds, permissions, queue
from governance.exceptions import InvalidInput, LostJob, StateConflict
from governance.job_kinds import JobKind
from governance.models import Job, JobState, StoredFile
from governance.permissions import Action
from governance.services import events
from governance.storage import store
from workers.protocol import (
    LOG_FILE,
    ErrorReport,
    InputFile,
    JobSpec,
    Limits,
    digest_of_json,
    is_plain_name,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

events.register("job.submitted", "job.started", "job.retried", "job.cancel_requested", "job.ended")

logger = logging.getLogger(__name__)

_DEVICES = re.compile(r"(?P<cpu>cpu)|cuda(?:\*(?P<count>[1-9][0-9]?))?")


# ------------------------------------------------------------------------------------------------ for people
def submit(
    *,
    kind: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, tuple[str, StoredFile]],
    subject: str,
    by: User,
    devices: str = queue.CPU,
    seed: int = 0,
) -> Job:
    """Leave a job in the queue: which work, on which stored files, with which parameters.

    Args:
        inputs: what the runner calls each file, with the file name that it sees and the content.
        subject: what the job works on, as people write it (``credit-scorer/3``).
        devices: ``cpu``, ``cuda`` for one GPU, or ``cuda*2`` for two.

    Raises:
        InvalidInput: the devices are not written like that.
    """
    job_kind = job_kinds.get(kind)
    device_kind, device_count = _read_devices(devices)
    spec = {
        "kind": kind,
        "runner": job_kind.runner,
        "parameters": dict(parameters),
        "inputs": {name: _input(filename, file) for name, (filename, file) in inputs.items()},
        "seed": seed,
        "limits": asdict(_limits(job_kind)),
    }
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            spec=spec,
            spec_digest=digest_of_json(spec),
            subject=subject,
            device_kind=device_kind,
            device_count=device_count,
            max_attempts=job_kind.max_attempts,
            created_by=by,
        )
        events.record(
            name="job.submitted",
            subject=_subject(job),
            by=by,
            detail={"kind": kind, "subject": subject, "spec_digest": job.spec_digest},
        )
    return job


def cancel(*, job: Job, by: User) -> Job:
    """Ask that a job end: a queued one is cancelled at once, a running one as soon as its worker sees it.

    Raises:
        NotAllowed: it is somebody else's job.
        StateConflict: the job has ended.
    """
    permissions.require(by, Action.CANCEL_JOB, job)
    error = ErrorReport("cancelled", f"{by.get_username()} cancelled the job before it started.")
    with transaction.atomic():
        if queue.cancel_queued(job=job, values={"error": as_json(error)}):
            job.refresh_from_db()
            _tell_failure(job, error)
            events.record(name="job.ended", subject=_subject(job), by=by, detail={"state": job.state})
            return job
        if queue.request_cancel(job=job):
            events.record(name="job.cancel_requested", subject=_subject(job), by=by)
    job.refresh_from_db()
    if job.is_finished:
        raise StateConflict(f"Job {job.pk} has ended already: it is {job.get_state_display()}.")
    return job


def read_log(*, job: Job, offset: int = 0, limit: int | None = None, tail_bytes: int | None = None) -> str:
    """Return what the job printed: so far, when it runs on this machine, and the stored log when it has ended.

    Args:
        offset: the byte to start at.
        limit: the most bytes to return.
        tail_bytes: return only the end, and ignore ``offset`` and ``limit``.
    """
    if job.log_id is not None:
        stream = store().open(job.log_id)
    else:
        path = folder_of(job) / LOG_FILE
        try:
            # The child may write in this folder: no link that it made is followed, and a pipe does not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return ""
        stream = os.fdopen(descriptor, "rb")
    with stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            return ""
        stream.seek(offset if tail_bytes is None else max(0, status.st_size - tail_bytes))
        content = stream.read(limit if tail_bytes is None and limit is not None else tail_bytes or -1)
    return content.decode("utf-8", errors="replace")


def folder_of(job: Job) -> Path:
    """Return the folder of the current attempt of a job on the machine that runs it."""
    return Path(settings.ASSAY_JOBS_FOLDER) / str(job.pk) / str(job.attempt)


# ----------------------------------------------------------------------------------------------- for workers
def start_next(*, worker: str, devices: list[str]) -> Job | None:
    """Claim the oldest job that fits the free devices, and tell so; None when there is none."""
    # An idle worker only reads: a transaction would ask SQLite for its one write lock at every poll.
    if not Job.objects.queued().filter(queue.fitting(devices)).exists():
        return None
    with transaction.atomic():
        job = queue.claim(worker=worker, devices=devices)
        if job is not None:
            events.record(
                name="job.started",
                subject=_subject(job),
                by=None,
                detail={"attempt": job.attempt, "worker": worker, "devices": job.devices},
            )
    return job


def spec_of(job: Job) -> JobSpec:
    """Return what the child of this attempt is asked to do; on GPUs it sees its own, numbered from 0."""
    document = job.spec
    return JobSpec(
        kind=document["kind"],
        runner=document["runner"],
        job_id=job.pk,
        attempt=job.attempt,
        parameters=document["parameters"],
        inputs={name: InputFile(**entry) for name, entry in document["inputs"].items()},
        devices=(queue.CPU,) if job.device_kind == queue.CPU else tuple(f"cuda:{n}" for n in range(job.device_count)),
        seed=document["seed"],
        limits=Limits(**document["limits"]),
    )


def release(*, job: Job) -> bool:
    """Give a job back to the queue because its worker stops; False when it was no longer held."""
    with transaction.atomic():
        if not queue.release(job=job):
            return False
        events.record(
            name="job.retried",
            subject=_subject(job),
            by=None,
            detail={"attempt": job.attempt, "reason": "its worker was stopped"},
        )
    return True


def recover() -> list[Job]:
    """Take back every job whose worker is gone: queue it again, or end it as lost or cancelled.

    Any worker may call this at any time; what another one has recovered meanwhile changes no row here.
    """
    return [job for job in queue.expired() if _recover_one(job)]


def succeed(
    *,
    job: Job,
    value: dict[str, Any],
    files: Mapping[str, StoredFile],
    values: Mapping[str, Any],
) -> None:
    """End a job with its result: end state, what its kind records, and the events, all or nothing.

    The conditional UPDATE comes first: it takes the row's lock, so that nothing is recorded for a job that another
    attempt may be recording.

    Raises:
        LostJob: this attempt no longer holds the job.
        AssayError: the kind does not accept the result; nothing was changed.
    """
    with transaction.atomic():
        if not queue.finish(job=job, state=JobState.SUCCEEDED, values=values):
            raise _lost(job)
        job.refresh_from_db()
        job_kinds.get(job.kind).record(job, value, files)
        _tell_end(job)


def fail(
    *,
    job: Job,
    error: ErrorReport,
    state: JobState = JobState.FAILED,
    values: Mapping[str, Any] | None = None,
    only_expired: bool = False,
) -> None:
    """End a job without a result: failed, cancelled, timed out or lost, with the reason.

    Raises:
        LostJob: this attempt no longer holds the job.
    """
    with transaction.atomic():
        if not queue.finish(
            job=job, state=state, values={**(values or {}), "error": as_json(error)}, only_expired=only_expired
        ):
            raise _lost(job)
        job.refresh_from_db()
        _tell_failure(job, error)
        _tell_end(job)


def as_json(error: ErrorReport) -> dict[str, Any]:
    """Return an error as the job keeps it; the traceback stays in the log."""
    document = asdict(error)
    del document["traceback"]
    return document


def _recover_one(job: Job) -> bool:
    try:
        if job.cancel_requested_at is not None:
            error = ErrorReport("cancelled", "The job was cancelled; its worker had stopped answering.")
            fail(job=job, error=error, state=JobState.CANCELLED, only_expired=True)
            return True
        if job.attempt >= job.max_attempts:
            error = ErrorReport(
                "lost",
                f"The worker stopped answering in attempt {job.attempt} of {job.max_attempts}; none is left.",
                errored=True,
            )
            fail(job=job, error=error, state=JobState.LOST, only_expired=True)
            return True
    except LostJob:
        return False
    with transaction.atomic():
        if not queue.requeue(job=job):
            return False
        events.record(
            name="job.retried",
            subject=_subject(job),
            by=None,
            detail={"attempt": job.attempt, "worker": job.worker, "reason": "its worker stopped answering"},
        )
    return True


def _tell_failure(job: Job, error: ErrorReport) -> None:
    """Let the kind record a failure; where that breaks, the job ends all the same and the log of the worker says it."""
    record_failure = job_kinds.get(job.kind).record_failure if job.kind in job_kinds.names() else None
    if record_failure is None:
        return
    try:
        with transaction.atomic():
            record_failure(job, error)
    except Exception:
        # Whatever breaks in the code of the kind, the job has ended and must not run for ever.
        logger.exception("What failed with job %s could not be recorded.", job.pk)


def _tell_end(job: Job) -> None:
    detail: dict[str, Any] = {"state": job.state, "attempt": job.attempt}
    if job.result_digest:
        detail["result_digest"] = job.result_digest
    if job.error:
        detail["error"] = {"code": job.error["code"], "detail": job.error["detail"]}
    events.record(name="job.ended", subject=_subject(job), by=None, detail=detail)


def _subject(job: Job) -> str:
    return f"job/{job.pk}"


def _lost(job: Job) -> LostJob:
    return LostJob(f"Attempt {job.attempt} no longer holds job {job.pk}.")


def _input(filename: str, file: StoredFile) -> dict[str, Any]:
    if not is_plain_name(filename):
        raise ValueError(f"{filename!r} is not a plain file name")
    return asdict(InputFile(filename=filename, digest=file.digest, size_bytes=file.size_bytes))


def _limits(kind: JobKind) -> Limits:
    """Return the limits of a kind, within those of the installation."""
    return replace(
        kind.limits,
        wall_seconds=min(kind.limits.wall_seconds, settings.ASSAY_JOB_WALL_SECONDS),
        memory_bytes=min(kind.limits.memory_bytes, settings.ASSAY_JOB_MEMORY_BYTES),
    )


def _read_devices(devices: str) -> tuple[str, int]:
    match = _DEVICES.fullmatch(devices)
    if match is None:
        raise InvalidInput(f"{devices!r} names no devices; write cpu, cuda, or cuda*2 for two GPUs.")
    return (queue.CPU, 1) if match["cpu"] else (queue.CUDA, int(match["count"] or 1))
