"""The rows that an archive of files has, before any file is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from workers.datasets.schema import Column

MAX_FILES = 100_000
#: The column of the names of the files.
FILE = "file"


@dataclass(frozen=True)
class Listing:
    """Which rows an archive has, before any file is read.

    Attributes:
        names: for each row the name of its file in the archive, or None for one that is not there.
        columns: what is said about the files, with how a schema describes it: ``file``, then ``split`` and ``label`` of
            the folders, or the columns of the label table.
        problems: what is wrong with a row, by its number, apart from the content of its file.
    """

    names: Sequence[str | None]
    columns: Mapping[str, tuple[pa.Array, Column]]
    problems: Mapping[int, str] = field(default_factory=dict)
