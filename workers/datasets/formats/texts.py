"""Read a zip of texts: a row a file, UTF-8.

A file that is no text is a row whose text is missing, with the reason in ``text.problem``.
"""

from __future__ import annotations

import pyarrow as pa

from workers.artifacts.archive import Archive
from workers.datasets.formats.listing import Listing
from workers.datasets.upload import Progress

TEXT, PROBLEM = "text", "problem"
MAX_FILE_BYTES = 16 * 1024**2
SUFFIXES = (".txt", ".text", ".md")


def read(archive: Archive, listing: Listing, *, progress: Progress) -> tuple[pa.Array, pa.Array]:
    """Return the texts and, for each row, what is wrong with it (missing where nothing is)."""
    texts: list[str | None] = []
    problems: list[str | None] = []
    for row, name in enumerate(listing.names):
        text, problem = _read(archive, name) if name is not None else (None, None)
        texts.append(text)
        problems.append(problem or listing.problems.get(row))
        if row % 1024 == 0:
            progress(row, len(listing.names))
    return pa.array(texts, pa.string()), pa.array(problems, pa.string())


def _read(archive: Archive, name: str) -> tuple[str | None, str | None]:
    if archive.entries[name].size_bytes > MAX_FILE_BYTES:
        return None, f"Its file has more than {MAX_FILE_BYTES:,} bytes."
    content = archive.read(name, MAX_FILE_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start:,} (0x{content[error.start]:02x})"
        return None, f"It is not UTF-8 text: {byte} does not belong to it. Save it as UTF-8."
    if "\0" in text:
        return None, f"It is no text: byte {content.index(0):,} is zero."
    return text, None
