"""Write numbers, sizes, times and conditions the way that people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeGuard

MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
MISSING = "\N{EN DASH}"

_MOST_DECIMALS = 6


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def decimals_of_interval(low: float, high: float) -> int:
    """Return how many decimals an interval supports.

    Two significant digits of its half width, or one when the first is 5 or more.
    """
    half = abs(high - low) / 2
    if half == 0 or not math.isfinite(half):
        return 3
    exponent = math.floor(math.log10(half))
    leading = half / 10**exponent
    return min(max(-exponent + (1 if leading < 5 else 0), 0), _MOST_DECIMALS)


def number(value: Any, decimals: int | None = None) -> str:
    """Write a number with commas for thousands and a true minus; what is no number is an en dash.

    Without ``decimals`` a whole number stays whole, and another one gets about three significant digits.
    """
    if not is_number(value):
        return MISSING
    if decimals is None:
        if float(value).is_integer() and abs(value) < 1e15:
            return f"{int(value):,}".replace("-", MINUS)
        exponent = math.floor(math.log10(abs(value)))
        if exponent < -4 or exponent >= 15:
            return scientific(value)
        decimals = min(max(2 - exponent, 0), _MOST_DECIMALS)
    written = f"{value:,.{decimals}f}"
    if float(written.replace(",", "")) == 0:
        written = written.removeprefix("-")
    return written.replace("-", MINUS)


def scientific(value: float) -> str:
    """Write a very small or large number as ``3.1 × 10⁻⁶``."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{digits}".replace("-", MINUS).replace(" ", NO_BREAK)


def share(value: Any) -> str:
    """Write a share from 0 to 1 as a percentage with the digits that tell it from none and all."""
    if not is_number(value):
        return MISSING
    percent = 100 * value
    near_an_end = 0 < percent < 0.1 or 99.9 < percent < 100
    return f"{number(percent, 2 if near_an_end else 1)}{NO_BREAK}%"


def interval(low: Any, high: Any) -> str:
    """Write an interval as ``0.223 to 0.301``, or nothing when there is none."""
    if not is_number(low) or not is_number(high):
        return ""
    decimals = decimals_of_interval(low, high)
    return f"{number(low, decimals)} to {number(high, decimals)}"


def value_of_metric(metric: Mapping[str, Any]) -> str:
    """Write the value of a metric with as many digits as its interval supports, and its unit."""
    low, high = metric.get("low"), metric.get("high")
    decimals = decimals_of_interval(low, high) if is_number(low) and is_number(high) else None
    unit = str(metric.get("unit") or "")
    written = number(metric.get("value"), decimals)
    return f"{written}{NO_BREAK}{unit}" if unit and unit not in ("share", "1") and written != MISSING else written


def metric_with_interval(metric: Mapping[str, Any]) -> str:
    """Write ``0.262 (0.223 to 0.301), n = 742``."""
    bounds = interval(metric.get("low"), metric.get("high"))
    count = metric.get("n")
    written = value_of_metric(metric)
    if bounds:
        written += f" ({bounds})"
    return f"{written}, n = {number(count)}" if count and is_number(count) else written


def size(count: Any) -> str:
    """Write a number of bytes as ``214 kB``."""
    if not is_number(count):
        return MISSING
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            decimals = 0 if unit == "bytes" or amount >= 10 else 1
            return f"{number(amount, decimals)}{NO_BREAK}{unit}"
        amount /= 1000
    return f"{number(amount, 1)}{NO_BREAK}TB"


def duration(seconds: Any) -> str:
    """Write a span of time as ``4 min 20 s``."""
    if not is_number(seconds):
        return MISSING
    if seconds < 0.0995:
        return f"{number(seconds * 1000, 0)}{NO_BREAK}ms"
    if seconds < 9.95:
        return f"{number(seconds, 1)}{NO_BREAK}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NO_BREAK}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NO_BREAK}min" + (f" {rest}{NO_BREAK}s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{NO_BREAK}h" + (f" {minutes}{NO_BREAK}min" if minutes else "")


def day(moment: date | datetime | None) -> str:
    """Write a day as ``12 Nov 2026``, in UTC."""
    if moment is None:
        return MISSING
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC)
    return f"{moment.day}{NO_BREAK}{moment:%b}{NO_BREAK}{moment.year}"


def moment_of(moment: datetime | None) -> str:
    """Write a moment as ``12 Nov 2026, 10:40 UTC``."""
    if moment is None:
        return MISSING
    return f"{day(moment)}, {moment.astimezone(UTC):%H:%M}{NO_BREAK}UTC"


def condition_words(condition: Mapping[str, Any] | None) -> str:
    """Write a condition as people read it: ``≤ 0.10; high above 0.20``; without one the check only reports."""
    if not condition:
        return "reported"
    return "; ".join(_condition_part(str(key), value) for key, value in condition.items())


def _condition_part(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if isinstance(value, Mapping):
        return f"{words}: {condition_words(value)}"
    if key == "min" and is_number(value):
        return f"≥{NO_BREAK}{limit(value)}"
    if key == "max" and is_number(value):
        return f"≤{NO_BREAK}{limit(value)}"
    if value is True:
        return words
    if value is False:
        return f"not {words}"
    if isinstance(value, list):
        return f"{words} {', '.join(str(entry) for entry in value)}"
    return f"{words} {limit(value) if is_number(value) else value}"


def limit(value: float) -> str:
    """Write a limit as exactly as a person would type it."""
    if isinstance(value, int) or float(value).is_integer():
        return number(value)
    if abs(value) < 1 and value == round(value, 2):
        return number(value, 2)
    if abs(value) < 1e-4:
        return scientific(value)
    return f"{value:,.6g}".replace("-", MINUS)


def plural(count: int, noun: str) -> str:
    """Write ``3 checks``."""
    return f"{number(count)}{NO_BREAK}{noun}{'' if count == 1 else 's'}"
