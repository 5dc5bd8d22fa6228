"""What the charts of explanations share: the axis of names, the signs of numbers, the steps of a ramp."""

from __future__ import annotations

import math
from collections.abc import Sequence

from audits.engine.captions import Number
from workers.charts import RAMP, Spec

#: Signed numbers on an axis, zero without a sign.
SIGNED_AXIS = {"labelExpr": "datum.value == 0 ? '0' : format(datum.value, '+~g')", "tickCount": 6}


def names_axis(field: str, names: Sequence[str]) -> Spec:
    return {"field": field, "type": "nominal", "title": None, "sort": None, "scale": {"domain": list(names)}}


def ramp_steps(data: Sequence[Number]) -> list[int]:
    """Return the colour step of each value between the 5th and the 95th percentile of its feature."""
    known = sorted(value for value in data if value is not None)
    middle = len(RAMP) // 2
    if not known:
        return [middle] * len(data)
    low, high = known[int(0.05 * (len(known) - 1))], known[math.ceil(0.95 * (len(known) - 1))]
    if low == high:
        low, high = known[0], known[-1]
    if low == high:
        return [middle] * len(data)
    share = [0.5 if value is None else min(1.0, max(0.0, (value - low) / (high - low))) for value in data]
    return [min(len(RAMP) - 1, int(part * len(RAMP))) for part in share]
