"""Reads the body of a request piece by piece: one that breaks off is told, one that stalls is ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from django.conf import settings
from django.http import UnreadablePostError

from governance.exceptions import UnreadableUpload

#: As much as gunicorn receives at once: of a larger piece than is asked for, it copies the rest again each time.
PIECE_BYTES = 1024 * 1024


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def pieces(stream: Readable, length: int) -> Iterator[bytes]:
    """Yield a body of known length as it arrives.

    Raises:
        UnreadableUpload: after the last byte that arrived, when the body ends before its length.
    """
    left = length
    while left:
        try:
            piece = stream.read(min(left, PIECE_BYTES))
        except UnreadablePostError as error:
            raise _broken_off(length - left, length) from error
        if not piece:
            raise _broken_off(length - left, length)
        left -= len(piece)
        yield piece


def end_when_it_stalls(meta: Mapping[str, Any]) -> None:
    """Have a body of which nothing more arrives break off after a while.

    A client that vanished without closing its connection would otherwise hold a thread, and its own upload, for ever.
    Gunicorn hands its socket on; other servers have a limit of their own for this.
    """
    connection = meta.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(settings.ASSAY_UPLOAD_STALL_SECONDS)


def _broken_off(count: int, length: int) -> UnreadableUpload:
    return UnreadableUpload(f"The connection ended after {count:,} of {length:,} bytes of this request.")
