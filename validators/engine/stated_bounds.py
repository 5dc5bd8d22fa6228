"""The bounds that people state for a clip: numbers, or days and moments as texts.

The standard library is enough here, so that the control half checks a plan too.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any


def problems_of_stated(lower: Any, upper: Any) -> list[str]:
    """Return what is wrong with two bounds, either of which may be missing."""
    stated = [bound for bound in (lower, upper) if bound is not None]
    if not all(is_number(bound) or moment_of(bound) is not None for bound in stated):
        return [
            "`lower` and `upper` are numbers, and finite, or days or moments such as 2020-01-31 or 2020-01-31T12:00."
        ]
    if len({isinstance(bound, str) for bound in stated}) > 1:
        return ["`lower` and `upper` are both numbers, or both days or moments."]
    if len(stated) > 1 and place_of(lower) > place_of(upper):
        return [f"`lower` ({lower}) is above `upper` ({upper})."]
    return []


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number of more than 308 digits.
        return False


def moment_of(value: Any) -> datetime | None:
    """Return the moment that a text names, in UTC where it names no zone; None for what names none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def place_of(bound: Any) -> Any:
    """Return what bounds of one sort are ordered by."""
    return moment_of(bound) if isinstance(bound, str) else bound
