"""The words that the control half and the compute half share: job folders, specs, progress and results.

A job is a folder::

    spec.json       what to do (written by the dispatcher, never changed)
    inputs/         the input files, each named by the spec with its digest
    outputs/        what the job makes (evidence files)
    checkpoint/     what it has finished so far, where it keeps that (``workers.checkpoint``)
    result.json     the end: written once, when everything else is whole
    log.txt         what libraries printed

Both halves import this module, so it needs the standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

PROTOCOL_VERSION = 1

SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
LOG_FILE = "log.txt"
INPUTS_FOLDER = "inputs"
OUTPUTS_FOLDER = "outputs"
CHECKPOINT_FOLDER = "checkpoint"

#: Messages of a child travel as JSON lines on this file descriptor; standard output belongs to the libraries.
MESSAGE_DESCRIPTOR = 3

#: A result larger than this is refused by the dispatcher: evidence belongs in files.
MAX_RESULT_BYTES = 16 * 1024 * 1024

Json = Any


class ProtocolError(Exception):
    """A message, spec or result that does not follow this module."""


class JobError(Exception):
    """The work said no: a bad input, a mismatch, a diverged training. It ends a job as failed, with a reason.

    ``code`` is a stable snake_case word, ``detail`` a full sentence that its reader can act on, ``place`` names
    where it was (a row, a column, a layer, an archive entry, a byte offset).
    """

    def __init__(self, code: str, detail: str, *, place: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.place = place


@dataclass(frozen=True)
class InputFile:
    """One input of a job: the name under ``inputs/`` and the digest it must have."""

    filename: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Limits:
    """What one job may use; times are seconds.

    ``memory_bytes`` holds for what a process may write to of its own on a CPU (RLIMIT_DATA), where a library is told
    that there is no more, and for what all processes of any job hold together, which ends the job; a GPU's memory is no
    part of it.
    ``file_bytes`` holds for one file and for all outputs together; ``folder_bytes`` and ``folder_entries`` hold for
    everything in the job folder but its inputs.
    """

    wall_seconds: int = 3600
    cpu_seconds: int = 7200
    memory_bytes: int = 16 * 1024**3
    file_bytes: int = 8 * 1024**3
    processes: int = 512
    open_files: int = 1024
    folder_bytes: int = 16 * 1024**3
    folder_entries: int = 100_000


@dataclass(frozen=True)
class JobSpec:
    """What a child is asked to do; its canonical JSON has the digest that the record keeps.

    ``runner`` is the dotted path ``package.module:function`` of a function ``run(context) -> dict`` of the compute
    half. ``parameters`` are the runner's own.
    """

    kind: str
    runner: str
    job_id: int
    attempt: int
    parameters: dict[str, Json] = field(default_factory=dict)
    inputs: dict[str, InputFile] = field(default_factory=dict)
    devices: tuple[str, ...] = ("cpu",)
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    protocol: int = PROTOCOL_VERSION

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "devices": list(self.devices)}

    @property
    def uses_gpu(self) -> bool:
        return any(device.startswith("cuda") for device in self.devices)

    @property
    def work_digest(self) -> str:
        """The digest of what is asked, whichever attempt it is."""
        return digest_of_json({**self.to_json(), "attempt": 0})

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Self:
        if not isinstance(document, Mapping):
            raise ProtocolError("The spec is no JSON object.")
        if document.get("protocol") != PROTOCOL_VERSION:
            raise ProtocolError(
                f"The spec has protocol {document.get('protocol')!r}; this worker speaks {PROTOCOL_VERSION}."
            )
        try:
            return cls(
                kind=document["kind"],
                runner=document["runner"],
                job_id=document["job_id"],
                attempt=document["attempt"],
                parameters=dict(document["parameters"]),
                inputs={name: InputFile(**entry) for name, entry in document["inputs"].items()},
                devices=tuple(document["devices"]),
                seed=document["seed"],
                limits=Limits(**document["limits"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"The spec is incomplete or has a field too many: {error}.") from error

    def write(self, folder: Path) -> None:
        write_json(folder / SPEC_FILE, self.to_json())

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls.from_json(json.loads((folder / SPEC_FILE).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Progress:
    """How far a job is: ``done`` of ``total`` in ``unit`` (epochs, rows, checks); a total of 0 means not known."""

    done: float
    total: float
    unit: str
    message: str = ""

    def to_json(self) -> dict[str, Json]:
        return {"type": "progress", **asdict(self)}


@dataclass(frozen=True)
class OutputFile:
    """One file under ``outputs/`` as the child says it is; the dispatcher computes the digest again."""

    digest: str
    size_bytes: int


@dataclass(frozen=True)
class ErrorReport:
    """Why a job did not succeed. ``errored`` tells a breakage (True) from work that said no (False)."""

    code: str
    detail: str
    place: str = ""
    errored: bool = False
    traceback: str = ""


@dataclass(frozen=True)
class Result:
    """The end of a job as its child tells it; ``value`` follows the job kind's result schema."""

    job_id: int
    attempt: int
    status: Literal["succeeded", "failed"]
    value: dict[str, Json] | None = None
    files: dict[str, OutputFile] = field(default_factory=dict)
    error: ErrorReport | None = None
    timings: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Json] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    protocol: int = PROTOCOL_VERSION

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write ``result.json`` whole or not at all: the file's existence means that the job has ended."""
        write_json(folder / RESULT_FILE, self.to_json())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check a result that a child wrote; the child is not trusted.

        Raises:
            ProtocolError: the file is missing, too large, not JSON, or not of this shape.
        """
        path = folder / RESULT_FILE
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ProtocolError("The job left no result.") from error
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(MAX_RESULT_BYTES + 1)
        if len(content) > MAX_RESULT_BYTES:
            raise ProtocolError(f"The result is larger than {MAX_RESULT_BYTES:,} bytes; evidence belongs in files.")
        try:
            document = json.loads(content, parse_constant=_refuse_constant)
            return cls._from_json(document)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ProtocolError(f"The result does not follow the protocol: {error}.") from error

    @classmethod
    def _from_json(cls, document: Mapping[str, Json]) -> Self:
        if document["protocol"] != PROTOCOL_VERSION or document["status"] not in ("succeeded", "failed"):
            raise ValueError("protocol or status is not known")
        value, error = document["value"], document["error"]
        if (document["status"] == "succeeded") != (error is None) or not (value is None or isinstance(value, dict)):
            raise ValueError("status, value and error do not fit together")
        files = {str(name): OutputFile(**entry) for name, entry in document["files"].items()}
        for name in files:
            if not is_plain_name(name):
                raise ValueError(f"{name!r} is not a plain file name")
        return cls(
            job_id=int(document["job_id"]),
            attempt=int(document["attempt"]),
            status=document["status"],
            value=value,
            files=files,
            error=None if error is None else ErrorReport(**error),
            timings={str(name): float(seconds) for name, seconds in document["timings"].items()},
            environment=dict(document["environment"]),
            peak_memory_bytes=int(document["peak_memory_bytes"]),
        )


def is_plain_name(name: str) -> bool:
    """Tell whether a name is one safe path component: letters, digits, ``.``, ``_``, ``-``; no dot in front."""
    return 0 < len(name) <= 128 and name[0] != "." and all(c.isascii() and (c.isalnum() or c in "._-") for c in name)


def canonical_json(document: Json) -> bytes:
    """Return the one byte string that stands for a JSON value: sorted keys, no spaces, UTF-8, no NaN.

    Digests of specs, suites, policies, criteria, results and events are taken over it.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of_json(document: Json) -> str:
    """Return ``sha256:<hex>`` of the canonical JSON."""
    return digest_of_bytes(canonical_json(document))


def digest_of_bytes(content: bytes) -> str:
    """Return ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file, read in pieces."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, document: Json) -> None:
    """Write JSON durably: a temporary file beside it, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
