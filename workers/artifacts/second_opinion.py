"""picklescan as a second opinion: what it calls dangerous in a file that we would register is a finding of its own.

picklescan knows names that are dangerous; we know structures that are harmless. The two err in different ways, so a
disagreement is worth a person's look. It runs after the inspection in a process of its own, with less memory than the
job, a time limit, and no way to unpickle, to start a program or to reach the network: an upload that crashes it or
holds it up costs the opinion and nothing else.

Source: picklescan 1.0.5, ``picklescan.scanner.scan_bytes``.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workers.artifacts.findings import Finding, finding, shown
from workers.artifacts.inspection import Inspection

_ROOT = Path(__file__).parents[2]
_SECONDS = 30.0
_MEMORY_BYTES = 1024**3
_MOST_NAMES = 5
_OUT_OF_MEMORY_STATUS = 70
_LONGEST_NAME = 200
#: What a scanner never does; Python tells of each before it happens.
_FORBIDDEN = frozenset(
    {"pickle.find_class", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"}
)


@dataclass(frozen=True)
class Opinion:
    """What picklescan says.

    Attributes:
        dangerous: the globals it calls dangerous, as ``module.name``; empty for a file that it finds nothing in.
        failure: why it says nothing; empty where it does.
    """

    dangerous: tuple[str, ...] = ()
    failure: str = ""


def with_second_opinion(inspection: Inspection, path: Path, *, filename: str) -> Inspection:
    """Add what picklescan thinks of a file that the inspection does not reject; a rejected one needs no other word."""
    if inspection.verdict == "rejected":
        return inspection
    found = _finding_of(ask(path, filename=filename))
    return inspection if found is None else replace(inspection, findings=(*inspection.findings, found))


def ask(path: Path, *, filename: str, seconds: float = _SECONDS, memory_bytes: int = _MEMORY_BYTES) -> Opinion:
    """Let picklescan read a file in a process of its own.

    Args:
        filename: its ending tells picklescan how to read the file.
        seconds: how long it may take.
        memory_bytes: how much private memory it may use.
    """
    command = [sys.executable, "-P", "-m", __name__, Path(filename).suffix.lower(), str(memory_bytes)]
    try:
        with path.open("rb") as stream:
            ended = subprocess.run(  # noqa: S603 - this interpreter, this module
                command,
                stdin=stream,
                capture_output=True,
                check=False,
                cwd=_ROOT,
                env={"PYTHONPATH": str(_ROOT)},
                timeout=seconds,
            )
    except subprocess.TimeoutExpired:
        return Opinion(failure=f"It did not come to an end within {seconds:g} s.")
    if ended.returncode == _OUT_OF_MEMORY_STATUS:
        return Opinion(failure=f"It needed more than {memory_bytes:,} bytes of memory.")
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return Opinion(failure=f"It ended with status {ended.returncode}: {shown(said, _LONGEST_NAME)}.")
    return Opinion(tuple(json.loads(ended.stdout)))


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


def _forbid(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"A scanner has no use for {event}.")


class _OutOfMemory(logging.Handler):
    """Ends the process where picklescan ran out of memory: it takes that for a pickle that ends there."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], MemoryError):
            os._exit(_OUT_OF_MEMORY_STATUS)


def _main(suffix: str, memory_bytes: int) -> None:
    """Scan the file on standard input and print the names that are dangerous as JSON."""
    from picklescan.scanner import SafetyLevel, scan_bytes

    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if highest == resource.RLIM_INFINITY else min(memory_bytes, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    sys.addaudithook(_forbid)
    log = logging.getLogger("picklescan")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(_OutOfMemory())
    try:
        with open(0, "rb") as stream:
            result = scan_bytes(stream, "upload", suffix)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY_STATUS)
    names = sorted(f"{entry.module}.{entry.name}" for entry in result.globals if entry.safety is SafetyLevel.Dangerous)
    print(json.dumps(names[: _MOST_NAMES * 10]))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
