"""A label table in an archive: the CSV or Parquet file that names the other files and says what is known of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa

from workers.artifacts.archive import Archive
from workers.datasets.canonical import canonical_array, one_array
from workers.datasets.fitting import fit
from workers.datasets.formats import delimited, parquet
from workers.datasets.formats.listing import FILE, MAX_FILES, Listing
from workers.datasets.schema import Column, Schema
from workers.datasets.upload import Upload
from workers.protocol import JobError

MAX_TABLE_BYTES = 512 * 1024**2

_KINDS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def is_table(name: str) -> bool:
    """Tell whether a file of an archive is named like a table."""
    return PurePosixPath(name).suffix.lower() in _KINDS


def list_rows(archive: Archive, table_name: str, files: Sequence[str], *, is_stated: bool) -> Listing:
    """Return a row for each row of the table, then one for each file that it does not name.

    A row without a file and a file without a row are told in ``problems``. Where no schema is stated, the types of the
    other columns are found from their cells.
    """
    table = _read(archive, table_name)
    column, names = _naming_column(table, table_name, files)
    said = table.column(column).to_pylist()
    others = table.drop_columns([column])
    if FILE in others.column_names:
        raise JobError(
            "duplicate_columns",
            f"The column {column!r} of {table_name} names the files and gets the name {FILE!r}; another column has it.",
            place=FILE,
        )
    others, schema = _typed(others, table_name, is_stated=is_stated)
    named = set(names)
    unnamed = [name for name in files if name not in named]
    problems = {
        row: "The row names no file." if text is None else f"The archive has no file {text!r}."
        for row, (text, name) in enumerate(zip(said, names, strict=True))
        if name is None
    }
    problems |= {len(said) + row: f"{table_name} has no row for this file." for row in range(len(unnamed))}
    shown = [text if name is None else name for text, name in zip(said, names, strict=True)]
    return Listing(
        [*names, *unnamed],
        {
            FILE: (pa.array([*shown, *unnamed], pa.string()), Column("id", "string")),
            **{name: (_lengthened(others, name, len(unnamed)), schema.columns[name]) for name in others.column_names},
        },
        problems,
    )


def _read(archive: Archive, name: str) -> pa.Table:
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(archive.read(name, MAX_TABLE_BYTES))
        copy.flush()
        path = Path(copy.name)
        is_csv = _kind(name) == "csv"
        upload = delimited.open_upload(path, stated_columns=frozenset()) if is_csv else parquet.open_upload(path)
        table = pa.Table.from_batches(upload.batches(), upload.schema)
    if table.num_rows > MAX_FILES:
        raise JobError(
            "too_large", f"The table {name} has {table.num_rows:,} rows; at most {MAX_FILES:,} are taken.", place=name
        )
    return table


def _kind(name: str) -> str:
    return _KINDS[PurePosixPath(name).suffix.lower()]


def _typed(table: pa.Table, name: str, *, is_stated: bool) -> tuple[pa.Table, Schema]:
    if is_stated or not table.num_columns:
        return table, Schema("tabular", dict.fromkeys(table.column_names, Column("feature", "string")))
    fitting = fit(Upload(_kind(name), table.schema, lambda: iter(table.to_batches()), table.num_rows), None)
    return pa.Table.from_batches(fitting.batches(), fitting.types), fitting.schema()


def _naming_column(table: pa.Table, table_name: str, files: Sequence[str]) -> tuple[str, list[str | None]]:
    """Return the column that names the most files, with the file of each row.

    A name counts from the top of the archive, from the folder of the table, or from the folder that all files lie in.

    Raises:
        JobError: code ``label_table_unclear``, where no column names a file in half of its rows.
    """
    known = set(files)
    bases = dict.fromkeys(("", _folder(table_name), _common_folder(files)))
    best: tuple[int, str, list[str | None]] = (0, "", [])
    for column in table.column_names:
        if not pa.types.is_string(table.schema.field(column).type):
            continue
        texts = table.column(column).to_pylist()
        for base in bases:
            names = [base + text if text is not None and base + text in known else None for text in texts]
            count = len(names) - names.count(None)
            if count > best[0]:
                best = (count, column, names)
    count, column, names = best
    if not column or count * 2 < table.num_rows:
        raise JobError(
            "label_table_unclear",
            f"No column of {table_name} names the files of the archive in at least half of its rows: its columns are "
            f"{', '.join(map(repr, table.column_names[:8]))}; the first file is {files[0] if files else 'none'!r}.",
            place=table_name,
        )
    return column, names


def _folder(name: str) -> str:
    above, slash, _ = name.rpartition("/")
    return above + slash


def _common_folder(files: Sequence[str]) -> str:
    """Return the longest folder that all files lie in, with its slash."""
    common = []
    if files:
        for one, other in zip(min(files).split("/")[:-1], max(files).split("/")[:-1], strict=False):
            if one != other:
                break
            common.append(one + "/")
    return "".join(common)


def _lengthened(table: pa.Table, name: str, count: int) -> pa.Array:
    array = canonical_array(one_array(table.column(name)), name=name)
    return pa.concat_arrays([array, pa.nulls(count, array.type)]) if count else array
