"""Heat maps of images: what each pixel or patch adds, beside the image itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits.engine.captions import decimals, signed
from workers.charts import AXIS, DIVERGING, GREY, GRID, INK, INK_QUIET, PAPER, Spec

#: Grey steps of a pictured image, low to high; on a dark screen they turn round with the paper.
_GREYS = (PAPER, GRID, GREY, AXIS, INK_QUIET, INK)


def heatmap_spec(
    panels: Sequence[Mapping[str, Any]], *, grid: Sequence[int], unit: str, columns: int = 5, size: int = 150
) -> Spec:
    """Heat maps of image attributions on one scale, blue below zero and ochre above, each darker the farther from it.

    A panel is ``{"title": text or lines, "values": [...]}`` of ``grid`` rows x columns in reading order; with
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
        drawn.append(_panel(panel.get("title", ""), cells, grid, colors, size))
    return {
        "vconcat": [
            heat_scale(largest, unit),
            {"concat": drawn, "columns": columns, "spacing": 14, "resolve": {"scale": {"color": "independent"}}},
        ],
        "spacing": 12,
        "resolve": {"scale": {"color": "independent"}},
    }


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
    title: str | list[str],
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


def heat_scale(largest: float, unit: str) -> Spec:
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
