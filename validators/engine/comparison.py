"""Tell how two versions of data differ: their columns, their rows, their cells, and how each column is spread.

Where both have a column of role ``id`` without gaps or repeats, rows are the same when their ids are, and each cell
that changed is told. Else rows are the same when all that stands in them is, as often as it stands there: then a
changed row counts as one removed and one added.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from validators.engine.distances import Distance, distance_of
from validators.engine.paired_rows import Block, Side, beside, blocks
from workers.context import JobContext
from workers.datasets.canonical import (
    canonical_type,
    differing_chunks,
    digest_of_rows,
    digest_tree,
    is_tensor,
    type_word,
)
from workers.datasets.duck import connect
from workers.datasets.reading import read_batches
from workers.datasets.schema import Column, Schema
from workers.protocol import JobError

DIFFERENCES_FILE = "differences.parquet"
DIFFERENCES_SCHEMA = pa.schema(
    [
        ("change", pa.string()),
        ("key", pa.string()),
        ("row_before", pa.int64()),
        ("row_after", pa.int64()),
        *((name, pa.string()) for name in ("column", "before", "after")),
    ]
)
#: More changed cells than this are counted and not listed.
MOST_CELLS = 10_000_000
#: As many differing chunks are told by name.
MOST_PLACES = 200
#: As many differences stand in the result, for a page to show.
EXAMPLES = 30
_BATCH_ROWS = 65_536
#: Rows that have no other half are looked up so many at a time.
_UNPAIRED_ROWS = 1_000_000


@dataclass(frozen=True)
class Match:
    """How rows of one side were found on the other: by a column, or by all that stands in them, and why."""

    column: str | None
    reason: str


@dataclass
class Changes:
    """Which cells of paired rows changed.

    Attributes:
        cells: how many, of each column in which any did, in the order of the columns.
        rows: how many rows have one.
        blocks: the blocks that have one, and the columns in which.
    """

    cells: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    blocks: list[tuple[Block, set[str]]] = field(default_factory=list)


def run(context: JobContext) -> dict[str, Any]:
    """Compare two versions.

    Inputs: ``before``, ``after``, and ``before_tree``, ``after_tree``, the digest trees of the two, which are made anew
    where they are not kept. Parameters: ``before_schema``, ``after_schema``. Outputs: ``differences.parquet`` with a
    line for each row that was added or removed and each cell that changed: ``change`` (``added``, ``removed``,
    ``changed``), ``key``, ``row_before``, ``row_after`` (counted from 0), ``column``, ``before``, ``after`` (as texts).

    Returns:
        ``matched_by`` (``column``, ``reason``), ``rows`` (``before``, ``after``, ``added``, ``removed``, ``changed``,
        ``same``, ``order_changed``), ``cells_changed``, ``cells_listed``, ``columns`` (one object a column),
        ``places`` (the chunks of 65,536 rows in which the digests differ) and ``examples``.

    Raises:
        JobError: code ``tree_damaged``, when a digest tree that is kept is none.
    """
    before = Side.of(context.input("before"), Schema.from_json(context.parameters["before_schema"]))
    after = Side.of(context.input("after"), Schema.from_json(context.parameters["after_schema"]))
    shared = [
        name
        for name, kept in before.types.items()
        if name in after.types and canonical_type(kept) == canonical_type(after.types[name])
    ]
    total = len(shared) + 3
    context.progress(0, total, "steps", "finding the rows of one in the other")
    with connect(context.folder / "work") as connection:
        match = _pair(connection, before, after, shared)

        def tell(share: float) -> None:
            context.progress(1 + share, total, "steps", "comparing the cells")

        tell(0)
        changes = _changes(connection, before, after, shared, tell) if match.column else Changes()
        listed = _write(connection, context.output(DIFFERENCES_FILE), before, after, match, changes)
        rows = _row_counts(connection, before, after, changes)
        columns = []
        for number, name in enumerate(dict.fromkeys([*before.types, *after.types])):
            if name in shared:
                context.progress(number + 2, total, "steps", f"comparing how {name} is spread")
            distance = None
            if name in shared and not is_tensor(before.types[name]):
                distance = distance_of(connection, (before.sql, before.column(name)), (after.sql, after.column(name)))
            columns.append(_column(name, before, after, changes.cells.get(name, 0), distance))
        context.progress(total - 1, total, "steps", "comparing the digests")
        places = differing_chunks(_tree(context, "before"), _tree(context, "after"))
    return {
        "matched_by": {"column": match.column, "reason": match.reason},
        "rows": rows,
        "cells_changed": sum(changes.cells.values()),
        "cells_listed": listed,
        "columns": columns,
        "places": [{"column": name, "chunk": chunk} for name, chunk in places[:MOST_PLACES]],
        "place_count": len(places),
        "examples": _examples(context.output(DIFFERENCES_FILE)),
    }


def _tree(context: JobContext, side: str) -> dict[str, list[str]]:
    """Return the digest tree that is kept of a version, or make it anew: a large one is not kept."""
    if not context.has_input(f"{side}_tree"):
        return tree_of(context.input(side))
    path = context.input(f"{side}_tree")
    try:
        tree: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        detail = f"The digest tree of the version {side} cannot be read: {error}."
        raise JobError("tree_damaged", detail, place=path.name) from error
    return tree


def tree_of(path: Path) -> dict[str, list[str]]:
    """Return the digest tree of a canonical table, read chunk by chunk."""
    with pq.ParquetFile(path) as file:
        empty = digest_tree(file.schema_arrow.empty_table())
    tree: dict[str, list[str]] = {}
    for batch in read_batches(path):
        for name, (word, *leaves) in digest_tree(pa.Table.from_batches([batch])).items():
            tree.setdefault(name, [word]).extend(leaves)
    return tree or empty


def _pair(connection: duckdb.DuckDBPyConnection, before: Side, after: Side, shared: list[str]) -> Match:
    """Make the table ``pairs`` (before, after): which row of one is which of the other."""
    match = _match(connection, before, after, shared)
    if match.column is not None:
        connection.execute(
            f"CREATE TABLE pairs AS SELECT b.row AS before, a.row AS after FROM {before.sql} AS b "
            f"JOIN {after.sql} AS a ON b.{before.column(match.column)} = a.{after.column(match.column)}"
        )
        return match
    for word, side in (("b", before), ("a", after)):
        connection.execute(f"CREATE TABLE {word}_rows (row BIGINT, digest BLOB)")
        start = 0
        for batch in read_batches(side.path, columns=shared):
            digests = [bytes.fromhex(text)[:16] for text in digest_of_rows(pa.Table.from_batches([batch]))]
            hashed = pa.table({"row": pa.array(range(start, start + len(digests)), pa.int64()), "digest": digests})
            connection.register("hashed", hashed)
            connection.execute(f"INSERT INTO {word}_rows SELECT row, digest FROM hashed")
            connection.unregister("hashed")
            start += len(digests)
    numbered = "SELECT row, digest, row_number() OVER (PARTITION BY digest ORDER BY row) AS copy FROM {}_rows"
    connection.execute(
        f"CREATE TABLE pairs AS SELECT b.row AS before, a.row AS after FROM ({numbered.format('b')}) AS b "
        f"JOIN ({numbered.format('a')}) AS a USING (digest, copy)"
    )
    connection.execute("DROP TABLE b_rows")
    connection.execute("DROP TABLE a_rows")
    return match


def _match(connection: duckdb.DuckDBPyConnection, before: Side, after: Side, shared: list[str]) -> Match:
    ids = [name for name in before.schema.with_role("id") if name in after.schema.with_role("id")]
    if len(ids) != 1:
        what = "no column" if not ids else f"{len(ids)} columns"
        return Match(None, f"Rows are matched by all that stands in them: {what} of both versions has the role id.")
    (name,) = ids
    if name not in shared:
        return Match(None, f"Rows are matched by all that stands in them: {name} is of another type in each version.")
    for word, side in (("earlier", before), ("later", after)):
        count, present, distinct = connection.execute(
            f"SELECT count(*), count({side.column(name)}), count(DISTINCT {side.column(name)}) FROM {side.sql}"
        ).fetchall()[0]
        if not count == present == distinct:
            trouble = f"{count - present:,} rows have no {name}" if present < count else f"ids of {name} come again"
            sentence = f"Rows are matched by all that stands in them: in the {word} version {trouble}."
            return Match(None, sentence)
    return Match(name, f"Rows are matched by {name}, which is there once for every row of both versions.")


def _changes(
    connection: duckdb.DuckDBPyConnection, before: Side, after: Side, shared: list[str], tell: Callable[[float], None]
) -> Changes:
    """Return which cells of the paired rows changed, block by block; ``tell`` hears what share of them is done."""
    differs = [f"b.{before.column(name)} IS DISTINCT FROM a.{after.column(name)}" for name in shared]
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in [" OR ".join(differs), *differs])
    changes, total = Changes(), dict.fromkeys(shared, 0)
    for block in blocks(connection, before):
        rows, *cells = connection.execute(
            f"SELECT {counts} {beside(connection, block, before, after, shared)}"
        ).fetchall()[0]
        if rows:
            changes.rows += rows
            changes.blocks.append((block, {name for name, count in zip(shared, cells, strict=True) if count}))
            total = {name: total[name] + count for name, count in zip(shared, cells, strict=True)}
        tell((block.before[1] + 1) / before.row_count)
    changes.cells = {name: count for name, count in total.items() if count}
    return changes


def _write(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    before: Side,
    after: Side,
    match: Match,
    changes: Changes,
) -> int:
    """Write the differences; return how many changed cells are listed."""
    with pq.ParquetWriter(path, DIFFERENCES_SCHEMA, compression="zstd") as writer:
        for change, side, here in (("removed", before, "before"), ("added", after, "after")):
            key = "NULL" if match.column is None else f"CAST(t.{side.column(match.column)} AS VARCHAR)"
            rows = ["NULL", "NULL"]
            rows[("before", "after").index(here)] = "t.row"
            for found in _unpaired(connection, side, here):
                connection.register("unpaired", pa.table({"row": found}))
                _drain(
                    writer,
                    connection.sql(
                        f"SELECT '{change}', {key}, {', '.join(rows)}, NULL, NULL, NULL "
                        f"FROM {side.between(found[0], found[-1])} AS t SEMI JOIN unpaired AS u ON u.row = t.row "
                        "ORDER BY t.row"
                    ),
                )
                connection.unregister("unpaired")
        if match.column is None:
            return 0
        listed = _listed(changes)
        key = f"CAST(b.{before.column(match.column)} AS VARCHAR)"
        for block, names in changes.blocks:
            wanted = [name for name in listed if name in names]
            pairs = beside(connection, block, before, after, [*dict.fromkeys([match.column, *wanted])])
            for name in wanted:
                one, other = f"b.{before.column(name)}", f"a.{after.column(name)}"
                _drain(
                    writer,
                    connection.sql(
                        f"SELECT 'changed', {key}, b.before, b.after, CAST($name AS VARCHAR), "
                        f"{_text(one, before.types[name])}, {_text(other, after.types[name])} "
                        f"{pairs} WHERE {one} IS DISTINCT FROM {other} ORDER BY b.before",
                        params={"name": name},
                    ),
                )
    return sum(changes.cells[name] for name in listed)


def _unpaired(connection: duckdb.DuckDBPyConnection, side: Side, here: str) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of one side that are not in the table ``pairs``, in order, some at a time."""
    is_paired = np.zeros(side.row_count, dtype=np.bool_)
    for batch in connection.sql(f"SELECT {here} FROM pairs").to_arrow_reader(_BATCH_ROWS):
        is_paired[batch.column(0).to_numpy()] = True
    rows = np.flatnonzero(~is_paired)
    for start in range(0, len(rows), _UNPAIRED_ROWS):
        yield rows[start : start + _UNPAIRED_ROWS]


