"""Run compiled rules together: one pass for all aggregates, one for each 63 conditions, one for each other finder.

Memory is bounded: rows are read by DuckDB, which spills into a folder, and of each pass only the rows that fail are
kept, as a number and a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.compiled.columns import Table
from validators.engine.compiled.rows import both
from validators.engine.compiled.rules import Declined, Judgement, Repeated, RowRule, Rule, Scan, TableRule, Where
from validators.engine.outcomes import NO_ROWS, FailingRows, Outcome, Rows, plain, plain_number
from validators.engine.time_limit import TimeLimitReached, time_limit

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Conditions of one pass: the bits of a mask, one less, so that every value is a positive integer of 64 bits too.
MASK_BITS = 63
_AGGREGATES_A_PASS = 400
_BATCH_ROWS = 131_072
#: Hashes that are sorted in memory at a time, of 8 bytes each.
_HASHES_A_PART = 2**24

#: Told before each pass: how many are done, how many there are, and what comes.
TellPass = Callable[[int, int, str], None]


class Passes:
    """Runs rules on one table. ``outcomes`` has an entry a rule: None where it is left to Great Expectations."""

    def __init__(self, table: Table, connection: DuckDBPyConnection, tell: TellPass) -> None:
        self._table = table
        self._connection = connection
        # A file that cannot be read breaks here, once, and not in every rule.
        connection.execute(f"SELECT row FROM {table.source} LIMIT 1").fetchall()
        self._tell = tell
        self._aggregates: dict[str, Any] = {}

    def outcomes(self, rules: Sequence[tuple[Mapping[str, Any], Rule]]) -> list[Outcome | None]:
        """Run all rules; the answers come in the order of the rules."""
        asked = dict.fromkeys(name for _, rule in rules for name in rule.aggregates)
        self._count_passes(rules, len(asked))
        self._compute_aggregates(list(asked))
        found: list[Outcome | None] = [None] * len(rules)
        searches: dict[int, RowRule] = {}
        for number, (expectation, rule) in enumerate(rules):
            if isinstance(rule, TableRule):
                found[number] = self._judged(expectation, rule)
            elif self._can_be_searched(rule):
                searches[number] = rule
        failing = self._failing_by_conditions(searches)
        for number, rule in searches.items():
            found[number] = self._row_outcome(rules[number][0], rule, failing.get(number))
        return found

    # -------------------------------------------------------------------------------------------------- progress
    def _count_passes(self, rules: Sequence[tuple[Mapping[str, Any], Rule]], aggregates: int) -> None:
        finders = [finder for _, rule in rules if isinstance(rule, RowRule) for finder in rule.finders]
        conditions = sum(isinstance(finder, Where) for finder in finders)
        self._done = 0
        self._total = -(-aggregates // _AGGREGATES_A_PASS) - (-conditions // MASK_BITS) + len(finders) - conditions

    def _next_pass(self, message: str) -> None:
        self._tell(min(self._done, self._total), self._total, message)
        self._done += 1

    # ------------------------------------------------------------------------------------------------ aggregates
    def _compute_aggregates(self, asked: Sequence[str]) -> None:
        for start in range(0, len(asked), _AGGREGATES_A_PASS):
            self._next_pass("numbers of the columns")
            self._compute(asked[start : start + _AGGREGATES_A_PASS])

    def _compute(self, asked: Sequence[str]) -> None:
        """Compute aggregates in one statement; where one breaks, find it and leave its expectation out."""
        import duckdb

        try:
            statement = f"SELECT count(*), {', '.join(asked)} FROM {self._table.source}"
            (row,) = self._connection.execute(statement).fetchall()
        except duckdb.Error:
            if len(asked) > 1:
                self._compute(asked[: len(asked) // 2])
                self._compute(asked[len(asked) // 2 :])
            return
        self._aggregates.update(zip(asked, row[1:], strict=True))

    def _values(self, asked: Sequence[str]) -> list[Any]:
        try:
            return [plain_number(self._aggregates[name]) for name in asked]
        except KeyError:
            raise Declined from None

    def _judged(self, expectation: Mapping[str, Any], rule: TableRule) -> Outcome | None:
        try:
            judgement: Judgement = rule.judge(self._values(rule.aggregates))
        except Declined:
            return None
        return Outcome(
            expectation,
            "passed" if judgement.success else "failed",
            observed=plain(judgement.observed),
            unexpected_count=judgement.unexpected_count,
            details=plain(judgement.details),
        )

    def _can_be_searched(self, rule: RowRule) -> bool:
        try:
            _, _, is_declined, *_ = self._values(rule.aggregates)
        except Declined:
            return False
        return not is_declined

    # ---------------------------------------------------------------------------------------- rows by conditions
    def _failing_by_conditions(self, searches: Mapping[int, RowRule]) -> dict[int, FailingRows]:
        """Return the failing rows of each rule that has a condition; one that breaks is not there."""
        conditions: dict[int, str] = {}
        for number, rule in searches.items():
            values = self._values(rule.aggregates)[3:]
            for finder in rule.finders:
                if isinstance(finder, Where):
                    conditions[number] = both(rule.considered, finder.condition(values))
        found: dict[str, FailingRows] = {}
        distinct = list(dict.fromkeys(conditions.values()))
        for start in range(0, len(distinct), MASK_BITS):
            self._next_pass("rows that do not meet the conditions")
            found.update(self._masked(distinct[start : start + MASK_BITS]))
        return {number: found[condition] for number, condition in conditions.items() if condition in found}

    def _masked(self, conditions: Sequence[str]) -> dict[str, FailingRows]:
        """Find the rows in which one of up to 63 conditions holds, in one statement."""
        import duckdb

        bits = " | ".join(
            f"CASE WHEN {condition} THEN {1 << bit}::UBIGINT ELSE 0::UBIGINT END"
            for bit, condition in enumerate(conditions)
        )
        masked = f"SELECT row, {bits} AS mask FROM {self._table.source}"
        try:
            rows, masks = self._rows_and_masks(f"SELECT row, mask FROM ({masked}) WHERE mask <> 0")
        except duckdb.Error:
            if len(conditions) == 1:
                return {}
            middle = len(conditions) // 2
            return self._masked(conditions[:middle]) | self._masked(conditions[middle:])
        return {condition: FailingRows(rows, masks, bit) for bit, condition in enumerate(conditions)}

    def _rows_and_masks(self, statement: str) -> tuple[Rows, NDArray[np.uint64]]:
        batches = [(_numbers(batch.column(0)), _numbers(batch.column(1))) for batch in self._batches(statement)]
        if not batches:
            return NO_ROWS, np.empty(0, dtype=np.uint64)
        rows = np.concatenate([rows for rows, _ in batches])
        masks = np.concatenate([masks for _, masks in batches])
        if np.all(rows[1:] > rows[:-1]):
            return rows, masks
        order = np.argsort(rows, kind="stable")
        return rows[order], masks[order]

    # ------------------------------------------------------------------------------------- rows by other finders
    def _row_outcome(
        self, expectation: Mapping[str, Any], rule: RowRule, by_condition: FailingRows | None
    ) -> Outcome | None:
        element_count, considered_count, *_ = self._values(rule.aggregates)
        parts: list[FailingRows] = []
        try:
            for finder in rule.finders:
                if not isinstance(finder, Where):
                    parts.append(FailingRows(self._found(rule, finder) if considered_count else NO_ROWS))
                elif by_condition is None:
                    return None
                else:
                    parts.append(by_condition)
        except TimeLimitReached:
            return Outcome(expectation, "error", error=_TOO_SLOW)
        except Exception:  # noqa: BLE001 - a value that Python trips over is Great Expectations' to judge
            return None
        failing = parts[0] if len(parts) == 1 else FailingRows(np.unique(np.concatenate([p.all() for p in parts])))
        return _outcome(expectation, rule, int(element_count), int(considered_count), failing)

    def _found(self, rule: RowRule, finder: Repeated | Scan) -> Rows:
        if isinstance(finder, Repeated):
            self._next_pass("values that are repeated")
            return self._repeated(rule, finder)
        self._next_pass("values, one by one")
        with time_limit(finder.seconds):
            return self._scanned(rule, finder)

    def _repeated(self, rule: RowRule, finder: Repeated) -> Rows:
        """Find the rows whose keys others have too: by hash first, which leaves few rows, and then by the keys."""
        source, keys = self._table.source, [column.sql for column in finder.columns]
        hashed = f"hash({', '.join(keys)})"
        repeated = self._repeated_hashes(f"SELECT {hashed} AS hash FROM {source} WHERE {rule.considered}")
        if not len(repeated):
            return NO_ROWS
        named = ", ".join(f"{key} AS k{number}" for number, key in enumerate(keys))
        is_same = " AND ".join(f"one.k{number} IS NOT DISTINCT FROM other.k{number}" for number in range(len(keys)))
        names = ", ".join(f"k{number}" for number in range(len(keys)))
        self._connection.register("repeated_hashes", pa.table({"hash": repeated}))
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE candidates AS SELECT row, {named} FROM {source} "
            f"WHERE ({rule.considered}) AND {hashed} IN (SELECT hash FROM repeated_hashes)"
        )
        self._connection.unregister("repeated_hashes")
        several = f"SELECT {names} FROM candidates GROUP BY ALL HAVING count(*) > 1"
        statement = f"SELECT row FROM candidates AS one JOIN ({several}) AS other ON {is_same}"
        rows = [_numbers(batch.column(0)) for batch in self._batches(statement)]
        self._connection.execute("DROP TABLE candidates")
        return np.sort(np.concatenate(rows)) if rows else NO_ROWS

    def _repeated_hashes(self, statement: str) -> NDArray[np.uint64]:
        """Return the hashes that a query gives more than once; of a long table, a part of all hashes at a time."""
        parts = -(-self._table.row_count // _HASHES_A_PART) or 1
        found = [np.empty(0, dtype=np.uint64)]
        for part in range(parts):
            of_part = f"SELECT hash FROM ({statement}) WHERE hash % {parts} = {part}" if parts > 1 else statement
            batches = [_numbers(batch.column(0)) for batch in self._batches(of_part)]
            hashes = np.sort(np.concatenate(batches)) if batches else found[0]
            found.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        return np.concatenate(found)

    def _scanned(self, rule: RowRule, finder: Scan) -> Rows:
        columns = ", ".join(f"{column.sql} AS k{number}" for number, column in enumerate(finder.columns))
        rows_of = both(rule.considered, finder.only)
        statement = f"SELECT row, {columns} FROM {self._table.source} WHERE {rows_of}"
        find, parts, last = finder.start(), [NO_ROWS], -1
        for batch in self._batches(statement, in_order=True):
            rows = _numbers(batch.column(0))
            if rows[0] <= last or not np.all(rows[1:] > rows[:-1]):
                raise Declined
            last = rows[-1]
            parts.append(rows[find(batch.columns[1:])])
        return np.concatenate(parts)

    def _batches(self, statement: str, *, in_order: bool = False) -> Iterator[pa.RecordBatch]:
        """Run a query; its rows come in their order where that is asked for, which lets threads wait for each other."""
        self._connection.execute(f"SET preserve_insertion_order = {str(in_order).lower()}")
        with self._connection.sql(statement).to_arrow_reader(_BATCH_ROWS) as reader:
            yield from (batch for batch in reader if len(batch))


_TOO_SLOW = (
    "It took too long and was stopped. A regular expression that can match a text in very many ways, such as (a+)+, "
    "tries them all; write it so that each part can match in one way only."
)


def _outcome(
    expectation: Mapping[str, Any], rule: RowRule, element_count: int, considered_count: int, failing: FailingRows
) -> Outcome:
    count = failing.count()
    met = considered_count == 0 or (float(considered_count) - float(count)) / float(considered_count) >= rule.mostly
    return Outcome(
        expectation,
        "passed" if met else "failed",
        unexpected_count=count,
        element_count=element_count,
        unexpected_percent=count / considered_count * 100 if considered_count else None,
        missing_count=element_count - considered_count if rule.tells_missing else None,
        failing=failing,
    )


def _numbers(array: pa.Array) -> NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))
