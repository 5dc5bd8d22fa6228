"""How large an upload may be once it is unpacked; a file beyond is refused before it is read, or where it shows."""

from __future__ import annotations

from workers.protocol import JobError

MAX_COLUMNS = 16_384
#: All values of an upload, unpacked. They are never in memory together; this is what an hour of work gets through.
MAX_UNPACKED_BYTES = 64 * 1024**3
#: The values of one array that cannot be read a slice of rows at a time.
MAX_WHOLE_ARRAY_BYTES = 1024**3


def check_columns(count: int, *, at_least: bool = False) -> None:
    """Refuse a file with more columns than a data set may have."""
    if count > MAX_COLUMNS:
        raise JobError(
            "too_many_columns",
            f"The file has {'at least ' * at_least}{count:,} columns; a data set has at most {MAX_COLUMNS:,}. "
            "Values that belong together (pixels, a spectrum) fit into one array column of an NPZ file.",
            place=f"column {MAX_COLUMNS + 1:,}",
        )


def check_bytes(count: int) -> None:
    """Refuse a file whose values would not fit."""
    if count > MAX_UNPACKED_BYTES:
        raise JobError(
            "too_large",
            f"The values of the file take {count:,} bytes unpacked; a data set takes at most {MAX_UNPACKED_BYTES:,}.",
            place="file",
        )


class RunningBytes:
    """Counts the unpacked values as they come, for formats whose files do not say it beforehand."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int) -> None:
        self._count += count
        check_bytes(self._count)


def check_names(names: list[str]) -> None:
    """Refuse names of columns that are empty or stand twice."""
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise JobError(
                "empty_column_name",
                f"Column {number} has no name. Every column needs one in the header; is the header missing?",
                place=f"column {number}",
            )
        first = seen.setdefault(name, number)
        if first != number:
            raise JobError(
                "duplicate_columns",
                f"The columns {first} and {number} are both named {name!r}; names of columns differ.",
                place=f"column {number}",
            )
