"""A multipart upload goes straight to the store, whole or not at all."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from django.core.exceptions import RequestDataTooBig
from django.http import UnreadablePostError

from governance.exceptions import InvalidInput, UnreadableUpload, UploadTooLarge
from governance.models import StoredFile
from governance.storage import store
from governance.uploads import ReceivedForm, UnreadableForm, receive
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

BOUNDARY = "next-part"
CONTENT = bytes(range(256)) * 9000  # 2.2 MiB, with every byte, line ends and dashes among them


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(content: bytes, *, name: str = "file", filename: str = "model.pt2", headers: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def take(body: bytes, *, length: int | None = None, boundary: str = BOUNDARY, before_file=None) -> ReceivedForm:
    return receive(
        BytesIO(body),
        content_type=f"multipart/form-data; boundary={boundary}",
        content_length=len(body) if length is None else length,
        before_file=before_file,
    )


def stored_names(settings) -> list[str]:
    return [path.name for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()]


def test_fields_and_file_arrive_whole():
    with take(field("signature", "{}") + file(CONTENT) + field("digest", "after the file") + END) as form:
        assert form.fields == {"signature": "{}", "digest": "after the file"}
        assert form.filename == "model.pt2"
        assert form.file.digest == digest_of_bytes(CONTENT)
        kept = store().keep(form.file)

    with store().open(kept.digest) as stream:
        assert stream.read() == CONTENT


def test_a_file_that_nobody_keeps_is_gone_with_its_form(settings):
    with take(file(CONTENT) + END) as form:
        assert len(stored_names(settings)) == 1
        assert not StoredFile.objects.exists()

    assert form.file is not None
    assert stored_names(settings) == []


def test_no_more_than_a_few_chunks_are_read_ahead_of_the_store(monkeypatch):
    size = 64 * 1024 * 1024
    head = file(b"")[:-2]
    tail = b"\r\n" + END

    class Endless:
        """A body of zeros that is made as it is read."""

        def __init__(self) -> None:
            self.sent = 0
            self.parts = [head, tail]
            self.largest = 0

        def read(self, wanted: int) -> bytes:
            self.largest = max(self.largest, wanted)
            if self.parts and self.parts[0] is head:
                return self.parts.pop(0)
            if self.sent < size:
                count = min(wanted, size - self.sent)
                self.sent += count
                return bytes(count)
            return self.parts.pop(0)[:wanted] if self.parts else b""

    body = Endless()
    with receive(
        body,
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        content_length=size + len(head) + len(tail),
    ) as form:
        assert form.file.size_bytes == size
    assert body.largest <= 1024 * 1024


@pytest.mark.parametrize("missing", [1, len(END), len(END) + 2, 1000, len(CONTENT)])
def test_a_body_that_broke_off_leaves_nothing(missing, settings):
    body = file(CONTENT) + END

    with pytest.raises(UnreadableUpload, match="send the whole file again"):
        take(body[:-missing], length=len(body))

    assert stored_names(settings) == []
    assert not StoredFile.objects.exists()


def test_a_body_without_its_last_boundary_leaves_nothing(settings):
    with pytest.raises(UnreadableUpload, match="before its last boundary"):
        take(file(CONTENT))
    assert stored_names(settings) == []


def test_a_connection_that_breaks_leaves_nothing(settings):
    class Breaking(BytesIO):
        def read(self, size: int = -1, /) -> bytes:
            content = super().read(size)
            if not content:
                raise UnreadablePostError("connection reset")
            return content

    with pytest.raises(UnreadableUpload, match="broke off"):
        receive(
            Breaking(file(CONTENT)),
            content_type=f"multipart/form-data; boundary={BOUNDARY}",
            content_length=10 * len(CONTENT),
        )
    assert stored_names(settings) == []


def test_what_stands_before_the_file_is_looked_at_before_a_byte_is_stored(settings):
    def refuse(fields) -> None:
        assert fields == {"token": "wrong"}
        raise InvalidInput("No.")

    with pytest.raises(InvalidInput):
        take(field("token", "wrong") + file(CONTENT) + END, before_file=refuse)
    assert stored_names(settings) == []


def test_more_than_the_installation_accepts_is_refused_before_it_is_read(settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 1000

    class Unread:
        def read(self, size: int, /) -> bytes:
            raise AssertionError("the body was read")

    with pytest.raises(UploadTooLarge, match="1,000 bytes"):
        receive(
            Unread(),
            content_type=f"multipart/form-data; boundary={BOUNDARY}",
            content_length=settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1001,
        )
    with pytest.raises(UploadTooLarge):
        take(file(bytes(1001)) + END)


def test_fields_are_bounded(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    with pytest.raises(RequestDataTooBig):
        take(field("a", "x" * 600) + field("b", "x" * 600) + END)


@pytest.mark.parametrize(
    ("body", "error", "because"),
    [
        (field("a", "1") + field("a", "2") + END, UnreadableForm, "'a' twice"),
        (b"".join(field(f"f{n}", "") for n in range(51)) + END, UnreadableForm, "more than 50 fields"),
        (file(b"x", name="model") + END, InvalidInput, "the file goes into the field 'file'"),
        (field("file", "bytes") + END, InvalidInput, "has no file name"),
        (field("a", "\0") + END, InvalidInput, "NUL"),
        (file(b"eA==", headers="Content-Transfer-Encoding: base64\r\n") + END, UnreadableForm, "transfer-encoded"),
    ],
)
def test_a_form_that_readers_would_read_differently_is_refused(body, error, because):
    with pytest.raises(error, match=because):
        take(body)


def test_a_field_that_is_not_text_is_refused():
    with pytest.raises(InvalidInput, match="not UTF-8"):
        take(field("a", "X").replace(b"X", b"\xff\xfe") + END)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary="])
def test_a_body_that_names_no_boundary_is_refused(content_type):
    with pytest.raises(UnreadableForm, match="boundary"):
        receive(BytesIO(b""), content_type=content_type, content_length=0)
