"""How much memory a job holds, counted from outside over every process of its session.

The system's own limit (``RLIMIT_DATA``) holds for each process alone and counts what may still be written, so it misses
what was written and then made read-only; and a job on a GPU has none, since CUDA reserves address space as it likes.
This count has whatever is mapped and there. What a process shares with the one that it was forked from counts twice.

Source: proc(5), ``/proc/PID/stat`` and ``/proc/PID/status``.
"""

from __future__ import annotations

from pathlib import Path

#: Private and shared memory that is there, private memory that is swapped out, and the tables that all of it needs.
_COUNTED = (b"RssAnon", b"RssShmem", b"VmSwap", b"VmPTE")

_PROCESSES = Path("/proc")


def held_by_session(session: int, *, processes: Path = _PROCESSES) -> int:
    """Return the bytes that the processes of a session hold; one that ends meanwhile holds nothing any more.

    No process of a job leaves its session: the sandbox denies that to all of them.
    """
    total = 0
    for process in processes.iterdir():
        if process.name.isdecimal():
            try:
                if _session_of(process) == session:
                    total += _held_by(process)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total


def _session_of(process: Path) -> int:
    # The second field is a name in parentheses, in which anything may stand, also a parenthesis.
    fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[3])


def _held_by(process: Path) -> int:
    lines = (line.partition(b":") for line in (process / "status").read_bytes().splitlines())
    return sum(int(value.split()[0]) * 1024 for name, _, value in lines if name in _COUNTED)
