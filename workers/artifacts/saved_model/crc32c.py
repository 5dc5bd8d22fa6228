"""CRC-32C, as TensorFlow's tables and tensors carry it, on whole arrays at once: the standard library has only CRC-32.

The bytes are laid out as rows that are read in parallel, two bytes a step, and the checksums of the rows are joined
pairwise. Source: RFC 3720, appendix B.4; joining as in zlib's ``crc32_combine`` (M. Adler).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_ROW_BYTES = 256
_ONES = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8


def crc32c(content: bytes | memoryview, before: int = 0) -> int:
    """Return the checksum of ``content``, or of what came before it and ``content`` where its checksum is given."""
    started = _shift(before ^ _ONES, len(content))
    return started ^ _raw(content) ^ _ONES


def masked(checksum: int) -> int:
    """Return a checksum as it is stored, so that a checksum of data with checksums in it is none by accident."""
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & _ONES


def _raw(content: bytes | memoryview) -> int:
    """Return the remainder of the bytes alone; zeros in front do not change it."""
    if len(content) < _ROW_BYTES:
        table, remainder = _byte_table(), 0
        for byte in content:
            remainder = int(table[(remainder ^ byte) & 0xFF]) ^ remainder >> 8
        return remainder
    row_count = 1 << (-(-len(content) // _ROW_BYTES) - 1).bit_length()
    padded = np.zeros(row_count * _ROW_BYTES, np.uint8)
    padded[len(padded) - len(content) :] = np.frombuffer(content, np.uint8)
    words = np.ascontiguousarray(padded.view("<u2").reshape(row_count, -1).T).astype(np.uint32)
    table = _word_table()
    remainders: NDArray[np.uint32] = np.zeros(row_count, np.uint32)
    for column in words:
        remainders = table[(remainders ^ column) & 0xFFFF] ^ remainders >> np.uint32(16)
    width = _ROW_BYTES
    while len(remainders) > 1:
        remainders = _shifted(remainders[0::2], width) ^ remainders[1::2]
        width *= 2
    return int(remainders[0])


@cache
def _byte_table() -> NDArray[np.uint32]:
    """Return what each byte makes of the remainder 0."""
    table: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> np.uint32(1) ^ (table & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return table


@cache
def _word_table() -> NDArray[np.uint32]:
    """Return what each pair of bytes makes of the remainder 0."""
    bytes_table, words = _byte_table(), np.arange(65536, dtype=np.uint32)
    first: NDArray[np.uint32] = bytes_table[words & 0xFF] ^ words >> np.uint32(8)
    table: NDArray[np.uint32] = bytes_table[first & 0xFF] ^ first >> np.uint32(8)
    return table


@cache
def _zeros(exponent: int) -> NDArray[np.uint32]:
    """Return the tables of the map "2**exponent zero bytes follow": for each byte of a remainder, 256 results."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if exponent == 0:
        images = _byte_table()[bits & 0xFF] ^ bits >> 8
    else:
        half = _zeros(exponent - 1)
        images = _apply(half, _apply(half, bits))
    tables = np.zeros((4, 256), np.uint32)
    values = np.arange(256)
    for place in range(4):
        for bit in range(8):
            tables[place] ^= np.where(values >> bit & 1, images[8 * place + bit], np.uint32(0)).astype(np.uint32)
    return tables


def _apply(tables: NDArray[np.uint32], remainders: NDArray[np.uint32]) -> NDArray[np.uint32]:
    found: NDArray[np.uint32] = tables[0][remainders & 0xFF]
    for place in range(1, 4):
        found = found ^ tables[place][remainders >> np.uint32(8 * place) & 0xFF]
    return found


def _shifted(remainders: NDArray[np.uint32], zero_bytes: int) -> NDArray[np.uint32]:
    """Return the remainders after so many zero bytes."""
    exponent = 0
    while zero_bytes:
        if zero_bytes & 1:
            remainders = _apply(_zeros(exponent), remainders)
        zero_bytes >>= 1
        exponent += 1
    return remainders


def _shift(remainder: int, zero_bytes: int) -> int:
    return int(_shifted(np.array([remainder], np.uint32), zero_bytes)[0])
