"""The store: one name a content, whole or not at all, and sentences for uploads and disks that fail."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.http import UnreadablePostError

from governance import storage
from governance.exceptions import IntegrityFailure, StorageFull, UnreadableUpload, UploadTooLarge
from governance.models import StoredFile
from governance.storage import ContentStore, store
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

CONTENT = b"some content"
DIGEST = digest_of_bytes(CONTENT)


def files_in(content: ContentStore) -> list[Path]:
    return [path for path in content.folder.rglob("*") if path.is_file()]


def test_content_is_named_by_its_digest() -> None:
    stored = store().put([b"some ", b"content"])
    assert (stored.digest, stored.size_bytes) == (DIGEST, 12)
    path = store().path(DIGEST)
    hexadecimal = DIGEST.removeprefix("sha256:")
    assert path == store().folder / hexadecimal[:2] / hexadecimal[2:4] / hexadecimal
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert files_in(store()) == [path]
    with store().open(DIGEST) as stream:
        assert stream.read() == CONTENT


def test_the_same_bytes_are_kept_once() -> None:
    first = store().put([CONTENT])
    number = store().path(DIGEST).stat().st_ino
    assert store().put([CONTENT]) == first
    assert store().path(DIGEST).stat().st_ino == number
    assert StoredFile.objects.count() == 1
    assert len(files_in(store())) == 1


def test_empty_content_is_content() -> None:
    assert store().put([]).size_bytes == 0


@pytest.mark.django_db(transaction=True)
def test_many_at_once_store_the_same_bytes_once() -> None:
    def put(number: int) -> StoredFile:
        try:
            return store().put([CONTENT] * 50)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(put, range(8)))) == 1
    assert StoredFile.objects.count() == 1
    assert len(files_in(store())) == 1


def test_a_stream_over_the_limit_is_refused_and_leaves_nothing(settings: Any) -> None:
    settings.ASSAY_MAX_UPLOAD_BYTES = 10

    def endless() -> Iterator[bytes]:
        while True:
            yield b"12345"

    with pytest.raises(UploadTooLarge, match="larger than 10 bytes"):
        store().put(endless())
    assert files_in(store()) == []
    assert store().put([b"1234567890"]).size_bytes == 10
    with pytest.raises(UploadTooLarge, match="larger than 3 bytes"):
        store().put([b"1234"], max_bytes=3)


def test_an_upload_that_breaks_off_is_told_and_leaves_nothing() -> None:
    def broken() -> Iterator[bytes]:
        yield b"the first piece"
        raise UnreadablePostError("the client went away")

    with pytest.raises(UnreadableUpload, match="broke off"):
        store().put(broken())
    assert files_in(store()) == []
    assert not StoredFile.objects.exists()


def test_an_upload_that_is_shorter_than_said_is_told() -> None:
    with pytest.raises(UnreadableUpload, match="ended after 12 of 20 bytes"):
        store().put([CONTENT], expected_bytes=20)
    assert files_in(store()) == []


def test_content_that_is_not_what_was_said_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="not sha256:"):
        store().put([CONTENT], expected_digest=digest_of_bytes(b"another"))
    assert files_in(store()) == []
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_leaves_nothing(call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.os, call, full)
    with pytest.raises(StorageFull, match="disk of the store is full"):
        store().put([CONTENT])
    monkeypatch.undo()
    assert files_in(store()) == []
    assert not StoredFile.objects.exists()


def test_a_disk_that_is_full_halfway_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write first, as the kernel does it, and then no space."""
    real = os.write
    written: list[int] = []

    def nearly_full(descriptor: int, content: Any) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(descriptor, bytes(content)[:5]))
        return written[0]

    monkeypatch.setattr(storage.os, "write", nearly_full)
    with pytest.raises(StorageFull):
        store().put([CONTENT])
    monkeypatch.undo()
    assert written == [5]
    assert files_in(store()) == []


def test_another_failure_of_the_disk_is_not_called_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(storage.os, "write", broken)
    with pytest.raises(OSError, match="Input/output error"):
        store().put([CONTENT])


def test_a_copy_is_checked_on_the_way(tmp_path: Path) -> None:
    store().put([CONTENT])
    beats: list[int] = []
    assert store().copy_to(DIGEST, tmp_path / "copy", on_chunk=lambda: beats.append(1)) == 12
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert beats == [1]
    with pytest.raises(FileExistsError):
        store().copy_to(DIGEST, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_changed_content_is_found(tmp_path: Path) -> None:
    store().put([CONTENT])
    store().verify(DIGEST)
    path = store().path(DIGEST)
    path.chmod(0o600)
    path.write_bytes(b"SOME content")
    with pytest.raises(IntegrityFailure, match="no longer what their name says"):
        store().verify(DIGEST)
    with pytest.raises(IntegrityFailure):
        store().copy_to(DIGEST, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    path.write_bytes(b"shorter")
    with pytest.raises(IntegrityFailure):
        store().put([CONTENT])


def test_content_that_is_gone_is_told_and_can_be_put_again() -> None:
    store().put([CONTENT])
    store().path(DIGEST).unlink()
    with pytest.raises(IntegrityFailure, match="does not hold"):
        store().open(DIGEST)
    store().put([CONTENT])
    store().verify(DIGEST)


def test_a_file_without_a_row_gets_one() -> None:
    """What a process leaves that dies between the two."""
    store().put([CONTENT])
    StoredFile.objects.all().delete()
    assert store().put([CONTENT]).digest == DIGEST
    assert StoredFile.objects.count() == 1


@pytest.mark.parametrize(
    "digest", ["../../etc/passwd", "sha256:", "sha256:" + "A" * 64, DIGEST + "\n", "md5:" + "0" * 64]
)
def test_a_name_that_is_no_digest_is_no_path(digest: str) -> None:
    with pytest.raises(ValueError, match="is not sha256:"):
        store().path(digest)


def test_the_sweep_takes_what_the_dead_left_and_nothing_else() -> None:
    incoming = store().folder / storage.INCOMING
    incoming.mkdir(parents=True)
    old, young, written = (incoming / f"{name}.part" for name in ("old", "young", "written"))
    for path in (old, young, written):
        path.write_bytes(b"x")
    long_ago = young.stat().st_mtime - 2 * storage.ORPHAN_SECONDS
    for path in (old, written):
        os.utime(path, (long_ago, long_ago))
    with written.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert store().sweep() == 1
    assert not old.exists()
    assert young.exists()
    assert written.exists()
