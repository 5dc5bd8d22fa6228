"""What a child left in its folder, read as one reads a stranger's: every claim of it is checked before it counts."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import jsonschema

from governance import output_files
from governance.exceptions import IntegrityFailure, UploadTooLarge
from governance.models import StoredFile
from governance.storage import CHUNK_BYTES, ContentStore
from workers.protocol import (
    LOG_FILE,
    OUTPUTS_FOLDER,
    ErrorReport,
    JobSpec,
    Limits,
    ProtocolError,
    Result,
    canonical_json,
    digest_of_json,
)

#: More files than any kind makes.
MAX_FILES = 1000

#: What a child says about its environment is shown on a page; more than this is no description.
MAX_ENVIRONMENT_BYTES = 64 * 1024

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_BIGGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: an error, or a value and stored files that keep what the kind promises."""

    error: ErrorReport | None
    value: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    result_digest: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None


def read_outcome(
    *,
    spec: JobSpec,
    folder: Path,
    exit_status: int | None,
    result_schema: Mapping[str, Any],
    store: ContentStore,
    beat: Callable[[], None],
) -> Outcome:
    """Read, check and store what an ended child left; a lie is an outcome too, and nothing of it is kept.

    ``beat`` is called between pieces of work that may take long.
    """
    if not os.path.lexists(folder / "result.json"):
        return Outcome(error=died(exit_status, spec.limits))
    try:
        result = _read_result(spec, folder)
        told = Outcome(
            error=None if result.error is None else _cut(result.error),
            environment=result.environment,
            timings=result.timings,
            peak_memory_bytes=result.peak_memory_bytes or None,
        )
        if told.error is not None:
            return told
        assert result.value is not None  # the protocol: a success has a value
        _check_value(result.value, result_schema)
        files = _store_files(result, spec.limits, folder, store, beat)
    except ProtocolError as error:
        return Outcome(error=ErrorReport("protocol_violation", str(error), errored=True))
    digest = digest_of_json({"value": result.value, "files": {name: file.digest for name, file in files.items()}})
    return replace(told, value=result.value, files=files, result_digest=digest)


def died(exit_status: int | None, limits: Limits) -> ErrorReport:
    """Say how a child ended that left no result."""
    if exit_status == -signal.SIGXCPU:
        detail = f"The job used more than {limits.cpu_seconds:,} seconds of processor time, the most that it may."
        return ErrorReport("cpu_limit", detail, errored=True)
    if exit_status == -signal.SIGKILL:
        detail = (
            "The child was killed (SIGKILL) before it left a result. Where nobody did that by hand, it was the system, "
            "whose memory ran out: give the job fewer rows, or the machine more memory."
        )
    elif exit_status is not None and exit_status < 0:
        detail = (
            f"The child died of {signal.Signals(-exit_status).name} before it left a result; native code of a library "
            "broke, or asked for more memory than the job may use. The end of the log tells more."
        )
    else:
        detail = f"The child ended with status {exit_status} and left no result; the end of the log tells more."
    return ErrorReport("child_died", detail, errored=True)


def store_log(*, folder: Path, store: ContentStore, max_bytes: int, beat: Callable[[], None]) -> StoredFile | None:
    """Store the log of an attempt; None where there is none, or where the child put something else in its place."""
    try:
        with _open_plain(folder, LOG_FILE) as stream:
            return store.put(_pieces(stream, beat, limit=max_bytes))
    except ProtocolError:
        return None


def _read_result(spec: JobSpec, folder: Path) -> Result:
    try:
        result = Result.read(folder)
    except OSError as error:
        raise ProtocolError("The result is no plain file.") from error
    try:
        encoded = canonical_json(result.to_json())
        environment = canonical_json(result.environment)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("The result holds a number or a text that JSON cannot carry.") from error
    # PostgreSQL's JSON has no NUL. An escape that is itself escaped is a text about one, and harmless.
    if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", encoded):
        raise ProtocolError("The result holds a NUL character.")
    if (result.job_id, result.attempt) != (spec.job_id, spec.attempt):
        raise ProtocolError(f"The result is that of job {result.job_id}, attempt {result.attempt}.")
    if len(environment) > MAX_ENVIRONMENT_BYTES:
        raise ProtocolError(f"The environment is described in more than {MAX_ENVIRONMENT_BYTES:,} bytes.")
    if not 0 <= result.peak_memory_bytes <= _BIGGEST_INTEGER:
        raise ProtocolError("The peak memory is no amount of memory.")
    if len(result.timings) > 20 or not all(
        math.isfinite(seconds) and seconds >= 0 for seconds in result.timings.values()
    ):
        raise ProtocolError("The timings are not some phases with seconds of at least 0.")
    if len(result.files) > MAX_FILES:
        raise ProtocolError(f"The result names {len(result.files):,} files; a job makes at most {MAX_FILES:,}.")
    if not all(isinstance(file.digest, str) for file in result.files.values()):
        raise ProtocolError("The result names a file without a digest.")
    said = result.error
    if said is not None and not all(isinstance(text, str) for text in (said.code, said.detail, said.place)):
        raise ProtocolError("The error of the result is not made of texts.")
    return result


def _check_value(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    try:
        problem = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except RecursionError as error:
        raise ProtocolError("The value is nested too deeply.") from error
    if problem is not None:
        raise ProtocolError(
            f"The value is not what the job kind promises: {problem.message[:500]} at {problem.json_path}."
        )


def _store_files(
    result: Result, limits: Limits, folder: Path, store: ContentStore, beat: Callable[[], None]
) -> dict[str, StoredFile]:
    """Store the named outputs: plain files of their names' types and the child's digests, together within its limit."""
    files: dict[str, StoredFile] = {}
    left = limits.file_bytes
    for name, said in sorted(result.files.items()):
        with _open_plain(folder / OUTPUTS_FOLDER, name) as stream:
            output_files.check(name, stream)
            try:
                files[name] = store.put(_pieces(stream, beat), max_bytes=left, expected_digest=said.digest)
            except UploadTooLarge as error:
                raise ProtocolError(f"The outputs are larger than {limits.file_bytes:,} bytes, at {name}.") from error
            except IntegrityFailure as error:
                raise ProtocolError(f"The output {name} is not what the result says. {error.detail}") from error
        left -= files[name].size_bytes
    return files


@contextlib.contextmanager
def _open_plain(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file that a child wrote, for reading; no link of any kind is followed, and a pipe does not block.

    Raises:
        ProtocolError: it is not there, or it is no plain file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        above = os.open(folder, flags | os.O_DIRECTORY)
    except OSError as error:
        raise ProtocolError(f"{folder.name}/ is no folder.") from error
    try:
        descriptor = os.open(name, flags | os.O_NONBLOCK, dir_fd=above)
    except OSError as error:
        raise ProtocolError(f"The output {name} is not there, or it is a link.") from error
    finally:
        os.close(above)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise ProtocolError(f"The output {name} is not a plain file.")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _pieces(stream: BinaryIO, beat: Callable[[], None], *, limit: int | None = None) -> Iterator[bytes]:
    left = limit
    while piece := stream.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
        beat()
        yield piece
        if left is not None:
            left -= len(piece)


def _cut(error: ErrorReport) -> ErrorReport:
    """Return a child's error as the record keeps it: a word, sentences of a readable length."""
    code = error.code if _CODE.fullmatch(error.code) else "broken"
    return ErrorReport(code, error.detail[:4000], error.place[:500], bool(error.errored), "")
