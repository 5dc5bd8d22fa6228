"""Charts of columns as Vega-Lite specifications, from the profile that the record holds.

Two versions are drawn over each other as shares of their rows, so that they compare whatever their sizes are. Names
stand in the data of a specification, never in its field names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workers.charts import BLUE_MIDDLE, INK, OCHRE, Spec

_WIDTH, _HEIGHT = 560, 200
_SHARE = {"type": "quantitative", "axis": {"format": ".0%", "tickCount": 5}}
_LONGEST_NAME = 40


def column_spec(profile: Mapping[str, Any], *, other: Mapping[str, Any] | None = None) -> Spec | None:
    """Return the chart of one column: bins of numbers, or bars of its most frequent values; None where it has neither.

    Args:
        profile: of the version that the page is about (blue).
        other: of an earlier version (ochre outline), left out where it is of another sort.
    """
    if profile.get("histogram"):
        return _histogram(profile["histogram"], (other or {}).get("histogram"))
    if profile.get("values"):
        return _categories(profile, other if other and other.get("values") else None)
    return None


def _histogram(bins: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]] | None) -> Spec:
    x = {"field": "low", "type": "quantitative", "title": None, "axis": {"tickCount": 8}, "scale": {"zero": False}}
    layers: list[Spec] = [
        {
            "data": {"values": _shares(bins)},
            "mark": {"type": "bar", "color": BLUE_MIDDLE, "binSpacing": 1},
            "encoding": {
                "x": {**x, "bin": {"binned": True}},
                "x2": {"field": "high"},
                "y": {"field": "share", **_SHARE, "title": "share of rows in a bin of this width"},
            },
        }
    ]
    if others:
        layers.append(
            {
                "data": {"values": _outline(_rescaled(others, bins))},
                "mark": {"type": "line", "color": OCHRE, "strokeWidth": 2, "interpolate": "step-after"},
                "encoding": {"x": x, "y": {"field": "share", **_SHARE}},
            }
        )
    return {"width": _WIDTH, "height": _HEIGHT, "layer": layers}


def _shares(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    total = sum(entry["count"] for entry in bins)
    return [
        {"low": entry["low"], "high": entry["high"], "share": entry["count"] / total, "count": entry["count"]}
        for entry in bins
    ]


def _rescaled(others: Sequence[Mapping[str, Any]], bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the shares that the other's bins would have if they were as wide as these: heights then compare."""
    shares = _shares(others)
    width, other_width = bins[0]["high"] - bins[0]["low"], others[0]["high"] - others[0]["low"]
    factor = width / other_width if width > 0 and other_width > 0 else 1.0
    return [{**entry, "share": entry["share"] * factor} for entry in shares]


def _outline(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the corners of a step line that begins and ends on the axis."""
    inner = [{"low": entry["low"], "share": entry["share"]} for entry in bins]
    return [{"low": bins[0]["low"], "share": 0}, *inner, {"low": bins[-1]["high"], "share": 0}]


def _categories(profile: Mapping[str, Any], other: Mapping[str, Any] | None) -> Spec:
    rows = _present(profile)
    earlier = {str(entry["value"]): entry["count"] / _present(other) for entry in other["values"]} if other else {}
    entries = [
        {
            "value": str(entry["value"])[:_LONGEST_NAME],
            "share": entry["count"] / rows,
            "text": f"{entry['count']:,}",
            "earlier": earlier.get(str(entry["value"])),
        }
        for entry in profile["values"]
    ]
    y = {
        "field": "value",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"labelLimit": 240, "ticks": False, "domain": False},
    }
    x = {"field": "share", **_SHARE, "title": "share of the rows that have a value"}
    layers: list[Spec] = [
        {"mark": {"type": "bar", "color": BLUE_MIDDLE, "height": {"band": 0.6}}, "encoding": {"x": x}},
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "color": INK},
            "encoding": {"x": {"field": "share", "type": "quantitative"}, "text": {"field": "text"}},
        },
    ]
    if other:
        layers.append(
            {
                "transform": [{"filter": "datum.earlier !== null"}],
                "mark": {"type": "tick", "color": OCHRE, "thickness": 3, "size": 18},
                "encoding": {"x": {"field": "earlier", "type": "quantitative"}},
            }
        )
    return {
        "width": _WIDTH - 160,
        "height": {"step": 22},
        "data": {"values": entries},
        "encoding": {"y": y},
        "layer": layers,
    }


def _present(profile: Mapping[str, Any]) -> int:
    """Return how many rows have a value, from the share of the most frequent one."""
    first = int(profile["values"][0]["count"])
    share = float(profile.get("most_frequent_share") or 0)
    return max(1, round(first / share)) if share else max(1, first)
