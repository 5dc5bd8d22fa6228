"""Which kinds of job exist: each app registers its own in ``AppConfig.ready()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.protocol import ErrorReport, Limits

if TYPE_CHECKING:
    from governance.models import Job, StoredFile

#: Called in the transaction that ends a job: ``record(job, value, files)`` keeps what the child found.
Record = Callable[["Job", dict[str, Any], Mapping[str, "StoredFile"]], None]

#: Called in the transaction that ends a job without a result (failed, cancelled, timed out, lost).
RecordFailure = Callable[["Job", ErrorReport], None]

#: Says what a job is about: the words of a link and its address, or None while there is nothing to lead to.
Leads = Callable[["Job"], "tuple[str, str] | None"]


@dataclass(frozen=True)
class JobKind:
    """How one kind of job runs and what is kept of it.

    ``runner`` is the dotted path of its function in the compute half, ``result_schema`` the JSON schema that the
    child's value has to follow before anything of it is stored.
    """

    name: str
    title: str
    runner: str
    result_schema: Mapping[str, Any]
    record: Record
    record_failure: RecordFailure | None = None
    leads_to: Leads | None = None
    limits: Limits = field(default_factory=Limits)
    max_attempts: int = 3


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    """Make a kind known; the same name twice is a programming error."""
    known = _kinds.get(kind.name)
    if known is not None and known != kind:
        raise ValueError(f"The job kind {kind.name!r} is registered twice.")
    _kinds[kind.name] = kind


def get(name: str) -> JobKind:
    """Return a kind by name; KeyError when no app registered it."""
    return _kinds[name]


def names() -> list[str]:
    return sorted(_kinds)
