"""Rules about what is missing from a column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.profile import ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import mostly_of, wilson_lower

#: Fewer rows than this say nothing about the next ones.
LEAST_ROWS = 20
#: A column that is there in fewer rows than this share is no promise.
_LEAST_SHARE = 0.05
#: Roles without whose values no model can be trained.
_NEEDED = ("feature", "target", "id", "timestamp", "split")


def rules(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    """Propose that a column is never missing, seldom missing, or always."""
    rows, present = table.fit_rows, column.fit_present
    if rows < LEAST_ROWS:
        return
    kwargs = {"column": column.name}
    evidence: dict[str, Any] = {"rows": rows, "missing": rows - present}
    if present == 0:
        test = RowTest("true", f"NOT {column.missing_sql}")
        why = f"Nothing stands in it in any of {rows:,} rows."
        yield Candidate("expect_column_values_to_be_null", kwargs, "info", column.name, why, evidence, test)
        return
    test = RowTest("true", column.missing_sql)
    if present == rows:
        bound = wilson_lower(rows, rows, table.deviations)
        severity = "critical" if column.role in _NEEDED else "warning"
        why = f"It was there in each of {rows:,} rows."
        evidence |= {"wilson_lower": bound}
        yield Candidate("expect_column_values_to_not_be_null", kwargs, severity, column.name, why, evidence, test)
        return
    mostly = mostly_of(present, rows, table.deviations)
    if mostly >= _LEAST_SHARE:
        why = f"{rows - present:,} of {rows:,} rows have none."
        yield Candidate(
            "expect_column_values_to_not_be_null",
            {**kwargs, "mostly": mostly},
            "warning",
            column.name,
            why,
            evidence | {"wilson_lower": mostly},
            test,
        )
