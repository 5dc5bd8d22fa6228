"""Small drawings about data: the distribution of a column with the bounds of a rule on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from governance.presentation.numbers import is_number
from governance.presentation.small import BLUE, FAILED, FAILED_TINT, histogram_svg

_WIDTH, _HEIGHT = 168, 26
#: A bound further off than so many widths of the data stands at the edge, so that the bars stay readable.
_FURTHEST = 0.6


def bounds_svg(profile: Mapping[str, Any], kwargs: Mapping[str, Any]) -> SafeString:
    """Draw the bars of a column and where a rule begins to fail, tinted; the plain bars where a rule has no bounds."""
    bins = [entry for entry in profile.get("histogram") or [] if isinstance(entry, Mapping)]
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if not bins or not (is_number(low) or is_number(high)):
        return histogram_svg(profile)
    first, last = float(bins[0]["low"]), float(bins[-1]["high"])
    width = last - first or abs(last) or 1.0
    start = max(min(first, float(low) if is_number(low) else first), first - _FURTHEST * width) - 0.06 * width
    end = min(max(last, float(high) if is_number(high) else last), last + _FURTHEST * width) + 0.06 * width

    def at(value: float) -> float:
        return min(max(_WIDTH * (value - start) / (end - start), 0.0), float(_WIDTH))

    most = max(float(entry["count"]) for entry in bins) or 1.0
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>',
        (
            (
                _plain(at(float(entry["low"]))),
                _plain(_HEIGHT - _HEIGHT * float(entry["count"]) / most),
                _plain(max(at(float(entry["high"])) - at(float(entry["low"])) - 0.6, 0.8)),
                _plain(_HEIGHT * float(entry["count"]) / most),
                BLUE,
            )
            for entry in bins
        ),
    )
    sides = [_side(0.0, at(float(low)), at(float(low)))] if is_number(low) else []
    sides += [_side(at(float(high)), float(_WIDTH), at(float(high)))] if is_number(high) else []
    return format_html(
        '<svg class="chart" aria-hidden="true" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}{3}</svg>',
        _WIDTH,
        _HEIGHT,
        SafeString("".join(sides)),
        bars,
    )


def _side(start: float, end: float, bound: float) -> SafeString:
    """Tint the side that fails, and draw the bound as a line."""
    return format_html(
        '<rect x="{}" y="0" width="{}" height="{}" fill="{}"/><line x1="{}" x2="{}" y1="0" y2="{}" stroke="{}"/>',
        _plain(start),
        _plain(max(end - start, 0.0)),
        _HEIGHT,
        FAILED_TINT,
        _plain(bound),
        _plain(bound),
        _HEIGHT,
        FAILED,
    )


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") or "0"
