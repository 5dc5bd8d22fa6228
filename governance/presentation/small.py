"""Small drawings that stand in a table's cell: a column's distribution, an interval against its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from governance.presentation.numbers import is_number

BLUE = "#2f5d8a"
AXIS = "#8a8d93"
FAILED = "#a8391a"
FAILED_TINT = "#f3e4dd"

_WIDTH, _HEIGHT = 128, 24
_INTERVAL_WIDTH, _INTERVAL_HEIGHT = 110, 14


def histogram_svg(profile: Mapping[str, Any]) -> SafeString:
    """Draw the distribution of a column as bars, each a share of the largest; nothing where there is none."""
    binned, named = profile.get("histogram"), profile.get("values")
    counts = _counts(binned) or _counts(named)
    all_different = not _counts(binned) and len(counts) > 2 and max(counts) == 1
    if not counts or max(counts) <= 0 or all_different:
        return SafeString("")
    slots = len(counts) if _counts(binned) else max(len(counts), 8)
    gap = 1 if _counts(binned) else 4
    step = _WIDTH / slots
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>',
        (
            (
                _plain(index * step),
                _plain(_HEIGHT - _HEIGHT * count / max(counts)),
                _plain(max(step - gap, 1)),
                _plain(_HEIGHT * count / max(counts)),
                BLUE,
            )
            for index, count in enumerate(counts)
        ),
    )
    return format_html(
        '<svg class="chart" aria-hidden="true" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}</svg>',
        _WIDTH,
        _HEIGHT,
        bars,
    )


def interval_svg(metric: Mapping[str, Any], condition: Mapping[str, Any]) -> SafeString:
    """Draw a value with its interval against its limit; the tinted side fails. Nothing where a part is missing."""
    value = metric.get("value")
    least, most = condition.get("min"), condition.get("max")
    if not is_number(value) or not (is_number(least) or is_number(most)):
        return SafeString("")
    low = metric["low"] if is_number(metric.get("low")) else value
    high = metric["high"] if is_number(metric.get("high")) else value
    limits = [bound for bound in (least, most) if is_number(bound)]
    start, end = min(low, *limits), max(high, *limits)
    margin = (end - start or abs(end) or 1.0) * 0.25
    start, end = start - margin, end + margin

    def at(number: float) -> float:
        return _INTERVAL_WIDTH * (number - start) / (end - start)

    fails = (is_number(least) and value < least) or (is_number(most) and value > most)
    colour = FAILED if fails else BLUE
    parts = []
    if is_number(least):
        parts.append(_rect(0, at(least)))
    if is_number(most):
        parts.append(_rect(at(most), _INTERVAL_WIDTH))
    middle = _INTERVAL_HEIGHT / 2
    limit_lines = format_html_join(
        "", '<line x1="{0}" x2="{0}" y1="0" y2="14" stroke="{1}"/>', ((_plain(at(bound)), AXIS) for bound in limits)
    )
    return format_html(
        '<svg class="chart" aria-hidden="true" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}{3}'
        '<line x1="{4}" x2="{5}" y1="{6}" y2="{6}" stroke="{7}" stroke-width="1.5"/>'
        '<circle cx="{8}" cy="{6}" r="2.4" fill="{7}"/></svg>',
        _INTERVAL_WIDTH,
        _INTERVAL_HEIGHT,
        SafeString("".join(parts)),
        limit_lines,
        _plain(at(low)),
        _plain(at(high)),
        _plain(middle),
        colour,
        _plain(at(value)),
    )


def _rect(start: float, end: float) -> SafeString:
    return format_html(
        '<rect x="{}" y="0" width="{}" height="14" fill="{}"/>', _plain(start), _plain(max(end - start, 0)), FAILED_TINT
    )


def _counts(entries: object) -> list[float]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    counts = [entry.get("count") for entry in entries if isinstance(entry, Mapping)]
    return [float(count) for count in counts if count is not None and is_number(count) and count >= 0]


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") or "0"
