"""A strict zip reader: one archive has one reading, or it is refused.

Scanners are bypassed by zip files that two readers understand differently. This reader takes only what Keras, torch
and the tools that people pack folders with write: entries from byte 0 on, without a gap, in the order of the
directory; one directory at the stored offset; one end record as the last bytes; local headers equal to the directory;
stored or deflated content whose checksum holds; folders, which are left out. Memory is bounded by the chunk size and
time by the size of the file and ``Limits.total_bytes``.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.paths import DistinctNames, plain_path

_CHUNK_BYTES = 1024 * 1024
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_SUFFIX_SEARCH = 1024 * 1024
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF

_STORED, _DEFLATED = 0, 8
_FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0008, 0x0800
_FLAGS_ENCRYPTION = 0x0001 | 0x0040 | 0x2000
_FLAGS_KNOWN = _FLAG_DESCRIPTOR | _FLAG_UTF8 | 0x0006  # 0x0006: how hard deflate tried
_EXTRA_ZIP64 = 0x0001
_EXTRA_PADDING = 0x4246  # "FB": torch aligns the content of an entry with it
#: What `zip` adds beside the content; no reader finds other content by it.
_EXTRA_TIMES, _EXTRA_OWNER = 0x5455, 0x7875
_FILE_TYPE_MASK, _REGULAR_FILE, _FOLDER, _DOS_FOLDER = 0o170000, 0o100000, 0o040000, 0x10


@dataclass(frozen=True)
class Entry:
    """One file of the archive, as both of its headers say."""

    name: str
    method: int
    checksum: int
    stored_bytes: int
    size_bytes: int
    header_offset: int
    content_offset: int = 0


@dataclass(frozen=True)
class _Record:
    """One record of the central directory, before its local header was compared."""

    entry: Entry
    raw_name: bytes
    is_folder: bool
    flags: int
    time: int
    date: int


class Archive:
    """An archive that was read whole: every header compared and every checksum held.

    Raises:
        RefusalError: the file is not a canonical archive, or is larger than the limits.
    """

    def __init__(self, stream: BinaryIO, limits: Limits | None = None) -> None:
        self._stream = stream
        limits = limits or Limits()
        stream.seek(0, os.SEEK_END)
        self.size_bytes = stream.tell()
        count, directory_offset, directory_bytes = self._read_end()
        if count > limits.entries:
            raise refusal("ART-02.too_large", f"The archive has {count:,} entries; the limit is {limits.entries:,}.")
        if count == 0:
            raise refusal("ART-02.archive", "The archive has no entry.", "byte 0")
        records = self._read_directory(count, directory_offset, directory_bytes, limits)
        total = sum(record.entry.size_bytes for record in records)
        if total > limits.total_bytes:
            raise refusal(
                "ART-02.too_large",
                f"The archive unpacks to {total:,} bytes; the limit is {limits.total_bytes:,}.",
            )
        self.entries: dict[str, Entry] = self._read_local_headers(records, directory_offset)
        for name in self.entries:
            for _ in self.chunks(name):
                pass

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of an entry of at most ``limit`` bytes."""
        entry = self._entry(name)
        if entry.size_bytes > limit:
            raise refusal(
                "ART-02.too_large", f"The entry has {entry.size_bytes:,} bytes; the limit for it is {limit:,}.", name
            )
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of an entry in pieces; its size and checksum are checked at the end."""
        entry = self._entry(name)
        checksum, size = 0, 0
        for piece in self._inflated(entry) if entry.method == _DEFLATED else self._raw(entry):
            checksum = zlib.crc32(piece, checksum)
            size += len(piece)
            yield piece
        if size != entry.size_bytes:
            raise refusal("ART-02.header_mismatch", f"{size:,} bytes come out; {entry.size_bytes:,} are stated.", name)
        if checksum != entry.checksum:
            raise refusal(
                "ART-02.checksum", f"The checksum is {checksum:08x}; the archive states {entry.checksum:08x}.", name
            )

    def offset_of(self, name: str) -> int | None:
        """Return the byte of the file at which an entry lies as it is; None when it is compressed."""
        entry = self._entry(name)
        return entry.content_offset if entry.method == _STORED else None

    def _entry(self, name: str) -> Entry:
        try:
            return self.entries[name]
        except KeyError:
            raise refusal("ART-02.missing_entry", f"The archive has no entry {shown(name)}.", name) from None

    def _at(self, offset: int, length: int) -> bytes:
        if offset < 0:
            return b""
        self._stream.seek(offset)
        return self._stream.read(length)

    def _raw(self, entry: Entry) -> Iterator[bytes]:
        offset, left = entry.content_offset, entry.stored_bytes
        while left > 0:
            piece = self._at(offset, min(left, _CHUNK_BYTES))
            if not piece:
                raise refusal("ART-02.truncated", "The content of the entry is cut off.", entry.name)
            offset, left = offset + len(piece), left - len(piece)
            yield piece

    def _inflated(self, entry: Entry) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size = 0
        for piece in self._raw(entry):
            pending = piece
            while pending and not inflater.eof:
                try:
                    out = inflater.decompress(pending, _CHUNK_BYTES)
                except zlib.error:
                    raise refusal("ART-02.checksum", "The compressed content is damaged.", entry.name) from None
                pending = inflater.unconsumed_tail
                size += len(out)
                if size > entry.size_bytes:
                    detail = f"More comes out than the {entry.size_bytes:,} bytes that are stated."
                    raise refusal("ART-02.too_large", detail, entry.name)
                yield out
            if inflater.eof and (pending or inflater.unused_data):
                break
        rest = b"" if inflater.eof else inflater.flush()
        yield rest
        if not inflater.eof or inflater.unused_data or size + len(rest) != entry.size_bytes:
            raise refusal("ART-02.archive", "The compressed content does not end where the entry ends.", entry.name)

    def _read_end(self) -> tuple[int, int, int]:
        """Return entry count, directory offset and directory size."""
        end_offset = self.size_bytes - _END.size
        raw = self._at(end_offset, _END.size)
        if len(raw) < _END.size or not raw.startswith(b"PK\x05\x06") or raw[-2:] != b"\0\0":
            raise self._no_end()
        _, disk, directory_disk, count_here, count, size, offset, _ = _END.unpack(raw)
        limit = end_offset
        locator = self._at(end_offset - _LOCATOR_64.size, _LOCATOR_64.size)
        if locator.startswith(b"PK\x06\x07") and end_offset >= _LOCATOR_64.size + _END_64.size:
            limit = end_offset - _LOCATOR_64.size - _END_64.size
            narrow = (disk, directory_disk, count_here, count, size, offset)
            disk, directory_disk, count_here, count, size, offset = self._read_end_64(locator, limit)
            wide = (disk, directory_disk, count_here, count, size, offset)
            limits = (_MAX_16, _MAX_16, _MAX_16, _MAX_16, _MAX_32, _MAX_32)
            if any(small not in (large, top) for small, large, top in zip(narrow, wide, limits, strict=True)):
                raise refusal("ART-02.header_mismatch", "The two end records disagree.", f"byte {limit:,}")
        if disk or directory_disk or count_here != count:
            raise refusal("ART-02.archive", "The archive says that it is one of several disks.", f"byte {limit:,}")
        if offset + size != limit:
            gap = limit - offset - size
            detail = f"The directory ends {gap:,} bytes away from the end record; it has to end there."
            raise refusal("ART-02.archive", detail, f"byte {limit:,}")
        return count, offset, size

    def _read_end_64(self, locator: bytes, expected: int) -> tuple[int, int, int, int, int, int]:
        _, disk, offset, disks = _LOCATOR_64.unpack(locator)
        raw = self._at(expected, _END_64.size)
        if disk or disks != 1 or offset != expected or not raw.startswith(b"PK\x06\x06"):
            raise refusal("ART-02.archive", "The zip64 end record is not where it is said to be.", f"byte {expected:,}")
        _, length, _, _, this_disk, directory_disk, count_here, count, size, directory = _END_64.unpack(raw)
        if length != _END_64.size - 12:
            raise refusal("ART-02.archive", "The zip64 end record holds extra data.", f"byte {expected:,}")
        return this_disk, directory_disk, count_here, count, size, directory

    def _no_end(self) -> RefusalError:
        """Tell data behind the archive from an archive that is cut off."""
        window = min(self.size_bytes, _MAX_SUFFIX_SEARCH)
        start = self.size_bytes - window
        tail = self._at(start, window)
        found = tail.rfind(b"PK\x05\x06")
        while found >= 0:
            record = tail[found : found + _END.size]
            if len(record) == _END.size:
                _, _, _, _, _, size, offset, _ = _END.unpack(record)
                # The end of an archive stored inside this one speaks of other offsets.
                if offset + size in (start + found, start + found - _LOCATOR_64.size - _END_64.size):
                    return refusal(
                        "ART-02.suffix_data",
                        f"{window - found - _END.size:,} bytes follow the end record (data or a comment); nothing may.",
                        f"byte {start + found + _END.size:,}",
                    )
            found = tail.rfind(b"PK\x05\x06", 0, found)
        return refusal(
            "ART-02.truncated",
            f"The archive does not end within its {self.size_bytes:,} bytes: the upload is cut off.",
            f"byte {self.size_bytes:,}",
        )

    def _read_directory(self, count: int, offset: int, size: int, limits: Limits) -> list[_Record]:
        if count * _CENTRAL.size > size or size > count * (_CENTRAL.size + limits.name_bytes + 1024):
            detail = f"A directory of {size:,} bytes cannot hold {count:,} entries."
            raise refusal("ART-02.archive", detail, f"byte {offset:,}")
        raw = self._at(offset, size)
        if len(raw) != size:
            raise refusal("ART-02.truncated", "The directory of the archive is cut off.", f"byte {offset:,}")
        records: list[_Record] = []
        position = 0
        names = DistinctNames()
        for _ in range(count):
            record, position = _read_record(raw, position, offset, limits)
            names.add(record.entry.name, is_folder=record.is_folder)
            records.append(record)
        if position != size:
            detail = f"{size - position:,} bytes of the directory belong to no entry."
            raise refusal("ART-02.archive", detail, f"byte {offset + position:,}")
        return records

    def _read_local_headers(self, records: list[_Record], directory_offset: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        position = 0
        for index, record in enumerate(records):
            entry = record.entry
            if entry.header_offset != position:
                identifier = "ART-02.prefix_data" if index == 0 else "ART-02.archive"
                detail = f"The entry begins at byte {entry.header_offset:,}; it has to begin at byte {position:,}."
                raise refusal(identifier, detail, entry.name)
            limit = records[index + 1].entry.header_offset if index + 1 < len(records) else directory_offset
            whole, position = self._read_local_header(record, limit)
            if not record.is_folder:
                entries[whole.name] = whole
        if position != directory_offset:
            gap = directory_offset - position
            detail = f"{gap:,} bytes lie between the last entry and the directory."
            raise refusal("ART-02.archive", detail, f"byte {position:,}")
        return entries

    def _read_local_header(self, record: _Record, limit: int) -> tuple[Entry, int]:
        entry = record.entry
        raw = self._at(entry.header_offset, _LOCAL.size)
        if len(raw) != _LOCAL.size or not raw.startswith(b"PK\x03\x04"):
            raise refusal("ART-02.archive", f"There is no entry at byte {entry.header_offset:,}.", entry.name)
        _, _, flags, method, time, date, checksum, stored, size, name_length, extra_length = _LOCAL.unpack(raw)
        rest = self._at(entry.header_offset + _LOCAL.size, name_length + extra_length)
        extras = _read_extras(rest[name_length:], entry.name)
        if not _are_known(extras, _EXTRA_ZIP64, _EXTRA_PADDING):
            raise refusal("ART-02.archive", "The local header holds extra fields of an unknown kind.", entry.name)
        if extras.get(_EXTRA_PADDING, b"").strip(b"Z\0"):
            raise refusal("ART-02.archive", "The padding of the local header holds data.", entry.name)
        if _EXTRA_ZIP64 in extras:
            wide = extras[_EXTRA_ZIP64]
            if len(wide) != 16 or (size, stored) != (_MAX_32, _MAX_32):
                raise refusal("ART-02.archive", "The zip64 sizes of the local header are not whole.", entry.name)
            size, stored = struct.unpack("<2Q", wide)
        ours = (record.raw_name, record.flags, entry.method, record.time, record.date)
        differs = (rest[:name_length], flags, method, time, date) != ours
        numbers = (checksum, stored, size)
        expected = (entry.checksum, entry.stored_bytes, entry.size_bytes)
        described = bool(flags & _FLAG_DESCRIPTOR)
        if differs or (numbers != expected and not (described and not any(numbers))):
            raise refusal("ART-02.header_mismatch", "The local header and the directory disagree.", entry.name)
        content = entry.header_offset + _LOCAL.size + name_length + extra_length
        end = content + entry.stored_bytes
        if described:
            end = self._read_descriptor(entry, end, limit)
        if end > limit:
            raise refusal("ART-02.archive", "The entry overlaps what follows it.", entry.name)
        whole = Entry(
            entry.name,
            entry.method,
            entry.checksum,
            entry.stored_bytes,
            entry.size_bytes,
            entry.header_offset,
            content,
        )
        return whole, end

    def _read_descriptor(self, entry: Entry, offset: int, limit: int) -> int:
        layout = struct.Struct("<4sI2Q") if limit - offset == 24 else struct.Struct("<4s3I")
        raw = self._at(offset, layout.size)
        if len(raw) != layout.size or not raw.startswith(b"PK\x07\x08"):
            raise refusal("ART-02.archive", "The entry has no data descriptor, and says that it has.", entry.name)
        if layout.unpack(raw)[1:] != (entry.checksum, entry.stored_bytes, entry.size_bytes):
            raise refusal("ART-02.header_mismatch", "The data descriptor and the directory disagree.", entry.name)
        return offset + layout.size


def _read_record(raw: bytes, position: int, base: int, limits: Limits) -> tuple[_Record, int]:
    place = f"byte {base + position:,}"
    fixed = raw[position : position + _CENTRAL.size]
    if len(fixed) != _CENTRAL.size or not fixed.startswith(b"PK\x01\x02"):
        raise refusal("ART-02.archive", "The directory holds something that is not an entry.", place)
    fields = _CENTRAL.unpack(fixed)
    _, made_by, needs, flags, method, time, date, checksum, stored, size = fields[:10]
    name_length, extra_length, comment_length, disk, _, attributes, header_offset = fields[10:]
    start = position + _CENTRAL.size
    raw_name = raw[start : start + name_length]
    raw_extra = raw[start + name_length : start + name_length + extra_length]
    if len(raw_name) != name_length or len(raw_extra) != extra_length or comment_length or disk:
        raise refusal("ART-02.archive", "An entry of the directory is cut off, has a comment, or names a disk.", place)
    is_folder = raw_name.endswith(b"/")
    name = plain_path(raw_name.removesuffix(b"/"), "utf-8" if flags & _FLAG_UTF8 else "ascii", limits, place)
    if flags & _FLAGS_ENCRYPTION:
        raise refusal("ART-02.encrypted", "The entry says that it is encrypted; models are taken in the clear.", name)
    if flags & ~_FLAGS_KNOWN or (needs & 0xFF) > 45 or method not in (_STORED, _DEFLATED):
        detail = f"The entry uses method {method} and flags {flags:#06x}; plain stored and deflated ones are taken."
        raise refusal("ART-02.archive", detail, name)
    mode = attributes >> 16 & _FILE_TYPE_MASK if made_by >> 8 == 3 else 0
    if mode not in (0, _FOLDER if is_folder else _REGULAR_FILE) or (attributes & _DOS_FOLDER and not is_folder):
        raise refusal("ART-02.link", "The entry is a link or a device; plain files and folders are taken.", name)
    size, stored, header_offset = _read_wide_sizes(raw_extra, size, stored, header_offset, name)
    if method == _STORED and stored != size:
        raise refusal("ART-02.header_mismatch", f"A stored entry has {stored:,} and {size:,} bytes.", name)
    if is_folder and (size or checksum or method != _STORED):
        raise refusal("ART-02.archive", "A folder has a content.", name)
    entry = Entry(name, method, checksum, stored, size, header_offset)
    return _Record(entry, raw_name, is_folder, flags, time, date), start + name_length + extra_length


def _read_wide_sizes(raw: bytes, size: int, stored: int, offset: int, name: str) -> tuple[int, int, int]:
    extras = _read_extras(raw, name)
    if not _are_known(extras, _EXTRA_ZIP64):
        raise refusal("ART-02.archive", "The directory holds extra fields of an unknown kind.", name)
    narrow = [size, stored, offset]
    wide = extras.get(_EXTRA_ZIP64, b"")
    if len(wide) != 8 * narrow.count(_MAX_32):
        raise refusal("ART-02.archive", "The zip64 sizes of the directory are not whole.", name)
    values = iter(struct.unpack(f"<{len(wide) // 8}Q", wide))
    size, stored, offset = (next(values) if value == _MAX_32 else value for value in narrow)
    return size, stored, offset


def _are_known(extras: dict[int, bytes], *taken: int) -> bool:
    return all(identifier in taken or _is_beside(identifier, content) for identifier, content in extras.items())


def _is_beside(identifier: int, content: bytes) -> bool:
    """Tell whether an extra field is times (flags, then up to three) or an owner (two numbers), and nothing else."""
    if identifier == _EXTRA_TIMES:
        return len(content) in (5, 9, 13) and content[0] <= 0b111
    return identifier == _EXTRA_OWNER and len(content) == 11 and content[:2] == b"\x01\x04" and content[6] == 4


def _read_extras(raw: bytes, name: str) -> dict[int, bytes]:
    extras: dict[int, bytes] = {}
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise refusal("ART-02.archive", "An extra field is cut off.", name)
        identifier, length = struct.unpack_from("<2H", raw, position)
        content = raw[position + 4 : position + 4 + length]
        if len(content) != length or identifier in extras:
            raise refusal("ART-02.archive", "An extra field is cut off or stands twice.", name)
        extras[identifier] = content
        position += 4 + length
    return extras
