"""Types and shapes: the few that Keras writes, each by the exact bytes under which HDF5 stores it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Literal

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.file_map import FileMap

#: What stands for bfloat16, which HDF5 does not have: two bytes without a meaning of their own.
RAW_2 = "raw2"

_VARIABLE_BYTES = 16
_BOOL_MEMBERS = b"FALSE\0\0\0TRUE\0\0\0\0\0\1"
_CLASSES = {
    0: "whole numbers of an unusual form (HDF5 keeps them big-endian, or not in 1, 2, 4 or 8 bytes)",
    1: "floating-point numbers of an unusual form",
    2: "times",
    3: "texts of an unusual form",
    4: "bit fields",
    5: "raw bytes",
    6: "records of several fields (h5py keeps complex numbers so)",
    7: "references to other objects",
    8: "an enumeration that is not false and true",
    9: "lists of varying length",
    10: "arrays of arrays",
}


@dataclass(frozen=True)
class Datatype:
    """The type of the elements of an array or an attribute.

    Attributes:
        kind: ``number`` (also ``bool`` and ``raw2``), ``text`` of a fixed size, or ``variable_text`` in a global heap.
        name: the name that NumPy has for the number, ``raw2``, or the kind.
        size: bytes of one element where the array is stored.
    """

    kind: Literal["number", "text", "variable_text"]
    name: str
    size: int


def _integer(size: int, signed: bool) -> bytes:
    return struct.pack("<BBHIHH", 0x10, 0x08 if signed else 0x00, 0, size, 0, 8 * size)


def _float(size: int, exponent_bits: int, mantissa_bits: int) -> bytes:
    bits = 8 * size
    properties = (0, bits, mantissa_bits, exponent_bits, 0, mantissa_bits, (1 << (exponent_bits - 1)) - 1)
    return struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, bits - 1, 0, size, *properties)


_NUMBERS: dict[bytes, Datatype] = {
    **{_integer(size, True): Datatype("number", f"int{8 * size}", size) for size in (1, 2, 4, 8)},
    **{_integer(size, False): Datatype("number", f"uint{8 * size}", size) for size in (1, 2, 4, 8)},
    _float(2, 5, 10): Datatype("number", "float16", 2),
    _float(4, 8, 23): Datatype("number", "float32", 4),
    _float(8, 11, 52): Datatype("number", "float64", 8),
    struct.pack("<BBHI", 0x18, 2, 0, 1) + _integer(1, True) + _BOOL_MEMBERS: Datatype("number", "bool", 1),
    struct.pack("<BBHI", 0x15, 0, 0, 2): Datatype("number", RAW_2, 2),
}
#: A list of bytes that is a text; the second byte adds how it is padded, the third whether it is ASCII or UTF-8.
_VARIABLE_TEXT = struct.pack("<I", _VARIABLE_BYTES) + _integer(1, False)


def read_datatype(file: FileMap, body: bytes, path: str, offset: int) -> Datatype:
    """Return the type that a message states; ``body`` is padded with zeros to a multiple of 8.

    Raises:
        RefusalError: a type that is not on the list.
    """
    if len(body) < 8:
        raise file.refused("The type is cut off.", path, offset)
    for size in range(len(body), len(body) - 8, -1):
        known = _NUMBERS.get(body[:size])
        if known is not None and not any(body[size:]):
            return known
    kind, version = body[0] & 0x0F, body[0] >> 4
    if version == 1 and body[3] == 0:
        if kind == 3 and len(body) == 8 and body[1] in (0x00, 0x01, 0x10, 0x11) and body[2] == 0:
            size = int.from_bytes(body[4:8], "little")
            if size:
                return Datatype("text", "text", size)
        is_text = kind == 9 and body[1] == 0x01 and body[2] in (0, 1)
        if is_text and body[4 : 4 + len(_VARIABLE_TEXT)] == _VARIABLE_TEXT and not any(body[4 + len(_VARIABLE_TEXT) :]):
            return Datatype("variable_text", "variable_text", _VARIABLE_BYTES)
    what = _CLASSES.get(kind, "elements of an unknown kind")
    detail = f"It holds {what}; plain numbers, and texts in attributes, are taken ({shown(body[:24].hex())})."
    raise file.refused(detail, path, offset, "ART-02.hdf5")


def read_shape(file: FileMap, body: bytes, path: str, offset: int) -> tuple[int, ...]:
    """Return the shape that a message states, in elements; a scalar has an empty one.

    Raises:
        RefusalError: a newer version, more than 32 dimensions, or a shape that may grow.
    """
    if len(body) < 8 or body[0] != 1:
        why = f"The shape has version {shown(body[:1])}; h5py writes version 1, except for an array without a shape."
        raise file.refused(why, path, offset, "ART-02.hdf5")
    rank, flags = body[1], body[2]
    if rank > 32 or flags not in (0, 1) or any(body[3:8]) or len(body) != 8 + 8 * rank * (2 if flags else 1):
        raise file.refused(f"The shape of {rank} dimensions is not stored as one.", path, offset)
    sizes = struct.unpack_from(f"<{rank}Q", body, 8)
    if flags and struct.unpack_from(f"<{rank}Q", body, 8 + 8 * rank) != sizes:
        raise file.refused("The array may grow, so that its bytes are not in one piece.", path, offset, "ART-02.hdf5")
    return sizes


def bytes_of(datatype: Datatype, shape: tuple[int, ...]) -> int:
    """Return how many bytes an array of this type and shape has where it is stored."""
    return datatype.size * math.prod(shape)
