"""The content-addressed store: a folder in which every file is named by the SHA-256 of its bytes.

``ab/cd/<hex>`` under the store's folder; a file is written under ``incoming/``, made durable, and then given its
name, so that a name in the store always stands for whole content, whenever the power went.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from django.conf import settings
from django.http import UnreadablePostError

from governance.exceptions import IntegrityFailure, StorageFull, UnreadableUpload, UploadTooLarge
from governance.models import StoredFile
from workers.protocol import fsync_folder

CHUNK_BYTES = 1024 * 1024

#: Temporary files live here, on the same file system as the content, so that naming them is one step.
INCOMING = "incoming"

#: A temporary file that nobody has locked for this long was left by a process that died.
ORPHAN_SECONDS = 3600

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class ArrivedFile:
    """Whole content, durable on the disk of the store but not in it: a file that is open, and its digest."""

    path: Path
    descriptor: int
    digest: str
    size_bytes: int


class ContentStore:
    """Files by digest on a local or shared file system.

    Example::

        stored = store().put(upload.chunks())
        with store().open(stored.digest) as stream: ...
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def put(
        self,
        chunks: Iterable[bytes],
        *,
        max_bytes: int | None = None,
        expected_bytes: int | None = None,
        expected_digest: str | None = None,
    ) -> StoredFile:
        """Store a stream and return its row; bytes that the store already holds are kept once.

        Args:
            chunks: the content, in pieces that fit into memory.
            max_bytes: refuse more than this; the installation's limit where not given.
            expected_bytes: how long the stream was said to be, where that is known.
            expected_digest: which content it was said to be, where that is known.

        Raises:
            UploadTooLarge: the stream goes on after the limit.
            UnreadableUpload: the stream broke off, or is not as long as it was said to be.
            IntegrityFailure: it is another content than it was said to be.
            StorageFull: the disk, or the quota on it, is full. Nothing is left behind in any of these cases.
        """
        with self.receive(chunks, max_bytes=max_bytes) as arrived:
            if expected_bytes is not None and arrived.size_bytes != expected_bytes:
                raise UnreadableUpload(
                    f"The upload ended after {arrived.size_bytes:,} of {expected_bytes:,} bytes; "
                    "send the whole file again."
                )
            if expected_digest is not None and arrived.digest != expected_digest:
                raise IntegrityFailure(
                    f"The content has the digest {arrived.digest}, not {expected_digest} as was said."
                )
            return self.keep(arrived)

    @contextmanager
    def receive(self, chunks: Iterable[bytes], *, max_bytes: int | None = None) -> Iterator[ArrivedFile]:
        """Write a stream to a temporary file, which is gone when the block ends unless :meth:`keep` was called in it.

        Raises:
            UploadTooLarge, UnreadableUpload, StorageFull: as :meth:`put` does.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        incoming = self.folder / INCOMING
        try:
            incoming.mkdir(parents=True, exist_ok=True)
            temporary = incoming / f"{uuid.uuid4().hex}.part"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise told(error) from error
        try:
            # Held until the descriptor is closed: the sweep takes no file that a living process writes.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            digest, size = _write(descriptor, chunks, limit)
            try:
                os.fsync(descriptor)
            except OSError as error:
                raise told(error) from error
            yield ArrivedFile(temporary, descriptor, digest, size)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)

    def keep(self, arrived: ArrivedFile) -> StoredFile:
        """Give a file that has arrived its name, and return its row; quick, so that a transaction may wait for it.

        Raises:
            StorageFull: the disk has no room for the name.
            IntegrityFailure: the store has another content under this name.
        """
        try:
            os.fchmod(arrived.descriptor, 0o440)
            self._name(arrived.path, self.path(arrived.digest), arrived.size_bytes)
        except OSError as error:
            raise told(error) from error
        return self.row_of(arrived)

    def row_of(self, arrived: ArrivedFile) -> StoredFile:
        """Return the row of a file that has arrived; the file has to be kept in the same transaction."""
        stored, _ = StoredFile.objects.get_or_create(digest=arrived.digest, defaults={"size_bytes": arrived.size_bytes})
        return stored

    def path(self, digest: str) -> Path:
        """Return where the content of a digest is, or would be."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not sha256:<64 lower-case hexadecimal digits>")
        hexadecimal = digest.removeprefix("sha256:")
        return self.folder / hexadecimal[:2] / hexadecimal[2:4] / hexadecimal

    def open(self, digest: str) -> BufferedReader:
        """Open content for reading.

        Raises:
            IntegrityFailure: the store does not hold it.
        """
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise IntegrityFailure(
                f"The store does not hold {digest}, which the record names; restore it from a backup."
            ) from error

    def copy_to(self, digest: str, target: Path, *, on_chunk: Callable[[], None] | None = None) -> int:
        """Copy content to a new file, check its digest on the way, and return its size.

        ``on_chunk`` is called after each piece: whoever holds a lease renews it there.

        Raises:
            IntegrityFailure: the store's bytes are not what their name says.
            StorageFull: there is no room for the copy.
        """
        hasher = hashlib.sha256()
        size = 0
        with self.open(digest) as source:
            try:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
            except OSError as error:
                raise told(error) from error
            try:
                with os.fdopen(descriptor, "wb") as sink:
                    while chunk := source.read(CHUNK_BYTES):
                        hasher.update(chunk)
                        sink.write(chunk)
                        size += len(chunk)
                        if on_chunk is not None:
                            on_chunk()
            except OSError as error:
                target.unlink()
                raise told(error) from error
        if f"sha256:{hasher.hexdigest()}" != digest:
            target.unlink()
            raise _changed(digest)
        return size

    def verify(self, digest: str) -> None:
        """Read content again and compare it with its name.

        Raises:
            IntegrityFailure: it is gone, or it is another content.
        """
        with self.open(digest) as stream:
            if "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise _changed(digest)

    def sweep(self, *, older_than_seconds: float = ORPHAN_SECONDS) -> int:
        """Remove temporary files that dead processes left; return how many."""
        removed = 0
        for path in (self.folder / INCOMING).glob("*.part"):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(descriptor).st_mtime >= older_than_seconds:
                    path.unlink(missing_ok=True)
                    removed += 1
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
        return removed

    def _name(self, temporary: Path, target: Path, size: int) -> None:
        """Give a durable file its name; where the name is taken, the content is there already."""
        for folder in (target.parent.parent, target.parent):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                fsync_folder(folder.parent)
        try:
            # A link, unlike a rename, never replaces what is there.
            target.hardlink_to(temporary)
        except FileExistsError:
            if target.stat().st_size != size:
                raise _changed(f"sha256:{target.name}") from None
            return
        fsync_folder(target.parent)


