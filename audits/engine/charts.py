"""Charts of explanations as Vega-Lite specifications.

Pages draw one row's waterfall or heat map on demand from ``rows.json``, so this module needs the standard library and
the palette only. All names stand in the data of a specification, never in its field names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import Number, decimals, plain_number, signed
from workers.charts import AXIS, BLUE, BLUE_TINT, DIVERGING, GREY, GRID, INK, INK_QUIET, OCHRE, PAPER, RAMP, Spec

#: Grey steps of a pictured image, low to high; on a dark screen they turn round with the paper.
_GREYS = (PAPER, GRID, GREY, AXIS, INK_QUIET, INK)
#: Signed numbers on an axis, zero without a sign.
_SIGNED_AXIS = {"labelExpr": "datum.value == 0 ? '0' : format(datum.value, '+~g')", "tickCount": 6}
_SWARM_RADIUS = 2.0
_SWARM_BAND = 31.0


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
        "encoding": {"y": _names("feature", [entry["feature"] for entry in shown])},
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
        steps = _ramp_steps(entry["data"])
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
        "axis": {"grid": False, **_SIGNED_AXIS},
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
                "encoding": {"y": _names("feature", names)},
            },
            {"data": {"values": [{"value": 0}]}, "mark": {"type": "rule", "color": AXIS}, "encoding": {"x": x}},
            {
                "data": {"values": points},
                "mark": {"type": "circle", "size": math.pi * _SWARM_RADIUS**2},
                "encoding": {
                    "x": x,
                    "y": _names("feature", names),
                    "yOffset": {
                        "field": "offset",
                        "type": "quantitative",
                        "scale": {"domain": [-_SWARM_BAND / 2, _SWARM_BAND / 2]},
                    },
                    "color": {
                        "field": "step",
                        "type": "ordinal",
                        "title": "value of the feature, low to high",
                        "scale": {"domain": list(range(len(RAMP))), "range": list(RAMP)},
                        "legend": {
                            "symbolType": "square",
                            "labelExpr": f"datum.value == 0 ? 'low' : datum.value == {last} ? 'high' : ''",
                        },
                    },
                },
            },
        ],
    }


def waterfall_spec(
    entry: Mapping[str, Any], *, feature_names: Sequence[str], unit: str, towards: str = "", limit: int = 9
) -> Spec:
    """Steps from the base value to one row's score, largest first; what is left over is one step.

    ``entry`` is a row of ``rows.json``; ``towards`` names what a higher score speaks for.
    """
    steps = _waterfall_steps(entry, feature_names, limit)
    base, score = float(entry["base"]), float(entry["base"]) + math.fsum(entry["values"])
    digits = decimals(max((abs(step["value"]) for step in steps), default=0.0))
    up, down = (f"+ towards {towards}", "− away from it") if towards else ("+ raises the score", "− lowers it")
    for step in steps:
        step["text"] = signed(step["value"], digits)
        step["direction"] = up if step["value"] >= 0 else down
        step["right"] = max(step["start"], step["end"])
    names = _names("name", [step["name"] for step in steps])
    x = {"type": "quantitative", "title": unit, "axis": _SIGNED_AXIS, "scale": {"zero": False, "nice": True}}
    reached = [base, *(step["end"] for step in steps)]
    are_apart = abs(score - base) > 0.45 * (max(reached) - min(reached))
    return {
        "width": 380,
        "height": {"step": 28},
        "layer": [
            *_waterfall_line(base, "base", digits, AXIS, x, is_left=base <= score, inwards=are_apart),
            *_waterfall_line(score, "this row", digits, INK, x, is_left=base > score, inwards=are_apart),
            {
                "data": {"values": steps},
                "mark": {"type": "bar", "height": {"band": 0.65}},
                "encoding": {
                    "y": names,
                    "x": {"field": "start", **x},
                    "x2": {"field": "end"},
                    "color": {
                        "field": "direction",
                        "type": "nominal",
                        "title": None,
                        "scale": {"domain": [up, down], "range": [OCHRE, BLUE]},
                        "legend": {"symbolType": "square", "offset": 24},
                    },
                },
            },
            *(
                {
                    "data": {"values": steps},
                    "mark": {"type": "text", "align": "left", "dx": 6, **style},
                    "encoding": {"y": names, "x": {"field": "right", **x}, "text": {"field": "text"}},
                }
                for style in ({"color": PAPER, "stroke": PAPER, "strokeWidth": 4}, {"color": INK})
            ),
        ],
    }


def heatmap_spec(
    panels: Sequence[Mapping[str, Any]], *, grid: Sequence[int], unit: str, columns: int = 5, size: int = 150
) -> Spec:
    """Heat maps of image attributions on one scale, blue below zero and ochre above, each darker the farther from it.

    A panel is ``{"title": text, "values": [...]}`` of ``grid`` rows x columns in reading order; with
    ``"picture": True`` its values are the image itself, in grey.
    """
    largest = max(
        (abs(value) for panel in panels if not panel.get("picture") for value in panel["values"]), default=0.0
    )
    drawn = []
    for panel in panels:
        is_picture = bool(panel.get("picture"))
        colors = _GREYS if is_picture else DIVERGING
        cells = _cells(panel["values"], grid, None if is_picture else largest, len(colors))
        drawn.append(_panel(str(panel.get("title", "")), cells, grid, colors, size))
    return {
        "vconcat": [
            _heat_scale(largest, unit),
            {"concat": drawn, "columns": columns, "spacing": 14, "resolve": {"scale": {"color": "independent"}}},
        ],
        "spacing": 12,
        "resolve": {"scale": {"color": "independent"}},
    }


def waterfall_table(entry: Mapping[str, Any], *, feature_names: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of a waterfall, all features, largest first."""
    order = sorted(range(len(feature_names)), key=lambda place: -abs(entry["values"][place]))
    rows = [
        [feature_names[place], entry["data"][place], entry["values"][place], entry["errors"][place]] for place in order
    ]
    return {"columns": ["feature", "value of the feature", "attribution", "standard error"], "rows": rows}


