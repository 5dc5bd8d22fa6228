"""Read an upload by its content: CSV, Parquet or NPZ, strictly, into an Arrow table.

What a file is, its first bytes say; a name that says something else is an error, not a hint. Nothing here evaluates
anything in a file, and what cannot be read whole and one way only is refused with its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from workers.datasets.formats import delimited, npz, parquet
from workers.protocol import JobError

_NAMES = {"csv": "CSV", "parquet": "Parquet", "npz": "NPZ"}
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
_STRANGERS = {
    b"\x93NUMPY": "a single NumPy array (.npy); save named arrays with `numpy.savez` instead",
    b"ARROW1": "an Arrow IPC file; write it as Parquet instead",
    b"\x1f\x8b": "compressed with gzip; upload the file itself",
    b"\x89HDF": "an HDF5 file; write the data as Parquet or NPZ instead",
    b"SQLite format 3": "an SQLite database; export the table as CSV or Parquet",
    b"%PDF": "a PDF",
    b"PARE": "an encrypted Parquet file; upload it decrypted",
}


@dataclass(frozen=True)
class Upload:
    """What an upload holds: its kind (``csv``, ``parquet``, ``npz``) and its columns; a CSV's are all texts."""

    kind: str
    table: pa.Table


def read_upload(path: Path, *, filename: str, stated_columns: frozenset[str] = frozenset()) -> Upload:
    """Read a whole upload; ``stated_columns`` are the names that a schema gives, if there is one.

    Raises:
        JobError: with a code, a sentence and a place for everything that is wrong with the file.
    """
    kind = kind_of(path, filename=filename)
    if kind == "parquet":
        table = parquet.read(path)
    elif kind == "npz":
        table = npz.read(path)
    else:
        table = delimited.read(path, stated_columns=stated_columns)
    if table.num_rows == 0:
        raise JobError("no_rows", f"{filename} has columns but no row.", place=filename)
    return Upload(kind=kind, table=table)


def kind_of(path: Path, *, filename: str) -> str:
    """Tell what a file is by its first bytes, and refuse one that its name says is something else."""
    if path.stat().st_size == 0:
        raise JobError("empty_file", f"{filename} is empty: it has no bytes.", place=filename)
    with path.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(b"PAR1"):
        kind = "parquet"
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind = "npz"
    else:
        for magic, what in _STRANGERS.items():
            if head.startswith(magic):
                raise JobError("format_not_supported", f"{filename} is {what}.", place="byte 0")
        kind = "csv"
    claimed = _SUFFIXES.get(Path(filename).suffix.lower())
    if claimed is not None and claimed != kind:
        found = "text, or nothing that is known" if kind == "csv" else _NAMES[kind]
        raise JobError(
            "not_what_its_name_says",
            f"{filename} is named like {_NAMES[claimed]}, but its first bytes ({head[:4]!r}) are those of {found}.",
            place="byte 0",
        )
    return kind
