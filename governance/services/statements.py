"""Sign what became final, and check what was signed.

A service signs *after* it has recorded its event: signing holds the lock of the event chain (``events``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone

from governance.models import InstallationKey, SignedStatement, StatementKind, StatementSubject
from governance.services import events, signing_keys
from workers.protocol import digest_of_bytes
from workers.provenance.dsse import IN_TOTO, Envelope, EnvelopeError
from workers.provenance.keys import KeyFormatError, PublicKey
from workers.provenance.statement import Statement, StatementError, Subject

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Of each kind: its name -> the digest that the record has for it now, None where it is gone.
_digest_of: dict[str, Callable[[str], str | None]] = {}


def register(kind: StatementKind, digest_of: Callable[[str], str | None]) -> None:
    """Say how the digest of a kind's things is looked up, so that statements can be held against the record."""
    _digest_of[kind] = digest_of


def sign(
    *,
    kind: StatementKind,
    name: str,
    subjects: Iterable[Subject],
    predicate_type: str,
    predicate: Mapping[str, Any],
    event_subject: models.Model | str,
    by: User | None,
) -> SignedStatement | None:
    """Sign a statement about a thing, in the transaction that makes it final; None where there is no key.

    Raises:
        IntegrityFailure: a key is configured and cannot be used; the thing then does not become final either.
    """
    found = signing_keys.key_to_sign_with()
    if found is None:
        return None
    key, row = found
    statement = Statement(tuple(subjects), predicate_type, predicate)
    envelope = Envelope.sign(statement.to_bytes(), key)
    signed = SignedStatement.objects.create(
        kind=kind,
        name=name,
        predicate_type=predicate_type,
        envelope=envelope.to_json(),
        key=row,
        created_at=timezone.now(),
    )
    StatementSubject.objects.bulk_create(
        StatementSubject(statement=signed, digest=digest) for digest in dict.fromkeys(statement.digests)
    )
    events.record(
        name="statement.signed",
        subject=event_subject,
        by=by,
        detail={
            "statement": signed.pk,
            "kind": kind,
            "name": name,
            "predicate_type": predicate_type,
            "payload_digest": digest_of_bytes(envelope.payload),
            "key": row.id,
        },
    )
    return signed


def of(kind: StatementKind, name: str) -> SignedStatement | None:
    """Return the statement about a thing; None where no key was there to sign it."""
    return SignedStatement.objects.filter(kind=kind, name=name).first()


def problem_of(signed: SignedStatement) -> str | None:
    """Say why a statement does not hold any more; None while it does.

    Its signature has to be that of its key, made before the key was retired, and what it says has to be what the
    record says: type, digests, and the digest of the thing that it was made for.
    """
    try:
        envelope = Envelope.from_json(signed.envelope)
        statement = Statement.parse(envelope.payload)
        key = PublicKey.read(signed.key.public_key)
    except (EnvelopeError, StatementError, KeyFormatError) as error:
        return str(error)
    if key.id != signed.key_id or envelope.payload_type != IN_TOTO or not envelope.signers([key]):
        return f"It is not signed by the key {signed.key_id}."
    if _is_late(signed, signed.key):
        return f"It was signed after its key {signed.key_id} had been retired."
    if statement.predicate_type != signed.predicate_type:
        return f"It is of the type {statement.predicate_type}, and recorded as {signed.predicate_type}."
    if {subject.digest for subject in signed.subjects.all()} != set(statement.digests):
        return "Its subjects are not the digests that it is recorded under."
    digest = _digest_of[signed.kind](signed.name)
    if digest is None or digest not in statement.digests:
        return f"The {signed.get_kind_display()} {signed.name} has the digest {digest} now, which it does not name."
    return None


def _is_late(signed: SignedStatement, key: InstallationKey) -> bool:
    return key.retired_at is not None and signed.created_at > key.retired_at
