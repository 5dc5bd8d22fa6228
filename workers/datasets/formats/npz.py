"""Read an NPZ file: named arrays with the rows along their first axis; objects (pickles) are never read."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from workers.datasets.canonical import canonical_array, tensor_array
from workers.datasets.formats.limits import check_bytes, check_columns, check_names
from workers.protocol import JobError

_ENCRYPTED = 0x1
#: What Python's reader of archives raises on a damaged one, from its directory to the checksum of an entry.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError
)  # fmt: skip
#: What NumPy's reader raises on a header that is none.
_ARRAY_ERRORS = (ValueError, TypeError, SyntaxError, EOFError, zlib.error, tokenize.TokenError, OverflowError)
#: Kinds of NumPy types: booleans, integers, floats, moments, texts and bytes.
_KINDS = "biufMUS"


def read(path: Path) -> pa.Table:
    """Read all arrays; one with more than one axis becomes a tensor column.

    Raises:
        JobError: codes ``npz_cut``, ``npz_damaged``, ``object_array``, ``type_not_supported`` and ``array_shape`` (with
            the array), ``too_many_columns``, ``too_large``, ``duplicate_columns``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive)
            headers = {name: _header(archive, entry, name) for name, entry in entries.items()}
            _check_shapes(headers)
            return pa.table({name: _column(archive, entry, name) for name, entry in entries.items()})
    except _ARCHIVE_ERRORS as error:
        raise JobError(
            "npz_cut", f"The NPZ file is cut or damaged: {error}. Upload it again.", place=f"byte {path.stat().st_size}"
        ) from error


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    check_columns(len(entries))
    check_bytes(sum(entry.file_size for entry in entries))
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise JobError(
                "format_not_supported",
                f"The archive holds {entry.filename!r}, which is not an array: an NPZ file holds `NAME.npy` only.",
                place=entry.filename,
            )
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise JobError(
                "npz_damaged", f"The entry {entry.filename!r} is encrypted or packed unusually.", place=entry.filename
            )
    if not entries:
        raise JobError("empty_file", "The archive holds no array.", place="file")
    names = [entry.filename.removesuffix(".npy") for entry in entries]
    check_names(names)
    return dict(zip(names, entries, strict=True))


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of an array without its values."""
    try:
        with archive.open(entry) as stream:
            version = npy.read_magic(stream)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = reader(stream)
            header_bytes = stream.tell()
    except _ARRAY_ERRORS as error:
        raise JobError("npz_damaged", f"The array {name!r} has no readable header: {error}.", place=name) from error
    if dtype.hasobject:
        raise JobError(
            "object_array",
            f"The array {name!r} holds Python objects, which only a pickle can carry and which are never read. Save "
            "numbers or texts of a fixed type, for instance with `array.astype(str)`.",
            place=name,
        )
    if dtype.kind not in _KINDS or (dtype.itemsize > 8 and dtype.kind == "f"):
        raise JobError(
            "type_not_supported",
            f"The array {name!r} is of the type {dtype}; a column holds numbers, booleans, texts or moments.",
            place=name,
        )
    if min(shape, default=0) < 0 or header_bytes + math.prod(shape) * dtype.itemsize != entry.file_size:
        raise JobError(
            "npz_damaged",
            f"The array {name!r} says that it has the shape {list(shape)} of {dtype}; its entry has "
            f"{entry.file_size:,} bytes, which does not fit.",
            place=name,
        )
    return shape, dtype


def _check_shapes(headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
    first = next(iter(headers))
    for name, (shape, dtype) in headers.items():
        if not shape:
            raise JobError(
                "array_shape", f"The array {name!r} is a single value; rows go along its first axis.", place=name
            )
        if shape[0] != headers[first][0][0]:
            raise JobError(
                "array_shape",
                f"The array {name!r} has {shape[0]:,} rows, {first!r} has {headers[first][0][0]:,}; all arrays have "
                "the same rows along their first axis.",
                place=name,
            )
        if len(shape) > 1 and (0 in shape[1:] or dtype.kind not in "biuf"):
            raise JobError(
                "array_shape",
                f"The array {name!r} has the shape {list(shape)} of {dtype}; with more than one axis it holds numbers, "
                "and no axis is empty.",
                place=name,
            )


def _column(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> pa.Array:
    try:
        with archive.open(entry) as stream:
            values: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
            stream.read(1)  # the checksum is compared at the end of the entry
    except (*_ARRAY_ERRORS, zipfile.BadZipFile) as error:
        raise JobError("npz_damaged", f"The array {name!r} cannot be read: {error}.", place=name) from error
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim > 1:
        return tensor_array(values.astype(np.uint8) if values.dtype.kind == "b" else values)
    if values.dtype.kind == "S":
        return _texts_of_bytes(values, name)
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    return canonical_array(pa.array(np.ascontiguousarray(values)), name=name)


def _texts_of_bytes(values: NDArray[Any], name: str) -> pa.Array:
    texts = []
    for row, value in enumerate(values.tolist()):
        try:
            texts.append(value.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise JobError(
                "unknown_encoding",
                f"Row {row} of the array {name!r} is not UTF-8 text: byte {error.start} of {value[:40]!r}.",
                place=f"{name}, row {row}",
            ) from error
    return pa.array(texts, pa.string())
