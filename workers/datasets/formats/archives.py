"""Read a zip of files into a table: images or texts, told apart by what the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from workers.artifacts.archive import Archive
from workers.datasets.formats import files, images, texts
from workers.datasets.formats.limits import check_columns
from workers.datasets.formats.listing import Listing
from workers.datasets.images.columns import WORDS
from workers.datasets.images.decoding import kind_of
from workers.datasets.reading import row_bytes, rows_of_batch
from workers.datasets.schema import Column, Schema
from workers.datasets.upload import Progress, Upload
from workers.protocol import JobError

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def open_upload(path: Path, *, is_stated: bool, shape: tuple[int, ...], progress: Progress) -> Upload:
    """Read all files of an archive as rows.

    Raises:
        JobError: code ``format_not_supported`` for an archive of neither images nor texts, and those of
            ``workers.datasets.formats.files`` and ``workers.datasets.formats.images``.
    """
    with files.opened(path) as archive:
        listing = files.list_rows(archive, files.data_files(archive), is_stated=is_stated)
        if _content_of(archive, listing) == "images":
            return _images(archive, listing, shape, progress)
        values, problems = texts.read(archive, listing, progress=progress)
        measured = {f"{texts.TEXT}.{texts.PROBLEM}": (problems, Column("metadata", "string"))}
        return _upload("text", listing, texts.TEXT, values, Column("feature", "text"), measured)


def _images(archive: Archive, listing: Listing, stated: tuple[int, ...], progress: Progress) -> Upload:
    found = images.read(archive, listing, shape=stated, progress=progress)
    measured = {
        f"{images.IMAGE}.{word}": (values, Column("metadata", WORDS[word])) for word, values in found.metadata.items()
    }
    shape = tuple(found.pixels.type.shape)
    upload = _upload("image", listing, images.IMAGE, found.pixels, Column("feature", "image", shape), measured)
    return replace(upload, notes={images.IMAGE: found.note})


def _content_of(archive: Archive, listing: Listing) -> str:
    names = list(dict.fromkeys(name for name in listing.names if name is not None))
    heads = {name: files.head_of(archive, name) for name in names}
    if names and _all_end_in(names, texts.SUFFIXES):
        return "texts"
    if any(kind_of(head) or _all_end_in([name], _IMAGE_SUFFIXES) for name, head in heads.items()):
        return "images"
    shown = ", ".join(map(repr, names[:3])) or "no file that counts"
    raise JobError(
        "format_not_supported",
        f"The archive holds {shown}{', ...' * (len(names) > 3)}: neither images (PNG, JPEG, WebP, BMP, GIF) nor texts "
        f"({', '.join(texts.SUFFIXES)}). A single table is uploaded as it is, and arrays as NPZ.",
        place=names[0] if names else "file",
    )


def _all_end_in(names: Sequence[str], suffixes: Sequence[str]) -> bool:
    return all(PurePosixPath(name).suffix.lower() in suffixes for name in names)


def _upload(
    modality: str,
    listing: Listing,
    name: str,
    values: pa.Array,
    column: Column,
    measured: Mapping[str, tuple[pa.Array, Column]],
) -> Upload:
    """Put the content of the files, and what was measured of it, behind the column of their names."""
    (file, (names, of_file)), *others = listing.columns.items()
    made = {file: (names, of_file), name: (values, column), **measured}
    for taken in made.keys() & {other for other, _ in others}:
        raise JobError(
            "duplicate_columns",
            f"The label table has a column {taken!r}, which is the name of what the files hold. Rename the column.",
            place=taken,
        )
    columns = {**made, **dict(others)}
    check_columns(len(columns))
    table = pa.table({name: array for name, (array, _) in columns.items()})
    known = Schema(modality, {name: entry for name, (_, entry) in columns.items()})
    rows = rows_of_batch(row_bytes(table.schema))
    return Upload("files", table.schema, lambda: iter(table.to_batches(rows)), table.num_rows, known)
