"""Dendrogram: how features join into branches, and what each branch adds to one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals, signed
from workers.charts import AXIS, BLUE, INK, OCHRE, Spec

_WIDTH, _STEP = 380, 24
#: Widths of a branch's line, by its share of the largest.
_THINNEST, _THICKEST = 1.0, 5.0
_LABEL_CHARACTERS = 36
#: A sum stands at a branch that takes this share of the width.
_ROOM = 0.1


def dendrogram_spec(
    branches: Sequence[Mapping[str, Any]], joins: Sequence[Mapping[str, Any]], *, distance: str
) -> Spec:
    """Branches from their features on the left to the whole on the right, each with the sum of its values.

    A branch is ``{"at": place from the top, "left": distance at which it is made, "right": distance at which it joins,
    "value": sum, "label": name of one that is not parted further, else empty}``; a join is ``{"distance": ...,
    "low": place, "high": place}``. A short branch has its sum in the table only. A branch that speaks for the output
    is a full line, one against it a broken one; the thicker, the more. ``distance`` says what the distance is.
    """
    largest = max((abs(branch["value"]) for branch in branches), default=0.0)
    digits = decimals(largest)
    up, down = "+ raises the score (full line)", "− lowers it (broken line)"
    room = _ROOM * max((branch["right"] for branch in branches), default=0.0)
    lines = [
        {
            **branch,
            "direction": up if branch["value"] >= 0 else down,
            "width": _THINNEST + (_THICKEST - _THINNEST) * (abs(branch["value"]) / largest if largest else 0.0),
        }
        for branch in branches
    ]
    leaves = [
        {"at": line["at"], "text": f"{_short(line['label'])}  {signed(line['value'], digits)}"}
        for line in lines
        if line["label"]
    ]
    sums = [
        {"at": line["at"], "left": line["left"], "text": signed(line["value"], digits)}
        for line in lines
        if not line["label"] and line["right"] - line["left"] >= room
    ]
    y = {
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-0.7, len(leaves) - 0.3], "reverse": True, "nice": False, "zero": False},
    }
    x = {"type": "quantitative", "title": distance, "axis": {"grid": False, "tickCount": 5}, "scale": {"nice": False}}
    return {
        "width": _WIDTH,
        "height": _STEP * max(2, len(leaves)),
        "layer": [
            {
                "data": {"values": list(joins)},
                "mark": {"type": "rule", "color": AXIS},
                "encoding": {
                    "x": {"field": "distance", **x},
                    "y": {"field": "low", **y},
                    "y2": {"field": "high"},
                },
            },
            {
                "data": {"values": lines},
                "mark": {"type": "rule"},
                "encoding": {
                    "x": {"field": "left", **x},
                    "x2": {"field": "right"},
                    "y": {"field": "at", **y},
                    "strokeWidth": {"field": "width", "type": "quantitative", "scale": None},
                    "color": _by_direction([up, down], [OCHRE, BLUE], {"symbolType": "stroke", "symbolStrokeWidth": 3}),
                    "strokeDash": _by_direction([up, down], [[1, 0], [5, 3]], {}),
                },
            },
            {
                "data": {"values": sums},
                "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 4, "dy": -4, "color": INK},
                "encoding": {"x": {"field": "left", **x}, "y": {"field": "at", **y}, "text": {"field": "text"}},
            },
            {
                "data": {"values": leaves},
                "mark": {"type": "text", "align": "right", "baseline": "middle", "x": -8, "color": INK, "limit": 250},
                "encoding": {"y": {"field": "at", **y}, "text": {"field": "text"}},
            },
        ],
    }


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_CHARACTERS else f"{label[: _LABEL_CHARACTERS - 1]}…"


def _by_direction(domain: Sequence[str], chosen: Sequence[Any], legend: Mapping[str, Any]) -> Spec:
    return {
        "field": "direction",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(domain), "range": list(chosen)},
        "legend": {**legend, "offset": 16, "labelLimit": 240, "columnPadding": 44},
    }
