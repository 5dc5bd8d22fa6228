"""Global importance: how large the values of each feature are on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals
from audits.engine.charts.shared import names_axis
from workers.charts import BLUE, BLUE_TINT, INK, Spec


def importance_spec(importance: Sequence[Mapping[str, Any]], *, unit: str, limit: int = 20) -> Spec:
    """Bars of mean attribution size with their 95 % intervals; `importance` is sorted, largest first."""
    shown = [dict(entry) for entry in importance[:limit]]
    digits = decimals(max((entry["value"] for entry in shown), default=0.0)) + 1
    for entry in shown:
        entry["text"] = f"{entry['value']:,.{digits}f}"
        entry["end"] = entry["value"] if entry["high"] is None else max(entry["value"], entry["high"])
    value = {"field": "value", "type": "quantitative", "title": f"mean |attribution|, {unit}", "axis": {"tickCount": 6}}
    return {
        "width": 372,
        "height": {"step": 24},
        "data": {"values": shown},
        "encoding": {"y": names_axis("feature", [entry["feature"] for entry in shown])},
        "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.62}, "color": BLUE_TINT}, "encoding": {"x": value}},
            {
                "transform": [{"filter": "datum.low !== null"}],
                "mark": {"type": "rule", "color": BLUE, "strokeWidth": 2},
                "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "tick", "color": BLUE, "thickness": 2, "size": 11},
                "encoding": {"x": {"field": "value", "type": "quantitative"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 7, "color": INK},
                "encoding": {"x": {"field": "end", "type": "quantitative"}, "text": {"field": "text"}},
            },
        ],
    }
