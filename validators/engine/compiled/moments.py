"""Moments in arguments: texts of a date and a time, which is what Great Expectations takes for a moment."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from validators.engine.compiled.arguments import Bounds
from validators.engine.compiled.rules import Declined

#: Without a zone. A text of a date alone becomes a date, which pandas does not compare with a moment.
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2}(\.\d{6})?)?", re.ASCII)


def moment_bounds(bounds: Bounds) -> Bounds:
    """Return the bounds as moments without a zone, written for SQL."""
    read = replace(bounds, low=_moment(bounds.low), high=_moment(bounds.high))
    read.demand_order()
    return read


def _moment(text: object) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise Declined
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Declined from None
    return moment.isoformat(sep=" ", timespec="microseconds")
