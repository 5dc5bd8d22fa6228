"""Take in files that arrive in pieces, and make versions of them, once each.

What an upload has is the smaller of what its row counts and what its file holds. A request writes under the lock of
the file, makes bytes durable, and only then counts them; so whenever a process or a machine dies, the offset that is
told is one to go on from. These verbs record no event: a version, once it is made of an upload, has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from governance import partial, permissions
from governance.digests import StatedDigest
from governance.exceptions import (
    AssayError,
    DigestMismatch,
    IntegrityFailure,
    NotFound,
    StateConflict,
    UploadTooLarge,
)
from governance.models import StoredFile, Upload, UploadState
from governance.permissions import Action
from governance.services import quota
from governance.services.subjects import plain_filename
from governance.storage import ArrivedFile, store

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from governance.models.upload import UploadQuerySet

VersionT = TypeVar("VersionT", bound=Model)
MadeT = TypeVar("MadeT")

#: A process that is killed in the middle of a request loses at most this much of it.
COUNTED_EVERY_BYTES = 64 * 1024 * 1024


class OffsetConflict(AssayError):
    code = "offset_conflict"
    status = 409
    title = "The upload goes on at another offset."


class UploadGone(AssayError):
    code = "upload_gone"
    status = 410
    title = "The upload has expired."


class ChecksumMismatch(AssayError):
    code = "checksum_mismatch"
    status = 460
    title = "The piece is not what its checksum says."


def create_upload(
    *, length_bytes: int, by: User, filename: str = "", metadata: str = "", expected_digest: str = ""
) -> Upload:
    """Promise room for a file of this length; its bytes come with :func:`append`.

    Raises:
        UploadTooLarge: the installation takes no file of this length.
        QuotaExceeded: the sender has no room for it.
    """
    permissions.require(by, Action.UPLOAD)
    limit = settings.ASSAY_MAX_UPLOAD_BYTES
    if length_bytes > limit:
        raise UploadTooLarge(f"The upload is larger than {limit:,} bytes, the most that this installation accepts.")
    with transaction.atomic():
        quota.hold_still(by)
        quota.demand_room(by=by, size_bytes=length_bytes)
        return Upload.objects.create(
            owner=by,
            length_bytes=length_bytes,
            filename=plain_filename(filename) if filename else "",
            metadata=metadata,
            expected_digest=expected_digest,
            expires_at=_expiry(),
        )


def offset_of(upload: Upload) -> int:
    """Return where an upload goes on: after the bytes that are counted and there."""
    if upload.state != UploadState.OPEN:
        return upload.length_bytes
    return min(upload.offset_bytes, partial.size_of(upload.pk))


def demand_current(upload: Upload) -> None:
    """Raise UploadGone for an upload that waits to be swept."""
    if upload.is_expired:
        raise UploadGone(f"Upload {upload.pk} expired on {upload.expires_at:%d %b %Y %H:%M} UTC; create another.")


def append(
    *, upload_id: int, offset: int, chunks: Iterable[bytes], length: int, by: User, checksum: StatedDigest | None = None
) -> Upload:
    """Take in the next piece of an upload; the one that makes it whole also completes it.

    Whatever ends a piece early (the connection, the disk), what arrived of it is kept and counted. With a checksum a
    piece counts as a whole or not at all.

    Args:
        offset: where the sender believes that the upload goes on.
        chunks: the bytes of the piece as they arrive.
        length: how many bytes the piece has.

    Raises:
        NotFound, UploadGone, StateConflict: there is no such upload, or none that takes more.
        UploadLocked: another request is writing to it.
        OffsetConflict: it goes on elsewhere.
        UploadTooLarge: the piece would go beyond the length that the upload was created with.
        ChecksumMismatch: the piece is not what its checksum says.
        UnreadableUpload, StorageFull: the piece broke off, or the disk is full.
        DigestMismatch: the whole file is not what was said at its creation; it begins again at byte 0.
    """
    _open_upload(upload_id, by)
    with partial.held(upload_id) as file:
        upload = _open_upload(upload_id, by)
        begin = file.go_on_at(upload.offset_bytes)
        if offset != begin:
            raise OffsetConflict(f"The upload goes on at byte {begin:,}, not {offset:,}.")
        if offset + length > upload.length_bytes:
            raise UploadTooLarge(
                f"The upload was created with {upload.length_bytes:,} bytes; {length:,} bytes at {offset:,} go beyond."
            )
        if checksum is None:
            _write_counted(upload, file, chunks)
        else:
            _write_checked(upload, file, chunks, checksum)
        if file.size_bytes == upload.length_bytes:
            _complete(upload, file)
    return upload


def completed(*, upload_id: int, by: User) -> Upload:
    """Return an upload that is whole; one whose process died between its last byte and its digest is completed.

    Raises:
        NotFound, UploadGone: there is no such upload, or it has expired.
        StateConflict: bytes are missing.
    """
    upload = _own_upload(upload_id, by)
    if upload.state != UploadState.OPEN:
        return upload
    offset = offset_of(upload)
    if offset == upload.length_bytes:
        return append(upload_id=upload_id, offset=offset, chunks=(), length=0, by=by)
    raise StateConflict(
        f"Upload {upload_id} has {offset:,} of its {upload.length_bytes:,} bytes; send the rest before it is used."
    )


def use(*, upload: Upload, by: User, make: Callable[[StoredFile], VersionT]) -> VersionT:
    """Make a version of a complete upload; upload and version change in one transaction, so it is used once.

    Args:
        make: creates the version of the file.

    Raises:
        StateConflict: it was used before, or is not complete.
    """
    with partial.held(upload.pk) as file, transaction.atomic():
        usable = Upload.objects.of(by.pk).filter(pk=upload.pk, state=UploadState.COMPLETE)
        if not usable.update(state=UploadState.USED):
            raise _cannot_be_used(_own_upload(upload.pk, by))
        if file.size_bytes != upload.length_bytes:
            raise IntegrityFailure(f"The bytes of upload {upload.pk} are no longer there; upload the file again.")
        version = _made(file.arrived(upload.digest), make)
        Upload.objects.filter(pk=upload.pk).update(used_for=str(version))
        transaction.on_commit(lambda: partial.remove(upload.pk))
    return version


def take(*, arrived: ArrivedFile, by: User, make: Callable[[StoredFile], MadeT]) -> MadeT:
    """Make a version of a file that came in one piece, and keep the file, all or nothing.

    Args:
        make: creates the version of the file.

    Raises:
        QuotaExceeded: the sender has no room for it.
    """
    with transaction.atomic():
        quota.hold_still(by)
        quota.demand_room(by=by, size_bytes=arrived.size_bytes, digest=arrived.digest)
        return _made(arrived, make)


def terminate(*, upload: Upload, by: User) -> None:
    """Remove an upload that is not used, and its bytes.

    Raises:
        UploadLocked: a request is writing to it.
        StateConflict: it was used, and stays as the record of how its version came.
    """
    permissions.require(by, Action.TERMINATE_UPLOAD, upload)
    if upload.state == UploadState.USED or not _removed(upload.pk, Upload.objects.unused()):
        raise StateConflict(f"Upload {upload.pk} became a version, and stays as the record of how that came.")


def sweep() -> int:
    """Remove uploads that have expired, and bytes that no upload owns; return how many.

    One that a request is writing to is left for the next sweep.
    """
    removed = 0
    for upload_id in Upload.objects.expired().values_list("pk", flat=True):
        try:
            removed += _removed(upload_id, Upload.objects.expired())
        except partial.UploadLocked:
            continue
    for upload_id in partial.numbers():
        # A row is committed before its file is made, and a file is in the store before its row says so: what is found
        # here without a row that needs it was left by a process that died.
        if not Upload.objects.unused().filter(pk=upload_id).exists():
            partial.remove(upload_id)
            removed += 1
    return removed


def _removed(upload_id: int, among: UploadQuerySet) -> bool:
    """Remove an upload if, once nobody else writes to it, it is still among those that may go."""
    with partial.held(upload_id):
        count, _ = among.filter(pk=upload_id).delete()
        if count:
            partial.remove(upload_id)
    return bool(count)


def _made(arrived: ArrivedFile, make: Callable[[StoredFile], MadeT]) -> MadeT:
    """Make a version of a file, and only then give the file its name: a version that is refused leaves none behind.

    Taking the name away afterwards would be no way: by then the file may be somebody else's too.
    """
    made = make(store().row_of(arrived))
    store().keep(arrived)
    return made


def _write_counted(upload: Upload, file: partial.PartialFile, chunks: Iterable[bytes]) -> None:
    """Append a piece, and count what came of it however it ends."""
    counted = file.size_bytes
    try:
        for chunk in chunks:
            file.write(chunk)
            if file.size_bytes - counted >= COUNTED_EVERY_BYTES:
                _count(upload, file)
                counted = file.size_bytes
    finally:
        _count(upload, file)


def _write_checked(upload: Upload, file: partial.PartialFile, chunks: Iterable[bytes], checksum: StatedDigest) -> None:
    """Append a piece, and count it once its checksum holds."""
    begin = file.size_bytes
    try:
        for chunk in chunks:
            file.write(chunk)
            checksum.update(chunk)
        if not checksum.holds:
            raise ChecksumMismatch(f"The piece at byte {begin:,} has another checksum than was said; send it again.")
    except BaseException:
        file.go_on_at(begin)
        raise
    _count(upload, file)


def _count(upload: Upload, file: partial.PartialFile) -> None:
    """Make what is in the file durable, and only then let the row count it."""
    file.make_durable()
    upload.offset_bytes, upload.expires_at = file.size_bytes, _expiry()
    _change(upload, offset_bytes=upload.offset_bytes, expires_at=upload.expires_at)


def _complete(upload: Upload, file: partial.PartialFile) -> None:
    """Name what is on the disk by its digest, and hold it to the one that was said."""
    digest = file.digest()
    if upload.expected_digest not in ("", digest):
        _change(upload, offset_bytes=0)
        file.go_on_at(0)
        raise DigestMismatch(
            f"The file that came has the digest {digest}, not {upload.expected_digest}; nothing of it was kept. "
            "Send it again from its first byte."
        )
    upload.state, upload.digest, upload.expires_at = UploadState.COMPLETE, digest, _expiry()
    _change(upload, state=upload.state, digest=digest, expires_at=upload.expires_at)


def _change(upload: Upload, **values: Any) -> None:
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(**values):
        raise NotFound(f"Upload {upload.pk} was removed while it was written to.")


def _own_upload(upload_id: int, by: User) -> Upload:
    upload = Upload.objects.of(by.pk).filter(pk=upload_id).first()
    if upload is None:
        raise NotFound(f"There is no upload {upload_id}, or it is not yours.")
    demand_current(upload)
    return upload


def _open_upload(upload_id: int, by: User) -> Upload:
    upload = _own_upload(upload_id, by)
    if upload.state != UploadState.OPEN:
        raise StateConflict(f"Upload {upload_id} is {upload.get_state_display()}; it takes no more bytes.")
    return upload


def _cannot_be_used(upload: Upload) -> StateConflict:
    if upload.state == UploadState.USED:
        return StateConflict(
            f"Upload {upload.pk} was used for {upload.used_for}; upload the file again for another version."
        )
    return StateConflict(f"Upload {upload.pk} is {upload.get_state_display()}; only a complete one can be used.")


def _expiry() -> datetime:
    return timezone.now() + timedelta(seconds=settings.ASSAY_UPLOAD_EXPIRES_SECONDS)
