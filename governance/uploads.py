"""Takes in a multipart upload: its fields to memory, its file straight to the store's disk, never whole in memory.

Django's own parser pushes chunks to handlers and accepts a body that broke off. Here the store pulls the chunks of the
file as they arrive, so that a break leaves nothing behind, and what stands before the file can be looked at first. The
file is in the store only once somebody keeps it, after the whole form was read and found right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousMultipartForm
from django.http import UnreadablePostError
from django.http.multipartparser import FIELD, FILE, ChunkIter, LazyStream, MultiPartParserError, Parser
from django.utils.http import parse_header_parameters

from governance.bodies import PIECE_BYTES, Readable
from governance.digests import StatedDigest
from governance.exceptions import AssayError, DigestMismatch, InvalidInput, UnreadableUpload, UploadTooLarge
from governance.storage import ArrivedFile, store

FILE_FIELD = "file"
_MOST_FIELDS = 50


@dataclass
class ReceivedForm:
    """What came: text fields, and the file with the name that its sender gave it.

    The file is temporary: it goes with :meth:`close` unless the store was told to keep it.
    """

    fields: dict[str, str] = field(default_factory=dict)
    file: ArrivedFile | None = None
    filename: str = ""
    open_files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.open_files.close()


class UnreadableForm(AssayError):
    code = "unreadable_form"
    status = 400
    title = "The form cannot be read."


def receive(
    stream: Readable,
    *,
    content_type: str,
    content_length: int,
    before_file: Callable[[Mapping[str, str]], None] | None = None,
    digests: Sequence[StatedDigest] = (),
) -> ReceivedForm:
    """Read a ``multipart/form-data`` body; its one file is in the field ``file``. Close what is returned.

    Args:
        before_file: called with the fields that stand before the file, before a byte of the file is written.
        digests: what the sender said that the whole body would be.

    Raises:
        UnreadableUpload: the body broke off.
        UnreadableForm: it is not multipart, or names a field twice.
        DigestMismatch: it is another body than was said.
        UploadTooLarge: it is longer than the installation accepts.
    """
    _, parameters = parse_header_parameters(content_type)
    boundary = parameters.get("boundary", "")
    if not boundary.isascii() or not 0 < len(boundary) <= 200:
        raise UnreadableForm("The content type names no boundary; send multipart/form-data.")
    limit = settings.ASSAY_MAX_UPLOAD_BYTES
    if content_length > limit + settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise UploadTooLarge(f"The upload is larger than {limit:,} bytes, the most that this installation accepts.")
    counted = _Counted(stream, content_length, closing=f"--{boundary}--".encode(), digests=digests)
    with ExitStack() as until_whole:
        form = until_whole.enter_context(ReceivedForm())
        try:
            _read_parts(counted, boundary.encode(), form, before_file)
        except (MultiPartParserError, SuspiciousMultipartForm) as error:
            raise UnreadableForm(f"The form cannot be read: {error}") from error
        counted.demand_whole()
        until_whole.pop_all()
    return form


def _read_parts(
    counted: _Counted, boundary: bytes, form: ReceivedForm, before_file: Callable[[Mapping[str, str]], None] | None
) -> None:
    left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    seen: set[str] = set()
    chunks = ChunkIter(counted, PIECE_BYTES)  # type: ignore[arg-type]  # it only ever reads
    for kind, meta, part in Parser(LazyStream(chunks), boundary):
        if kind not in (FIELD, FILE):
            continue
        name, filename = _names(meta)
        if name in seen or len(seen) >= _MOST_FIELDS:
            raise UnreadableForm(f"The form has the field {name!r} twice, or more than {_MOST_FIELDS} fields.")
        seen.add(name)
        if kind == FIELD:
            content = part.read(left + 1)
            left -= len(content)
            if left < 0:
                raise RequestDataTooBig
            if name != FILE_FIELD:
                form.fields[name] = _text(name, content)
            elif content:
                raise InvalidInput(
                    "The field `file` has no file name, so it is a text.",
                    errors=[{"place": FILE_FIELD, "detail": "Send it as a file, with the name that it has."}],
                )
        elif name != FILE_FIELD:
            raise InvalidInput(
                f"The form has a file in the field {name!r}; the file goes into the field {FILE_FIELD!r}.",
                errors=[{"place": name, "detail": "There is no such field."}],
            )
        else:
            if before_file is not None:
                before_file(form.fields)
            form.filename = filename
            form.file = form.open_files.enter_context(store().receive(_content(part, counted)))


def _content(part: LazyStream, counted: _Counted) -> Iterator[bytes]:
    """Yield the pieces of a file; when the body ended in the middle of it, the store is told before it keeps it."""
    yield from part
    counted.demand_not_broken()


def _names(meta: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of a part's field and file."""
    _, options = meta["content-disposition"]
    name, filename = options.get("name", b""), options.get("filename", "")
    if "content-transfer-encoding" in meta:
        raise UnreadableForm("A part of the form is transfer-encoded; send its bytes as they are.")
    return _text("name", name), filename if isinstance(filename, str) else _text("filename", filename)


def _text(name: str, content: str | bytes) -> str:
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"The field {name!r} is not UTF-8 text.", errors=[{"place": name, "detail": str(error)}]
        ) from error
    if "\0" in text:
        raise InvalidInput(
            f"The field {name!r} holds the character NUL.", errors=[{"place": name, "detail": "Leave it out."}]
        )
    return text


class _Counted:
    """Reads a body and knows whether it ended where, and as, it said it would."""

    def __init__(self, stream: Readable, length: int, *, closing: bytes, digests: Sequence[StatedDigest] = ()) -> None:
        self._stream = stream
        self._length = length
        self._closing = closing
        self._digests = digests
        self._count = 0
        self._tail = b""
        self._has_ended = False

    def read(self, size: int = PIECE_BYTES) -> bytes:
        try:
            content = self._stream.read(min(size, self._length - self._count))
        except UnreadablePostError as error:
            raise UnreadableUpload("The upload broke off before its end; send the whole file again.") from error
        self._count += len(content)
        for digest in self._digests:
            digest.update(content)
        self._tail = (self._tail + content)[-len(self._closing) - 1024 :]
        self._has_ended = not content or self._count >= self._length
        return content

    def demand_not_broken(self) -> None:
        """Raise UnreadableUpload when the body has ended before its length or without its closing boundary."""
        if self._has_ended and (self._count < self._length or self._closing not in self._tail):
            raise UnreadableUpload(
                f"The upload ended after {self._count:,} of {self._length:,} bytes, or before its last boundary; "
                "send the whole file again."
            )

    def demand_whole(self) -> None:
        """Read what is left, and raise when the body is not whole, or not what was said."""
        while self.read():
            continue
        self.demand_not_broken()
        for digest in self._digests:
            if not digest.holds:
                raise DigestMismatch(f"The body that came is not the one that {digest.header} states; send it again.")
