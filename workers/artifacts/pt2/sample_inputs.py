"""Reads, without running it, the one pickle of a ``.pt2``: the sample inputs.

``torch.export.load`` unpickles them, and where the safe way fails it takes the unsafe one. The rewritten file has no
sample inputs at all (an empty entry loads); this module only tells a person whether the upload carried plain tensors
or something else.
"""

from __future__ import annotations

import io

from workers.artifacts.archive import Archive
from workers.artifacts.findings import RefusalError, refusal
from workers.artifacts.limits import Limits
from workers.artifacts.source import Source
from workers.artifacts.torch_checkpoint.zip_format import entries_of, read_archive_pickle

_MAX_STORED_BYTES = 2 * 1024**3


def check(content: bytes, place: str) -> None:
    """Refuse sample inputs that are more than tensors in tuples, lists and dictionaries.

    Raises:
        RefusalError: ``ART-01.pickle`` with the global or opcode and its offset.
    """
    if not content:
        return
    limits = Limits(entries=10_000, total_bytes=_MAX_STORED_BYTES)
    stream = io.BytesIO(content)
    try:
        source = Source(stream, limits, Archive(stream, limits))
        read_archive_pickle(source, entries_of(source.entries))
    except RefusalError as error:
        found = error.finding
        where = place if found.id.startswith("ART-02") or not found.place else f"{place}: {found.place}"
        detail = f"The sample inputs are not the plain tensors that torch.save writes: {found.detail}"
        raise refusal("ART-01.pickle", detail, where) from None
