"""An upload while it is read: its bytes, the archive around them where there is one, and what a reader makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from workers.artifacts.findings import Finding
from workers.artifacts.limits import Limits


class Member(Protocol):
    """One file of a container."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...


class Container(Protocol):
    """A zip or tar archive that was read whole: every header checked, every name plain and there once."""

    @property
    def entries(self) -> Mapping[str, Member]: ...

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of an entry of at most ``limit`` bytes."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of an entry in pieces."""
        ...

    def offset_of(self, name: str) -> int | None:
        """Return the byte of the file at which an entry lies as it is; None when it is compressed."""
        ...


@dataclass(frozen=True)
class Source:
    """The bytes of an upload, its limits, and its container; None for a file that is none."""

    stream: BinaryIO
    limits: Limits
    container: Container | None = None

    @property
    def entries(self) -> Container:
        """The container of a format that always has one."""
        if self.container is None:
            raise ValueError("This file is no archive.")
        return self.container


class Content(Protocol):
    """What a reader parsed, to the end; nothing of it was loaded."""

    @property
    def format(self) -> str:
        """A name of ``formats.FORMATS``."""
        ...

    @property
    def framework(self) -> str:
        """``keras``, ``pytorch``, or empty for weights that are nobody's."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]: ...

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical copy from what was parsed; only raw array bytes are copied from the upload."""
        ...


#: Reads one format to its end, or raises RefusalError at the first thing that is not taken.
Reader = Callable[[Source], Content]
