"""One job from its folder to its result: sandbox, digests, runner, result; every end is told in ``result.json``."""

from __future__ import annotations

import errno
import importlib
import os
import stat
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from workers import environment, packages, sandbox
from workers.context import JobContext, Runner
from workers.protocol import (
    INPUTS_FOLDER,
    OUTPUTS_FOLDER,
    ErrorReport,
    JobError,
    JobSpec,
    Json,
    OutputFile,
    Result,
    canonical_json,
    digest_of_file,
    is_plain_name,
)

#: The packages of Assay in which runners live.
RUNNER_PACKAGES = ("workers", "validators.engine", "audits.engine")

#: Where plug-ins name their runners.
RUNNER_ENTRY_POINTS = "assay.runners"

#: Runners that inspect an upload before they load it; where the sandbox is not whole they get as far as the loading.
STATIC_RUNNERS = frozenset({"workers.artifacts.job:run"})

#: What loads models.
_FRAMEWORKS = frozenset({"keras", "tensorflow", "torch"})

_MAX_DETAIL = 4000
_MAX_TRACEBACK = 20_000


def run(
    *,
    spec: JobSpec,
    folder: Path,
    runner_packages: Sequence[str] = (),
    message_descriptor: int | None = None,
    parent_pid: int | None = None,
    started_at: float | None = None,
    surroundings: sandbox.Surroundings | None = None,
) -> int:
    """Run a job, write its result, and return the exit status: 0 succeeded, 1 failed.

    Args:
        message_descriptor: where progress goes as JSON lines; None prints it for a person.
        started_at: the monotonic time at which the start of this process was asked for.
        surroundings: what this process was started in; None where nothing was prepared for it.
    """
    clock = _Clock(started_at)
    around = surroundings or sandbox.Surroundings()
    layers = sandbox.Layers()
    value: dict[str, Json] | None = None
    files: dict[str, OutputFile] = {}
    error: ErrorReport | None = None
    try:
        _check_runner(spec.runner, runner_packages)
        layers = sandbox.enter(
            folder=folder,
            limits=spec.limits,
            packages=packages.folders(spec.runner, runner_packages),
            uses_gpu=spec.uses_gpu,
            parent_pid=parent_pid,
            surroundings=around,
        )
        if spec.runner in STATIC_RUNNERS:
            sys.meta_path.insert(0, _FrameworkGuard(layers, around.choice))
        else:
            sandbox.require(layers, around.choice)
        _check_inputs(spec, folder)
        clock.lap("start")
        runner = _load_runner(spec.runner)
        clock.lap("import")
        value = runner(_context(spec, folder, message_descriptor))
        clock.lap("work")
        if not isinstance(value, dict):
            raise TypeError(f"The runner returned {type(value).__name__}, not a JSON object")
        canonical_json(value)
        files = _list_outputs(folder)
    except KeyboardInterrupt:
        print("Interrupted; the job has no result.", file=sys.stderr)
        return 130
    except JobError as refusal:
        error = ErrorReport(refusal.code, refusal.detail[:_MAX_DETAIL], refusal.place[:_MAX_DETAIL])
    except BaseException as breakage:  # noqa: BLE001 - also SystemExit: a job ends with a result, whatever its runner does
        error = _report(breakage, spec)
        print(error.traceback, file=sys.stderr)
    clock.lap("write" if error is None else "work")
    result = Result(
        job_id=spec.job_id,
        attempt=spec.attempt,
        status="succeeded" if error is None else "failed",
        value=value if error is None else None,
        files=files if error is None else {},
        error=error,
        timings=clock.laps,
        environment=environment.describe(spec=spec, sandbox=layers.to_json(), cards=around.cards),
        peak_memory_bytes=environment.peak_memory_bytes(),
    )
    result.write(folder)
    if message_descriptor is None:
        _tell(result)
    return 0 if error is None else 1


class _FrameworkGuard:
    """Stands before the import of every framework, so that nothing loads a model where the sandbox is not whole."""

    def __init__(self, layers: sandbox.Layers, choice: str) -> None:
        self._layers = layers
        self._choice = choice

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:  # noqa: ARG002 - what imports call
        if fullname in _FRAMEWORKS:
            sandbox.require(self._layers, self._choice)


class _Clock:
    """Seconds a phase."""

    def __init__(self, started_at: float | None) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic() if started_at is None else started_at

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(self.laps.get(name, 0.0) + max(0.0, now - self._last), 6)
        self._last = now


class _TerminalContext(JobContext):
    """A job that a person runs by hand: progress is printed."""

    def progress(self, done: float, total: float, unit: str, message: str = "") -> None:
        share = f"{done:g} of {total:g} {unit}" if total else f"{done:g} {unit}"
        print(f"{share}  {message}".rstrip(), file=sys.stderr)


def _context(spec: JobSpec, folder: Path, message_descriptor: int | None) -> JobContext:
    if message_descriptor is None:
        return _TerminalContext(spec, folder)
    return JobContext(spec, folder, message_descriptor=message_descriptor)


