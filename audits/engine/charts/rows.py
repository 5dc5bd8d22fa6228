"""Heat map over rows: the attributions of the leading features for many rows side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from audits.engine.charts.heatmap import heat_scale
from audits.engine.charts.shared import SIGNED_AXIS, names_axis
from workers.charts import AXIS, BLUE, DIVERGING, GRID, Spec

_WIDTH = 840
_BAND = 20


def rows_spec(
    features: Sequence[Mapping[str, Any]],
    *,
    scores: Sequence[float],
    unit: str,
    largest: float,
    order: str,
) -> Spec:
    """Cells of rows (left to right) by features (top to bottom), blue below zero and ochre above, with the score above.

    A feature is ``{"feature": name, "values": [...]}`` with one value a row, in the order of ``scores``; what exceeds
    ``largest`` either way has the strongest colour. ``order`` says in words how the rows are ordered.
    """
    count = max(1, len(scores))
    width = max(1, _WIDTH // count) * count
    names = [entry["feature"] for entry in features]
    x: Spec = {"type": "quantitative", "axis": None, "scale": {"domain": [0, count], "nice": False}}
    score: Spec = {
        "width": width,
        "height": 48,
        "data": {"values": [{"at": place + 0.5, "score": value} for place, value in enumerate(scores)]},
        "mark": {"type": "line", "color": BLUE, "strokeWidth": 1.4, "interpolate": "step"},
        "encoding": {
            "x": {"field": "at", **x},
            "y": {
                "field": "score",
                "type": "quantitative",
                "title": unit,
                "scale": {"zero": False},
                "axis": {**SIGNED_AXIS, "tickCount": 3},
            },
        },
    }
    cells: Spec = {
        "width": width,
        "height": {"step": _BAND},
        "view": {"stroke": GRID},
        "data": {"values": [run for entry in features for run in _runs(entry, largest)]},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "left",
                **x,
                "axis": {"labels": False, "ticks": False, "grid": False, "title": order, "domainColor": AXIS},
            },
            "x2": {"field": "right"},
            "y": {**names_axis("feature", names), "scale": {"domain": names, "padding": 0}},
            "color": {
                "field": "step",
                "type": "ordinal",
                "scale": {"domain": list(range(len(DIVERGING))), "range": list(DIVERGING)},
                "legend": None,
            },
        },
    }
    return {
        "vconcat": [heat_scale(largest, unit), score, cells],
        "spacing": 10,
        "resolve": {"scale": {"color": "independent"}},
    }


def _runs(entry: Mapping[str, Any], largest: float) -> list[dict[str, Any]]:
    """Return the cells of one feature, neighbours of one colour as one."""
    steps, last = [], len(DIVERGING) - 1
    for value in entry["values"]:
        share = 0.5 + value / (2 * largest) if largest else 0.5
        steps.append(min(last, max(0, int(share * len(DIVERGING)))))
    runs, at = [], 0
    for step, group in groupby(steps):
        length = len(list(group))
        runs.append({"feature": entry["feature"], "left": at, "right": at + length, "step": step})
        at += length
    return runs
