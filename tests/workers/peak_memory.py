"""How much memory a job takes at most beside what its process has at its start, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


def extra_bytes(folder: Path, runner: str, inputs: Mapping[str, Path], parameters: Mapping[str, Any]) -> int:
    """Run a job in a new process; return its peak of private memory less what it had after its imports.

    Mapped files are not counted: the system takes their memory back when it needs it.
    """
    asked = {"inputs": {name: str(path) for name, path in inputs.items()}, "parameters": parameters}
    run = subprocess.run(
        [sys.executable, "-m", "tests.workers.peak_memory", str(folder), runner],
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout.splitlines()[-1])


def _private_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def _measure(folder: Path, runner: str, inputs: Mapping[str, Path], parameters: Mapping[str, Any]) -> int:
    from tests.workers.job_folders import job

    run = import_module(runner).run
    context = job(folder, kind="measured", inputs=inputs, parameters=parameters)
    peaks, ended = [_private_bytes()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            peaks.append(_private_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(context)
    finally:
        ended.set()
        watcher.join()
    return max(peaks) - peaks[0]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    files = {name: Path(path) for name, path in given["inputs"].items()}
    print(_measure(Path(sys.argv[1]), sys.argv[2], files, given["parameters"]))
