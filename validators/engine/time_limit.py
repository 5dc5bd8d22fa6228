"""A limit of time for what Python computes: a regular expression that backtracks for ever is told to stop.

The alarm of the process ends even a search inside of ``re``, which looks for signals while it backtracks. It needs no
process and no thread, which a job may not start. Source: setitimer(2), ``Modules/_sre`` of CPython.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


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

    def stop(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what signals call
        limit.is_reached = True
        raise TimeLimitReached

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
