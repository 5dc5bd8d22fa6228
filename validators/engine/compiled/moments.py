"""Moments in arguments: texts of a date and a time, which is what Great Expectations takes for a moment."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from validators.engine.compiled.arguments import Bounds
from validators.engine.compiled.columns import Column
from validators.engine.compiled.rules import Declined

#: A text of a date alone is written out before (``validators.engine.moment_texts``).
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{6})?)?", re.ASCII)
_ZONE = re.compile(r"[+-]\d{2}:\d{2}", re.ASCII)


def moment_bounds(bounds: Bounds, column: Column) -> Bounds:
    """Return the bounds of a column of moments as such, without a zone: those of a column with zones are in UTC."""
    read = replace(bounds, low=_moment(bounds.low, column), high=_moment(bounds.high, column))
    read.demand_order()
    return read


def _moment(text: object, column: Column) -> datetime | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise Declined
    zone = _ZONE.search(text, max(0, len(text) - 6))
    if (zone is not None) != (column.kind == "zoned") or not _MOMENT.fullmatch(text[: zone.start()] if zone else text):
        raise Declined
    try:
        moment = datetime.fromisoformat(text)
        return moment if zone is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Declined from None
