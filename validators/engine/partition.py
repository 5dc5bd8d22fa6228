"""Which part each row of a table goes to, found a batch at a time: by a hash, by groups, or by time.

A number of one byte a row is all that is held of a table, however long it is; what needs an order or groups is asked of
DuckDB, which spills.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.split_plans import SplitPlan
from workers.datasets.canonical import canonical_array, digest_of_rows, is_tensor, missing_rows
from workers.datasets.duck import connect, relation_sql
from workers.datasets.reading import read_batches, shape_of
from workers.datasets.schema import SPLITS
from workers.protocol import JobError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: The number of the part (in ``SPLITS``) of each row.
Parts = NDArray[np.int8]
#: Told on the way: how many rows have their part.
Tell = Callable[[int], None]


def parts_of(
    path: Path, plan: SplitPlan, names: Sequence[str], *, work: Path, tell: Tell | None = None
) -> tuple[Parts, SplitPlan]:
    """Return the part of each row, and the plan with its cuts pinned.

    Args:
        names: the columns of the table that make a row what it is, where no single one decides.
        work: a folder beside the file's, for what does not fit into memory.

    Raises:
        JobError: codes ``value_missing`` (column and row), ``group_spans_time``, ``part_empty``, ``cut_not_readable``.
    """
    deciding = list(dict.fromkeys(name for name in (plan.deciding, plan.time) if name is not None))
    for name in deciding:
        _demand_values(path, name)
    schema, row_count = shape_of(path)
    if plan.time is not None and not plan.cuts:
        with connect(work) as connection:
            plan = replace(plan, cuts=_cuts(connection, path, plan.time, plan.fractions))
    parts = np.zeros(row_count, dtype=np.int8)
    start = 0
    for batch in read_batches(path, columns=deciding or list(names)):
        found = _by_hash(batch, plan) if plan.time is None else _by_time(batch.column(plan.time), plan)
        parts[start : start + batch.num_rows] = found
        start += batch.num_rows
        if tell is not None:
            tell(start)
    if plan.time is not None and plan.group is not None:
        with connect(work) as connection:
            _refuse_groups_that_span(connection, path, schema.field(plan.group), parts)
    return parts, plan


def shares_of(values: pa.Array, salt: str) -> NDArray[np.float64]:
    """Return, for each value, the number from 0 to 1 that its hash says; equal values have equal numbers."""
    encoded = values.dictionary_encode()
    prefix = hashlib.sha256(b"assay-split-1\0" + salt.encode() + b"\0")
    numbers = np.fromiter((_number(prefix, text) for text in _texts(encoded.dictionary)), np.float64)
    return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])


def refuse_part(part: str) -> None:
    """Refuse a split of which one part has no row."""
    raise JobError(
        "part_empty",
        f"The part {part!r} would have no row. Give it a larger share, another cut or another salt, or leave it out.",
        place=part,
    )


def _by_hash(batch: pa.RecordBatch, plan: SplitPlan) -> NDArray[np.intp]:
    rows = pa.Table.from_batches([batch])
    values = pa.array(digest_of_rows(rows)) if plan.deciding is None else _column(batch, plan.deciding)
    bounds = np.cumsum([plan.fractions.get(part, 0.0) for part in SPLITS])
    last = max(SPLITS.index(part) for part in plan.fractions)
    # The shares sum to 1 but for the rounding of floats, and no hash may fall behind the last part.
    return np.minimum(np.searchsorted(bounds, shares_of(values, plan.salt), side="right"), last)


def _by_time(moments: pa.Array, plan: SplitPlan) -> Parts:
    parts = np.zeros(len(moments), dtype=np.int8)
    for part, cut in plan.cuts.items():
        begins = pc.greater_equal(moments, _moment(cut, moments.type, str(plan.time))).to_numpy(zero_copy_only=False)
        parts[begins] = np.maximum(parts[begins], SPLITS.index(part))
    return parts


def _number(prefix: Any, text: bytes) -> float:
    digest = prefix.copy()
    digest.update(text)
    return (int.from_bytes(digest.digest()[:8], "big") >> 12) / 2.0**52


def _texts(values: pa.Array) -> Iterator[bytes]:
    """Write each value one way, whatever width its type had in the file that came."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    for value in values.to_pylist():
        yield f"{type(value).__name__}\0{value!s}".encode()


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return canonical_array(batch.column(name), name=name)


