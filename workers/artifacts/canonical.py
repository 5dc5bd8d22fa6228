"""Writes the canonical archive: fixed order, fixed times, stored content, nothing that the writer was not given."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_EPOCH = (1980, 1, 1, 0, 0, 0)
_OWNER_FILE = 0o100600


class CanonicalArchive:
    """A zip file in the making: the same entries give the same bytes."""

    def __init__(self, target: Path) -> None:
        self._file = zipfile.ZipFile(target, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, content: bytes) -> None:
        self.add_stream(name, len(content), [content])

    def add_stream(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        """Write an entry of a known size in pieces."""
        info = zipfile.ZipInfo(name, _EPOCH)
        info.create_system = 3
        info.external_attr = _OWNER_FILE << 16
        # zipfile decides by it, before the first byte, whether the entry needs 64-bit sizes.
        info.file_size = size
        with self._file.open(info, "w") as stream:
            for piece in pieces:
                stream.write(piece)
