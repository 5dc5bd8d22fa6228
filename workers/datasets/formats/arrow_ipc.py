"""Read an Arrow IPC file (Feather version 2) or stream: whole, with flat columns or arrays of one shape.

Source: Arrow columnar format 1.5, "Serialization and interprocess communication".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from workers.datasets.canonical import CHUNK_ROWS, canonical_batch, canonical_schema
from workers.datasets.formats.limits import RunningBytes, check_columns, check_names
from workers.datasets.upload import Upload
from workers.protocol import JobError

#: With what a file begins and ends, a stream begins, and a stream ends.
FILE_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def open_upload(path: Path) -> Upload:
    """Read the schema; the rows come in canonical types.

    Raises:
        JobError: codes ``arrow_cut``, ``arrow_damaged``, ``too_many_columns``, ``duplicate_columns``,
            ``type_not_supported`` (column); from the rows, ``too_large`` and ``value_does_not_fit_type`` (row).
    """
    is_stream = _is_stream(path)
    _check_end(path, _END_OF_STREAM if is_stream else FILE_MAGIC)
    with _reported(), pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_stream(source) if is_stream else pa.ipc.open_file(source)
        found = reader.schema
        check_columns(len(found))
        check_names(list(found.names))
        schema = canonical_schema(found)
    return Upload("arrow", schema, lambda: _batches(path, is_stream))


def _is_stream(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(STREAM_MAGIC)) == STREAM_MAGIC


def _check_end(path: Path, end: bytes) -> None:
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - len(end)), os.SEEK_SET)
        if size < 2 * len(end) or stream.read() != end:
            raise JobError(
                "arrow_cut",
                f"The Arrow file is cut: it begins as one, but ends after {size:,} bytes without its end mark. Upload "
                "it again.",
                place=f"byte {size}",
            )


def _batches(path: Path, is_stream: bool) -> Iterator[pa.RecordBatch]:
    unpacked = RunningBytes()
    rows = 0
    with pa.memory_map(str(path)) as source:
        for batch in _record_batches(source, is_stream):
            unpacked.add(batch.nbytes)
            # A writer may have made one batch of the whole file; the parts share its memory.
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                part = batch.slice(start, CHUNK_ROWS)
                yield canonical_batch(part, first_row=rows)
                rows += part.num_rows


def _record_batches(source: pa.MemoryMappedFile, is_stream: bool) -> Iterator[pa.RecordBatch]:
    with _reported():
        if is_stream:
            yield from map(_checked, pa.ipc.open_stream(source))
        else:
            file = pa.ipc.open_file(source)
            for number in range(file.num_record_batches):
                yield _checked(file.get_batch(number))


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Refuse texts that are not UTF-8, and offsets and words of dictionaries that are not there."""
    batch.validate(full=True)
    return batch


@contextmanager
def _reported() -> Iterator[None]:
    """Say what Arrow says about a file that is none in the words of an import."""
    try:
        yield
    except pa.ArrowMemoryError as error:
        raise JobError(
            "too_large",
            "A record batch of the Arrow file takes more memory unpacked than there is; write it in smaller batches.",
            place="file",
        ) from error
    except (pa.ArrowException, OSError, UnicodeError) as error:  # also names that are not UTF-8
        raise JobError("arrow_damaged", f"The Arrow file is damaged: {error}.", place="file") from error
