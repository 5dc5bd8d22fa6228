"""picklescan as a second opinion: what it calls dangerous in a file that we would register is a finding of its own.

picklescan knows names that are dangerous; we know structures that are harmless. The two err in different ways, so a
disagreement is worth a person's look. It runs after the inspection, with a limit on its time and on the memory that it
adds, since the sandbox of jobs has no room for another process: an upload that crashes it, holds it up or fills the
memory costs the opinion and nothing else.

Source: picklescan 1.0.5, ``picklescan.scanner.scan_bytes``, which reads opcodes and neither unpickles nor connects.
"""

from __future__ import annotations

import logging
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from workers.artifacts.findings import Finding, finding, shown
from workers.artifacts.inspection import Inspection

_SECONDS = 30.0
_LOOK_SECONDS = 0.02
_MEMORY_BYTES = 1024**3
_ROOM_BYTES = 256 * 1024**2
_MOST_NAMES = 5
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Opinion:
    """What picklescan says.

    Attributes:
        dangerous: the globals it calls dangerous, as ``module.name``; empty for a file that it finds nothing in.
        failure: why it says nothing; empty where it does.
    """

    dangerous: tuple[str, ...] = ()
    failure: str = ""


class _LimitError(BaseException):
    """A limit was reached. picklescan takes every ordinary exception for the end of a pickle, and would go on."""


def with_second_opinion(inspection: Inspection, path: Path, *, filename: str) -> Inspection:
    """Add what picklescan thinks of a file that the inspection does not reject; a rejected one needs no other word."""
    if inspection.verdict == "rejected":
        return inspection
    found = _finding_of(ask(path, filename=filename))
    return inspection if found is None else replace(inspection, findings=(*inspection.findings, found))


def ask(path: Path, *, filename: str, seconds: float = _SECONDS, memory_bytes: int = _MEMORY_BYTES) -> Opinion:
    """Let picklescan read a file.

    Args:
        filename: its ending tells picklescan how to read the file.
        seconds: how long it may take; only the main thread can be held to it, so that no other one may ask.
        memory_bytes: how much private memory it may add to what this process has.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Only the main thread can limit the time that a scanner takes.")
    # Imported before the time runs: half an import would stay.
    from picklescan import scanner

    suffix = Path(filename).suffix.lower()
    try:
        with path.open("rb") as stream:
            return Opinion(_limited(lambda: _dangerous(scanner, stream, suffix), seconds, memory_bytes))
    except _LimitError as limit:
        return Opinion(failure=str(limit))
    except MemoryError:
        return Opinion(failure=_too_much(memory_bytes))
    except Exception as error:  # noqa: BLE001 - whatever a foreign scanner raises of a hostile file
        return Opinion(failure=f"It failed: {shown(f'{type(error).__name__}: {error}', _LONGEST_NAME)}.")


def _dangerous(scanner: Any, stream: BinaryIO, suffix: str) -> tuple[str, ...]:
    found = scanner.scan_bytes(stream, "upload", suffix).globals
    dangerous = scanner.SafetyLevel.Dangerous
    return tuple(sorted({f"{entry.module}.{entry.name}" for entry in found if entry.safety is dangerous}))


def _finding_of(opinion: Opinion) -> Finding | None:
    if opinion.failure:
        detail = f"picklescan read the file and gave no opinion. {opinion.failure}"
        return finding("ART-01.no_second_opinion", detail, "picklescan")
    if not opinion.dangerous:
        return None
    named = ", ".join(shown(name, _LONGEST_NAME) for name in opinion.dangerous[:_MOST_NAMES])
    detail = (
        f"picklescan finds {named} in the file, which our own reading does not. Whoever accepts this finding has "
        "looked at why."
    )
    return finding("ART-01.second_opinion", detail, "picklescan")


def _limited(work: Callable[[], tuple[str, ...]], seconds: float, memory_bytes: int) -> tuple[str, ...]:
    """Limit the time and the added memory of some work, and make picklescan tell a lack of memory.

    Raises:
        _LimitError: a limit was reached.
    """
    is_over = False
    until = time.monotonic() + seconds
    allowed = _private_bytes() + memory_bytes

    def look(_number: int, _frame: object) -> None:
        if is_over:
            return
        if time.monotonic() > until:
            raise _LimitError(f"It did not come to an end within {seconds:g} s.")
        if _private_bytes() > allowed:
            raise _LimitError(_too_much(memory_bytes))

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # What allocates a little at a time is seen by `look`, and leaves room: where not even a small number finds room,
    # CPython 3.11 unwinds an exception for ever, and hears no signal. The system's limit is for what allocates at once.
    ceiling = allowed + _ROOM_BYTES
    log = logging.getLogger("picklescan")
    before = (log.level, log.propagate)
    listener = _Listener(_too_much(memory_bytes))
    handler = signal.signal(signal.SIGALRM, look)
    # A limit may be reached at any instruction, so also in what cleans up: a second `finally` does that, undisturbed.
    try:
        try:
            log.addHandler(listener)
            log.setLevel(logging.DEBUG)
            log.propagate = False
            resource.setrlimit(resource.RLIMIT_DATA, (_lower(ceiling, soft), hard))
            # Again and again: Python drops what is raised inside of a destructor or a callback of its collector.
            signal.setitimer(signal.ITIMER_REAL, min(seconds, _LOOK_SECONDS), _LOOK_SECONDS)
            return work()
        finally:
            is_over = True
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        signal.signal(signal.SIGALRM, handler)
        log.removeHandler(listener)
        log.setLevel(before[0])
        log.propagate = before[1]


def _lower(wanted: int, limit: int) -> int:
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, limit)


class _Listener(logging.Handler):
    """Hears of the exceptions that picklescan takes for the end of a pickle, where a lack of memory is one of them."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], MemoryError):
            raise _LimitError(self._words)


def _too_much(memory_bytes: int) -> str:
    return f"It needed more than {memory_bytes:,} bytes of memory."


def _private_bytes() -> int:
    """Return the private writable memory of this process, which is what RLIMIT_DATA limits (proc(5), ``VmData``)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This kernel does not tell how much memory a process has.")
