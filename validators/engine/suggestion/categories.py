"""Rules about columns that hold one of a few values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.profile import MOST_CODES, TEXT_LENGTH, ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import is_closed, mostly_of, wilson_lower

#: Rows below which a list of values is a guess.
_LEAST_ROWS = 50
#: A list that the next sample leaves more often than this is none.
_LEAST_SHARE = 0.95
#: A value met so often stands in any next sample of the size.
_SURE_TO_COME = 20


def share_within(counts: Mapping[Any, int], deviations: float) -> float | None:
    """Return the share of the next rows whose value is among those counted: 1 for a closed list, None for no list.

    The list is closed when its rarest value is met so often, next to the one before it, that another would have been
    seen. Else what is still to come is as frequent as what was met once (Good, 1953).
    """
    total = sum(counts.values())
    if total < _LEAST_ROWS:
        return None
    rarest = sorted(counts.values())[:2]
    if is_closed(rarest[0], rarest[1] if len(rarest) > 1 else 0):
        return 1.0
    once = sum(count == 1 for count in counts.values())
    mostly = mostly_of(total - once, total, deviations)
    return mostly if mostly >= _LEAST_SHARE else None


def is_list(table: TableProfile, column: ColumnProfile) -> bool:
    """Tell whether a column holds one of a list of values."""
    if column.kind not in ("text", "boolean", "integer", "number") or not column.counts or column.is_known_text:
        return False
    if pa.types.is_decimal(column.arrow_type):  # JSON has no decimals, and 0.1 is not the float of that name
        return False
    within = share_within(column.counts, table.deviations)
    if column.kind == "boolean":
        return within is not None
    if column.kind == "text":
        return within is not None and all(len(value) <= TEXT_LENGTH and "\0" not in value for value in column.counts)
    return within == 1.0 and len(column.counts) <= MOST_CODES and column.infinite == 0 and _has_ends(column)


def rules(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    """Propose the list of values, and that the frequent ones of several are met."""
    if not is_list(table, column):
        return
    values = sorted(column.counts)
    total = sum(column.counts.values())
    within = share_within(column.counts, table.deviations)
    seen = {
        _shown(value): count for value, count in sorted(column.counts.items(), key=lambda item: (-item[1], item[0]))
    }
    evidence = {"rows": total, "values": dict(list(seen.items())[:20]), "different": len(values)}
    kwargs: dict[str, Any] = {"column": column.name, "value_set": [_plain(value) for value in values]}
    if within is not None and within < 1:
        kwargs["mostly"] = within
    why = (
        f"The same value stands in all {total:,} rows."
        if len(values) == 1
        else f"{len(values)} values in {total:,} rows, the rarest {min(column.counts.values()):,} times."
    )
    marks = ", ".join("?" * len(values))
    test = RowTest(f"NOT {column.missing_sql}", f"{column.sql} NOT IN ({marks})", values)
    yield Candidate(
        "expect_column_values_to_be_in_set",
        kwargs,
        "critical" if column.role in ("target", "split") or _says_broken(column, values) else "warning",
        column.name,
        why,
        evidence | {"wilson_lower": wilson_lower(total, total, table.deviations)},
        test,
    )
    frequent = [value for value in values if column.counts[value] >= _SURE_TO_COME]
    if len(values) > 1 and frequent:
        held = set(table.of_sample(column, fit=False).tolist())
        yield Candidate(
            "expect_column_distinct_values_to_contain_set",
            {"column": column.name, "value_set": [_plain(value) for value in frequent]},
            "info",
            column.name,
            f"Each of them was met at least {min(column.counts[value] for value in frequent):,} times.",
            evidence,
            holds=held.issuperset(value for value in frequent if column.counts[value] >= total / 10),
        )


def _has_ends(column: ColumnProfile) -> bool:
    """Tell whether the lowest and the highest code are met as if the codes ended there, and did not fade out."""
    ordered = [column.counts[value] for value in sorted(column.counts)]
    return len(ordered) == 1 or (is_closed(ordered[0], ordered[1]) and is_closed(ordered[-1], ordered[-2]))


def _says_broken(column: ColumnProfile, values: list[Any]) -> bool:
    """Tell whether the column says of each row that it could be read."""
    return column.role == "metadata" and values == [True]


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else float(value)


def _shown(value: Any) -> str:
    return str(value) if len(str(value)) <= 60 else str(value)[:59] + "…"
