"""Waterfall: how one row comes from the base value to its score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals, plain_number, signed
from audits.engine.charts.shared import SIGNED_AXIS, names_axis
from workers.charts import AXIS, BLUE, INK, INK_QUIET, OCHRE, PAPER, Spec


def waterfall_spec(
    entry: Mapping[str, Any], *, feature_names: Sequence[str], unit: str, towards: str = "", limit: int = 9
) -> Spec:
    """Steps from the base value to one row's score, largest first; what is left over is one step.

    A line across the end of a step is its value's 95 % interval by the estimator's standard error.

    ``entry`` has ``base``, and ``values``, ``errors`` and ``data`` of each feature; ``towards`` names what a higher
    score speaks for.
    """
    steps = _waterfall_steps(entry, feature_names, limit)
    base, score = float(entry["base"]), float(entry["base"]) + math.fsum(entry["values"])
    digits = decimals(max((abs(step["value"]) for step in steps), default=0.0))
    up, down = (f"+ towards {towards}", "− away from it") if towards else ("+ raises the score", "− lowers it")
    for step in steps:
        step["text"] = signed(step["value"], digits)
        step["direction"] = up if step["value"] >= 0 else down
        step["low"], step["high"] = step["end"] - 1.96 * step["error"], step["end"] + 1.96 * step["error"]
        step["right"] = max(step["start"], step["high"])
    names = names_axis("name", [step["name"] for step in steps])
    x = {"type": "quantitative", "title": unit, "axis": SIGNED_AXIS, "scale": {"zero": False, "nice": True}}
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
            {
                "data": {"values": [step for step in steps if step["error"]]},
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.5},
                "encoding": {"y": names, "x": {"field": "low", **x}, "x2": {"field": "high"}},
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


def waterfall_table(entry: Mapping[str, Any], *, feature_names: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of a waterfall, all features, largest first."""
    order = sorted(range(len(feature_names)), key=lambda place: -abs(entry["values"][place]))
    rows = [
        [feature_names[place], entry["data"][place], entry["values"][place], entry["errors"][place]] for place in order
    ]
    return {"columns": ["feature", "its value", "attribution", "standard error"], "rows": rows}


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
        steps.append(
            {
                "name": name,
                "value": values[place],
                "error": entry["errors"][place],
                "start": place_now,
                "end": place_now + values[place],
            }
        )
        place_now += values[place]
    if others:
        left = math.fsum(values[place] for place in others)
        # Errors of values of one row depend on each other, so the sum of several has none here.
        steps.append(
            {
                "name": f"{len(others):,} other features",
                "value": left,
                "error": 0.0,
                "start": place_now,
                "end": place_now + left,
            }
        )
    return steps
