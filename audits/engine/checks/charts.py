"""Charts of checks as Vega-Lite specifications: names stand in the data, the failing side is tinted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workers.charts import AXIS, BLUE, BLUE_TINT, FAILED, FAILED_TINT, GREY, INK, INK_QUIET, OCHRE, Spec

WIDTH = 400
_PERCENT = {"format": ".0%", "tickCount": 6}
_DASH = [4, 3]


def dots_spec(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    domain: tuple[float, float],
    failing: tuple[float, float] | None = None,
    as_percent: bool = True,
) -> Spec:
    """Dots with their intervals, one line a row, the words of `text` at the right edge.

    A row is ``{"name", "value", "low", "high", "text", "is_worst", "is_reference"}``; ``failing`` is the tinted range.
    """
    shown = [{"is_worst": False, "is_reference": False, **row} for row in rows]
    names = [str(row["name"]) for row in shown]
    y = {"field": "name", "type": "nominal", "title": None, "sort": None, "scale": {"domain": names}}
    scale = {"domain": list(domain), "nice": False}
    axis = _PERCENT if as_percent else {"tickCount": 6}
    x = {"type": "quantitative", "title": title, "scale": scale, "axis": axis}
    color = {
        "condition": [{"test": "datum.is_worst", "value": FAILED}, {"test": "datum.is_reference", "value": AXIS}],
        "value": BLUE,
    }
    layers: list[Spec] = []
    if failing is not None:
        layers.append(_tint(x, failing, domain))
    layers += [
        {
            "transform": [{"filter": "datum.low !== null"}],
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"y": y, "x": {"field": "low", **x}, "x2": {"field": "high"}, "color": color},
        },
        {
            "mark": {"type": "point", "size": 55},
            "encoding": {"y": y, "x": {"field": "value", **x}, "color": color},
        },
        {
            "mark": {"type": "text", "align": "left", "x": WIDTH + 10, "color": INK},
            "encoding": {"y": y, "text": {"field": "text"}},
        },
    ]
    return {"width": WIDTH, "height": {"step": 30}, "data": {"values": shown}, "layer": layers}


def attack_curve_spec(points: Sequence[Mapping[str, Any]], *, limit: float, eps: float, unit: str, n: int) -> Spec:
    """Accuracy under attack over its size, a line an attack, with the limit and the size that the policy names.

    A point is ``{"attack", "eps", "value", "low", "high"}``; the first attack is blue with a band.
    """
    attacks = list(dict.fromkeys(str(point["attack"]) for point in points))
    largest = max(float(point["eps"]) for point in points)
    x = {
        "type": "quantitative",
        "title": f"size of the change, {unit}",
        "scale": {"domain": [0, largest], "nice": False},
        "axis": {"tickCount": 6},
    }
    y = {
        "type": "quantitative",
        "title": f"accuracy, n = {n:,}",
        "scale": {"domain": [0, 1]},
        "axis": {"format": ".0%", "tickCount": 5, "grid": True},
    }
    color = {
        "field": "attack",
        "type": "nominal",
        "title": None,
        "scale": {"domain": attacks, "range": [BLUE, OCHRE][: len(attacks)]},
        "legend": {"symbolType": "stroke", "offset": 24},
    }
    first = [dict(point) for point in points if point["attack"] == attacks[0]]
    return {
        "width": WIDTH,
        "height": 210,
        "layer": [
            {
                "data": {"values": [{"from": 0, "to": limit, "left": 0, "right": eps}]},
                "mark": {"type": "rect", "color": FAILED_TINT},
                "encoding": {
                    "x": {"field": "left", **x},
                    "x2": {"field": "right"},
                    "y": {"field": "from", **y},
                    "y2": {"field": "to"},
                },
            },
            {
                "data": {"values": first},
                "mark": {"type": "area", "color": BLUE_TINT},
                "encoding": {"x": {"field": "eps", **x}, "y": {"field": "low", **y}, "y2": {"field": "high"}},
            },
            *_rules(
                [
                    {"at": limit, "text": f"limit {100 * limit:.1f} %", "axis": "y"},
                    {"at": eps, "text": f"policy {eps:g}", "axis": "x"},
                ],
                x,
                y,
            ),
            {
                "data": {"values": [dict(point) for point in points]},
                "mark": {"type": "line", "point": {"size": 36}},
                "encoding": {"x": {"field": "eps", **x}, "y": {"field": "value", **y}, "color": color},
            },
        ],
    }


def reliability_spec(bins: Sequence[Mapping[str, Any]], *, predicted: str, observed: str) -> Spec:
    """Observed against predicted share in each bin, with the interval of the observed one and the diagonal."""
    x = {"type": "quantitative", "title": predicted, "scale": {"domain": [0, 1]}, "axis": _PERCENT}
    y = {"type": "quantitative", "title": observed, "scale": {"domain": [0, 1]}, "axis": {**_PERCENT, "grid": True}}
    return {
        "width": 320,
        "height": 320,
        "layer": [
            {
                "data": {"values": [{"at": 0}, {"at": 1}]},
                "mark": {"type": "line", "color": GREY, "strokeDash": _DASH, "strokeWidth": 1.5},
                "encoding": {"x": {"field": "at", **x}, "y": {"field": "at", **y}},
            },
            {
                "data": {"values": [dict(entry) for entry in bins]},
                "mark": {"type": "rule", "color": BLUE, "strokeWidth": 2},
                "encoding": {"x": {"field": "predicted", **x}, "y": {"field": "low", **y}, "y2": {"field": "high"}},
            },
            {
                "data": {"values": [dict(entry) for entry in bins]},
                "mark": {"type": "point", "color": BLUE, "size": 45},
                "encoding": {"x": {"field": "predicted", **x}, "y": {"field": "observed", **y}},
            },
        ],
    }


def roc_spec(points: Sequence[Mapping[str, Any]], *, smallest: float, at: float) -> Spec:
    """The ROC curve of an attack on log axes with its band; the diagonal is guessing, `at` the rate that is told."""
    scale = {"type": "log", "domain": [smallest, 1], "nice": False, "clamp": True}
    axis = {"format": "~%", "values": [10.0**-power for power in range(8) if 10.0**-power >= smallest]}
    x = {"type": "quantitative", "title": "false positive rate, log", "scale": scale, "axis": axis}
    y = {"type": "quantitative", "title": "true positive rate, log", "scale": scale, "axis": {**axis, "grid": True}}
    values = [dict(point) for point in points]
    return {
        "width": 320,
        "height": 320,
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "area", "color": BLUE_TINT, "interpolate": "step-after"},
                "encoding": {"x": {"field": "fpr", **x}, "y": {"field": "low", **y}, "y2": {"field": "high"}},
            },
            {
                "data": {"values": [{"rate": smallest}, {"rate": 1}]},
                "mark": {"type": "line", "color": GREY, "strokeDash": _DASH, "strokeWidth": 1.5},
                "encoding": {"x": {"field": "rate", **x}, "y": {"field": "rate", **y}},
            },
            *_rules([{"at": at, "text": f"{100 * at:g} %", "axis": "x"}], x, y, height=320),
            {
                "data": {"values": values},
                "mark": {"type": "line", "color": BLUE, "interpolate": "step-after"},
                "encoding": {"x": {"field": "fpr", **x}, "y": {"field": "tpr", **y}},
            },
        ],
    }


def _tint(x: Spec, failing: tuple[float, float], domain: tuple[float, float]) -> Spec:
    """Tint the failing range over the whole height, cut to what the axis shows."""
    left, right = max(failing[0], domain[0]), min(failing[1], domain[1])
    return {
        "data": {"values": [{"left": left, "right": max(left, right)}]},
        "mark": {"type": "rect", "color": FAILED_TINT},
        "encoding": {"x": {"field": "left", **x}, "x2": {"field": "right"}},
    }


def _rules(lines: Sequence[Mapping[str, Any]], x: Spec, y: Spec, *, height: int = 210) -> list[Spec]:
    """Return dashed lines at places of either axis, each with its words."""
    layers: list[Spec] = []
    for line in lines:
        data = {"values": [dict(line)]}
        is_limit = line["axis"] == "y"
        color = FAILED if is_limit else INK_QUIET
        place = {"y": {"field": "at", **y}} if is_limit else {"x": {"field": "at", **x}}
        words = (
            {"align": "right", "x": WIDTH - 4, "dy": -6} if is_limit else {"align": "left", "dx": 5, "y": height - 10}
        )
        layers += [
            {"data": data, "mark": {"type": "rule", "color": color, "strokeDash": _DASH}, "encoding": place},
            {
                "data": data,
                "mark": {"type": "text", "color": color, **words},
                "encoding": {**place, "text": {"field": "text"}},
            },
        ]
    return layers
