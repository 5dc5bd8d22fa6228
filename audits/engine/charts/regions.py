"""Nested regions of an image: what each half, quarter and so on adds, one panel a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals, signed
from audits.engine.charts.heatmap import heat_scale
from workers.charts import DIVERGING, INK, PAPER, Spec

_SIDE, _COLUMNS = 190, 3
#: A region smaller than this has no number written into it, in pixels.
_ROOM = (38, 16)


def regions_spec(levels: Sequence[Mapping[str, Any]], *, grid: Sequence[int], unit: str) -> Spec:
    """Panels of an image parted ever further, all on one scale; blue speaks against, ochre for, and a sign says so too.

    A level is ``{"title": ..., "regions": [{"top", "bottom", "left", "right", "value"}, ...]}``; the edges count the
    features of ``grid`` (rows, columns), the lower right ones are not in the region.
    """
    largest = max((abs(region["value"]) for level in levels for region in level["regions"]), default=0.0)
    return {
        "vconcat": [
            heat_scale(largest, unit),
            {"concat": [_panel(level, grid, largest) for level in levels], "columns": _COLUMNS, "spacing": 18},
        ],
        "spacing": 12,
        "resolve": {"scale": {"color": "independent"}},
    }


def _panel(level: Mapping[str, Any], grid: Sequence[int], largest: float) -> Spec:
    scale = _SIDE / max(grid)
    digits, last = decimals(largest), len(DIVERGING) - 1
    regions, texts = [], []
    for region in level["regions"]:
        share = (region["value"] + largest) / (2 * largest) if largest else 0.5
        regions.append({**region, "step": min(last, max(0, int(share * (last + 1))))})
        room = (region["right"] - region["left"]) * scale, (region["bottom"] - region["top"]) * scale
        if room[0] >= _ROOM[0] and room[1] >= _ROOM[1]:
            middle = {
                "x": (region["left"] + region["right"]) / 2,
                "y": (region["top"] + region["bottom"]) / 2,
                "text": signed(region["value"], digits),
            }
            texts.append(middle)
    x: Spec = {"type": "quantitative", "axis": None, "scale": {"domain": [0, grid[1]], "nice": False}}
    y: Spec = {"type": "quantitative", "axis": None, "scale": {"domain": [0, grid[0]], "nice": False, "reverse": True}}
    return {
        "title": {
            "text": level["title"],
            "fontSize": 11.5,
            "fontWeight": "normal",
            "color": INK,
            "anchor": "start",
            "offset": 4,
        },
        "width": scale * grid[1],
        "height": scale * grid[0],
        "layer": [
            {
                "data": {"values": regions},
                "mark": {"type": "rect", "stroke": INK, "strokeWidth": 0.5},
                "encoding": {
                    "x": {"field": "left", **x},
                    "x2": {"field": "right"},
                    "y": {"field": "top", **y},
                    "y2": {"field": "bottom"},
                    "color": {
                        "field": "step",
                        "type": "ordinal",
                        "scale": {"domain": list(range(last + 1)), "range": list(DIVERGING)},
                        "legend": None,
                    },
                },
            },
            *(
                {
                    "data": {"values": texts},
                    "mark": {"type": "text", "align": "center", "baseline": "middle", **style},
                    "encoding": {"x": {"field": "x", **x}, "y": {"field": "y", **y}, "text": {"field": "text"}},
                }
                for style in ({"color": PAPER, "stroke": PAPER, "strokeWidth": 4}, {"color": INK})
            ),
        ],
    }
