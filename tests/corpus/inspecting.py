"""``python -m tests.corpus.inspecting < requests.json``: inspects files in a process of limited, measured memory.

Reads a JSON object of names and paths; prints for each name the verdict, the findings that decide, the seconds, and
the peak of this process's resident memory so far.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY_BYTES = 512 * 1024**2
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Seen:
    """What an inspection came to.

    Attributes:
        deciding: id and place of each finding that keeps the file from being registered.
    """

    verdict: str
    reason: str
    deciding: tuple[tuple[str, str], ...]
    seconds: float
    peak_bytes: int


def inspect_all(paths: Mapping[str, Path]) -> dict[str, Seen]:
    """Inspect files in a child; a child that dies is an error that names the file."""
    request = json.dumps({name: str(path) for name, path in paths.items()})
    child = subprocess.run(
        [sys.executable, "-m", "tests.corpus.inspecting"],
        input=request,
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
        check=False,
    )
    seen = {}
    for line in child.stdout.splitlines():
        name, outcome = json.loads(line)
        seen[name] = Seen(**outcome | {"deciding": tuple(map(tuple, outcome["deciding"]))})
    missing = [name for name in paths if name not in seen]
    if child.returncode or missing:
        raise AssertionError(f"The inspection ended with {child.returncode} at {missing[:1]}: {child.stderr[-2000:]}")
    return seen


def _peak_bytes() -> int:
    """Return the peak of this program alone; ``ru_maxrss`` would start with that of the process which started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This kernel does not tell the peak of memory.")


def _seen(path: Path) -> dict[str, Any]:
    from workers.artifacts.inspection import inspect

    began = time.monotonic()
    inspection = inspect(path, filename=path.name)
    return {
        "verdict": inspection.verdict,
        "reason": inspection.reason,
        "deciding": [(finding.id, finding.place) for finding in inspection.findings if finding.decides()],
        "seconds": time.monotonic() - began,
        "peak_bytes": _peak_bytes(),
    }


def main() -> int:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    for name, path in json.load(sys.stdin).items():
        print(json.dumps([name, _seen(Path(path))]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
