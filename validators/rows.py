"""The unexpected rows of a validation, read from the Parquet file that its job left."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from governance.exceptions import IntegrityFailure
from governance.storage import store
from validators.models import Validation

#: What the file has; see ``validators.engine.validation``.
COLUMNS = ("row", "expectation_id", "expectation", "column", "value", "reason")

#: As many rows as one answer or page holds; the file has all of them.
MOST_ROWS = 1_000


def unexpected_rows(validation: Validation, *, limit: int = MOST_ROWS) -> list[dict[str, Any]]:
    """Return the first rows that fail, in order: ``row`` (counted from 0) and ``reasons``, one an expectation.

    A reason has ``expectation_id``, ``expectation``, ``column``, ``value`` (as text) and ``reason`` (a sentence).
    """
    if validation.rows_id is None:
        return []
    # Only whoever looks at rows pays for Arrow; the web process starts without it.
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with store().open(validation.rows_id) as stream:
        table = pq.read_table(stream)
    if tuple(table.column_names) != COLUMNS:
        raise IntegrityFailure(f"The rows of {validation} have the columns {', '.join(table.column_names)}.")
    table = table.sort_by("row")
    numbers = pc.unique(table["row"])
    if len(numbers) > limit:
        table = table.filter(pc.less(table["row"], numbers[limit]))
    return [
        {"row": row, "reasons": [{name: line[name] for name in COLUMNS[1:]} for line in lines]}
        for row, lines in groupby(table.to_pylist(), key=lambda line: line["row"])
    ]