# ------------------------------------------------------------------------------------------------ the runner
def _check_runner(name: str, extra_packages: Sequence[str]) -> None:
    """Refuse a runner from anywhere but the compute half, the packages named at start, and declared plug-ins."""
    module, _, function = name.partition(":")
    packages = (*RUNNER_PACKAGES, *extra_packages)
    is_ours = any(module == package or module.startswith(f"{package}.") for package in packages)
    if not function.isidentifier() or not (is_ours or _is_plug_in(name)):
        raise JobError(
            "runner_not_allowed",
            f"The runner {name!r} is not module:function in {', '.join(packages)} or an entry point of "
            f"{RUNNER_ENTRY_POINTS}.",
            place="spec.runner",
        )


def _is_plug_in(name: str) -> bool:
    # Imported only here: it costs more than everything else that a child imports before its work.
    from importlib.metadata import entry_points

    return any(entry.value == name for entry in entry_points(group=RUNNER_ENTRY_POINTS))


def _load_runner(name: str) -> Runner:
    module, _, function = name.partition(":")
    try:
        runner: Runner = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise JobError(
            "runner_not_found", f"The runner {name!r} is not there: {error}.", place="spec.runner"
        ) from error
    return runner


# ----------------------------------------------------------------------------------------- inputs and outputs
def _check_inputs(spec: JobSpec, folder: Path) -> None:
    for name, file in spec.inputs.items():
        path = folder / INPUTS_FOLDER / file.filename
        if not is_plain_name(file.filename) or not path.is_file():
            raise JobError("input_missing", f"The input {name!r} is not in the job folder.", place=file.filename)
        digest = digest_of_file(path)
        if digest != file.digest:
            raise JobError(
                "input_changed",
                f"The input {name!r} has the digest {digest}, the spec names {file.digest}.",
                place=file.filename,
            )


def _list_outputs(folder: Path) -> dict[str, OutputFile]:
    outputs = folder / OUTPUTS_FOLDER
    if outputs.is_symlink():
        raise JobError(
            "output_not_plain", "The outputs lie in the job folder, not behind a link.", place=OUTPUTS_FOLDER
        )
    files = {}
    for path in sorted(outputs.iterdir()) if outputs.is_dir() else ():
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not is_plain_name(path.name):
            raise JobError("output_not_plain", "An output is a plain file with a plain name.", place=path.name)
        _make_durable(path)
        files[path.name] = OutputFile(digest=digest_of_file(path), size_bytes=status.st_size)
    return files


def _make_durable(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


# ---------------------------------------------------------------------------------------------------- errors
def _report(error: BaseException, spec: JobSpec) -> ErrorReport:
    """Return a breakage as a report; memory that ran out is told as that."""
    trace = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    if is_out_of_memory(error):
        # The frames hold what filled the memory; without them there is room to write the result.
        traceback.clear_frames(error.__traceback__)
        return ErrorReport(
            "out_of_memory",
            f"The job needed more memory than it may use ({spec.limits.memory_bytes / 1024**3:.3g} GiB of the"
            " machine's, and on a GPU all of the card's).",
            errored=True,
            traceback=trace,
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        detail = "The disk of the job folders is full; free space, then start the work again."
        return ErrorReport("storage_full", detail, errored=True, traceback=trace)
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        detail = f"The job wrote a file of more than {spec.limits.file_bytes:,} bytes, the most that it may."
        return ErrorReport("file_limit", detail, place=str(error.filename or ""), errored=True, traceback=trace)
    if isinstance(error, ValueError) and "JSON compliant" in str(error):
        detail = "The runner returned a value with NaN or an infinity, which JSON does not have."
        return ErrorReport("value_not_json", detail, errored=True, traceback=trace)
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        detail = (
            f"The job tried what its sandbox refuses: {error}. It may read its inputs, write in its own folder, and"
            " reach neither the network nor another process."
        )
        return ErrorReport("sandbox_refused", detail[:_MAX_DETAIL], str(error.filename or ""), True, trace)
    detail = f"The work broke: {type(error).__name__}: {error}"[:_MAX_DETAIL]
    return ErrorReport("broken", detail, errored=True, traceback=trace)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, in the words of Python, NumPy, Arrow, TensorFlow or torch."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError"):
        return True
    text = str(error)
    return isinstance(error, RuntimeError | OSError) and (
        "can't allocate memory" in text or "not enough memory" in text or "Cannot allocate memory" in text
    )


def _tell(result: Result, stream: IO[str] | None = None) -> None:
    stream = stream or sys.stderr
    seconds = ", ".join(f"{name} {value:.3f} s" for name, value in result.timings.items())
    if result.error is None:
        print(f"Succeeded ({seconds}); {len(result.files)} files in outputs/, the value in result.json.", file=stream)
    else:
        where = f" ({result.error.place})" if result.error.place else ""
        print(f"Failed: {result.error.detail}{where}", file=stream)
