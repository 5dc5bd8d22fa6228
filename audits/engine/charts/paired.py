"""Change of attributions between two versions on the same rows, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals, signed
from audits.engine.charts.shared import SIGNED_AXIS, names_axis
from workers.charts import AXIS, BLUE, INK, PAPER, Spec


def paired_spec(changes: Sequence[Mapping[str, Any]], *, unit: str, limit: int = 20) -> Spec:
    """Points of the mean change of each feature with its 95 % interval; an open point has an interval across zero.

    A change is ``{"feature": name, "change": ..., "low": ..., "high": ..., "is_beyond_error": ...}``, largest first.
    """
    shown = [dict(entry) for entry in changes[:limit]]
    digits = decimals(max((abs(entry["change"]) for entry in shown), default=0.0))
    for entry in shown:
        entry["text"] = signed(entry["change"], digits)
        entry["fill"] = "more than the error" if entry["is_beyond_error"] else "not shown to differ"
    x: Spec = {"type": "quantitative", "title": f"change of the mean size, {unit}", "axis": SIGNED_AXIS}
    y = names_axis("feature", [entry["feature"] for entry in shown])
    return {
        "width": 372,
        "height": {"step": 24},
        "layer": [
            {
                "data": {"values": [{"at": 0}]},
                "mark": {"type": "rule", "color": AXIS},
                "encoding": {"x": {"field": "at", **x}},
            },
            {
                "data": {"values": shown},
                "mark": {"type": "rule", "color": BLUE, "strokeWidth": 2},
                "encoding": {"y": y, "x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            {
                "data": {"values": shown},
                "mark": {"type": "point", "size": 52, "stroke": BLUE, "strokeWidth": 2, "filled": True, "opacity": 1},
                "encoding": {
                    "y": y,
                    "x": {"field": "change", **x},
                    "fill": {
                        "field": "fill",
                        "type": "nominal",
                        "title": None,
                        "scale": {"domain": ["more than the error", "not shown to differ"], "range": [BLUE, PAPER]},
                        "legend": {"symbolStrokeColor": BLUE},
                    },
                },
            },
            {
                "data": {"values": shown},
                "mark": {"type": "text", "align": "left", "dx": 8, "color": INK},
                "encoding": {"y": y, "x": {"field": "high", **x}, "text": {"field": "text"}},
            },
        ],
    }
