"""A file that is jumped about in while it is read: a whole one, or the part of one where an entry lies as it is."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol


class RandomAccess(Protocol):
    """What a reader needs that follows addresses."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


class Region:
    """Part of a file, read as a file of its own; nothing is copied, and nothing outside of it can be reached.

    Args:
        offset: its first byte in the file.
        size_bytes: what belongs to it.
    """

    def __init__(self, stream: BinaryIO, offset: int, size_bytes: int) -> None:
        self._stream = stream
        self._offset = offset
        self._size_bytes = size_bytes
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a byte counted from the beginning or, with ``SEEK_END``, from the end of the region."""
        position = offset + (self._size_bytes if whence == os.SEEK_END else 0)
        if whence not in (os.SEEK_SET, os.SEEK_END) or position < 0:
            raise ValueError(f"There is no byte {offset:,} in a region, counted so ({whence}).")
        self._position = position
        return position

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size`` (at least 0) of them and fewer only at the end of the region."""
        if size < 0:
            raise ValueError(f"{size:,} bytes of a region cannot be read; say how many.")
        self._stream.seek(self._offset + self._position)
        content = self._stream.read(max(0, min(size, self._size_bytes - self._position)))
        self._position += len(content)
        return content