def _demand_values(path: Path, name: str) -> None:
    """Refuse a column in which a value is missing: a row without one has no place to go."""
    count, first, start = 0, -1, 0
    for batch in read_batches(path, columns=[name]):
        array = _column(batch, name)
        if is_tensor(array.type):
            raise JobError("value_missing", f"The column {name!r} holds arrays; a single value decides.", place=name)
        missing = missing_rows(array)
        if first < 0 and missing.any():
            first = start + int(np.argmax(missing))
        count += int(missing.sum())
        start += batch.num_rows
    if count:
        raise JobError(
            "value_missing",
            f"The column {name!r} decides where a row goes, and {count:,} rows have no value there, the first is row "
            f"{first}; clean the data first.",
            place=f"{name}, row {first}",
        )


def _cuts(connection: DuckDBPyConnection, path: Path, column: str, fractions: Mapping[str, float]) -> dict[str, Any]:
    """Return the first moment of each part but the first: of all moments the one that comes nearest to the shares."""
    schema, row_count = shape_of(path)
    source, name = relation_sql(path, schema.names), f"c{schema.get_field_index(column)}"
    cuts: dict[str, Any] = {}
    asked = 0.0
    for previous, part in pairwise(fractions):
        asked += fractions[previous]
        place = max(0, min(int(asked * row_count), row_count - 1))
        # Rows of one moment stay together, so that a part begins with that of the row in this place, or after it.
        (row,) = connection.sql(
            f"WITH place AS (SELECT {name} AS moment FROM {source} ORDER BY {name} LIMIT 1 OFFSET {place}) "
            f"SELECT any_value(moment) AS moment, count(*) FILTER (WHERE {name} < moment) AS before, "
            f"count(*) FILTER (WHERE {name} <= moment) AS until, min({name}) FILTER (WHERE {name} > moment) AS next "
            f"FROM {source}, place"
        ).to_arrow_table().to_pylist() or [{"moment": None}]  # fmt: skip
        if row["moment"] is None:
            refuse_part(part)
        is_nearer = abs(row["before"] / row_count - asked) <= abs(row["until"] / row_count - asked)
        moment = row["moment"] if is_nearer else row["next"]
        if moment is None:
            refuse_part(part)
        cuts[part] = _plain(moment)
    return cuts


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def _moment(cut: Any, data_type: pa.DataType, column: str) -> pa.Scalar:
    try:
        if isinstance(cut, str):
            return pa.scalar(cut, pa.string()).cast(data_type)
        return pa.scalar(cut, pa.float64() if isinstance(cut, float) else pa.int64()).cast(data_type)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise JobError(
            "cut_not_readable", f"The cut {cut!r} is no value of the column {column!r} ({data_type}).", place="cuts"
        ) from error


def _refuse_groups_that_span(connection: DuckDBPyConnection, path: Path, group: pa.Field, parts: Parts) -> None:
    def of_rows() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in read_batches(path, columns=[group.name]):
            numbers = pa.array(parts[start : start + batch.num_rows])
            yield pa.RecordBatch.from_arrays([batch.column(0), numbers], schema=schema)
            start += batch.num_rows

    schema = pa.schema([("member_of", group.type), ("part", pa.int8())])
    connection.register("parts_of_rows", pa.RecordBatchReader.from_batches(schema, of_rows()))
    spanning = "SELECT member_of FROM parts_of_rows GROUP BY member_of HAVING min(part) <> max(part)"
    ((count, first),) = connection.execute(f"SELECT count(*), min(member_of) FROM ({spanning})").fetchall()
    if count:
        raise JobError(
            "group_spans_time",
            f"{count:,} groups of {group.name!r} have rows in more than one part, the first is {first!r}: they cannot "
            "be kept together and be cut by time. Choose other cuts, or split by the group alone.",
            place=group.name,
        )
