"""What an upload has survives whatever ends a request: the disk, the process, another request, time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from governance import partial, storage
from governance.dispatcher import Dispatcher
from governance.exceptions import NotFound, StateConflict, StorageFull
from governance.models import StoredFile, Upload, UploadState
from governance.services import uploads
from tests import factories
from workers.executors.local import LocalExecutor
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 4


def create(alice, *, length: int = len(CONTENT), **options) -> Upload:
    return uploads.create_upload(length_bytes=length, by=alice, **options)


def append(upload: Upload, content: bytes, offset: int, **options) -> Upload:
    pieces = options.pop("chunks", [content])
    return uploads.append(
        upload_id=upload.pk, offset=offset, chunks=pieces, length=len(content), by=upload.owner, **options
    )


def offset(upload: Upload) -> int:
    return uploads.offset_of(Upload.objects.get(pk=upload.pk))


# ------------------------------------------------------------------------------------------------------ the disk
def fill_disk_after(monkeypatch: pytest.MonkeyPatch, count: int, number: int = errno.ENOSPC) -> None:
    """Have the disk take so many bytes more, the last of them by a short write, as the kernel does it."""
    real, room = os.write, [count]

    def write(descriptor: int, content: Any) -> int:
        if not room[0]:
            raise OSError(number, os.strerror(number))
        written = real(descriptor, bytes(content)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(storage.os, "write", write)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("count", [0, 1, 500, len(CONTENT) - 1])
def test_a_disk_that_is_full_keeps_what_fitted_and_goes_on_there(count, number, alice, monkeypatch):
    upload = create(alice)
    with monkeypatch.context() as patched:
        fill_disk_after(patched, count, number)
        with pytest.raises(StorageFull, match="disk of the store is full"):
            append(upload, CONTENT, 0)

    assert offset(upload) == partial.size_of(upload.pk) == count
    append(upload, CONTENT[count:], count)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_bytes_that_cannot_be_made_durable_are_not_counted(alice, monkeypatch):
    upload = create(alice)
    append(upload, CONTENT[:10], 0)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(partial.os, "fdatasync", full)
        with pytest.raises(StorageFull):
            append(upload, CONTENT[10:], 10)

    assert offset(upload) == 10
    append(upload, CONTENT[10:], 10)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_a_file_size_limit_of_the_process_is_a_full_disk(alice):
    """The same from the kernel itself, without a stand-in."""
    import resource
    import signal

    upload = create(alice)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # The rows of SQLite lie in a larger file already; nothing writes to it before the limit is gone again.
        with partial.held(upload.pk) as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
            with pytest.raises(StorageFull):
                file.write(CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert partial.size_of(upload.pk) == 700
    assert offset(upload) == 0


# --------------------------------------------------------------------------------------------------- the process
def test_a_long_piece_is_counted_on_the_way(alice, monkeypatch):
    monkeypatch.setattr(uploads, "COUNTED_EVERY_BYTES", 100)
    upload = create(alice)
    seen = []

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(CONTENT), 64):
            yield CONTENT[start : start + 64]
            seen.append(offset(upload))

    append(upload, CONTENT, 0, chunks=pieces())

    assert seen[:5] == [0, 128, 128, 256, 256]
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


@pytest.mark.parametrize("left", [b"x", CONTENT[10:500], b"x" * 5000])
def test_bytes_that_a_killed_process_wrote_and_did_not_count_are_dropped(left, alice):
    upload = create(alice)
    append(upload, CONTENT[:10], 0)
    with partial.path_of(upload.pk).open("ab") as stream:
        stream.write(left)

    assert offset(upload) == 10
    append(upload, CONTENT[10:], 10)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


@pytest.mark.parametrize("kept", [0, 4])
def test_a_file_that_has_less_than_was_counted_goes_on_earlier(kept, alice):
    upload = create(alice)
    append(upload, CONTENT[:10], 0)
    os.truncate(partial.path_of(upload.pk), kept)

    assert offset(upload) == kept
    with pytest.raises(uploads.OffsetConflict, match=f"byte {kept}"):
        append(upload, CONTENT[10:], 10)
    append(upload, CONTENT[kept:], kept)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_a_file_that_is_gone_begins_again(alice):
    upload = create(alice)
    append(upload, CONTENT[:10], 0)
    partial.remove(upload.pk)

    assert offset(upload) == 0
    append(upload, CONTENT, 0)
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_a_process_that_dies_before_the_digest_leaves_an_upload_that_is_completed_when_it_is_used(alice, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    upload = create(alice)
    with monkeypatch.context() as patched:
        patched.setattr(uploads, "_complete", die)
        with pytest.raises(Killed):
            append(upload, CONTENT, 0)
    assert Upload.objects.get().state == UploadState.OPEN
    assert offset(upload) == len(CONTENT)

    whole = uploads.completed(upload_id=upload.pk, by=alice)

    assert (whole.state, whole.digest) == (UploadState.COMPLETE, digest_of_bytes(CONTENT))


def test_the_digest_is_that_of_what_is_on_the_disk(alice):
    upload = create(alice)
    append(upload, CONTENT[:10], 0)
    with partial.path_of(upload.pk).open("r+b") as stream:
        stream.write(b"another")

    append(upload, CONTENT[10:], 10)

    assert Upload.objects.get().digest == digest_of_bytes(b"another" + CONTENT[7:])


# ----------------------------------------------------------------------------------------------- another request
def test_of_two_requests_at_once_one_writes(alice):
    upload = create(alice)
    refused = []

    def pieces() -> Iterator[bytes]:
        yield CONTENT[:10]
        for second in (
            lambda: append(upload, CONTENT, 0),
            lambda: uploads.terminate(upload=upload, by=alice),
            lambda: append(upload, CONTENT[10:], 10),
        ):
            with pytest.raises(partial.UploadLocked) as caught:
                second()
            refused.append(caught.value.status)
        yield CONTENT[10:]

    append(upload, CONTENT, 0, chunks=pieces())

    assert refused == [423, 423, 423]
    assert Upload.objects.get().digest == digest_of_bytes(CONTENT)


def test_an_upload_that_was_terminated_while_a_request_began_takes_nothing(alice, monkeypatch):
    upload = create(alice)
    real = partial.held

    def held_late(upload_id: int) -> Any:
        monkeypatch.setattr(partial, "held", real)
        uploads.terminate(upload=upload, by=alice)
        return real(upload_id)

    monkeypatch.setattr(partial, "held", held_late)
    with pytest.raises(NotFound):
        append(upload, CONTENT, 0)

    uploads.sweep()
    assert partial.numbers() == []


def test_a_row_that_goes_while_it_is_written_to_is_told(alice):
    upload = create(alice)

    def pieces() -> Iterator[bytes]:
        Upload.objects.all().delete()
        yield CONTENT

    with pytest.raises(NotFound, match="was removed"):
        append(upload, CONTENT, 0, chunks=pieces())


def test_a_version_that_is_refused_leaves_the_upload_and_nothing_in_the_store(alice):
    upload = append(create(alice), CONTENT, 0)

    def refuse(file: StoredFile) -> Any:
        raise StateConflict(f"{file.digest} is not wanted.")

    with pytest.raises(StateConflict, match="is not wanted"):
        uploads.use(upload=upload, by=alice, make=refuse)

    assert not storage.store().path(upload.digest).exists()
    assert not StoredFile.objects.exists()
    uploads.use(upload=upload, by=alice, make=lambda file: factories.ModelVersionFactory(artifact=file))
    assert storage.store().path(upload.digest).read_bytes() == CONTENT


def test_an_upload_is_used_by_one_of_two(alice):
    upload = append(create(alice), CONTENT, 0)
    made: list[StoredFile] = []

    def make(file: StoredFile) -> Any:
        with pytest.raises(partial.UploadLocked):
            uploads.use(upload=upload, by=alice, make=make)
        made.append(file)
        return factories.ModelVersionFactory(artifact=file)

    uploads.use(upload=upload, by=alice, make=make)

    assert len(made) == 1
    with pytest.raises(StateConflict, match="was used for"):
        uploads.use(upload=upload, by=alice, make=make)


# ---------------------------------------------------------------------------------------------------------- time
def expire(*chosen: Upload) -> None:
    Upload.objects.filter(pk__in=[upload.pk for upload in chosen]).update(expires_at=timezone.now())


def test_the_sweep_takes_what_has_expired_and_nothing_else(alice):
    half, whole, young, used = create(alice), create(alice), create(alice), create(alice)
    append(half, CONTENT[:10], 0)
    append(young, CONTENT[:10], 0)
    append(whole, CONTENT, 0)
    append(used, CONTENT, 0)
    uploads.use(
        upload=Upload.objects.get(pk=used.pk),
        by=alice,
        make=lambda file: factories.ModelVersionFactory(artifact=file),
    )
    partial.remove(used.pk)
    expire(half, whole, used)

    assert uploads.sweep() == 2

    assert set(Upload.objects.values_list("pk", flat=True)) == {young.pk, used.pk}
    assert partial.numbers() == [young.pk]
    assert uploads.sweep() == 0


def test_the_sweep_leaves_what_is_written_to(alice):
    upload = create(alice)

    def pieces() -> Iterator[bytes]:
        yield CONTENT[:10]
        expire(upload)
        assert uploads.sweep() == 0
        yield CONTENT[10:]

    append(upload, CONTENT, 0, chunks=pieces())

    assert Upload.objects.get().state == UploadState.COMPLETE


def test_the_sweep_takes_bytes_that_no_upload_owns(alice):
    folder = partial.path_of(0).parent
    folder.mkdir(parents=True)
    (folder / "999").write_bytes(b"left")
    (folder / "notes.txt").write_bytes(b"not ours")

    assert uploads.sweep() == 1
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_command_sweeps_and_tells_how_much(alice):
    upload, said = create(alice), StringIO()
    append(upload, CONTENT[:10], 0)
    expire(upload)

    for _ in range(2):
        call_command("sweep_uploads", stdout=said)

    assert said.getvalue() == "Removed 1 upload.\nRemoved 0 uploads.\n"
    assert partial.numbers() == []


def test_a_worker_sweeps(alice):
    upload = create(alice)
    expire(upload)

    sweep_as_worker()

    assert not Upload.objects.exists()


def sweep_as_worker() -> None:
    dispatcher = Dispatcher(executor=LocalExecutor())
    dispatcher._sweep_uploads()
    dispatcher.close()


def test_a_worker_goes_on_when_the_store_cannot_be_swept(monkeypatch, caplog):
    def broken() -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(uploads, "sweep", broken)
    sweep_as_worker()

    assert "could not be removed" in caplog.text


def test_how_long_an_upload_lives_is_a_setting(alice, settings):
    settings.ASSAY_UPLOAD_EXPIRES_SECONDS = 60

    assert create(alice).expires_at - timezone.now() <= timedelta(seconds=60)


def test_only_the_bytes_are_kept_where_they_are_told_to_be(alice, settings):
    append(create(alice), CONTENT[:10], 0)

    assert [path for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()] == [
        partial.path_of(Upload.objects.get().pk)
    ]
