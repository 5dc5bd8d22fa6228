"""Arrays of an NPZ file without reading it: members stored as they are get mapped, compressed ones are loaded."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from governance.exceptions import IntegrityFailure

#: Compressed arrays are in memory whole, so this is the most that those of one file may hold together.
MAX_COMPRESSED_BYTES = 256 * 1024 * 1024
MAX_MEMBERS = 32
MAX_AXES = 5

#: Numbers, truth values and texts of a fixed width; an array of objects would have to be unpickled.
_KINDS = "biufU"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class ArrayArchive:
    """The arrays of one NPZ file by name.

    A stored member is a read-only map of the file, whatever its size; only the pages that are used are read.
    """

    def __init__(self, path: Path) -> None:
        """Read the directory of the file, and nothing else.

        Raises:
            ValueError: it is no NPZ file, or it has more members than an explanation has.
        """
        self.path = path
        with _as_value_errors(), zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise ValueError(f"it has {len(entries):,} members; an explanation has at most {MAX_MEMBERS}")
        compressed = sum(entry.file_size for entry in entries if entry.compress_type != zipfile.ZIP_STORED)
        if compressed > MAX_COMPRESSED_BYTES:
            raise ValueError(
                f"its compressed arrays hold {compressed:,} bytes, more than the {MAX_COMPRESSED_BYTES:,} that load"
            )
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def array(self, name: str) -> NDArray[Any]:
        """Return an array by its name.

        Raises:
            ValueError: there is none, or it is not whole, too large to load, or holds other than numbers and texts.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise ValueError(f"it has no array `{name}`")
        with _as_value_errors(f"the array `{name}` "):
            return self._mapped(entry) if entry.compress_type == zipfile.ZIP_STORED else self._loaded(entry)

    def _mapped(self, entry: zipfile.ZipInfo) -> NDArray[Any]:
        with self.path.open("rb") as stream:
            stream.seek(entry.header_offset)
            signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
            if signature != b"PK\x03\x04":
                raise ValueError("is not where the directory says")
            start = stream.seek(entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
            shape, dtype = _header(stream)
            offset = stream.tell()
        _demand_size(shape, dtype, entry.file_size - (offset - start))
        if start + entry.file_size > self.path.stat().st_size:
            raise ValueError("ends after the end of the file")
        if not math.prod(shape):
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)

    def _loaded(self, entry: zipfile.ZipInfo) -> NDArray[Any]:
        with zipfile.ZipFile(self.path) as archive, archive.open(entry) as stream:
            content = stream.read(entry.file_size + 1)
        opened = io.BytesIO(content)
        shape, dtype = _header(opened)
        _demand_size(shape, dtype, len(content) - opened.tell())
        return np.frombuffer(content, dtype, math.prod(shape), opened.tell()).reshape(shape)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Raise IntegrityFailure for whatever is wrong with a file; ``what`` names it in the sentence."""
    try:
        yield
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityFailure(f"The {what} of this explanation cannot be read: {error}.") from error


@contextmanager
def _as_value_errors(prefix: str = "") -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{prefix or 'it '}is damaged: {error}") from error
    except ValueError as error:
        raise ValueError(f"{prefix}{error}") from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array in NumPy's own format; the stream then stands at its first value."""
    reader = _HEADER_READERS.get(np.lib.format.read_magic(stream))
    if reader is None:
        raise ValueError("is of a version of the format that no explanation is written in")
    shape, is_fortran, dtype = reader(stream)
    if dtype.kind not in _KINDS or not dtype.isnative:
        raise ValueError(f"is of the type {dtype}; explanations hold numbers and texts")
    if is_fortran:
        raise ValueError("has its axes in Fortran order")
    if len(shape) > MAX_AXES or any(size < 0 for size in shape):
        raise ValueError(f"has the shape {list(shape)}")
    return shape, dtype


def _demand_size(shape: tuple[int, ...], dtype: np.dtype[Any], given: int) -> None:
    """Refuse an array whose bytes are not exactly as many as its shape needs."""
    needed = math.prod(shape) * dtype.itemsize
    if needed != given:
        raise ValueError(f"has {given:,} bytes for the shape {list(shape)} of {dtype}, which needs {needed:,}")
