"""Numbers as people read them: digits, percent, intervals, a true minus."""

from __future__ import annotations

from workers.statistics import Interval

#: A name that is longer is cut in a sentence.
LONGEST_NAME = 60


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed count of digits after the point; a missing one is said so."""
    if value is None:
        return "not defined"
    text = f"{value:,.{digits}f}"
    return (text.removeprefix("-") if float(text.replace(",", "")) == 0 else text).replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share in percent."""
    return "not defined" if share is None else f"{number(100 * share, digits)} %"


def with_interval(interval: Interval, *, as_percent: bool = False, digits: int | None = None) -> str:
    """Write `0.262 (0.223 to 0.301)`, or the value alone where there is no interval."""
    places = (1 if as_percent else 3) if digits is None else digits
    factor = 100 if as_percent else 1
    if interval.value is None:
        return "not defined"
    unit = " %" if as_percent else ""
    value = number(factor * interval.value, places) + unit
    if interval.low is None or interval.high is None:
        return value
    return f"{value} ({number(factor * interval.low, places)} to {number(factor * interval.high, places)})"


def share_with_interval(interval: Interval) -> str:
    """Write a share in percent with its interval, and so many digits that a small one is not written as 0."""
    small = interval.high if not interval.value else interval.value
    digits = 1 if small is None or small >= 0.01 else 2 if small >= 0.001 else 4
    return with_interval(interval, as_percent=True, digits=digits)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write `1 row`, `1,234 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: list[str], limit: int = 5) -> str:
    """Write some names, very long ones cut, and how many more there are."""
    shown = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names[:limit]]
    if len(names) > limit:
        return f"{', '.join(shown)} and {len(names) - limit:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
