"""Read an upload by its content: CSV, Parquet, Arrow IPC, NPZ or a zip of images or texts, as batches of columns.

What a file is, its first bytes say; a name that says something else is an error, not a hint. Nothing here evaluates
anything in a file, and what cannot be read whole and one way only is refused with its place.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from workers.datasets.formats import archives, arrow_ipc, delimited, npz, parquet
from workers.datasets.upload import Upload
from workers.protocol import JobError

__all__ = ["Upload", "kind_of", "open_upload"]

_NAMES = {"csv": "CSV", "parquet": "Parquet", "arrow": "Arrow IPC", "npz": "NPZ", "files": "a zip of files"}
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz",
    ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow", ".zip": "files",
}  # fmt: skip
_STRANGERS = {
    b"\x93NUMPY": "a single NumPy array (.npy); save named arrays with `numpy.savez` instead",
    b"FEA1": "a Feather file of version 1; write it as version 2 or as Parquet",
    b"\x1f\x8b": "compressed with gzip; upload the file itself",
    b"\x89HDF": "an HDF5 file; write the data as Parquet or NPZ instead",
    b"SQLite format 3": "an SQLite database; export the table as CSV or Parquet",
    b"%PDF": "a PDF",
    b"PARE": "an encrypted Parquet file; upload it decrypted",
}


#: Told on the way, as ``JobContext.progress``: done, of how many, of what, and what is being done.
Tell = Callable[[float, float, str, str], None]


def _say_nothing(_done: float, _total: float, _unit: str, _message: str) -> None:
    """Tell nobody how far the reading is."""


def open_upload(
    path: Path,
    *,
    filename: str,
    stated_columns: frozenset[str] = frozenset(),
    image_shape: tuple[int, ...] = (),
    progress: Tell = _say_nothing,
) -> Upload:
    """Open an upload.

    Args:
        path: the file.
        filename: what it was called.
        stated_columns: the names that a schema gives, if there is one.
        image_shape: the shape that it gives to the images of an archive.
        progress: is told how many files of an archive are read, and how much of a CSV with quotes is checked.

    Raises:
        JobError: with a code, a sentence and a place for everything that is wrong with the file; the passes over its
            rows raise the same.
    """
    kind = kind_of(path, filename=filename)
    if kind == "files":
        upload = archives.open_upload(
            path,
            is_stated=bool(stated_columns),
            shape=image_shape,
            progress=lambda done, total: progress(done, total, "rows", "reading the files"),
        )
    elif kind == "parquet":
        upload = parquet.open_upload(path)
    elif kind == "arrow":
        upload = arrow_ipc.open_upload(path)
    elif kind == "npz":
        upload = npz.open_upload(path)
    else:
        upload = delimited.open_upload(
            path,
            stated_columns=stated_columns,
            progress=lambda done, total: progress(done, total, "bytes", "checking the quotes"),
        )
    if upload.row_count == 0:
        raise _no_rows(filename)
    return replace(upload, batches=lambda: _some_batches(upload, filename))


def _some_batches(upload: Upload, filename: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file that may turn out to have no row."""
    rows = 0
    for batch in upload.batches():
        rows += batch.num_rows
        yield batch
    if not rows:
        raise _no_rows(filename)


def _no_rows(filename: str) -> JobError:
    return JobError("no_rows", f"{filename} has columns but no row.", place=filename)


def kind_of(path: Path, *, filename: str) -> str:
    """Tell what a file is by its first bytes, and refuse one that its name says is something else."""
    if path.stat().st_size == 0:
        raise JobError("empty_file", f"{filename} is empty: it has no bytes.", place=filename)
    with path.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(b"PAR1"):
        kind = "parquet"
    elif head.startswith((arrow_ipc.FILE_MAGIC, arrow_ipc.STREAM_MAGIC)):
        kind = "arrow"
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind = _archive_kind(path, filename)
    else:
        for magic, what in _STRANGERS.items():
            if head.startswith(magic):
                raise JobError("format_not_supported", f"{filename} is {what}.", place="byte 0")
        kind = "csv"
    claimed = _claimed(filename)
    if claimed is not None and claimed != kind and (claimed, kind) != ("files", "npz"):
        found = "text, or nothing that is known" if kind == "csv" else _NAMES[kind]
        raise JobError(
            "not_what_its_name_says",
            f"{filename} is named like {_NAMES[claimed]}, but its first bytes ({head[:4]!r}) are those of {found}.",
            place="byte 0",
        )
    return kind


def _claimed(filename: str) -> str | None:
    return _SUFFIXES.get(Path(filename).suffix.lower())


def _archive_kind(path: Path, filename: str) -> str:
    """Tell an NPZ from a zip of files: by its name, or else by an array in it. The reader of each looks closely."""
    if _claimed(filename) == "npz":
        return "npz"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        return "files"
    return "npz" if any(name.endswith(".npy") for name in names) else "files"
