"""The unexpected rows of a validation, read from the Parquet file that its job left, and no more of it than is asked.

The file has a line for each row and rule that the row does not meet, in the order of the rows. It may have millions, so
that it is read a row group at a time, and groups of other rows are passed by.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from governance.exceptions import IntegrityFailure
from governance.storage import store
from validators.models import Validation

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: What the file has; see ``validators.engine.failing_rows``.
COLUMNS = ("row", "expectation_id", "expectation", "column", "value", "reason")

#: As many rows as one answer or page holds; the file has all of them.
MOST_ROWS = 1_000


@dataclass(frozen=True)
class FailureFilter:
    """Which lines are asked for; what is None is not asked.

    Attributes:
        expectation: the id or the type of an expectation.
        column: a column that the rule names.
        severity: of the expectation, by the results of the validation.
        from_row: the first row, counted from 0.
        to_row: the last row.
    """

    expectation: str | None = None
    column: str | None = None
    severity: str | None = None
    from_row: int | None = None
    to_row: int | None = None


def unexpected_rows(validation: Validation, *, limit: int = MOST_ROWS) -> list[dict[str, Any]]:
    """Return the first rows that fail, in order: ``row`` (counted from 0) and ``reasons``, one an expectation.

    A reason has ``expectation_id``, ``expectation``, ``column``, ``value`` (as text) and ``reason`` (a sentence).
    """
    if validation.rows_id is None:
        return []
    lines: list[dict[str, Any]] = []
    rows: set[int] = set()
    with _opened(validation) as file:
        for group in range(file.num_row_groups):
            for line in _group(file, group).to_pylist():
                rows.add(line["row"])
                if len(rows) > limit:
                    return _by_row(lines)
                lines.append(line)
    return _by_row(lines)


def failures(
    validation: Validation, asked: FailureFilter, *, after: int = 0, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return lines that are asked for, and where the next ones begin (None after the last).

    Args:
        after: the place in the file from which lines are looked at, as an earlier answer gave it.
        limit: the most lines that are returned.
    """
    if validation.rows_id is None:
        return [], None
    severities = {result["id"]: result["severity"] for result in validation.results}
    found: list[dict[str, Any]] = []
    with _opened(validation) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if end > after and _may_hold(file, group, asked):
                table = _group(file, group)
                for place in _places(table, asked, severities):
                    if start + place < after:
                        continue
                    if len(found) == limit:
                        return found, start + place
                    (line,) = table.slice(place, 1).to_pylist()
                    found.append({**line, "severity": severities.get(line["expectation_id"])})
            start = end
    return found, None


@contextmanager
def _opened(validation: Validation) -> Iterator[pq.ParquetFile]:
    # Only whoever looks at rows pays for Arrow; the web process starts without it.
    import pyarrow.parquet as pq

    with store().open(str(validation.rows_id)) as stream, pq.ParquetFile(stream) as file:
        names = file.schema_arrow.names
        if tuple(names) != COLUMNS:
            raise IntegrityFailure(f"The rows of {validation} have the columns {', '.join(names)}.")
        yield file


def _group(file: pq.ParquetFile, group: int) -> pa.Table:
    """Read the lines of one row group, in the order of their rows."""
    return file.read_row_group(group).sort_by("row")


def _by_row(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"row": row, "reasons": [{name: line[name] for name in COLUMNS[1:]} for line in of_row]}
        for row, of_row in groupby(lines, key=lambda line: line["row"])
    ]


def _may_hold(file: pq.ParquetFile, group: int, asked: FailureFilter) -> bool:
    """Tell by the statistics of a row group whether it may have a row that is asked for."""
    numbers = file.metadata.row_group(group).column(0).statistics
    if numbers is None or not numbers.has_min_max:
        return True
    return not (
        (asked.from_row is not None and numbers.max < asked.from_row)
        or (asked.to_row is not None and numbers.min > asked.to_row)
    )


def _places(table: pa.Table, asked: FailureFilter, severities: dict[str, str]) -> list[int]:
    """Return the places of the lines in a table that are asked for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    identity, kind, column = (table[name].cast(pa.string()) for name in ("expectation_id", "expectation", "column"))
    conditions = []
    if asked.from_row is not None:
        conditions.append(pc.greater_equal(table["row"], asked.from_row))
    if asked.to_row is not None:
        conditions.append(pc.less_equal(table["row"], asked.to_row))
    if asked.expectation is not None:
        conditions.append(pc.or_(pc.equal(identity, asked.expectation), pc.equal(kind, asked.expectation)))
    if asked.column is not None:
        # A rule about several columns has their names side by side.
        joined = pc.binary_join_element_wise("", column, "", ", ")
        conditions.append(pc.match_substring(joined, f", {asked.column}, "))
    if asked.severity is not None:
        wanted = [name for name, severity in severities.items() if severity == asked.severity]
        conditions.append(pc.is_in(identity, pa.array(wanted, pa.string())))
    mask = pa.chunked_array([pa.repeat(True, table.num_rows)])
    for condition in conditions:
        mask = pc.and_(mask, condition)
    places: list[int] = pc.indices_nonzero(mask).to_pylist()
    return places
