"""A zip writer that says what it is told, in each header separately.

Source: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Entry:
    """One entry; what begins with ``local_`` is said only in front of the content, and is the same where None.

    ``bits`` are the general flags, ``stored`` the bytes as they lie in the file.
    """

    name: str
    content: bytes
    deflated: bool = False
    bits: int = 0
    checksum: int | None = None
    size: int | None = None
    stored: bytes | None = None
    attributes: int = 0
    comment: bytes = b""
    extra: bytes = b""
    before: bytes = b""
    hidden: bool = False
    local_name: str | None = None
    local_bits: int | None = None
    local_method: int | None = None
    local_checksum: int | None = None
    local_extra: bytes = b""
    made_by: int = 0

    @property
    def raw(self) -> bytes:
        if self.stored is not None:
            return self.stored
        if not self.deflated:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(self.content) + packer.flush()


def zip_bytes(entries: Iterable[Entry], *, comment: bytes = b"", offset: int = 0, gap: bytes = b"") -> bytes:
    """Return an archive: entries, directory, end record.

    Args:
        offset: what is added to every stated offset, for an archive that gets something in front of it.
        gap: bytes between the last entry and the directory.
    """
    content, directory, count = b"", b"", 0
    for entry in entries:
        content += entry.before
        begins = len(content) + offset
        raw = entry.raw
        checksum = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
        size = len(entry.content) if entry.size is None else entry.size
        method = 8 if entry.deflated else 0
        name = entry.name.encode()
        local_name = name if entry.local_name is None else entry.local_name.encode()
        local_bits = entry.bits if entry.local_bits is None else entry.local_bits
        local_method = method if entry.local_method is None else entry.local_method
        local_checksum = checksum if entry.local_checksum is None else entry.local_checksum
        numbers = (local_checksum, len(raw), size, len(local_name), len(entry.local_extra))
        content += struct.pack("<4s5H3I2H", b"PK\3\4", 20, local_bits, local_method, 0, 0x21, *numbers)
        content += local_name + entry.local_extra + raw
        if entry.hidden:
            continue
        count += 1
        numbers = (checksum, len(raw), size, len(name), len(entry.extra), len(entry.comment))
        head = struct.pack("<4s6H", b"PK\1\2", entry.made_by << 8 | 20, 20, entry.bits, method, 0, 0x21)
        directory += head + struct.pack("<3I3H", *numbers) + struct.pack("<2H2I", 0, 0, entry.attributes, begins)
        directory += name + entry.extra + entry.comment
    content += gap
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(content) + offset, len(comment))
    return content + directory + end + comment


def write_zip(path: Path, entries: Iterable[Entry]) -> Path:
    """Write a plain archive."""
    path.write_bytes(zip_bytes(entries))
    return path
