"""Beeswarm: every row's value of the leading features, coloured by what the row has there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.charts.shared import SIGNED_AXIS, names_axis, ramp_steps
from workers.charts import AXIS, GRID, RAMP, Spec

_SWARM_RADIUS = 2.0
_SWARM_BAND = 31.0


def beeswarm_spec(features: Sequence[Mapping[str, Any]], *, unit: str) -> Spec:
    """Points of each feature's attributions, coloured by the feature's value from low (ochre) to high (blue).

    Each feature is ``{"feature": name, "values": [...], "data": [...]}``; the points of one row stand at one place.
    """
    everything = [value for entry in features for value in entry["values"]] or [0.0]
    low, high = min(*everything, 0.0), max(*everything, 0.0)
    width = 400
    scale = width / ((high - low) or 1.0)
    points = []
    for entry in features:
        steps = ramp_steps(entry["data"])
        offsets = _swarm([(value - low) * scale for value in entry["values"]])
        points += [
            {"feature": entry["feature"], "value": value, "step": step, "offset": offset}
            for value, step, offset in zip(entry["values"], steps, offsets, strict=True)
        ]
    names = [entry["feature"] for entry in features]
    x = {
        "field": "value",
        "type": "quantitative",
        "title": f"attribution, {unit}",
        "axis": {"grid": False, **SIGNED_AXIS},
        "scale": {"domain": [low, high], "nice": True},
    }
    last = len(RAMP) - 1
    return {
        "width": width,
        "height": {"step": _SWARM_BAND},
        "layer": [
            {
                "data": {"values": [{"feature": name} for name in names]},
                "mark": {"type": "rule", "color": GRID},
                "encoding": {"y": names_axis("feature", names)},
            },
            {"data": {"values": [{"value": 0}]}, "mark": {"type": "rule", "color": AXIS}, "encoding": {"x": x}},
            {
                "data": {"values": points},
                "mark": {"type": "circle", "size": math.pi * _SWARM_RADIUS**2},
                "encoding": {
                    "x": x,
                    "y": names_axis("feature", names),
                    "yOffset": {
                        "field": "offset",
                        "type": "quantitative",
                        "scale": {"domain": [-_SWARM_BAND / 2, _SWARM_BAND / 2]},
                    },
                    "color": {
                        "field": "step",
                        "type": "ordinal",
                        "title": "value of the feature",
                        "scale": {"domain": list(range(len(RAMP))), "range": list(RAMP)},
                        "legend": {
                            "symbolType": "square",
                            "titlePadding": 24,
                            "labelExpr": f"datum.value == 0 ? 'low' : datum.value == {last} ? 'high' : ''",
                        },
                    },
                },
            },
        ],
    }


def _swarm(places: Sequence[float]) -> list[float]:
    """Return for each point how far it moves aside, so that points hide each other as little as the band allows."""
    step, reach = 1.6 * _SWARM_RADIUS, 2.1 * _SWARM_RADIUS
    lanes = int((_SWARM_BAND / 2 - _SWARM_RADIUS) // step)
    candidates = [0.0] + [sign * lane * step for lane in range(1, lanes + 1) for sign in (1, -1)]
    last_in_lane: dict[float, float] = {}
    offsets = [0.0] * len(places)
    for index in sorted(range(len(places)), key=places.__getitem__):
        free = (lane for lane in candidates if places[index] - last_in_lane.get(lane, -math.inf) >= reach)
        lane = next(free, None)
        if lane is None:
            lane = min(candidates, key=last_in_lane.__getitem__)
        last_in_lane[lane] = places[index]
        offsets[index] = lane
    return offsets
