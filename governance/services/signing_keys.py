"""The key pair of this installation: made once, rotated, and read by whoever signs.

The private half is a file of mode 0600, or a variable of the environment; it is in no row, event, log or job. Making
and using a key both hold the lock of the event chain, so that no statement is signed by a key that is being retired.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.exceptions import IntegrityFailure, StateConflict
from governance.models import InstallationKey
from governance.services import events
from workers.protocol import fsync_folder
from workers.provenance.keys import KeyFormatError, PublicKey, SigningKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create_key(*, rotate: bool = False, by: User | None = None) -> InstallationKey:
    """Make a key pair, write its private half to the file of settings, and keep its public half.

    Args:
        rotate: replace the key that is there; statements that it signed still verify.

    Raises:
        StateConflict: there is a key already and ``rotate`` was not asked for, or the environment carries the key.
    """
    if settings.ASSAY_SIGNING_KEY:
        raise StateConflict(
            "ASSAY_SIGNING_KEY carries the key, so there is no file to write: put another key there, and the next "
            "statement takes it up and retires the one before."
        )
    key = SigningKey.generate()
    with transaction.atomic():
        events.lock_chain()
        if settings.ASSAY_SIGNING_KEY_FILE.exists() and not rotate:
            raise StateConflict(
                f"{settings.ASSAY_SIGNING_KEY_FILE} holds a signing key already; --rotate replaces it and keeps its "
                "public half."
            )
        row = _adopt(key.public, by)
        # The last step: what fails before it leaves the old key in place, and rows that are rolled back.
        _write(key)
    return row


def is_configured() -> bool:
    """Tell whether there is a key to sign with, readable or not."""
    return bool(settings.ASSAY_SIGNING_KEY) or settings.ASSAY_SIGNING_KEY_FILE.exists()


def private_key() -> SigningKey | None:
    """Return the key that this process was given; None where there is none.

    Raises:
        IntegrityFailure: what is configured is no signing key, or cannot be read.
    """
    if not is_configured():
        return None
    source = "ASSAY_SIGNING_KEY"
    try:
        if settings.ASSAY_SIGNING_KEY:
            return SigningKey.read(settings.ASSAY_SIGNING_KEY)
        source = str(settings.ASSAY_SIGNING_KEY_FILE)
        return SigningKey.read(settings.ASSAY_SIGNING_KEY_FILE.read_bytes())
    except (OSError, KeyFormatError) as error:
        raise IntegrityFailure(f"The signing key in {source} cannot be used: {error}") from error


def key_to_sign_with() -> tuple[SigningKey, InstallationKey] | None:
    """Return private half and row of the key in use, inside a transaction; None where there is no key.

    A key that the record does not know, such as a new one in the environment, is taken up, and retires the others.

    Raises:
        IntegrityFailure: the key was retired, or cannot be read.
    """
    events.lock_chain()
    key = private_key()
    if key is None:
        return None
    row = InstallationKey.objects.filter(pk=key.public.id).first() or _adopt(key.public, None)
    if row.retired_at is not None:
        raise IntegrityFailure(
            f"The signing key {row.id} was retired on {row.retired_at:%Y-%m-%d}; give this process the new key."
        )
    return key, row


def public_keys() -> list[PublicKey]:
    """Return every public key of this installation, newest first."""
    return [PublicKey.read(row.public_key) for row in InstallationKey.objects.all()]


def _adopt(key: PublicKey, by: User | None) -> InstallationKey:
    """Keep the public half of a new key, and retire those that are in use; the chain is locked."""
    now = timezone.now()
    for old in InstallationKey.objects.filter(retired_at=None):
        InstallationKey.objects.filter(pk=old.pk, retired_at=None).update(retired_at=now)
        events.record(name="signing_key.retired", subject=old.id, by=by)
    row = InstallationKey.objects.create(id=key.id, public_key=key.pem, created_at=now)
    events.record(name="signing_key.created", subject=row.id, by=by)
    return row


def _write(key: SigningKey) -> None:
    """Write the private half durably, for the user of this process alone."""
    path = settings.ASSAY_SIGNING_KEY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key.to_pem())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)
