"""The columns of a Parquet file as SQL: by number, never by name, and with NaN as what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import canonical_type, is_tensor
from workers.datasets.duck import relation_sql

Kind = Literal["integer", "float", "boolean", "string", "moment", "zoned", "other"]

NUMBERS: tuple[Kind, ...] = ("integer", "float")


@dataclass(frozen=True)
class Column:
    """One column: ``sql`` is its value (NULL where it is missing) and ``kind`` what a rule may do with it.

    ``other`` is what only a rule about missing values compiles: arrays, and what is not canonical. ``is_whole`` says
    that the file knows of no missing value, so that none has to be looked for. ``reading`` is what is written around
    the column for its value: a decimal is a float and a date its midnight, as Great Expectations has them, and a moment
    with a zone (``zoned``) is read in UTC.
    """

    name: str
    number: int
    kind: Kind
    is_whole: bool = False
    reading: str = "{}"

    @property
    def sql(self) -> str:
        return self.reading.format(f"c{self.number}")

    @property
    def is_number(self) -> bool:
        return self.kind in NUMBERS

    @property
    def is_moment(self) -> bool:
        return self.kind in ("moment", "zoned")

    @property
    def is_missing(self) -> str:
        return "FALSE" if self.is_whole else f"({self.sql}) IS NULL"

    @property
    def is_there(self) -> str:
        return "TRUE" if self.is_whole else f"({self.sql}) IS NOT NULL"


@dataclass(frozen=True)
class Table:
    """A Parquet file: its columns in order, its number of rows and its FROM clause."""

    path: Path
    columns: tuple[Column, ...]
    row_count: int
    source: str

    @classmethod
    def of(cls, path: Path) -> Table:
        with pq.ParquetFile(path) as file:
            schema, row_count, whole = file.schema_arrow, file.metadata.num_rows, _whole_columns(file.metadata)
        columns = tuple(
            Column(
                field.name,
                number,
                kind,
                is_whole=field.name in whole and kind not in ("float", "other"),
                reading=_reading(field.type),
            )
            for number, field in enumerate(schema)
            for kind in [_kind(field.type)]
        )
        return cls(path, columns, row_count, relation_sql(path, schema.names))

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: object) -> Column | None:
        """Return the column of exactly this name; names may differ in nothing but case."""
        return next((column for column in self.columns if column.name == name), None)

    def several(self, names: Sequence[object]) -> list[Column] | None:
        """Return the columns of these names, or None when one is not there."""
        by_name = {column.name: column for column in self.columns}
        found = [by_name.get(name) for name in names if isinstance(name, str)]
        whole = [column for column in found if column is not None]
        return whole if len(whole) == len(names) else None


def literal(value: str | float | datetime) -> str:
    """Write a value into SQL, quoted and with its type: a text, a moment, an integer of 64 bits, or a number.

    A constant lets DuckDB prepare a pattern once and skip row groups, which a bound parameter does not. A standard SQL
    text knows no escape but the doubled quote; a number is a quoted text that is cast, so that no sign meets a sign.
    """
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ', timespec='microseconds')}'::TIMESTAMP"
    return f"'{value}'::BIGINT" if isinstance(value, int) else f"'{value!r}'::DOUBLE"


def _whole_columns(metadata: pq.FileMetaData) -> set[str]:
    """Return the columns of which every row group tells that nothing in it is null."""
    whole = {metadata.schema.column(number).path for number in range(metadata.num_columns)}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            statistics = column.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                whole.discard(column.path_in_schema)
    return whole


def _kind(data_type: pa.DataType) -> Kind:
    types = pa.types
    if is_tensor(data_type) or canonical_type(data_type) != data_type:
        return "other"
    if types.is_integer(data_type):
        return "integer"
    if types.is_floating(data_type) or types.is_decimal(data_type):
        return "float"
    if types.is_boolean(data_type):
        return "boolean"
    if types.is_string(data_type):
        return "string"
    if types.is_timestamp(data_type) and data_type.tz is not None:
        return "zoned"
    return "moment" if types.is_timestamp(data_type) or types.is_date(data_type) else "other"


def _reading(data_type: pa.DataType) -> str:
    """Return what makes the value of a column out of its name, which stands for ``{}``."""
    types = pa.types
    if types.is_floating(data_type):
        return "nullif({}, 'NaN'::DOUBLE)"
    if types.is_decimal(data_type):
        return "{}::DOUBLE"
    if types.is_date(data_type):
        return "{}::TIMESTAMP"
    return "timezone('UTC', {})" if types.is_timestamp(data_type) and data_type.tz is not None else "{}"
