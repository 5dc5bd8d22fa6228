"""The event log: registered names, a gap-free keyed hash chain, written in the transaction of the change.

A service records its event *last*, after the rows it tells of are locked: recording takes the one lock of the chain
and holds it until the transaction ends, so a row lock that is asked for afterwards could deadlock.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, models, transaction
from django.utils import timezone

from governance.models import Event
from workers.protocol import canonical_json

#: What stands before the first event.
GENESIS = "0" * 64

#: The actor of what nobody asked for: a recheck, a recovery.
SYSTEM = "assay"

#: Any number that nothing else in the database uses; PostgreSQL locks it until the transaction ends.
_CHAIN_LOCK = 0x41535341594556

_names: set[str] = set()
_group: ContextVar[uuid.UUID | None] = ContextVar("assay_event_group", default=None)


def register(*names: str) -> None:
    """Make event names known; recording an unknown name is a programming error."""
    _names.update(names)


def names() -> list[str]:
    return sorted(_names)


@contextmanager
def user_action() -> Iterator[uuid.UUID]:
    """Give every event recorded inside one group id; the outermost action counts."""
    current = _group.get()
    if current is not None:
        yield current
        return
    token = _group.set(uuid.uuid4())
    try:
        yield _group.get()  # type: ignore[misc]
    finally:
        _group.reset(token)


def record(
    *,
    name: str,
    subject: models.Model | str,
    by: AbstractBaseUser | None,
    detail: Mapping[str, Any] | None = None,
) -> Event:
    """Append one event to the chain, inside the transaction of the change that it tells.

    ``subject`` is what it happened to, as people write it, or an object that says so (``ref`` or its text). ``by`` is
    None for what the service itself did.
    """
    if name not in _names:
        raise ValueError(f"The event name {name!r} is not registered.")
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is recorded in the transaction of its change.")
    lock_chain()
    last = Event.objects.order_by("-sequence").values("sequence", "mac").first()
    event = Event(
        sequence=1 if last is None else last["sequence"] + 1,
        name=name,
        at=timezone.now(),
        actor=SYSTEM if by is None else by.get_username(),
        subject=subject if isinstance(subject, str) else str(getattr(subject, "ref", subject)),
        detail=_plain(dict(detail or {})),
        group=_group.get() or uuid.uuid4(),
        previous=GENESIS if last is None else last["mac"],
    )
    event.mac = mac_of(event)
    event.save(force_insert=True)
    return event


def lock_chain() -> None:
    """Let nobody else append an event until this transaction ends; asked for again, it is there already."""
    if connection.vendor == "postgresql":
        # A row lock on the last event would not keep two first events apart, nor see a successor that was
        # committed while this transaction waited for it.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
    # On SQLite the transaction is IMMEDIATE: this process is the only writer since it began.


def mac_of(event: Event) -> str:
    """Return the HMAC-SHA-256, in hex, over the canonical JSON of every other field."""
    return hmac.new(settings.ASSAY_EVENT_KEY.encode(), canonical_json(as_json(event)), hashlib.sha256).hexdigest()


def as_json(event: Event) -> dict[str, Any]:
    """Return what an event says: every field but its MAC, as the MAC is taken over it."""
    return {
        "sequence": event.sequence,
        "name": event.name,
        "at": _instant(event.at),
        "actor": event.actor,
        "subject": event.subject,
        "detail": event.detail,
        "group": str(event.group),
        "previous": event.previous,
    }


@dataclass(frozen=True)
class ChainState:
    """What a walk along the chain found: how many events hold, and the first place where it breaks."""

    intact: bool
    event_count: int
    head: str
    broken_at: int | None = None
    reason: str = ""


def verify(*, progress: Callable[[int], None] | None = None) -> ChainState:
    """Walk the chain from its first event and check sequence, link and MAC of each."""
    previous, count = GENESIS, 0
    for event in Event.objects.order_by("sequence").iterator(chunk_size=1000):
        expected = count + 1
        if event.sequence != expected:
            return ChainState(False, count, previous, expected, f"Event {expected} is missing.")
        if event.previous != previous:
            return ChainState(False, count, previous, expected, f"Event {expected} does not follow the one before it.")
        if not hmac.compare_digest(event.mac, mac_of(event)):
            return ChainState(
                False,
                count,
                previous,
                expected,
                f"Event {expected} is not what was recorded, or the key is another one.",
            )
        previous, count = event.mac, expected
        if progress is not None:
            progress(count)
    return ChainState(True, count, previous)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    """Return JSON that a database gives back unchanged: PostgreSQL returns a large whole float as an integer."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
