"""One attempt of one job on this worker: its folder, its child, its lease, its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections

from governance import checkpoints, job_kinds, queue
from governance.exceptions import AssayError, IntegrityFailure, LostJob, StorageFull
from governance.job_folders import make_folders, overflow, remove_folder
from governance.models import Job, JobState, StoredFile
from governance.outcome import Outcome, read_outcome, store_log
from governance.services import jobs
from governance.storage import store, told
from workers.environment import describe_cards
from workers.executors.base import Execution, Executor
from workers.executors.local import LOG_HEAD_BYTES, LOG_TAIL_BYTES
from workers.protocol import INPUTS_FOLDER, OUTPUTS_FOLDER, ErrorReport, JobError, JobSpec, Progress

logger = logging.getLogger(__name__)

#: How often the row learns of progress, and the worker of a wish to cancel.
BEAT_SECONDS = 0.5

#: How often the room is measured that a child takes in its folder, and the memory that it holds.
FOLDER_SECONDS = 1.0
MEMORY_SECONDS = 0.2

#: What an honest job on a CPU holds beside the memory that the system itself limits: stacks, tables, constants of
#: libraries. So the system's limit is reached first, and told by the job itself.
UNLIMITED_BYTES = 256 * 1024**2

#: How long a child that is quiet is left alone, and so how long a stop of the worker may take to be seen.
WAIT_SECONDS = 0.2

_DATABASE_IS_AWAY = (OperationalError, InterfaceError)
_RENEWALS_PER_LEASE = 3
_RETRY_SECONDS = 0.5
_LOG_BYTES = LOG_HEAD_BYTES + LOG_TAIL_BYTES + 1024


class WorkerStops(Exception):
    """The worker was asked to stop while the job was not yet at its end."""


class EndedEarly(Exception):
    """The attempt is over before its child is: cancelled, timed out, or not worth running on."""

    def __init__(self, state: JobState, error: ErrorReport) -> None:
        super().__init__(error.detail)
        self.state = state
        self.error = error


class Pace:
    """Tells, asked as often as one likes, when it is time again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._was_due_at = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._was_due_at < self._seconds:
            return False
        self._was_due_at = now
        return True


class Lease:
    """The time for which an attempt is this worker's; it renews itself as long as :meth:`beat` is called."""

    def __init__(self, job: Job, claimed_at: float) -> None:
        self.job = job
        self.cancel_is_requested = False
        self._renewed_at = claimed_at
        self._beaten_at = claimed_at
        self.newest: Progress | None = None
        self._is_told = True

    @property
    def is_over(self) -> bool:
        """Tell, by this machine's own clock, that the lease may have run out: its start was read before it began."""
        return time.monotonic() - self._renewed_at >= float(settings.ASSAY_LEASE_SECONDS)

    def beat(self, progress: Progress | None = None) -> None:
        """Renew when it is time, tell newer progress, learn of a wish to cancel; cheap to call often.

        Raises:
            LostJob: another worker has, or may have, the job; what runs here must end.
        """
        if progress is not None:
            self.newest, self._is_told = progress, False
        now = time.monotonic()
        if now - self._beaten_at < BEAT_SECONDS:
            return
        self._beaten_at = now
        try:
            is_due = now - self._renewed_at >= settings.ASSAY_LEASE_SECONDS / _RENEWALS_PER_LEASE
            if is_due or not self._is_told:
                if not queue.renew(job=self.job, progress=None if self.newest is None else asdict(self.newest)):
                    raise self._lost()
                self._renewed_at, self._is_told = now, True
            held = queue.look(job=self.job)
        except _DATABASE_IS_AWAY as error:
            # The database may come back before the lease is over; without it nobody else takes the job either.
            logger.warning("The lease of %s could not be renewed: %s", self.job, error)
            close_old_connections()
            if self.is_over:
                raise self._lost() from error
            return
        if not held.is_held:
            raise self._lost()
        self.cancel_is_requested = held.cancel_requested_at is not None

    def _lost(self) -> LostJob:
        return LostJob(f"Attempt {self.job.attempt} no longer holds job {self.job.pk}.")


