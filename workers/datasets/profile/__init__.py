"""What stands in each column: counts, range, quantiles, a histogram or the most frequent values.

Deterministic: the same content gives the same profile. Numbers that JSON does not have are left out of it: a profile
counts infinite values and describes the finite ones.

One pass over the file counts and sums; then DuckDB orders or groups one column after the other, in its own folder where
that does not fit into memory. So memory is bounded, however many rows there are and however few of them are the same,
and every number is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import canonical_schema, is_tensor
from workers.datasets.duck import connect, relation_sql
from workers.datasets.profile.counts import Counts, count_columns
from workers.datasets.profile.interactions import describe_interactions
from workers.datasets.profile.table import ProfiledTable
from workers.datasets.profile.values import describe_numbers, describe_words
from workers.datasets.schema import Schema

#: Called with what is done, of how much, in which unit, and what is going on.
Tell = Callable[[float, float, str, str], None]

_MEMORY_BYTES = 768 * 1024**2


def profile_of(
    path: Path, *, work: Path, schema: Schema | None = None, tell: Tell = lambda _done, _total, _unit, _message: None
) -> dict[str, dict[str, Any]]:
    """Return column name -> description.

    A scalar column has ``missing``, ``distinct``, ``unique`` (no value comes twice), ``order`` (``increasing``,
    ``strictly increasing``, ... down the rows, or None), ``lowest``, ``highest``, ``median``, ``mean``,
    ``most_frequent``, ``most_frequent_share`` (of the rows that are not missing), and ``histogram`` (24 bins; the last
    one holds its upper edge) with ``quantiles``, ``infinite`` and ``zeros`` for numbers or ``values`` for others.
    Texts have ``lengths`` (``lowest``, ``highest`` and ``mean`` in characters). An array column has ``missing`` (rows),
    ``shape``, ``lowest``, ``highest`` and ``mean``; in one of token ids the first two bound the vocabulary. Where the
    schema is of interactions, the column of the users has ``interactions`` (see ``interactions``).

    Args:
        path: a canonical Parquet.
        work: a folder for what does not fit into memory.
        schema: of the data set; it says only whether rows are interactions.
        tell: for how far it is, in rows and then in columns.
    """
    types = canonical_schema(pq.read_schema(path))
    row_count = pq.read_metadata(path).num_rows
    counts = count_columns(path, types, lambda rows: tell(rows, row_count, "rows", "counting"))
    profile: dict[str, dict[str, Any]] = {}
    with connect(work, memory_bytes=_MEMORY_BYTES) as connection:
        table = ProfiledTable(connection, relation_sql(path, types.names))
        for place, field in enumerate(types):
            tell(place, len(types), "columns", "describing the columns")
            profile[field.name] = _column(table, place, field.type, counts[place])
        if schema is not None and schema.modality == "interactions":
            user, item = [name for name in types.names if name in schema.identifiers][:2]
            places = types.get_field_index(user), types.get_field_index(item)
            profile[user]["interactions"] = describe_interactions(table, places, (user, item), profile)
    return profile


def _column(table: ProfiledTable, place: int, data_type: pa.DataType, counts: Counts) -> dict[str, Any]:
    if is_tensor(data_type):
        return {
            "missing": counts.missing,
            "shape": list(data_type.shape),
            **{key: counts.described[key] for key in ("lowest", "highest", "mean")},
        }
    description: dict[str, Any] = {
        "missing": counts.missing,
        "distinct": 0,
        "unique": False,
        "order": counts.order,
        **dict.fromkeys(("lowest", "highest", "median", "mean", "most_frequent", "most_frequent_share")),
        **counts.described,
    }
    if pa.types.is_integer(data_type) or pa.types.is_floating(data_type) or pa.types.is_decimal(data_type):
        description |= describe_numbers(table, place, data_type, counts)
    else:
        description |= describe_words(table, place, data_type)
    frequent = description.pop("frequent")
    if frequent:
        description["most_frequent"] = frequent[0]["value"]
        description["most_frequent_share"] = frequent[0]["count"] / counts.present
        description["unique"] = frequent[0]["count"] == 1
    if "histogram" not in description:
        description["values"] = frequent
    return description