def _listed(changes: Changes) -> list[str]:
    """Return the columns whose changed cells are listed: the first ones, as long as there are not too many."""
    names, cells = [], 0
    for name, count in changes.cells.items():
        cells += count
        if cells > MOST_CELLS:
            break
        names.append(name)
    return names


def _text(expression: str, data_type: pa.DataType) -> str:
    if is_tensor(data_type):
        return f"CASE WHEN {expression} IS NULL THEN NULL ELSE 'array' END"
    return f"CAST({expression} AS VARCHAR)"


def _drain(writer: pq.ParquetWriter, result: duckdb.DuckDBPyRelation) -> None:
    for batch in result.to_arrow_reader(_BATCH_ROWS):
        columns = [column.cast(kept.type) for column, kept in zip(batch.columns, DIFFERENCES_SCHEMA, strict=True)]
        writer.write_table(pa.Table.from_arrays(columns, schema=DIFFERENCES_SCHEMA))


def _row_counts(connection: duckdb.DuckDBPyConnection, before: Side, after: Side, changes: Changes) -> dict[str, Any]:
    paired, moved = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE after < previous) FROM "
        "(SELECT after, lag(after) OVER (ORDER BY before) AS previous FROM pairs)"
    ).fetchall()[0]
    return {
        "before": before.row_count,
        "after": after.row_count,
        "added": after.row_count - paired,
        "removed": before.row_count - paired,
        "changed": changes.rows,
        "same": paired - changes.rows,
        "order_changed": moved > 0,
    }


