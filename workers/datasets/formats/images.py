"""Read a zip of images: a row a file, its pixels in one shape, and what was measured of it.

A file that does not decode is a row whose image is missing, with the reason in ``image.problem``: one broken image
among ten thousand is a failing row, not a failed upload. The pixels go through a temporary file on disk that Arrow maps
into memory, so that memory holds a few images at a time, however many there are.
"""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.artifacts.archive import Archive
from workers.datasets.canonical import thread_count
from workers.datasets.formats.listing import Listing
from workers.datasets.images import columns, decoding, shaping
from workers.datasets.images.columns import Measured
from workers.datasets.images.decoding import ImageProblem
from workers.datasets.images.shaping import Shape
from workers.datasets.upload import Progress
from workers.protocol import JobError

IMAGE = "image"
#: All pixels of an upload, unpacked; they lie on disk beside the job's other files.
MAX_PIXEL_BYTES = 7 * 1024**3
#: Files that one thread works on at once, whose pixels are in memory until they are written.
_FILES_AT_ONCE = 4


@dataclass(frozen=True)
class Images:
    """The images of an upload, a row each: the array column, its metadata by word, a note on how it was shaped."""

    pixels: pa.Array
    metadata: Mapping[str, pa.Array]
    note: str


def read(archive: Archive, listing: Listing, *, shape: tuple[int, ...], progress: Progress) -> Images:
    """Decode and measure all images.

    Args:
        archive: the upload.
        listing: its rows.
        shape: the shape that the schema states; empty for the most common shape of the images themselves.
        progress: is told about every few hundred images.

    Raises:
        JobError: codes ``no_image``, ``image_shape`` and ``too_large``.
    """
    reader = _Reader(archive, listing)
    wanted, note = (_wanted(shape), "") if shape else _agreed(reader, progress)
    size_bytes = math.prod(wanted) * len(listing.names)
    if size_bytes > MAX_PIXEL_BYTES:
        raise JobError(
            "too_large",
            f"{len(listing.names):,} images of {shaping.words(wanted)} take {size_bytes:,} bytes; at most "
            f"{MAX_PIXEL_BYTES:,} are taken. State a smaller `shape` in the schema.",
            place=IMAGE,
        )
    measured: list[Measured] = []
    there: list[bool] = []
    with tempfile.NamedTemporaryFile() as pixels:
        for found in reader.each(lambda contents: columns.measured(contents, wanted, resize=bool(shape))):
            pixels.write(found.pixels.data if found.pixels is not None else bytes(math.prod(wanted)))
            there.append(found.pixels is not None)
            measured.append(replace(found, pixels=None))
            if len(measured) % 256 == 0:
                progress(len(measured), len(listing.names))
        pixels.flush()
        # What is mapped stays when the file has lost its name.
        mapped = pa.memory_map(pixels.name).read_buffer()
    if shape:
        resized = sum(found.was is not None and found.was != wanted for found in measured)
        note = (
            f"{resized:,} of {len(measured):,} images were brought to {shaping.words(wanted)}, bilinear, antialiased."
        )
    valid = np.array(there, dtype=bool)
    array = _tensor(mapped, shape or _sizes(wanted), valid)
    return Images(array, columns.of_measured(measured, listing.problems, array), note)


class _Reader:
    """Reads the files of an archive in one thread at a time, and does the work on them in all, a few files at once."""

    def __init__(self, archive: Archive, listing: Listing) -> None:
        self._archive = archive
        self._lock = Lock()
        self._names = listing.names

    def each(self, work: Callable[[Iterator[bytes]], Iterable[Measured]]) -> Iterator[Measured]:
        """Yield what came of each row, in order, of work that takes each file when it has done with the one before.

        A thread that has done its part of the rows begins with the next one; a few parts are in memory at once.
        """

        def of_part(names: Sequence[str | None]) -> list[Measured]:
            refused = [self._refused(name) for name in names]
            files = (name for name, said in zip(names, refused, strict=True) if said is None and name is not None)
            worked = iter(work(self._content(name) for name in files))
            return [said if said is not None else next(worked) for said in refused]

        names = iter(self._names)
        threads = min(8, thread_count())
        parts: deque[Future[list[Measured]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            while part := list(islice(names, _FILES_AT_ONCE)):
                parts.append(pool.submit(of_part, part))
                if len(parts) > threads:
                    yield from parts.popleft().result()
            while parts:
                yield from parts.popleft().result()

    def shapes(self) -> Iterator[Measured]:
        """Yield the shape that the header of each image states, or its problem."""
        return self.each(lambda contents: map(_header, contents))

    def _refused(self, name: str | None) -> Measured | None:
        """Return what a row has whose file is not read: none, or one that is too large."""
        if name is None:
            return Measured()
        if self._archive.entries[name].size_bytes > decoding.MAX_FILE_BYTES:
            return Measured(problem=f"Its file has more than {decoding.MAX_FILE_BYTES:,} bytes.")
        return None

    def _content(self, name: str) -> bytes:
        with self._lock:
            return self._archive.read(name, decoding.MAX_FILE_BYTES)


def _header(content: bytes) -> Measured:
    try:
        return Measured(was=decoding.shape_of(content))
    except ImageProblem as problem:
        return Measured(problem=str(problem))


def _wanted(shape: tuple[int, ...]) -> Shape:
    wanted = shaping.stated(shape)
    if wanted is None:
        raise JobError(
            "image_shape",
            f"The schema states the shape {list(shape)} for {IMAGE!r}; images have [height, width] or [height, width, "
            "channels] with 1, 3 or 4 channels.",
            place=IMAGE,
        )
    return wanted


def _agreed(reader: _Reader, progress: Progress) -> tuple[Shape, str]:
    """Return the shape of most images; where no shape has half of them, say what to state."""
    seen: list[Measured] = []
    for found in reader.shapes():
        seen.append(found)
        if len(seen) % 1024 == 0:
            progress(0, len(seen))
    common = shaping.most_common(found.was for found in seen if found.was is not None)
    if common is None:
        reason = next((found.problem for found in seen if found.problem), "There is no file.")
        raise JobError("no_image", f"None of the {len(seen):,} files is an image. The first: {reason}", place=IMAGE)
    shape, count, total = common
    if count * 2 < total:
        height, width, channels = shape
        raise JobError(
            "image_shape",
            f"The images have many shapes: the most common, {shaping.words(shape)}, has {count:,} of {total:,}. State "
            f'one in the schema, such as "{IMAGE}": {{"role": "feature", "type": "image", "shape": [{height}, {width}, '
            f"{channels}]}}, and all are resized to it.",
            place=IMAGE,
        )
    return shape, f"{count:,} of {total:,} images are {shaping.words(shape)}; images of another shape are missing."


def _sizes(shape: Shape) -> tuple[int, ...]:
    """Return the sizes of the column: grey images have no axis of channels."""
    return shape[:2] if shape[2] == 1 else shape


def _tensor(mapped: pa.Buffer, sizes: tuple[int, ...], valid: NDArray[np.bool_]) -> pa.Array:
    """Make the column of pixels out of the mapped file, without a copy."""
    flat = pa.Array.from_buffers(pa.uint8(), mapped.size, [None, mapped])
    mask = None if valid.all() else pa.array(~valid)
    storage = pa.FixedSizeListArray.from_arrays(flat, math.prod(sizes), mask=mask)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), list(sizes)), storage)
