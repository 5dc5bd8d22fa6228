"""Dependence: how the attribution of one feature goes with its value, and with the value of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.charts.shared import SIGNED_AXIS, names_axis
from workers.charts import AXIS, BLUE, GREY_MIDDLE, INK, OCHRE, Spec

#: Low, middle and high values of the other feature; each has a shape too, so that no colour is needed.
_COLOURS = (OCHRE, GREY_MIDDLE, BLUE)
_SHAPES = ("square", "circle", "triangle-up")
#: Steps of the golden ratio spread points of one category evenly, and every time alike.
_GOLDEN = 0.6180339887498949
_WIDTH, _HEIGHT = 400, 250


def dependence_spec(
    points: Sequence[Mapping[str, Any]],
    *,
    feature: str,
    unit: str,
    groups: Sequence[str],
    other: str,
    categories: Sequence[str] | None = None,
    with_errors: bool = False,
) -> Spec:
    """Points of one feature's attribution over its value, by the group that another feature's value is in.

    A point is ``{"x": value, "y": attribution, "low": ..., "high": ..., "group": one of `groups`}``, at most three
    groups from low to high. Of a feature with few values, ``x`` is one of `categories`; its points stand side by side
    and a line marks each median.
    """
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "title": feature,
        "scale": {"zero": False, "padding": 6},
        "axis": {"tickCount": 6},
    }
    if categories is not None:
        x = {
            **names_axis("x", categories),
            "title": feature,
            "axis": {"labelAngle": 0, "grid": False, "titlePadding": 8},
        }
    y: Spec = {
        "type": "quantitative",
        "title": f"attribution, {unit}",
        "axis": SIGNED_AXIS,
        "scale": {"nice": True, "padding": 6},
    }
    shown = [
        {**point, "aside": 0.7 * ((place * _GOLDEN) % 1 - 0.5) if categories is not None else 0.0}
        for place, point in enumerate(points)
    ]
    aside = {"field": "aside", "type": "quantitative", "scale": {"domain": [-0.5, 0.5]}}
    place: Spec = {"x": x, **({"xOffset": aside} if categories is not None else {})}
    chosen = _steps(len(groups))
    layers: list[Spec] = [
        {
            "data": {"values": [{"y": 0}]},
            "mark": {"type": "rule", "color": AXIS},
            "encoding": {"y": {"field": "y", **y}},
        }
    ]
    if with_errors:
        layers.append(
            {
                "data": {"values": shown},
                "mark": {"type": "rule", "color": AXIS, "strokeWidth": 1},
                "encoding": {**place, "y": {"field": "low", **y}, "y2": {"field": "high"}},
            }
        )
    layers.append(
        {
            "data": {"values": shown},
            "mark": {"type": "point", "filled": True, "size": 22, "opacity": 1},
            "encoding": {
                **place,
                "y": {"field": "y", **y},
                **_by_group(other, groups, "color", [_COLOURS[step] for step in chosen]),
                **_by_group(other, groups, "shape", [_SHAPES[step] for step in chosen]),
            },
        }
    )
    if categories is not None:
        layers.append(
            {
                "data": {"values": _medians(points)},
                "mark": {"type": "tick", "color": INK, "thickness": 2, "orient": "horizontal", "size": 26},
                "encoding": {"x": x, "y": {"field": "y", **y}},
            }
        )
    return {"width": _WIDTH, "height": _HEIGHT, "layer": layers}


def _by_group(other: str, groups: Sequence[str], channel: str, chosen: Sequence[str]) -> Spec:
    legend = {"symbolType": None} if channel == "color" else {}
    return {
        channel: {
            "field": "group",
            "type": "nominal",
            "title": other or None,
            "scale": {"domain": list(groups), "range": list(chosen)},
            "legend": {**legend, "offset": 26, "symbolSize": 60, "labelLimit": 120, "titleLimit": 140}
            if len(groups) > 1
            else None,
        }
    }


def _steps(count: int) -> tuple[int, ...]:
    """Return which of low, middle and high the groups are: of two, low and high; one alone is plain."""
    return {1: (2,), 2: (0, 2)}.get(count, (0, 1, 2))


def _medians(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_category: dict[Any, list[float]] = {}
    for point in points:
        by_category.setdefault(point["x"], []).append(point["y"])
    medians = []
    for category, values in by_category.items():
        ordered, half = sorted(values), len(values) // 2
        middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        medians.append({"x": category, "y": middle})
    return medians
