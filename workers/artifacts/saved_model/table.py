"""The sorted table in which a checkpoint keeps its index: read without slack, written in one plain block.

Layout: blocks of entries, an empty block of metadata, a block with the place of each block, a footer of 48 bytes;
behind each block its compression (none) and its checksum. Source: LevelDB, ``doc/table_format.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from workers.artifacts.findings import RefusalError, refusal
from workers.artifacts.saved_model.crc32c import crc32c, masked
from workers.artifacts.saved_model.wire import read_varint, write_varint

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_EMPTY_BLOCK = struct.pack("<2I", 0, 1)
_RESTART_INTERVAL = 16


def read_table(content: bytes, place: str) -> dict[bytes, bytes]:
    """Return the entries of a table in their order; every byte of it was read.

    Raises:
        RefusalError: blocks leave gaps or overlap, keys are not in order, a checksum does not hold, or the like.
    """
    return _Table(content, place).entries()


def write_table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a table with all entries, given in the order of their keys, in one block."""
    listed = list(entries)
    block = _block(listed)
    meta = _with_trailer(_EMPTY_BLOCK)
    index = _block([(listed[-1][0] if listed else b"", _handle(0, len(block) - _TRAILER_BYTES))])
    footer = _handle(len(block), len(_EMPTY_BLOCK)) + _handle(len(block) + len(meta), len(index) - _TRAILER_BYTES)
    return block + meta + index + footer.ljust(_FOOTER_BYTES - len(_MAGIC), b"\0") + _MAGIC


class _Table:
    def __init__(self, content: bytes, place: str) -> None:
        self._content = content
        self._place = place

    def entries(self) -> dict[bytes, bytes]:
        start = len(self._content) - _FOOTER_BYTES
        if start < 0 or not self._content.endswith(_MAGIC):
            raise self._refusal("The table does not end with its footer.", max(0, start))
        footer = self._content[start : -len(_MAGIC)]
        meta_offset, meta_size, position = self._read_handle(footer, 0, start)
        index_offset, index_size, position = self._read_handle(footer, position, start)
        if footer[position:].strip(b"\0"):
            raise self._refusal("The footer holds more than two places.", start + position)
        if self._block_at(meta_offset, meta_size) != _EMPTY_BLOCK:
            raise self._refusal("The table holds metadata; a checkpoint has none.", meta_offset)
        found: dict[bytes, bytes] = {}
        end, last = 0, b""
        for number, (separator, handle) in enumerate(self._read_block(index_offset, index_size)):
            offset, size, position = self._read_handle(handle, 0, index_offset)
            if offset != end or position != len(handle):
                raise self._refusal("The blocks do not follow one another without a gap.", index_offset)
            entries = self._read_block(offset, size)
            if not entries or (number and entries[0][0] <= last) or entries[-1][0] > separator:
                raise self._refusal("The keys are not in order.", offset)
            found.update(entries)
            end, last = offset + size + _TRAILER_BYTES, separator
        behind_meta = meta_offset + meta_size + _TRAILER_BYTES
        if meta_offset != end or index_offset != behind_meta or index_offset + index_size + _TRAILER_BYTES != start:
            raise self._refusal("The blocks do not follow one another without a gap.", meta_offset)
        return found

    def _block_at(self, offset: int, size: int) -> bytes:
        end = offset + size + _TRAILER_BYTES
        if end > len(self._content) - _FOOTER_BYTES:
            raise self._refusal("A block reaches beside the table.", offset)
        compression, checksum = struct.unpack_from("<BI", self._content, offset + size)
        if compression:
            raise self._refusal("A block is compressed; a checkpoint's are not.", offset + size)
        if checksum != masked(crc32c(memoryview(self._content)[offset : offset + size + 1])):
            raise refusal(
                "ART-02.checksum", "The checksum of a block does not hold.", f"{self._place}: byte {offset:,}"
            )
        return self._content[offset : offset + size]

    def _read_block(self, offset: int, size: int) -> list[tuple[bytes, bytes]]:
        block = self._block_at(offset, size)
        restart_count = int.from_bytes(block[-4:], "little") if len(block) >= 4 else 0
        end = len(block) - 4 * (restart_count + 1)
        if restart_count == 0 or end < 0:
            raise self._refusal("A block does not say where its keys restart.", offset)
        restarts = struct.unpack_from(f"<{restart_count}I", block, end)
        entries: list[tuple[bytes, bytes]] = []
        whole_keys = {0}
        position, key = 0, b""
        while position < end:
            start = position
            shared, position = self._number(block, position, end, offset)
            own, position = self._number(block, position, end, offset)
            length, position = self._number(block, position, end, offset)
            if shared > len(key) or own + length > end - position:
                raise self._refusal("An entry reaches beside its block.", offset + start)
            following = key[:shared] + block[position : position + own]
            if entries and following <= key:
                raise self._refusal("The keys are not in order, or one stands twice.", offset + start)
            if not shared:
                whole_keys.add(start)
            entries.append((following, block[position + own : position + own + length]))
            key, position = following, position + own + length
        if restarts[0] or list(restarts) != sorted(set(restarts)) or not whole_keys.issuperset(restarts):
            raise self._refusal("A restart is not at a key that is written whole.", offset + end)
        return entries

    def _read_handle(self, content: bytes, position: int, start: int) -> tuple[int, int, int]:
        offset, position = self._number(content, position, len(content), start)
        size, position = self._number(content, position, len(content), start)
        return offset, size, position

    def _number(self, content: bytes, position: int, end: int, offset: int) -> tuple[int, int]:
        try:
            return read_varint(content, position, end)
        except ValueError as error:
            raise self._refusal(f"In the encoding {error}.", offset + position) from None

    def _refusal(self, detail: str, position: int) -> RefusalError:
        return refusal("ART-02.checkpoint", detail, f"{self._place}: byte {position:,}")


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block in which every key is written whole."""
    out, restarts = bytearray(), []
    for number, (key, value) in enumerate(entries):
        if number % _RESTART_INTERVAL == 0:
            restarts.append(len(out))
        out += b"\0" + write_varint(len(key)) + write_varint(len(value)) + key + value
    restarts = restarts or [0]
    return _with_trailer(bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts)))


def _with_trailer(block: bytes) -> bytes:
    content = block + b"\0"
    return content + struct.pack("<I", masked(crc32c(content)))


def _handle(offset: int, size: int) -> bytes:
    return write_varint(offset) + write_varint(size)
