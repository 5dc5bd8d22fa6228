"""The loop behind ``manage.py worker``: claim what fits, run each job in a thread of its own, recover what others lost.

A thread does one attempt (``governance.attempt``): folder, child, result. This loop claims, watches the clock and
stops; it holds no state that a ``kill -9`` could lose, since the job row is the queue.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from structlog.contextvars import bound_contextvars

from governance import checkpoints, queue
from governance.attempt import Attempt
from governance.job_folders import remove_folder
from governance.models import Job, JobState
from governance.services import jobs, reviews, uploads
from governance.storage import store
from workers.executors.base import Executor

logger = logging.getLogger(__name__)

#: How often a worker looks for jobs whose worker is gone, as a share of the lease.
_RECOVERIES_PER_LEASE = 4

#: How often a worker asks whether approvals still rest on evidence that holds.
_RECHECK_SECONDS = 60

#: How often a worker removes uploads that have expired.
_SWEEP_SECONDS = 600


class Dispatcher:
    """One worker: so many jobs at a time, on these devices.

    Args:
        executor: where job folders run.
        slots: how many jobs at a time.
        devices: ``cpu`` to take CPU jobs, ``cuda:N`` for each GPU that jobs may have to themselves.
        poll_seconds: how long an idle worker waits before it looks again.
        keep_folders: leave the folders of ended jobs under ``kept/``, to run them again by hand.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        slots: int = 1,
        devices: Sequence[str] = (queue.CPU,),
        poll_seconds: float = 0.1,
        keep_folders: bool = False,
    ) -> None:
        self.executor = executor
        self.slots = slots
        self.devices = list(devices)
        self.poll_seconds = poll_seconds
        self.keep_folders = keep_folders
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.is_stopping = False
        self.was_stopped = False
        self.ended_count = 0
        self.released_count = 0
        self._running: dict[threading.Thread, Attempt] = {}
        self._recovered_at = float("-inf")
        self._rechecked_at = float("-inf")
        self._swept_at = float("-inf")
        # A pipe and not an Event: a signal handler that interrupts an Event's own lock would wait for itself.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def close(self) -> None:
        """Give back the pipe; the dispatcher does not run again."""
        os.close(self._woken)
        os.close(self._wake)

    def stop(self) -> None:
        """Stop claiming and give running jobs back to the queue; safe to call from a signal handler."""
        self.was_stopped = self.is_stopping = True
        self._ring()

    def run(self, *, until_idle: bool = False) -> None:
        """Work until :meth:`stop`, or until no unfinished job is left that fits the devices."""
        self._clean()
        try:
            while not self.is_stopping:
                try:
                    self._recover()
                    self._recheck()
                    self._sweep_uploads()
                    self._claim()
                    if until_idle and not self._running and not self._has_work():
                        break
                except (OperationalError, InterfaceError) as error:
                    # A database that is away comes back; what runs here is held until its lease is over.
                    logger.warning("The database does not answer: %s", error)
                    close_old_connections()
                self._wait()
        finally:
            self.is_stopping = True
            for thread in list(self._running):
                thread.join()
            self._collect()

    def _claim(self) -> None:
        self._collect()
        while len(self._running) < self.slots and not self.is_stopping:
            claimed_at = time.monotonic()
            job = jobs.start_next(worker=self.name, devices=self._free())
            if job is None:
                return
            attempt = Attempt(
                job=job,
                executor=self.executor,
                claimed_at=claimed_at,
                must_stop=lambda: self.is_stopping,
                keep_folder=self.keep_folders,
            )
            thread = threading.Thread(target=self._work, args=(attempt,), name=str(job))
            self._running[thread] = attempt
            thread.start()

    def _work(self, attempt: Attempt) -> None:
        """Run one attempt in its own thread, with its own database connection."""
        with _told_of(attempt.job):
            try:
                attempt.run()
            except Exception:
                logger.exception("%s was given up; its lease will run out and another worker takes it.", attempt.job)
            finally:
                connections.close_all()
                self._ring()

    def _free(self) -> list[str]:
        taken = [device for attempt in self._running.values() for device in attempt.job.devices]
        return [device for device in self.devices if device == queue.CPU or device not in taken]

    def _collect(self) -> None:
        for thread in [thread for thread in self._running if not thread.is_alive()]:
            attempt = self._running.pop(thread)
            self.released_count += attempt.was_released
            self.ended_count += not attempt.was_released

    def _recover(self) -> None:
        if time.monotonic() - self._recovered_at < settings.ASSAY_LEASE_SECONDS / _RECOVERIES_PER_LEASE:
            return
        for job in jobs.recover():
            with _told_of(job):
                logger.warning("%s was taken back: worker %s stopped answering.", job, job.worker)
        self._clean_folders()
        self._recovered_at = time.monotonic()

    def _recheck(self) -> None:
        """Void approvals whose evidence time alone has made untrue, such as a waiver that ended."""
        if time.monotonic() - self._rechecked_at < _RECHECK_SECONDS:
            return
        self._rechecked_at = time.monotonic()
        try:
            voided = reviews.recheck_all()
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # Whoever uses an approval asks again and fails closed; that the list is not current stops no job.
            logger.exception("The approvals could not be checked again.")
            return
        for review in voided:
            logger.warning("%s is void: %s", review, review.voided_because)

    def _sweep_uploads(self) -> None:
        if time.monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        try:
            removed = uploads.sweep()
        except OSError:
            # A store that cannot be swept may still be read: jobs go on.
            logger.exception("Uploads that have expired could not be removed.")
            return
        if removed:
            logger.info("Removed %d uploads that had expired.", removed)

    def _has_work(self) -> bool:
        return Job.objects.unfinished().filter(queue.fitting(self.devices)).exists()

    def _clean(self) -> None:
        """Remove what dead processes left: temporary files of the store, folders of attempts that are over."""
        store().sweep()
        self._clean_folders()

    def _clean_folders(self) -> None:
        """Remove the folders of attempts that are over; a checkpoint stays as long as its job may go on with it."""
        for folder in _attempt_folders():
            # A folder is made after its claim, so one whose attempt does not run belongs to nobody.
            job = Job.objects.unfinished().filter(pk=int(folder.parent.name)).first()
            if job is None:
                remove_folder(folder)
            elif not (job.state == JobState.RUNNING and job.attempt == int(folder.name)):
                checkpoints.leave(folder)

    def _wait(self) -> None:
        select.select([self._woken], [], [], self.poll_seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _ring(self) -> None:
        # A full pipe has rung already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b".")


def _attempt_folders() -> list[Path]:
    """Return the folder of every attempt under the job folders; one that is removed meanwhile is passed."""
    return [
        attempt for job in _numbered_folders(Path(settings.ASSAY_JOBS_FOLDER)) for attempt in _numbered_folders(job)
    ]


def _numbered_folders(folder: Path) -> list[Path]:
    # Not Path.glob: it breaks on a folder that is removed between being listed and being read.
    try:
        return [path for path in folder.iterdir() if path.name.isdecimal()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _told_of(job: Job) -> AbstractContextManager[None]:
    """Have what this thread logs carry which attempt of which job it is about."""
    return bound_contextvars(job=job.pk, attempt=job.attempt)
