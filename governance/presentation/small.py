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


def compared_histograms(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[SafeString, SafeString]:
    """Draw two distributions of one column on one scale: the same places for the same values, heights as shares.

    The first is grey, the reference; nothing is drawn where either has no distribution.
    """
    binned = [_bins(profile.get("histogram")) for profile in (before, after)]
    if all(binned):
        bars = _bars_of_bins(binned)
    else:
        named = [_named_counts(profile.get("values")) for profile in (before, after)]
        bars = _bars_of_names(named) if all(named) else []
    highest = max((height for side in bars for _, _, height in side), default=0)
    if not highest:
        return SafeString(""), SafeString("")
    one, other = (_bars_svg(side, highest, colour) for side, colour in zip(bars, (AXIS, BLUE), strict=True))
    return one, other


#: A bar: where it starts and how wide it is, in shares of the drawing, and its height, in shares of the rows.
_Bar = tuple[float, float, float]


def _bars_of_bins(sides: Sequence[list[tuple[float, float, float]]]) -> list[list[_Bar]]:
    """Place bins of both on one axis; a bar's area is its share, so that bins of different widths compare."""
    lowest = min(low for bins in sides for low, _, _ in bins)
    highest = max(high for bins in sides for _, high, _ in bins)
    # Divided first: the distance of the largest floats is beyond them.
    scale = max(abs(lowest), abs(highest)) or 1.0
    start, width = lowest / scale, (highest / scale - lowest / scale) or 1.0
    placed = []
    for bins in sides:
        total = sum(count for _, _, count in bins) or 1.0
        bars = []
        for low, high, count in bins:
            size = max((high / scale - low / scale) / width, 1 / _WIDTH)
            bars.append(((low / scale - start) / width * (1 - 1 / _WIDTH), size, count / total / size))
        placed.append(bars)
    return placed


def _bars_of_names(sides: Sequence[Mapping[str, float]]) -> list[list[_Bar]]:
    names = list(dict.fromkeys(name for counts in sides for name in counts))
    slot = 1 / max(len(names), 8)
    return [
        [
            (place * slot, slot * 0.7, counts.get(name, 0) / (sum(counts.values()) or 1.0))
            for place, name in enumerate(names)
        ]
        for counts in sides
    ]


def _bars_svg(bars: Sequence[_Bar], highest: float, colour: str) -> SafeString:
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>',
        (
            (
                _plain(start * _WIDTH),
                _plain(_HEIGHT - _HEIGHT * height / highest),
                _plain(max(width * _WIDTH - 0.5, 1)),
                _plain(_HEIGHT * height / highest),
                colour,
            )
            for start, width, height in bars
            if height > 0
        ),
    )
    return format_html(
        '<svg class="chart" aria-hidden="true" width="{0}" height="{1}" viewBox="0 0 {0} {1}">{2}</svg>',
        _WIDTH,
        _HEIGHT,
        drawn,
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


def _bins(entries: object) -> list[tuple[float, float, float]]:
    """Return the bins of a histogram as (low, high, count); none where one of them is no bin."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    bins = []
    for entry in entries:
        numbers = [entry.get(key) for key in ("low", "high", "count")] if isinstance(entry, Mapping) else []
        known = [float(value) for value in numbers if value is not None and is_number(value)]
        if len(known) != 3:
            return []
        bins.append((known[0], known[1], known[2]))
    return bins


def _named_counts(entries: object) -> dict[str, float]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return {}
    counts = {str(entry.get("value")): entry.get("count") for entry in entries if isinstance(entry, Mapping)}
    return {name: float(count) for name, count in counts.items() if count is not None and is_number(count)}


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") or "0"