def store() -> ContentStore:
    """Return the store of this installation."""
    return ContentStore(settings.ASSAY_STORE_FOLDER, max_bytes=settings.ASSAY_MAX_UPLOAD_BYTES)


def _write(descriptor: int, chunks: Iterable[bytes], limit: int) -> tuple[str, int]:
    hasher = hashlib.sha256()
    size = 0
    for chunk in _arriving(chunks):
        size += len(chunk)
        if size > limit:
            raise UploadTooLarge(f"The upload is larger than {limit:,} bytes, the most that this installation accepts.")
        hasher.update(chunk)
        write_all(descriptor, chunk)
    return f"sha256:{hasher.hexdigest()}", size


def write_all(descriptor: int, chunk: bytes) -> None:
    """Write every byte of a piece; a disk that is full is told as StorageFull."""
    try:
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise told(error) from error


def _arriving(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Tell an upload that broke off apart from a disk that failed: Django's error for the first is an OSError too."""
    try:
        yield from chunks
    except UnreadablePostError as error:
        raise UnreadableUpload("The upload broke off before its end; send the whole file again.") from error


def told(error: OSError) -> Exception:
    """Return StorageFull for a full disk or quota, and any other error as it is."""
    if error.errno in _NO_SPACE:
        return StorageFull("The disk of the store is full; nothing was kept. Free space, then try again.")
    return error


def _changed(digest: str) -> IntegrityFailure:
    return IntegrityFailure(f"The stored bytes of {digest} are no longer what their name says; restore a backup.")
