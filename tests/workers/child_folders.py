"""Job folders for tests of the child itself, run by hand or by the local executor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workers import sandbox
from workers.executors.local import LocalExecution, LocalExecutor
from workers.protocol import INPUTS_FOLDER, InputFile, JobSpec, Limits, Result, digest_of_bytes

CHECKOUT = Path(__file__).parents[2]
RUNNER = "tests.faults.runners:run"
#: The ways in which a child is put into its sandbox; a machine without bubblewrap has the second only.
WAYS = (pytest.param(sandbox.BUBBLEWRAP, marks=pytest.mark.bubblewrap), sandbox.NAMESPACES)
LIMITS = Limits(wall_seconds=60, cpu_seconds=60, memory_bytes=4 * 1024**3, file_bytes=16 * 1024**2)


def lay(
    folder: Path,
    do: str = "answer",
    *,
    runner: str = RUNNER,
    inputs: Mapping[str, bytes] | None = None,
    limits: Mapping[str, int] | None = None,
    attempt: int = 1,
    devices: Sequence[str] = ("cpu",),
    suffix: str = ".bin",
    **parameters: Any,
) -> JobSpec:
    """Lay a job folder for a runner of ``tests.faults.runners`` and return its spec; ``suffix`` ends its inputs."""
    (folder / INPUTS_FOLDER).mkdir(parents=True)
    files = {}
    for name, content in (inputs or {}).items():
        (folder / INPUTS_FOLDER / f"{name}{suffix}").write_bytes(content)
        files[name] = InputFile(f"{name}{suffix}", digest_of_bytes(content), len(content))
    spec = JobSpec(
        kind="tiny",
        runner=runner,
        job_id=1,
        attempt=attempt,
        parameters={"do": do, **parameters},
        inputs=files,
        devices=tuple(devices),
        limits=replace(LIMITS, **(limits or {})),
    )
    spec.write(folder)
    return spec


def run_by_hand(folder: Path, *, may_use_tests: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``python -m workers FOLDER`` the way a person does, from the checkout."""
    arguments = [sys.executable, "-m", "workers", str(folder)]
    if may_use_tests:
        arguments += ["--runner-package", "tests.faults"]
    return subprocess.run(
        arguments, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=120, env={**os.environ}
    )


def run_dispatched(spec: JobSpec, folder: Path, *, choice: str = sandbox.AUTO) -> tuple[Result, LocalExecution]:
    """Run a folder with the local executor to its end and read the result."""
    execution = start(spec, folder, choice=choice)
    finish(execution)
    return Result.read(folder), execution


def start(spec: JobSpec, folder: Path, *, choice: str = sandbox.AUTO) -> LocalExecution:
    return LocalExecutor(runner_packages=["tests.faults"], choice=choice).start(spec, folder, spec.devices)


def finish(execution: LocalExecution, *, seconds: float = 60) -> int | None:
    """Poll an execution until it has ended; return its exit status."""
    deadline = time.monotonic() + seconds
    while not (status := execution.poll()).has_ended:
        assert time.monotonic() < deadline, "the child did not end in time"
        execution.wait(0.2)
    return status.exit_status
