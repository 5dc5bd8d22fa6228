"""The bytes of uploads that are not whole yet: one file each, under a lock that one request at a time holds.

``partial/<number>`` under the store's folder, on the same file system as the content, so that a whole file enters the
store by being named. The lock is ``flock`` on the file itself: the kernel gives it back when its process dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from governance.exceptions import AssayError
from governance.storage import ArrivedFile, told, write_all
from workers.protocol import fsync_folder


class UploadLocked(AssayError):
    code = "upload_locked"
    status = 423
    title = "Another request is writing to this upload."


class PartialFile:
    """The bytes of one upload so far, held by this request alone."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    def go_on_at(self, counted: int) -> int:
        """Drop what was never counted, and return where to go on: never after the bytes that are there."""
        self.size_bytes = min(counted, self.size_bytes)
        os.ftruncate(self.descriptor, self.size_bytes)
        os.lseek(self.descriptor, self.size_bytes, os.SEEK_SET)
        return self.size_bytes

    def write(self, chunk: bytes) -> None:
        """Append a piece; of one that did not fit, StorageFull is told and the part that fitted stays."""
        try:
            write_all(self.descriptor, chunk)
        finally:
            self.size_bytes = os.lseek(self.descriptor, 0, os.SEEK_CUR)

    def make_durable(self) -> None:
        """Return when every byte is on the disk."""
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise told(error) from error

    def digest(self) -> str:
        """Read everything back and return its SHA-256."""
        with os.fdopen(os.dup(self.descriptor), "rb") as stream:
            stream.seek(0)
            return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"

    def arrived(self, digest: str) -> ArrivedFile:
        """Return what the store keeps, once the digest of everything is known."""
        return ArrivedFile(self.path, self.descriptor, digest, self.size_bytes)


@contextmanager
def held(upload_id: int) -> Iterator[PartialFile]:
    """Hold the file of an upload, made at first use; ask what the upload is after this, not before.

    Raises:
        UploadLocked: somebody else holds it.
        StorageFull: the disk has no room for one more file.
    """
    path = path_of(upload_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise told(error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadLocked(
                "Another request is writing to this upload; ask where it stands (HEAD) when that has ended. "
                f"One that stalls is ended after {settings.ASSAY_UPLOAD_STALL_SECONDS} seconds."
            ) from error
        fsync_folder(path.parent)
        yield PartialFile(path, descriptor)
    finally:
        os.close(descriptor)


def size_of(upload_id: int) -> int:
    """Return how many bytes are there, counted or not."""
    try:
        return path_of(upload_id).stat().st_size
    except FileNotFoundError:
        return 0


def remove(upload_id: int) -> None:
    """Remove the bytes of an upload; whoever holds them writes into a file that nobody finds any more."""
    path_of(upload_id).unlink(missing_ok=True)


def numbers() -> list[int]:
    """Return the number of every upload that has bytes here."""
    folder = path_of(0).parent
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def path_of(upload_id: int) -> Path:
    return Path(settings.ASSAY_STORE_FOLDER) / "partial" / str(upload_id)
