"""A zip of files as rows: which files count, which folders say the class, which table says the labels.

Read by the strict reader of artefacts (``workers.artifacts.archive``): an archive has one reading or is refused, with
the name of the entry. What packing tools leave behind (``__MACOSX/``, ``.DS_Store``, ``Thumbs.db``, ``desktop.ini``) is
no file of the data set.

Folders say the class, the last one of a path; where the first one is ``train``, ``validation`` (or ``val``) or ``test``
for all files, it says the split. Folders around everything are left out of account::

    cat/1.png  dog/1.png                            label
    pets/train/cat/1.png  pets/test/dog/7.png       split and label
    1.png  2.png                                    neither

Or one CSV or Parquet file of the archive names the files in one of its columns and says everything else about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from workers.artifacts.archive import Archive
from workers.artifacts.findings import RefusalError
from workers.artifacts.limits import Limits
from workers.datasets.formats import labels
from workers.datasets.formats.limits import MAX_UNPACKED_BYTES
from workers.datasets.formats.listing import FILE, MAX_FILES, Listing
from workers.datasets.schema import SPLITS, Column
from workers.protocol import JobError

#: The columns that the folders say.
LABEL, SPLIT = "label", "split"

_JUNK_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_NESTED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_SPLIT_WORDS = {**{word: word for word in SPLITS}, "val": "validation"}
_HEAD_BYTES = 64


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive, whole; a refusal of the reader is the error of the upload.

    Raises:
        JobError: code ``archive_`` and the reader's word for what is wrong, with the entry or the byte.
    """
    with path.open("rb") as stream:
        try:
            yield Archive(stream, Limits(entries=MAX_FILES, total_bytes=MAX_UNPACKED_BYTES))
        except RefusalError as error:
            found = error.finding
            word = "damaged" if found.id == "ART-02.archive" else found.id.rpartition(".")[2]
            raise JobError(f"archive_{word}", found.detail, place=found.place) from error


def data_files(archive: Archive) -> list[str]:
    """Return the names of the files of an archive that are no leftovers, in their order."""
    return [name for name in archive.entries if not _is_junk(name)]


def head_of(archive: Archive, name: str) -> bytes:
    """Return the first bytes of a file, of which an archive in the archive is refused."""
    head = next(iter(archive.chunks(name)), b"")[:_HEAD_BYTES]
    if head.startswith(_NESTED):
        raise JobError(
            "archive_nested",
            f"The file {name!r} is an archive itself. Unpack it, and upload one zip of the files.",
            place=name,
        )
    return head


def list_rows(archive: Archive, names: Sequence[str], *, is_stated: bool) -> Listing:
    """Tell the rows that the files of an archive are; the cells of a label table stay texts where a schema is stated.

    Raises:
        JobError: codes ``label_table_unclear``, ``class_folders_unclear``, ``duplicate_columns``, ``too_large``, and
            those of a CSV or Parquet file.
    """
    tables = [name for name in names if labels.is_table(name)]
    if len(tables) > 1:
        raise JobError(
            "label_table_unclear",
            f"The archive holds {len(tables)} tables ({', '.join(tables[:3])}); one says what the files are.",
            place=tables[1],
        )
    files = [name for name in names if name not in tables]
    if not tables:
        return Listing(files, _of_folders(files))
    return labels.list_rows(archive, tables[0], files, is_stated=is_stated)


def _is_junk(name: str) -> bool:
    parts = name.lower().split("/")
    return "__macosx" in parts[:-1] or parts[-1] in _JUNK_NAMES or parts[-1].startswith("._")


def _of_folders(files: Sequence[str]) -> dict[str, tuple[pa.Array, Column]]:
    folders = [tuple(name.split("/")[:-1]) for name in files]
    while _lie_in_one_folder(folders):
        folders = [folder[1:] for folder in folders]
    columns = {FILE: (pa.array(files, pa.string()), Column("id", "string"))}
    depth = len(folders[0]) if folders else 0
    odd = next((name for name, folder in zip(files, folders, strict=True) if len(folder) != depth), None)
    has_split = depth == 2 and all(folder[0] in _SPLIT_WORDS for folder in folders)
    if odd is not None or depth > 1 + has_split:
        raise JobError(
            "class_folders_unclear",
            f"The files {files[0]!r} and {odd or files[-1]!r} lie in folders that do not say one class each. Put every "
            "file into the folder of its class (`cat/1.png`), or add a CSV file that names the files and their labels.",
            place=odd or files[0],
        )
    if has_split:
        splits = pa.array([_SPLIT_WORDS[folder[0]] for folder in folders], pa.string())
        columns[SPLIT] = splits, Column("split", "category")
    if depth:
        columns[LABEL] = pa.array([folder[-1] for folder in folders], pa.string()), Column("target", "category")
    return columns


def _lie_in_one_folder(folders: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether there is a folder around all others, which says neither class nor split."""
    first = {folder[:1] for folder in folders}
    return len(first) == 1 and min(map(len, folders)) > 1 and folders[0][0] not in _SPLIT_WORDS
