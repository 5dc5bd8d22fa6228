"""Write every row that fails, with every reason, as Parquet in the order of the rows.

A row group of the data is read only where a row of it fails, and while the lines of the one before are written: what
is held in memory is two row groups and their failing rows, however many there are in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from validators.engine.cell_texts import row_texts
from validators.engine.outcomes import Outcome
from validators.engine.sentences import sentence_of
from validators.engine.suites import columns_of
from workers.datasets.canonical import canonical_table

_WORDS = pa.dictionary(pa.int32(), pa.string())
ROWS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("expectation_id", _WORDS),
        ("expectation", _WORDS),
        ("column", _WORDS),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)
#: Lines of one row group: what a reader of a few rows has to read.
_GROUP_LINES = 65_536

#: First failing rows of an expectation that are kept beside its result, as Great Expectations keeps them.
EXAMPLES = 20


@dataclass(frozen=True)
class Example:
    """One failing row: its number, the values of the columns of its rule, and these as a text."""

    row: int
    values: dict[str, Any]
    text: str | None


@dataclass
class WrittenRows:
    """What was written: how many rows fail at least one expectation, and the first rows of each expectation."""

    row_count: int = 0
    examples: dict[int, list[Example]] = field(default_factory=dict)


def write_failing_rows(
    data: Path, outcomes: Sequence[Outcome], target: Path, tell: Callable[[int], None] | None = None
) -> WrittenRows:
    """Write a line for each row and expectation that it does not meet, and return what was written.

    A rule that is met by most of its values as asked (``mostly``) names the others here all the same.

    Args:
        data: the Parquet file that the outcomes are about.
        tell: told on the way how many rows of the data are done.
    """
    lines = _Lines(outcomes)
    written = WrittenRows()
    with (
        pq.ParquetFile(data) as source,
        pq.ParquetWriter(target, ROWS_SCHEMA, compression="zstd", compression_level=1) as writer,
    ):
        for group in _groups(source, lines):
            if group.table is not None:
                part = lines.of_group(group.table, group.first, group.failing, written)
                writer.write_table(part, row_group_size=_GROUP_LINES)
            if tell is not None:
                tell(group.end)
    return written


class _Lines:
    """Makes lines out of outcomes; the words that repeat are the same dictionary in every part."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        expectations = [outcome.expectation for outcome in outcomes]
        self.columns = [columns_of(entry["kwargs"]) for entry in expectations]
        self._sentences = [sentence_of(entry["type"], entry["kwargs"]) for entry in expectations]
        self._ids = _Dictionary([str(entry["id"]) for entry in expectations])
        self._kinds = _Dictionary([entry["type"] for entry in expectations])
        self._names = _Dictionary([", ".join(columns) for columns in self.columns])
        self._with_rows = [number for number, outcome in enumerate(outcomes) if outcome.failing.count()]

    def failing(self, first: int, end: int) -> dict[int, NDArray[np.int64]]:
        """Return outcome number -> the numbers of the rows from ``first`` up to ``end`` that fail it."""
        found = {number: self._outcomes[number].failing.between(first, end) for number in self._with_rows}
        return {number: rows for number, rows in found.items() if len(rows)}

    def of_group(
        self, table: pa.Table, first: int, failing: dict[int, NDArray[np.int64]], written: WrittenRows
    ) -> pa.Table:
        """Return the lines of one row group in the order of its rows, and count them."""
        values, reasons = [], []
        for number, rows in failing.items():
            value = self._values(table, number, rows - first)
            values.append(value)
            reasons.append(self._reasons(number, value))
            self._keep_examples(written, number, table, rows, first, value)
        numbers = np.repeat(np.array(list(failing), dtype=np.int32), [len(rows) for rows in failing.values()])
        rows = np.concatenate(list(failing.values()))
        order = np.argsort(rows, kind="stable")
        written.row_count += len(np.unique(rows))
        sorted_numbers = numbers[order]
        return pa.Table.from_arrays(
            [
                pa.array(rows[order]),
                self._ids.take(sorted_numbers),
                self._kinds.take(sorted_numbers),
                self._names.take(sorted_numbers),
                pa.concat_arrays(values).take(pa.array(order)),
                pa.concat_arrays(reasons).take(pa.array(order)),
            ],
            schema=ROWS_SCHEMA,
        )

    def _values(self, table: pa.Table, number: int, places: NDArray[np.int64]) -> pa.Array:
        columns = self.columns[number]
        if not columns:
            return pa.nulls(len(places), pa.string())
        return row_texts(table.select(columns).take(pa.array(places)), columns)

    def _reasons(self, number: int, value: pa.Array) -> pa.Array:
        opening = f"Expected: {self._sentences[number]}. Found: "
        return pc.binary_join_element_wise(opening, pc.fill_null(value, "missing"), ".", "")

    def _keep_examples(
        self,
        written: WrittenRows,
        number: int,
        table: pa.Table,
        rows: NDArray[np.int64],
        first: int,
        value: pa.Array,
    ) -> None:
        kept = written.examples.setdefault(number, [])
        missing = EXAMPLES - len(kept)
        if missing <= 0:
            return
        chosen = rows[:missing]
        values = table.select(self.columns[number]).take(pa.array(chosen - first)).to_pylist()
        texts = value[:missing].to_pylist()
        kept.extend(map(Example, chosen.tolist(), values, texts))


class _Dictionary:
    """Words of outcomes, each once."""

    def __init__(self, words: Sequence[str]) -> None:
        distinct = {word: place for place, word in enumerate(dict.fromkeys(words))}
        self._places = np.array([distinct[word] for word in words], dtype=np.int32)
        self._words = pa.array(list(distinct), pa.string())

    def take(self, numbers: NDArray[np.int32]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(self._places[numbers]), self._words)


@dataclass(frozen=True)
class _Group:
    """Rows ``first`` up to ``end``, those that fail each outcome, and the columns of their lines, if any fails."""

    first: int
    end: int
    failing: dict[int, NDArray[np.int64]]
    table: pa.Table | None


def _groups(source: pq.ParquetFile, lines: _Lines) -> Iterator[_Group]:
    """Yield the row groups in order; the next one is read meanwhile."""
    counts = [source.metadata.row_group(number).num_rows for number in range(source.num_row_groups)]
    ends = np.cumsum(counts, dtype=np.int64).tolist()
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for number, (count, end) in enumerate(zip(counts, ends, strict=True)):
            read = coming
            coming = pool.submit(_group, source, lines, number, end - count, end)
            if read is not None:
                yield read.result()
        if coming is not None:
            yield coming.result()


def _group(source: pq.ParquetFile, lines: _Lines, number: int, first: int, end: int) -> _Group:
    failing = lines.failing(first, end)
    needed = {name for outcome in failing for name in lines.columns[outcome]}
    return _Group(first, end, failing, _read(source, number, needed) if failing else None)


def _read(source: pq.ParquetFile, group: int, names: Set[str]) -> pa.Table:
    """Read columns of one row group."""
    wanted = [name for name in source.schema_arrow.names if name in names]
    # Parquet takes "image" for "image.width" as well, so that more may come than was asked for.
    return canonical_table(source.read_row_group(group, columns=wanted).select(wanted))