def _column(name: str, before: Side, after: Side, cells: int, distance: Distance | None) -> dict[str, Any]:
    one, other = before.schema.columns.get(name), after.schema.columns.get(name)
    if one is None or other is None:
        status = "added" if one is None else "removed"
    elif canonical_type(before.types[name]) != canonical_type(after.types[name]) or one.type != other.type:
        status = "retyped"
    else:
        status = "changed" if cells or (distance is not None and distance.value > 0) else "same"
    return {
        "name": name,
        "status": status,
        "before": _said(one, before.types.get(name)),
        "after": _said(other, after.types.get(name)),
        "cells_changed": cells,
        "distance": None if distance is None else distance.to_json(),
    }


def _said(column: Column | None, data_type: pa.DataType | None) -> dict[str, Any] | None:
    if column is None or data_type is None:
        return None
    canonical = canonical_type(data_type)
    return {
        "role": column.role,
        "type": column.type,
        "stored_as": str(data_type) if canonical is None else type_word(canonical),
    }


def _examples(path: Path) -> list[dict[str, Any]]:
    """Return the first differences of each sort."""
    with pq.ParquetFile(path) as file:
        found: dict[str, list[dict[str, Any]]] = {"changed": [], "removed": [], "added": []}
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for change, kept in found.items():
                if len(kept) < EXAMPLES // 3:
                    table = pa.Table.from_batches([batch])
                    kept += table.filter(pa.compute.equal(table["change"], change)).slice(
                        0, EXAMPLES // 3 - len(kept)
                    ).to_pylist()  # fmt: skip
    return [entry for kept in found.values() for entry in kept]
