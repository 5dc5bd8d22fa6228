"""The child: ``python -m workers JOB_FOLDER`` runs one job folder, for a dispatcher or by hand.

Exit status: 0 the job succeeded, 1 it failed and ``result.json`` says why, 2 it was not begun: the folder is no
job folder, or this machine lacks its GPUs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import workers
from workers import child, environment, sandbox
from workers.protocol import MESSAGE_DESCRIPTOR, SPEC_FILE, JobError, JobSpec, Json, ProtocolError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run the job that lies in a folder.")
    parser.add_argument("folder", type=Path, help="the job folder: spec.json, and the input files under inputs/")
    parser.add_argument(
        "--runner-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package beside Assay's own in which runners may live; may be given more than once",
    )
    # What a dispatcher adds: a lifeline on standard input, messages on descriptor 3, when it started the child and in
    # what.
    parser.add_argument("--dispatched", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--started-at", type=float, default=time.monotonic(), help=argparse.SUPPRESS)
    parser.add_argument("--surroundings", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)

    parent = os.getppid()
    if options.dispatched:
        _close_the_rest()
        _hold_lifeline()
    folder = options.folder.resolve()
    try:
        spec = JobSpec.read(folder)
    except (OSError, ValueError, ProtocolError) as error:
        print(f"{folder / SPEC_FILE} cannot be read: {error}", file=sys.stderr)
        return 2
    try:
        around = _surroundings(options.surroundings, spec)
    except JobError as error:
        print(error.detail, file=sys.stderr)
        return 2
    if not options.dispatched:
        _take_environment(folder, around)
    os.chdir(folder)
    status = child.run(
        spec=spec,
        folder=folder,
        runner_packages=options.runner_package,
        message_descriptor=MESSAGE_DESCRIPTOR if options.dispatched else None,
        parent_pid=parent if options.dispatched else None,
        started_at=options.started_at,
        surroundings=around,
    )
    if options.dispatched:
        _leave(status)
    return status


def _surroundings(
    told: Mapping[str, Json] | None,
    spec: JobSpec,
    driver: sandbox.Driver = sandbox.Driver(),  # noqa: B008 - immutable
) -> sandbox.Surroundings:
    """Return what a dispatcher tells of where it started this process; by hand, a job gets the machine's first GPUs.

    Raises:
        JobError: they are not there, or cannot be told from others.
    """
    if told is not None:
        return sandbox.Surroundings.from_json(told)
    cards = driver.assigned(spec.devices)
    return sandbox.Surroundings(cards=cards, device_files=tuple(driver.device_files(cards)))


def _take_environment(folder: Path, around: sandbox.Surroundings) -> None:
    """Give a job that is run by hand what a dispatched one has, before a library reads it.

    The person's own would leak secrets into the job, change its numbers (threads, kernels), and point libraries to a
    home that the sandbox keeps them from: Keras breaks on a ``~/.keras/keras.json`` that it sees and may not read.
    """
    temporary = folder / environment.TEMPORARY_FOLDER
    temporary.mkdir(exist_ok=True)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    variables = environment.variables(
        temporary=temporary,
        module_path=[Path(workers.__file__).parents[1]],
        threads=int(threads) if threads.isdecimal() and int(threads) else os.cpu_count() or 1,
        cards=[card.name for card in around.cards],
    )
    os.environ.clear()
    os.environ.update(variables)


def _leave(status: int) -> NoReturn:
    """End now: the result is durable, and libraries that take themselves apart cost time and may crash on the way."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)
    os._exit(status)


def _close_the_rest() -> None:
    """Close what a library of the worker left open for its children: no job is to read from it."""
    for name in [entry.name for entry in Path("/proc/self/fd").iterdir()]:
        if int(name) > MESSAGE_DESCRIPTOR:
            # The descriptor of the listing itself is closed already.
            with contextlib.suppress(OSError):
                os.close(int(name))


def _hold_lifeline() -> None:
    """Leave behind a process that kills the whole group when the dispatcher is gone: its end of the pipe closes then.

    A process and not a thread: native code that keeps the interpreter to itself would keep a thread from running, and
    the kernel's parent-death signal reaches this process alone and none that it starts.
    """
    if os.fork():
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        return
    os.closerange(1, 256)
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
