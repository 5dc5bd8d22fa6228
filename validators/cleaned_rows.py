"""The rows that left in a cleaning and the cells that changed, read from the Parquet files that its job left.

The files are read a row group at a time, and of a group only the columns that a question needs, so that the web process
holds little of them however many rows left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance.exceptions import IntegrityFailure
from governance.models import StoredFile
from governance.storage import store
from validators.models import Cleaning

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: What stands before a row's own columns, see ``validators.engine.removals``; underscores may be added in front.
MARKS = ("_row", "_action", "_expectation", "_reason", "_steps")
#: See ``validators.engine.edits``.
CHANGES = ("row", "column", "before", "after", "reason", "expectation", "step")

MOST_ROWS = 1_000
#: Longer cells are cut.
_LONGEST_CELL = 200


@dataclass(frozen=True)
class Lines:
    """A part of the lines of a file, and whether more of those that were asked for follow."""

    lines: list[dict[str, Any]]
    has_more: bool


def removed_rows(cleaning: Cleaning, *, step: int | None = None, offset: int = 0, limit: int = 100) -> Lines:
    """Return rows that left, in order: ``row``, ``action``, ``expectation``, ``reason``, ``steps`` and ``values``.

    Args:
        step: only rows that this step of the plan named, whether they left by it or by an earlier one.
        offset: how many of those to pass over.
        limit: the most to return.
    """
    if cleaning.quarantine is None:
        return Lines([], has_more=False)

    def is_asked(group: pa.Table) -> pa.Array | None:
        import pyarrow.compute as pc

        if step is None:
            return None
        numbers = group.column(0).combine_chunks()
        owners = pc.list_parent_indices(numbers).filter(pc.equal(pc.list_flatten(numbers), step))
        return pc.is_in(_places(group.num_rows), value_set=owners.cast("int64"))

    with _opened(cleaning.quarantine) as file:
        names = file.schema_arrow.names
        if tuple(name.lstrip("_") for name in names[:5]) != tuple(name.lstrip("_") for name in MARKS):
            raise IntegrityFailure(f"The quarantine of {cleaning} has the columns {', '.join(names[:8])}.")
        table, has_more = _part(file, [names[4]], is_asked, offset, limit)
    return Lines(_removed(table), has_more)


def changed_cells(
    cleaning: Cleaning, *, step: int | None = None, column: str | None = None, offset: int = 0, limit: int = 100
) -> Lines:
    """Return cells that changed, in the order of their rows: see ``CHANGES``.

    Args:
        step: only cells that this step changed.
        column: only cells of this column.
        offset, limit: as for ``removed_rows``.
    """
    if cleaning.changes is None:
        return Lines([], has_more=False)

    def is_asked(group: pa.Table) -> pa.Array | None:
        import pyarrow.compute as pc

        masks = [pc.equal(group["column"], column)] if column is not None else []
        masks += [pc.equal(group["step"], step)] if step is not None else []
        return None if not masks else pc.and_(masks[0], masks[-1])

    with _opened(cleaning.changes) as file:
        if tuple(file.schema_arrow.names) != CHANGES:
            raise IntegrityFailure(
                f"The changes of {cleaning} have the columns {', '.join(file.schema_arrow.names[:8])}."
            )
        table, has_more = _part(file, ["column", "step"], is_asked, offset, limit)
    return Lines([{name: _cut(value) for name, value in line.items()} for line in table.to_pylist()], has_more)


def unknown_rows(cleaning: Cleaning, rows: Sequence[int]) -> list[int]:
    """Return those of some rows that did not leave in a cleaning."""
    missing = set(rows)
    if cleaning.quarantine is not None:
        with _opened(cleaning.quarantine) as file:
            name = file.schema_arrow.names[0]
            for number in range(file.num_row_groups):
                missing -= set(file.read_row_group(number, columns=[name]).column(0).to_pylist())
    return sorted(missing)


def _part(file: pq.ParquetFile, tested: Sequence[str], is_asked: Any, offset: int, limit: int) -> tuple[pa.Table, bool]:
    """Return the lines from ``offset`` on that are asked for, at most ``limit``, and whether there are more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts: list[pa.Table] = []
    wanted = limit + 1
    for number in range(file.num_row_groups):
        mask = is_asked(file.read_row_group(number, columns=list(tested)).select(list(tested)))
        count = file.metadata.row_group(number).num_rows
        places = _places(count) if mask is None else _places(count).filter(pc.fill_null(_one(mask), False))
        taken = places.slice(offset, wanted)
        offset = max(0, offset - len(places))
        if len(taken):
            parts.append(file.read_row_group(number).take(taken))
            wanted -= len(taken)
        if wanted <= 0:
            break
    found = pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()
    return found.slice(0, limit), found.num_rows > limit


def _removed(table: pa.Table) -> list[dict[str, Any]]:
    marks = table.select(range(5)).rename_columns([name.lstrip("_") for name in MARKS]).to_pylist()
    values = {name: _texts(table.column(5 + place)) for place, name in enumerate(table.column_names[5:])}
    return [
        {**mark, "values": {name: texts[place] for name, texts in values.items()}} for place, mark in enumerate(marks)
    ]


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column.type, pa.BaseExtensionType):
        return ["array" if is_there else None for is_there in pc.is_valid(column).to_pylist()]
    return [_cut(text) for text in pc.cast(column, pa.string()).to_pylist()]


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_CELL:
        return value[: _LONGEST_CELL - 1] + "…"
    return value


def _places(count: int) -> pa.Array:
    # Only whoever looks at rows pays for Arrow; the web process starts without it.
    import pyarrow as pa

    return pa.array(range(count), pa.int64())


def _one(mask: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask


@contextmanager
def _opened(file: StoredFile) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with store().open(file.digest) as stream, pq.ParquetFile(stream) as parquet:
        yield parquet