def _names(field: str, names: Sequence[str]) -> Spec:
    return {"field": field, "type": "nominal", "title": None, "sort": None, "scale": {"domain": list(names)}}


def _waterfall_line(
    at: float, word: str, digits: int, color: str, x: Mapping[str, Any], *, is_left: bool, inwards: bool
) -> list[Spec]:
    """Return a vertical line with its label above: two labels stand apart, turned inwards where there is room."""
    is_base = word == "base"
    data = {"values": [{"at": at, "text": f"{word} {signed(at, digits)}"}]}
    place = {"x": {"field": "at", **x}}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": color, **({"strokeDash": [3, 3]} if is_base else {})},
            "encoding": place,
        },
        {
            "data": data,
            "mark": {
                "type": "text",
                "align": "left" if is_left == inwards else "right",
                "baseline": "bottom",
                "y": -4,
                "color": INK_QUIET if is_base else INK,
                "fontWeight": "normal" if is_base else "bold",
            },
            "encoding": {**place, "text": {"field": "text"}},
        },
    ]


def _waterfall_steps(entry: Mapping[str, Any], feature_names: Sequence[str], limit: int) -> list[dict[str, Any]]:
    values = entry["values"]
    order = sorted(range(len(feature_names)), key=lambda place: -abs(values[place]))
    if len(order) > limit:
        order, others = order[: limit - 1], order[limit - 1 :]
    else:
        others = []
    steps = []
    place_now = float(entry["base"])
    for place in order:
        name = f"{feature_names[place]} = {plain_number(entry['data'][place])}"
        steps.append({"name": name, "value": values[place], "start": place_now, "end": place_now + values[place]})
        place_now += values[place]
    if others:
        left = math.fsum(values[place] for place in others)
        steps.append(
            {"name": f"{len(others):,} other features", "value": left, "start": place_now, "end": place_now + left}
        )
    return steps


def _ramp_steps(data: Sequence[Number]) -> list[int]:
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


def _cells(
    values: Sequence[float], grid: Sequence[int], largest: float | None, steps: int
) -> list[dict[str, float | int]]:
    """Return the cells of one panel; a symmetric scale up to `largest`, else from lowest to highest value."""
    low = -largest if largest is not None else min(values)
    spread = 2 * largest if largest is not None else max(values) - low
    cells: list[dict[str, float | int]] = []
    for place, value in enumerate(values):
        share = (value - low) / spread if spread else (0.5 if largest is not None else 0.0)
        cells.append(
            {
                "row": place // grid[1],
                "column": place % grid[1],
                "value": value,
                "step": min(steps - 1, max(0, int(share * steps))),
            }
        )
    return cells


def _panel(
    title: str,
    cells: Sequence[Mapping[str, Any]],
    grid: Sequence[int],
    colors: Sequence[str],
    size: int,
) -> Spec:
    side = max(1, size // max(grid))
    band = {"paddingInner": 0, "paddingOuter": 0}
    return {
        "title": {
            "text": title,
            "fontSize": 11.5,
            "fontWeight": "normal",
            "color": INK,
            "anchor": "start",
            "offset": 4,
        },
        "width": side * grid[1],
        "height": side * grid[0],
        "view": {"stroke": GRID},
        "data": {"values": list(cells)},
        "mark": {"type": "rect", "stroke": GRID, "strokeWidth": 0.5},
        "encoding": {
            "x": {"field": "column", "type": "ordinal", "axis": None, "scale": band},
            "y": {"field": "row", "type": "ordinal", "axis": None, "scale": band},
            "color": {
                "field": "step",
                "type": "ordinal",
                "title": None,
                "scale": {"domain": list(range(len(colors))), "range": list(colors)},
                "legend": None,
            },
        },
    }


def _heat_scale(largest: float, unit: str) -> Spec:
    """Return a strip of the seven colours with the numbers at its ends and its middle."""
    digits, last, width = decimals(largest), len(DIVERGING) - 1, 15
    labels = ((0, signed(-largest, digits)), (last / 2, "0"), (last, signed(largest, digits)))
    return {
        "width": width * (last + 1),
        "height": 10,
        "layer": [
            {
                "data": {"values": [{"left": step, "right": step + 1, "step": step} for step in range(last + 1)]},
                "mark": {"type": "rect", "stroke": GRID, "strokeWidth": 0.5},
                "encoding": {
                    "x": {"field": "left", "type": "quantitative", "axis": None, "scale": {"domain": [0, last + 1]}},
                    "x2": {"field": "right"},
                    "color": {
                        "field": "step",
                        "type": "ordinal",
                        "scale": {"domain": list(range(last + 1)), "range": list(DIVERGING)},
                        "legend": None,
                    },
                },
            },
            {
                "data": {"values": [{"at": place + 0.5, "text": text} for place, text in labels]},
                "mark": {"type": "text", "baseline": "top", "y": 15, "color": INK_QUIET},
                "encoding": {"x": {"field": "at", "type": "quantitative"}, "text": {"field": "text"}},
            },
            {
                "data": {"values": [{"text": f"attribution, {unit}"}]},
                "mark": {"type": "text", "align": "left", "x": width * (last + 1) + 10, "y": 5, "color": INK_QUIET},
                "encoding": {"text": {"field": "text"}},
            },
        ],
    }
