"""A limit of time for what Python computes: a regular expression that backtracks for ever is told to stop.

The alarm of the process ends even a search inside of ``re``, which looks for signals while it backtracks. It needs no
process and no thread, which a job may not start. It rings again and again: what is raised may be swallowed, by Python
inside of a destructor or by a library that tells an error and goes on, and the search may begin only after that.
Source: setitimer(2), ``Modules/_sre`` of CPython.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

#: How soon the alarm rings again.
AGAIN_SECONDS = 0.2


class TimeLimitReached(Exception):
    """What was computed took longer than it may."""


@dataclass
class Limit:
    """Whether a limit was reached, for who calls what swallows exceptions."""

    is_reached: bool = False


@contextmanager
def time_limit(seconds: float | None) -> Iterator[Limit]:
    """Raise ``TimeLimitReached`` in the block once it has taken so many seconds; None sets no limit.

    Only the main thread gets signals, so that elsewhere nothing that needs a limit is run.

    Raises:
        RuntimeError: in another thread than the main one.
    """
    limit = Limit()
    if seconds is None:
        yield limit
        return
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("A limit of time can be set in the main thread only.")

    is_over = False

    def stop(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what signals call
        if not is_over:
            limit.is_reached = True
            raise TimeLimitReached

    before = signal.signal(signal.SIGALRM, stop)
    # The alarm may ring at any instruction, so also in what cleans up: a second `finally` does that, undisturbed.
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
            yield limit
        finally:
            is_over = True
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
