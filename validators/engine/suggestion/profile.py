"""Read a table once for its counts and extremes, and take a sample of its rows into memory.

Rows are divided by a hash of what stands in them and where: four fifths are for making rules, one fifth for trying
them. Counts, extremes and different values are those of all rows; what needs values in memory (quantiles, patterns,
pairs) works on a sample that the same hash draws, so that fifty million rows take no more memory than a hundred
thousand. Nothing depends on time, threads or a random generator: the same table gives the same profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workers.datasets import duck
from workers.datasets.canonical import is_tensor, one_array
from workers.datasets.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from duckdb import DuckDBPyConnection

Kind = Literal["number", "integer", "boolean", "moment", "text", "array", "other"]

#: As many extreme values of a column are kept on each side.
EXTREMES = 500
#: A column with more different values than this is no list of categories.
MOST_CATEGORIES = 200
#: Different numbers that may be a list of codes rather than measurements.
MOST_CODES = 20
#: As many values of the sample are in memory.
SAMPLE_CELLS = 6_000_000
SAMPLE_ROWS = 200_000
#: Texts are read so far.
TEXT_LENGTH = 256
#: Columns that the hash of a row reads, and columns that one query asks about.
_HASHED, _BLOCK = 32, 32
_FIT_SHARE = 0.8


@dataclass(frozen=True)
class ColumnProfile:
    """What stands in one column. ``lowest`` and ``highest`` (of the rows for making rules) go from the end inward.

    For a text they are lengths, for a moment microseconds since 1970. ``values`` and ``is_present`` are those of the
    sample, in which a text is cut and a moment is microseconds. ``counts`` says how often each value stands in the rows
    for making rules, where there are few.
    """

    name: str
    place: int
    kind: Kind
    arrow_type: pa.DataType
    role: str
    is_known_text: bool
    rows: int
    present: int
    fit_present: int
    infinite: int
    distinct: int
    lowest: Sequence[Any]
    highest: Sequence[Any]
    values: NDArray[Any]
    is_present: NDArray[np.bool_]
    counts: Mapping[Any, int] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        return f"c{self.place}"

    @property
    def missing_sql(self) -> str:
        return missing_sql(self.place, self.arrow_type)

    @property
    def measured_sql(self) -> str:
        return measured_sql(self.place, self.arrow_type)

    @property
    def missing(self) -> int:
        return self.rows - self.present


@dataclass(frozen=True)
class TableProfile:
    """The columns of a table, how many rows there are for what, and which rows of the sample make rules."""

    columns: Sequence[ColumnProfile]
    rows: int
    fit_rows: int
    is_fit: NDArray[np.bool_]
    deviations: float

    def of_sample(self, column: ColumnProfile, *, fit: bool = True) -> NDArray[Any]:
        """Return what is present of a column in the sample's rows for making rules, or in the others."""
        return column.values[column.is_present & (self.is_fit if fit else ~self.is_fit)]


def missing_sql(place: int, data_type: pa.DataType) -> str:
    """Return the condition that a cell is missing: null, or NaN in a number."""
    name = f"c{place}"
    return f"({name} IS NULL OR isnan({name}))" if pa.types.is_floating(data_type) else f"({name} IS NULL)"


def kind_of(data_type: pa.DataType) -> Kind:
    """Return how rules see a type."""
    types = pa.types
    if is_tensor(data_type) or types.is_nested(data_type):
        return "array"
    if types.is_boolean(data_type):
        return "boolean"
    if types.is_integer(data_type):
        return "integer"
    if types.is_floating(data_type) or types.is_decimal(data_type):
        return "number"
    if types.is_timestamp(data_type) or types.is_date(data_type):
        return "moment"
    return "text" if types.is_string(data_type) or types.is_large_string(data_type) else "other"


def measured_sql(place: int, data_type: pa.DataType) -> str:
    """Return what says how large a cell is: a number, the length of a text, the microseconds since 1970 of a moment."""
    name, kind = f"c{place}", kind_of(data_type)
    if kind == "text":
        return f"length({name})"
    if kind == "moment":
        return f"epoch_us({name}::TIMESTAMP)" if pa.types.is_date(data_type) else f"epoch_us({name})"
    return f"{name}::DOUBLE" if pa.types.is_decimal(data_type) else name


