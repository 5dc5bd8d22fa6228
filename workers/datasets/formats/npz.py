"""Read an NPZ file: named arrays with the rows along their first axis; objects (pickles) are never read."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from workers.datasets.canonical import canonical_array, tensor_array
from workers.datasets.formats.limits import MAX_WHOLE_ARRAY_BYTES, check_bytes, check_columns, check_names
from workers.datasets.reading import rows_of_batch
from workers.datasets.upload import Upload
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


@dataclass(frozen=True)
class _Array:
    """What the header of one array says."""

    name: str
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    header_bytes: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def comes_whole(self) -> bool:
        """Tell whether the values of one row lie apart, so that no slice of rows can be read."""
        return self.is_fortran and len(self.shape) > 1


def open_upload(path: Path) -> Upload:
    """Read the headers; the rows come in slices of all arrays, one with more than one axis as a tensor column.

    Raises:
        JobError: codes ``npz_cut``, ``npz_damaged``, ``object_array``, ``type_not_supported`` and ``array_shape`` (with
            the array), ``too_many_columns``, ``too_large``, ``duplicate_columns``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = [_header(archive, entry, name) for name, entry in _entries(archive).items()]
    except _ARCHIVE_ERRORS as error:
        raise _cut(path, error) from error
    _check_shapes(arrays)
    schema = pa.schema([(array.name, _type_of(array)) for array in arrays])
    return Upload("npz", schema, lambda: _batches(path, arrays), arrays[0].shape[0])


def _batches(path: Path, arrays: list[_Array]) -> Iterator[pa.RecordBatch]:
    row_count = arrays[0].shape[0]
    step = rows_of_batch(sum(array.row_bytes for array in arrays))
    names = [array.name for array in arrays]
    try:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path))
            slices = [_Slices(array, stack.enter_context(archive.open(array.entry))) for array in arrays]
            for start in range(0, row_count, step):
                columns = [part.next(min(step, row_count - start), start) for part in slices]
                yield pa.RecordBatch.from_arrays(columns, names=names)
            for part in slices:
                part.finish()
    except _ARCHIVE_ERRORS as error:
        raise _cut(path, error) from error


def _cut(path: Path, error: Exception) -> JobError:
    return JobError(
        "npz_cut", f"The NPZ file is cut or damaged: {error}. Upload it again.", place=f"byte {path.stat().st_size}"
    )


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


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> _Array:
    """Read shape and type of an array without its values."""
    try:
        with archive.open(entry) as stream:
            version = npy.read_magic(stream)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, is_fortran, dtype = reader(stream)
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
    array = _Array(name, entry, shape, dtype, is_fortran, header_bytes)
    if array.comes_whole and entry.file_size > MAX_WHOLE_ARRAY_BYTES:
        raise JobError(
            "too_large",
            f"The array {name!r} of {entry.file_size:,} bytes is saved column by column (in Fortran order), so that it "
            f"would have to be read as a whole, for which {MAX_WHOLE_ARRAY_BYTES:,} bytes are the most. Save it with "
            "`numpy.ascontiguousarray`.",
            place=name,
        )
    return array


def _check_shapes(arrays: list[_Array]) -> None:
    first = arrays[0]
    for array in arrays:
        name, shape, dtype = array.name, array.shape, array.dtype
        if not shape:
            raise JobError(
                "array_shape", f"The array {name!r} is a single value; rows go along its first axis.", place=name
            )
        if shape[0] != first.shape[0]:
            raise JobError(
                "array_shape",
                f"The array {name!r} has {shape[0]:,} rows, {first.name!r} has {first.shape[0]:,}; all arrays have "
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


def _type_of(array: _Array) -> pa.DataType:
    """Return the canonical type of what ``_column`` makes of an array."""
    if array.dtype.kind == "S":
        return pa.string()
    return _column(np.zeros((1, *array.shape[1:]), array.dtype), array.name, 0).type


class _Slices:
    """Reads one array from the first to the last row."""

    def __init__(self, array: _Array, stream: IO[bytes]) -> None:
        self._array = array
        self._stream = stream
        self._whole: NDArray[Any] | None = None

    def next(self, rows: int, first_row: int) -> pa.Array:
        """Return the next rows as a canonical column."""
        array = self._array
        try:
            if array.comes_whole and self._whole is None:
                content = self._read(array.entry.file_size - array.header_bytes, skip=array.header_bytes)
                self._whole = np.frombuffer(content, array.dtype).reshape(array.shape, order="F")
            if self._whole is not None:
                return _column(self._whole[first_row : first_row + rows], array.name, first_row)
            content = self._read(rows * array.row_bytes, skip=0 if first_row else array.header_bytes)
        except (*_ARRAY_ERRORS, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error
        return _column(np.frombuffer(content, array.dtype).reshape(rows, *array.shape[1:]), array.name, first_row)

    def finish(self) -> None:
        """Read past the end, where the checksum of the entry is compared."""
        try:
            self._stream.read(1)
        except (*_ARRAY_ERRORS, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error

    def _read(self, count: int, *, skip: int) -> bytes:
        self._stream.read(skip)
        content = self._stream.read(count)
        if len(content) != count:
            raise EOFError(f"{count:,} bytes were to come and {len(content):,} came")
        return content

    def _damaged(self, error: Exception) -> JobError:
        name = self._array.name
        return JobError("npz_damaged", f"The array {name!r} cannot be read: {error}.", place=name)


def _column(values: NDArray[Any], name: str, first_row: int) -> pa.Array:
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim > 1:
        return tensor_array(values.astype(np.uint8) if values.dtype.kind == "b" else values)
    if values.dtype.kind == "S":
        return _texts_of_bytes(values, name, first_row)
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")
    return canonical_array(pa.array(np.ascontiguousarray(values)), name=name, first_row=first_row)


def _texts_of_bytes(values: NDArray[Any], name: str, first_row: int) -> pa.Array:
    texts = []
    for row, value in enumerate(values.tolist(), start=first_row):
        try:
            texts.append(value.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise JobError(
                "unknown_encoding",
                f"Row {row} of the array {name!r} is not UTF-8 text: byte {error.start} of {value[:40]!r}.",
                place=f"{name}, row {row}",
            ) from error
    return pa.array(texts, pa.string())
