"""What the bytes of an output must look like, by its name: bounded headers, read by hand, before anything is stored.

The child that wrote it ran somebody else's model, so that no library opens it here; what reads the whole file is
another child, in a sandbox of its own.

Sources: the safetensors format's README; the Parquet format, "File Format"; PNG (ISO/IEC 15948), 5.2 and 11.2.2.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from workers.protocol import MAX_RESULT_BYTES, ProtocolError

#: Wider or higher than anything that a report shows.
MAX_IMAGE_SIDE = 20_000

_MAX_HEADER_BYTES = MAX_RESULT_BYTES
_PARQUET = b"PAR1"
_PNG = b"\x89PNG\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_SAFETENSORS_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


def check(name: str, stream: BinaryIO) -> None:
    """Hold an output against its name, and leave the stream at its beginning; other suffixes promise nothing.

    Raises:
        ProtocolError: it is not what its name says, or its shapes are not true.
    """
    reader = _READERS.get(PurePosixPath(name).suffix)
    if reader is not None:
        problem = reader(stream, os.fstat(stream.fileno()).st_size)
        if problem is not None:
            raise ProtocolError(f"The output {name} is not what its name says: {problem}.")
    stream.seek(0)


def _parquet_problem(stream: BinaryIO, size: int) -> str | None:
    if size < 12 or stream.read(4) != _PARQUET:
        return "it does not begin as a Parquet file"
    stream.seek(-8, os.SEEK_END)
    footer_bytes, end = struct.unpack("<I4s", stream.read(8))
    if end != _PARQUET or footer_bytes > size - 12:
        return "it does not end as a Parquet file"
    return None


def _png_problem(stream: BinaryIO, size: int) -> str | None:  # noqa: ARG001 - what every reader gets
    header = stream.read(24)
    if len(header) < 24 or header[:8] != _PNG or header[8:16] != b"\x00\x00\x00\x0dIHDR":
        return "it does not begin as a PNG image"
    width, height = struct.unpack(">II", header[16:])
    if not (0 < width <= MAX_IMAGE_SIDE and 0 < height <= MAX_IMAGE_SIDE):
        return f"an image of {width:,} by {height:,} pixels; at most {MAX_IMAGE_SIDE:,} on a side are kept"
    return None


def _zip_problem(stream: BinaryIO, size: int) -> str | None:  # noqa: ARG001 - what every reader gets
    return None if stream.read(4) == _ZIP else "it does not begin as an archive"


def _json_problem(stream: BinaryIO, size: int) -> str | None:
    if size > MAX_RESULT_BYTES:
        return f"JSON of {size:,} bytes; at most {MAX_RESULT_BYTES:,} are kept"
    try:
        json.loads(stream.read(MAX_RESULT_BYTES), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return "it is not JSON"
    return None


def _safetensors_problem(stream: BinaryIO, size: int) -> str | None:
    """Say what is wrong with the header: every tensor has a place, as large as its shape says, without a gap."""
    prefix = stream.read(8)
    header_bytes = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or header_bytes > min(size - 8, _MAX_HEADER_BYTES):
        return "its header is longer than it may be"
    try:
        header = json.loads(stream.read(header_bytes), object_pairs_hook=_each_once, parse_constant=_refuse_constant)
        header.pop("__metadata__", None)
        places = sorted(_place(tensor) for tensor in header.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "its header is not that of safetensors, or the shape of a tensor is not true"
    edges = [(0, 0), *places, (size - 8 - header_bytes, 0)]
    if any(before[1] != after[0] for before, after in pairwise(edges)):
        return "its tensors overlap, or leave a gap"
    return None


def _place(tensor: Mapping[str, Any]) -> tuple[int, int]:
    """Return where a tensor begins and ends; ValueError where that is not the room that its shape takes."""
    begin, end = tensor["data_offsets"]
    shape = tensor["shape"]
    if set(tensor) != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a field too many")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError("no numbers")
    if end - begin != math.prod(shape) * _SAFETENSORS_BYTES[tensor["dtype"]]:
        raise ValueError("a shape that is not true")
    return begin, end


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_READERS: Mapping[str, Callable[[BinaryIO, int], str | None]] = {
    ".parquet": _parquet_problem,
    ".png": _png_problem,
    ".json": _json_problem,
    ".safetensors": _safetensors_problem,
    ".npz": _zip_problem,
    ".keras": _zip_problem,
    ".pt2": _zip_problem,
}
