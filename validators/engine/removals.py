"""Which rows leave a table: those that do not meet a rule, and those that repeat an earlier one.

Rows are numbered as they came in. What leaves is kept as arrays, one number a row, and reasons are put into words by
whole columns, so that a million rows cost no more than a few arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.plans import Step
from validators.engine.wording import words_of_rule
from workers.datasets.duck import relation_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Rows = NDArray[np.int64]

#: What a row that left is described by, before its own columns.
MARKS = pa.schema(
    [
        ("_row", pa.int64()),
        ("_action", pa.string()),
        ("_expectation", pa.string()),
        ("_reason", pa.string()),
        ("_steps", pa.list_(pa.int64())),
    ]
)


@dataclass
class Removals:
    """The rows that left a table of ``row_count`` rows.

    ``by`` holds the number of the step by which a row left, or -1 where it stays. ``named`` holds the rows that each
    step named, whether they left by it or by an earlier one. ``twins`` holds, for a ``dedupe``, the row that is kept.
    """

    row_count: int
    by: NDArray[np.int32] = field(init=False)
    named: dict[int, Rows] = field(default_factory=dict)
    twins: dict[int, tuple[Rows, Rows]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by = np.full(self.row_count, -1, dtype=np.int32)

    @property
    def stays(self) -> NDArray[np.bool_]:
        """Say for each row whether it stays."""
        return self.by < 0

    @property
    def rows(self) -> Rows:
        """The rows that left, in order."""
        return np.flatnonzero(self.by >= 0).astype(np.int64)

    def count_by(self, number: int) -> int:
        """Return how many rows left by a step."""
        return int((self.by == number).sum())

    def remove(self, number: int, rows: Rows) -> None:
        """Have rows that do not meet the rule of a step leave, those that have not left yet."""
        self.named[number] = rows
        leaving = rows[self.by[rows] < 0]
        self.by[leaving] = number

    def remove_twins(self, number: int, rows: Rows, kept: Rows) -> None:
        """Have rows leave that are the same as an earlier one, which is kept; none of them has left yet."""
        self.twins[number] = (rows, kept)
        self.by[rows] = number

    def marks(self, plan: Sequence[Step]) -> Marks:
        """Return what describes the rows that left, in order."""
        rows = self.rows
        sets, codes = self._combinations(rows)
        kept = np.full(len(rows) if self.twins else 0, -1, dtype=np.int64)
        for repeated, first in self.twins.values():
            kept[np.searchsorted(rows, repeated)] = first
        return Marks(plan=plan, rows=rows, by=self.by[rows], sets=sets, codes=codes, kept=kept)

    def _combinations(self, rows: Rows) -> tuple[list[tuple[int, ...]], NDArray[np.int32]]:
        """Return the sets of steps that named a row, and for each row which of them it is.

        There are few sets even where many rows leave, so each is put into words once.
        """
        sets: list[tuple[int, ...]] = [()]
        codes = np.zeros(len(rows), dtype=np.int32)
        both = [*self.named.items(), *((number, repeated) for number, (repeated, _) in self.twins.items())]
        for number, named in both:
            if not len(named):
                continue
            is_named = np.zeros(self.row_count, dtype=bool)
            is_named[named] = True
            pairs = codes * 2 + is_named[rows]
            met = np.flatnonzero(np.bincount(pairs, minlength=2 * len(sets)))
            place = np.zeros(2 * len(sets), dtype=np.int32)
            place[met] = np.arange(len(met), dtype=np.int32)
            codes = place[pairs]
            sets = [sets[pair // 2] + ((number,) if pair % 2 else ()) for pair in met.tolist()]
        return sets, codes


@dataclass(frozen=True)
class Marks:
    """Why each row left, ready to be written for a part of the rows at a time.

    ``sets`` are the sets of steps that named a row, ``codes`` says for each row which of them did, ``kept`` is the row
    of which a row is the twin (-1 for none; empty where no row is).
    """

    plan: Sequence[Step]
    rows: Rows
    by: NDArray[np.int32]
    sets: Sequence[tuple[int, ...]]
    codes: NDArray[np.int32]
    kept: Rows

    def between(self, start: int, stop: int) -> pa.Table:
        """Return the marks of the rows that left whose numbers are from ``start`` up to ``stop``: see ``MARKS``."""
        first, last = np.searchsorted(self.rows, (start, stop))
        by, codes = pa.array(self.by[first:last]), pa.array(self.codes[first:last])
        columns = [
            pa.array(self.rows[first:last]),
            self._actions.take(by),
            self._expectations.take(by),
            self._with_twins(self._reasons.take(codes), by, self.kept[first:last]),
            self._numbers.take(codes),
        ]
        return pa.table(columns, schema=MARKS)

    def _with_twins(self, reasons: pa.Array, by: pa.Array, kept: Rows) -> pa.Array:
        is_twin = pa.array(kept >= 0)
        if not pc.any(is_twin).as_py():
            return reasons
        first = pc.cast(pa.array(kept), pa.string())
        sentences = pc.binary_join_element_wise(
            "The same as row ", first, ", which is kept, in ", self._keys.take(by), ""
        )
        return pc.if_else(is_twin, sentences, reasons)

    @cached_property
    def _actions(self) -> pa.Array:
        return pa.array([step["action"] for step in self.plan], pa.string())

    @cached_property
    def _expectations(self) -> pa.Array:
        return pa.array([step.get("expectation", "") for step in self.plan], pa.string())

    @cached_property
    def _keys(self) -> pa.Array:
        return pa.array([f"{', '.join(step.get('columns', []))}." for step in self.plan], pa.string())

    @cached_property
    def _reasons(self) -> pa.Array:
        sentences = [
            f"Not met: {'; '.join(words_of_rule(self.plan[number]) for number in each)}." for each in self.sets
        ]
        return pa.array(sentences, pa.string())

    @cached_property
    def _numbers(self) -> pa.Array:
        return pa.array([list(each) for each in self.sets], pa.list_(pa.int64()))


def twins(
    connection: DuckDBPyConnection,
    path: Path,
    schema: pa.Schema,
    columns: Sequence[str],
    *,
    gone: Rows,
    among: Rows | None,
) -> tuple[Rows, Rows]:
    """Return the rows that are the same as an earlier one in some columns, and for each the first such row.

    A row in which all of the columns are missing is nobody's twin.

    Args:
        gone: rows that have left before and count for nothing.
        among: the only rows that can be twins, as a rule has found them; None for all.
    """
    from_file = relation_sql(path, schema.names)
    keys = [f"c{schema.get_field_index(name)}" for name in columns]
    present = [
        f"({key} IS NOT NULL" + (f" AND NOT isnan({key}))" if pa.types.is_floating(schema.field(name).type) else ")")
        for key, name in zip(keys, columns, strict=True)
    ]
    connection.register("gone", pa.table({"row": gone}))
    joins = "ANTI JOIN gone USING (row)"
    if among is not None:
        connection.register("among", pa.table({"row": among}))
        joins += " SEMI JOIN among USING (row)"
    # Only names made of numbers stand in the text; see ``relation_sql``.
    query = (
        f"SELECT row, first FROM (SELECT row, min(row) OVER (PARTITION BY {', '.join(keys)}) AS first "
        f"FROM {from_file} {joins} WHERE {' OR '.join(present)}) WHERE row <> first ORDER BY row"
    )
    found = connection.execute(query).fetchnumpy()
    return np.asarray(found["row"], dtype=np.int64), np.asarray(found["first"], dtype=np.int64)