class Attempt:
    """Runs a claimed job to its end state, or gives it back.

    Args:
        claimed_at: the monotonic time just before the claim.
        must_stop: tells that the worker is asked to stop.
        keep_folder: leave the folder under ``kept/`` instead of removing it.
    """

    def __init__(
        self,
        *,
        job: Job,
        executor: Executor,
        claimed_at: float,
        must_stop: Callable[[], bool] = lambda: False,
        keep_folder: bool = False,
    ) -> None:
        self.job = job
        self.executor = executor
        self.folder = jobs.folder_of(job)
        self.was_released = False
        self._has_ended = False
        self._lease = Lease(job, claimed_at)
        self._must_stop = must_stop
        self._keep_folder = keep_folder
        self._cards: dict[str, Any] = {}
        self._timings: dict[str, float] = {"queue": _seconds_in_queue(job)}
        self._at = time.monotonic()

    def run(self) -> None:
        """Run the attempt; returns when the job has an end state, is queued again, or belongs to somebody else."""
        logger.info("%s, attempt %d of %d, starts.", self.job, self.job.attempt, self.job.max_attempts)
        try:
            self._run()
            self._has_ended = True
        except WorkerStops:
            self.was_released = self._until_lease_ends(lambda: jobs.release(job=self.job))
            logger.info("%s went back to the queue.", self.job)
        except LostJob as error:
            logger.warning("%s Its child was ended.", error.detail)
        finally:
            self._clear()

    def _run(self) -> None:
        try:
            kind = self._kind()
            spec = jobs.spec_of(self.job)
            self._make_folder(spec)
            exit_status = self._run_child(spec)
            outcome = read_outcome(
                spec=spec,
                folder=self.folder,
                exit_status=exit_status,
                result_schema=kind.result_schema,
                store=store(),
                beat=self._lease.beat,
            )
        except EndedEarly as end:
            self._fail(end.error, state=end.state)
        except (StorageFull, IntegrityFailure) as error:
            self._fail(ErrorReport(error.code, error.detail, errored=True))
        except JobError as error:
            self._fail(ErrorReport(error.code, error.detail, error.place, errored=True))
        except OSError as error:
            known = told(error)
            if isinstance(known, StorageFull):
                self._fail(ErrorReport(known.code, known.detail, errored=True))
                return
            logger.exception("%s could not be run.", self.job)
            self._fail(
                ErrorReport("worker_error", f"The worker could not run the job: {error.strerror}.", errored=True)
            )
        else:
            self._end(outcome)

    # ------------------------------------------------------------------------------------------- the folder
    def _clear(self) -> None:
        """Remove the folder; of a job that has not ended the checkpoint stays, for whoever goes on."""
        if not self._has_ended:
            checkpoints.leave(self.folder)
            return
        if self._keep_folder and self.folder.exists():
            kept = Path(settings.ASSAY_JOBS_FOLDER) / "kept"
            kept.mkdir(exist_ok=True)
            self.folder.rename(kept / f"{self.job.pk}-{self.job.attempt}")
        remove_folder(self.folder)

    def _kind(self) -> job_kinds.JobKind:
        try:
            return job_kinds.get(self.job.kind)
        except KeyError:
            detail = f"This worker knows no job kind {self.job.kind!r}; it has to run the same apps as the web process."
            raise EndedEarly(JobState.FAILED, ErrorReport("unknown_kind", detail, errored=True)) from None

    def _make_folder(self, spec: JobSpec) -> None:
        # A folder of this very attempt can only be what an interrupted start left.
        remove_folder(self.folder)
        make_folders(self.folder / INPUTS_FOLDER)
        (self.folder / OUTPUTS_FOLDER).mkdir()
        content = store()
        for file in spec.inputs.values():
            content.copy_to(file.digest, self.folder / INPUTS_FOLDER / file.filename, on_chunk=self._beat)
        spec.write(self.folder)
        checkpoints.take_over(self.folder, spec.limits, beat=self._beat)
        self._lap("prepare")

    # -------------------------------------------------------------------------------------------- the child
    def _run_child(self, spec: JobSpec) -> int | None:
        execution = self.executor.start(spec, self.folder, self.job.devices)
        self._cards = describe_cards(execution.cards)
        try:
            return self._watch(execution, deadline=time.monotonic() + spec.limits.wall_seconds, spec=spec)
        finally:
            execution.cancel()
            self._lap("run")

    def _watch(self, execution: Execution, *, deadline: float, spec: JobSpec) -> int | None:
        folder_pace, memory_pace = Pace(FOLDER_SECONDS), Pace(MEMORY_SECONDS)
        while True:
            status = execution.poll()
            if status.violation:
                raise EndedEarly(JobState.FAILED, ErrorReport("protocol_violation", status.violation, errored=True))
            if status.has_ended:
                self._lease.newest = status.progress or self._lease.newest
                return status.exit_status
            if time.monotonic() >= deadline:
                detail = f"The job ran longer than {spec.limits.wall_seconds:,} seconds, the most that it may."
                raise EndedEarly(JobState.TIMED_OUT, ErrorReport("timed_out", detail))
            if memory_pace.is_due():
                _check_memory(execution, spec)
            if folder_pace.is_due():
                problem = overflow(self.folder, spec)
                if problem is not None:
                    detail = f"The job filled its folder. {problem}"
                    raise EndedEarly(JobState.FAILED, ErrorReport("folder_limit", detail, errored=True))
            self._beat(status.progress)
            if self._lease.cancel_is_requested:
                raise EndedEarly(JobState.CANCELLED, ErrorReport("cancelled", "The job was cancelled while it ran."))
            execution.wait(WAIT_SECONDS)

    def _beat(self, progress: Progress | None = None) -> None:
        if self._must_stop():
            raise WorkerStops
        self._lease.beat(progress)

    # ---------------------------------------------------------------------------------------------- the end
    def _end(self, outcome: Outcome) -> None:
        self._lap("store")
        if outcome.error is not None:
            self._fail(outcome.error, about=outcome)
            return
        values = self._values(outcome)
        try:
            self._until_lease_ends(
                lambda: jobs.succeed(job=self.job, value=outcome.value, files=outcome.files, values=values)
            )
        except LostJob:
            raise
        except AssayError as error:
            self._fail(ErrorReport(error.code, error.detail), about=outcome)
        except _DATABASE_IS_AWAY:
            raise
        except Exception as error:
            # The kind's code broke on a result that keeps its schema: that is told, and not tried again for ever.
            logger.exception("The result of %s could not be recorded.", self.job)
            detail = f"The result could not be recorded ({type(error).__name__}); the log of the worker tells more."
            self._fail(ErrorReport("not_recorded", detail, errored=True), about=outcome)
        else:
            logger.info("%s succeeded.", self.job)

    def _fail(self, error: ErrorReport, *, state: JobState = JobState.FAILED, about: Outcome | None = None) -> None:
        values = self._values(about or Outcome(error=error)) | {"result_digest": ""}
        self._until_lease_ends(lambda: jobs.fail(job=self.job, error=error, state=state, values=values))
        logger.info("%s ended as %s: %s", self.job, state.label, error.detail)

    def _values(self, outcome: Outcome) -> dict[str, Any]:
        """Return what the row keeps of an attempt, however it ended."""
        seconds = dict(self._timings)
        if outcome.timings:
            # What the child does not account for: from its last line to its end being seen.
            rest = max(0.0, seconds.pop("run", 0.0) - sum(outcome.timings.values()))
            store_seconds = {"store": seconds.pop("store")} if "store" in seconds else {}
            seconds = {**seconds, **outcome.timings, "exit": rest, **store_seconds}
        values: dict[str, Any] = {
            "result_digest": outcome.result_digest,
            "environment": self._environment(outcome),
            "timings": {name: round(value, 6) for name, value in seconds.items()},
            "peak_memory_bytes": outcome.peak_memory_bytes,
            "log": self._stored_log(),
        }
        if self._lease.newest is not None:
            values["progress"] = asdict(self._lease.newest)
        return values

    def _environment(self, outcome: Outcome) -> dict[str, Any]:
        """Return what the child says that it ran in; which cards those were is the worker's own word."""
        return {name: said for name, said in outcome.environment.items() if name != "cards"} | self._cards

    def _stored_log(self) -> StoredFile | None:
        try:
            return store_log(folder=self.folder, store=store(), max_bytes=_LOG_BYTES, beat=self._lease.beat)
        except StorageFull as error:
            logger.warning("The log of %s was not kept: %s", self.job, error.detail)
            return None

    def _until_lease_ends(self, operation: Callable[[], Any]) -> Any:
        """Do it again while the database does not answer, as long as the job is surely still held."""
        while True:
            try:
                return operation()
            except _DATABASE_IS_AWAY as error:
                if self._lease.is_over:
                    raise
                logger.warning("%s could not be ended yet: %s", self.job, error)
                close_old_connections()
                time.sleep(_RETRY_SECONDS)

    def _lap(self, name: str) -> None:
        now = time.monotonic()
        self._timings[name] = now - self._at
        self._at = now


def _check_memory(execution: Execution, spec: JobSpec) -> None:
    """End a job that holds more memory than it may.

    Raises:
        EndedEarly: it does.
    """
    most = spec.limits.memory_bytes + (0 if spec.uses_gpu else UNLIMITED_BYTES)
    held = execution.held_memory_bytes()
    if held > most:
        detail = (
            f"The job needed more memory than it may use ({spec.limits.memory_bytes / 1024**3:.3g} GiB): it held "
            f"{held / 1024**3:.3g} GiB when it was ended. Give it fewer rows, or its kind more memory."
        )
        raise EndedEarly(JobState.FAILED, ErrorReport("out_of_memory", detail, errored=True))


def _seconds_in_queue(job: Job) -> float:
    return 0.0 if job.started_at is None else max(0.0, (job.started_at - job.created_at).total_seconds())
