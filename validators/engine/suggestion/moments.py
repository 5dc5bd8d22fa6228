"""Rules about dates and times: as early and as late as the data allow, with room for the period that follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.profile import ColumnProfile

_LEAST_ROWS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000


def rules(column: ColumnProfile) -> Iterator[Candidate]:
    """Propose the earliest and the latest moment.

    The next sample may be of the next period, so the latest moment is one whole span after the last one seen; what is
    further in the future of the data, or half a span before them, is another century, another unit or an epoch of zero.
    """
    if column.fit_present < _LEAST_ROWS or not column.lowest:
        return
    first, last = int(column.lowest[0]), int(column.highest[0])
    span = max(last - first, _DAY)
    low, high = (first - span // 2) // _DAY * _DAY, ((last + span) // _DAY + 1) * _DAY
    has_zone = getattr(column.arrow_type, "tz", None) is not None
    earliest, latest = _written(low, has_zone), _written(high, has_zone)
    if earliest is None or latest is None:
        return
    yield Candidate(
        "expect_column_values_to_be_between",
        {"column": column.name, "min_value": earliest, "max_value": latest},
        "warning",
        column.name,
        f"Seen {_written(first, has_zone)} to {_written(last, has_zone)}; half as long before, as long after may be.",
        {"rows": column.fit_present, "lowest": _written(first, has_zone), "highest": _written(last, has_zone)},
        RowTest(
            f"NOT {column.missing_sql}",
            f"({column.measured_sql} < ? OR {column.measured_sql} > ?)",
            [low, high],
        ),
    )


def _written(microseconds: int, has_zone: bool) -> str | None:
    """Write a moment as suites do; None beyond the calendar."""
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None
    return (moment if has_zone else moment.replace(tzinfo=None)).isoformat()
