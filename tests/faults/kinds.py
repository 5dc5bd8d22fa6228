"""A job kind whose work is tiny and whose record is one event a job, so that twice would be seen; and a hostile one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from governance.job_kinds import JobKind
from governance.models import Job, StoredFile
from governance.services import events
from workers.protocol import ErrorReport, Limits

events.register("tiny.recorded", "tiny.failed", "explained.recorded")


def record(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    events.record(
        name="tiny.recorded",
        subject=job.subject,
        by=job.created_by,
        detail={"answer": value["answer"], "added": value.get("added"), "files": sorted(files)},
    )


def record_failure(job: Job, error: ErrorReport) -> None:
    if job.subject == "breaks when it fails":
        raise KeyError("a mistake in the code of the kind")
    events.record(name="tiny.failed", subject=job.subject, by=job.created_by, detail={"code": error.code})


def record_files(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    digests = {name: file.digest for name, file in files.items()}
    events.record(name="explained.recorded", subject=job.subject, by=job.created_by, detail={"files": digests})


TINY = JobKind(
    name="tiny",
    title="Tiny job",
    runner="tests.faults.runners:run",
    result_schema={
        "type": "object",
        "required": ["answer"],
        "properties": {"answer": {"type": "integer"}},
    },
    record=record,
    record_failure=record_failure,
    limits=Limits(wall_seconds=60, cpu_seconds=60, memory_bytes=4 * 1024**3, file_bytes=16 * 1024**2),
)

#: The same, with code of a stranger inside (``tests.faults.escapes``).
ESCAPE = replace(TINY, name="escape", title="Escape", runner="tests.faults.escapes:run")

#: A whole explanation, of which the digests of its files are kept.
EXPLAINED = JobKind(
    name="explained",
    title="Explained",
    runner="audits.engine.explanation:run",
    result_schema={"type": "object"},
    record=record_files,
)