class Reader:
    """A table that is asked by DuckDB: columns are ``c0, c1, ...``; ``fit`` says whether a row is for making rules."""

    def __init__(self, path: Path, *, work: Path, memory_bytes: int | None = None) -> None:
        schema = pq.read_schema(path)
        self.names = schema.names
        self.types = list(schema.types)
        self.kinds = [kind_of(data_type) for data_type in self.types]
        self.rows = pq.read_metadata(path).num_rows
        self.connection: DuckDBPyConnection = duck.connect(work, memory_bytes=memory_bytes)
        self.connection.execute("SET TimeZone = 'UTC'")
        self._relation = duck.relation_sql(path, self.names)
        hashed = [f"c{place}" for place, kind in enumerate(self.kinds) if kind not in ("array", "other")][:_HASHED]
        self._hash = f"hash({', '.join(['row', *hashed])})"

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @property
    def source(self) -> str:
        """What to write after FROM."""
        parts = int(1 / (1 - _FIT_SHARE) + 0.5)
        return f"(SELECT *, {self._hash} % {parts} <> 0 AS fit, {self._hash} // {parts} AS drawn FROM {self._relation})"

    def by_part(self, expressions: Sequence[str], values: Sequence[Any] = ()) -> tuple[list[Any], list[Any]]:
        """Return what aggregates give over the rows for making rules, and over the others; None of an empty part."""
        statement = f"SELECT fit, {', '.join(expressions)} FROM {self.source} GROUP BY fit"
        parts = {fit: found for fit, *found in self.connection.execute(statement, list(values)).fetchall()}
        nothing: list[Any] = [None] * len(expressions)
        return parts.get(True, nothing), parts.get(False, nothing)

    def in_order(self, statement: str) -> list[Any]:
        """Return the one row of a statement that reads ``{relation}`` in the order of the file."""
        self.connection.execute("SET preserve_insertion_order = true")
        try:
            row = self.connection.execute(statement.format(relation=self._relation)).fetchone()
        finally:
            self.connection.execute("SET preserve_insertion_order = false")
        return list(row or ())

    def sample(self) -> pa.Table:
        """Return the drawn rows in their order: ``fit``, then a column each; all rows where these are few enough."""
        limit = max(1_000, min(SAMPLE_ROWS, SAMPLE_CELLS // max(len(self.names), 1)))
        every = -(-self.rows // limit) if self.rows else 1
        cells = [self._sampled(place) for place in range(len(self.names))]
        statement = f"SELECT {', '.join(['fit', *cells])} FROM {self.source} WHERE drawn % {every} = 0 ORDER BY row"
        return self.connection.sql(statement).to_arrow_table()

    def _sampled(self, place: int) -> str:
        name, kind = f"c{place}", self.kinds[place]
        if kind == "text":
            return f"left({name}, {TEXT_LENGTH}) AS {name}"
        if kind in ("array", "other"):
            return f"({name} IS NOT NULL) AS {name}"
        return f"{measured_sql(place, self.types[place])} AS {name}"


def profile(
    reader: Reader,
    schema: Schema,
    *,
    deviations: float,
    progress: Callable[[int, int], None],
) -> TableProfile:
    """Return the profile of a table; ``progress`` is told how many columns are read."""
    sample = reader.sample()
    fit_rows = int(reader.by_part(["count(*)"])[0][0] or 0)
    places = range(len(reader.names))
    facts: list[dict[str, Any]] = []
    for start in range(0, len(places), _BLOCK):
        progress(start, len(places))
        facts += _facts_of(reader, places[start : start + _BLOCK])
    counts = _counts_of(reader, facts)
    columns = [
        _column(reader, schema, place, facts[place], counts.get(place, {}), one_array(sample.column(place + 1)))
        for place in places
    ]
    is_fit = np.asarray(one_array(sample.column(0)).to_numpy(zero_copy_only=False), dtype=bool)
    return TableProfile(columns, reader.rows, fit_rows, is_fit, deviations)


def _facts_of(reader: Reader, places: Sequence[int]) -> list[dict[str, Any]]:
    """Ask for the counts and extremes of some columns in one pass."""
    expressions: list[str] = []
    asked: list[tuple[int, str]] = []
    for place in places:
        for word, expression in _questions(reader, place):
            expressions.append(expression)
            asked.append((place, word))
    found: dict[int, dict[str, Any]] = {place: {} for place in places}
    for (place, word), fit, others in zip(asked, *reader.by_part(expressions), strict=True):
        found[place][word] = fit
        if word in ("present", "infinite"):
            found[place][f"all_{word}"] = (fit or 0) + (others or 0)
    return [found[place] for place in places]


def _questions(reader: Reader, place: int) -> Iterator[tuple[str, str]]:
    kind, name, present = reader.kinds[place], f"c{place}", f"NOT {missing_sql(place, reader.types[place])}"
    yield "present", f"count(*) FILTER (WHERE {present})"
    if kind in ("array", "other"):
        return
    yield "distinct", f"approx_count_distinct({name}) FILTER (WHERE {present})"
    if kind == "boolean":
        return
    if pa.types.is_floating(reader.types[place]):
        yield "infinite", f"count(*) FILTER (WHERE isinf({name}))"
        present = f"isfinite({name})"
    measured = measured_sql(place, reader.types[place])
    extremes = max(20, min(EXTREMES, reader.rows // 10))
    yield "lowest", f"min({measured}, {extremes}) FILTER (WHERE {present})"
    yield "highest", f"max({measured}, {extremes}) FILTER (WHERE {present})"


def _counts_of(reader: Reader, facts: Sequence[Mapping[str, Any]]) -> dict[int, dict[Any, int]]:
    """Count the values of the columns that have few."""
    few = [place for place, fact in enumerate(facts) if _may_be_list(reader.kinds[place], fact)]
    found: dict[int, dict[Any, int]] = {}
    for start in range(0, len(few), _BLOCK):
        block = few[start : start + _BLOCK]
        expressions = [
            f"histogram(c{place}) FILTER (WHERE NOT {missing_sql(place, reader.types[place])})" for place in block
        ]
        for place, histogram in zip(block, reader.by_part(expressions)[0], strict=True):
            found[place] = dict(histogram or {})
    return found


def _may_be_list(kind: Kind, fact: Mapping[str, Any]) -> bool:
    """Tell whether a column may hold one of a list of values: few, each met several times."""
    if kind not in ("text", "boolean", "integer", "number"):
        return False
    # Different values are counted to about two per cent, so a few more than the limit may be none.
    most = (MOST_CATEGORIES if kind == "text" else MOST_CODES) * 1.2
    distinct = int(fact["distinct"] or 0)
    return 0 < distinct <= min(most, max(2, int(fact["present"]) / 4))


def _column(
    reader: Reader, schema: Schema, place: int, fact: Mapping[str, Any], counts: Mapping[Any, int], cells: pa.Array
) -> ColumnProfile:
    name = reader.names[place]
    described = schema.columns.get(name)
    values, is_present = _values(cells, reader.kinds[place])
    return ColumnProfile(
        name=name,
        place=place,
        kind=reader.kinds[place],
        arrow_type=reader.types[place],
        role=described.role if described else "feature",
        is_known_text=described is not None and described.type == "text",
        rows=reader.rows,
        present=int(fact["all_present"]),
        fit_present=int(fact["present"] or 0),
        infinite=int(fact.get("all_infinite") or 0),
        distinct=len(counts) or min(int(fact.get("distinct") or 0), int(fact["present"] or 0)),
        lowest=fact.get("lowest") or [],
        highest=fact.get("highest") or [],
        values=values,
        is_present=is_present,
        counts=counts,
    )


def _values(cells: pa.Array, kind: Kind) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of the sample and which are present; beneath what is missing lies something harmless."""
    if kind in ("array", "other"):
        is_present = np.asarray(cells.to_numpy(zero_copy_only=False), dtype=bool)
        return is_present, is_present
    is_present = np.asarray(pc.is_valid(cells).to_numpy(zero_copy_only=False), dtype=bool)
    if kind == "text":
        return np.asarray(pc.fill_null(cells, "").to_numpy(zero_copy_only=False), dtype=object), is_present
    empty: Any = False if kind == "boolean" else 0.0 if kind == "number" else 0
    values = np.asarray(pc.fill_null(cells, empty).to_numpy(zero_copy_only=False))
    if kind == "number":
        is_nan = np.isnan(values)
        return np.where(is_nan, 0.0, values), is_present & ~is_nan
    return values, is_present
