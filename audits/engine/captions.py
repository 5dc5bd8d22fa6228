"""The sentences under charts of explanations, made from the numbers that the charts show.

Standard library only, like the charts: pages make them on demand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Number = float | None

_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def importance_caption(
    importance: Sequence[Mapping[str, Any]], *, row_count: int, shown: int = 20, noun: str = "feature"
) -> str:
    """Say how few features, or words of a text, carry at least half of the attribution, over how many rows."""
    total = math.fsum(entry["value"] for entry in importance)
    plural = "s" if row_count != 1 else ""
    rest = f"Mean size over {row_count:,} row{plural}"
    rest += "; lines are 95 % intervals over rows and estimator error." if row_count > 1 else "."
    if len(importance) > shown:
        rest += f" {shown} {noun}s of {len(importance):,}."
    if total <= 0:
        return f"No {noun} changes the score. {rest}"
    carried, count = 0.0, 0
    while carried < 0.5 * total:
        carried += importance[count]["value"]
        count += 1
    share = f"{100 * carried / total:.0f} %"
    if count == 1:
        return f"One {noun}, {importance[0]['feature']}, carries {share} of the attribution. {rest}"
    number = _WORDS[count] if count < len(_WORDS) else f"{count:,}"
    return f"{number} {noun}s carry {share} of the attribution. {rest}"


def beeswarm_caption(features: Sequence[Mapping[str, Any]], *, towards: str, row_count: int, feature_count: int) -> str:
    """Say which features push one way the higher they are, judged by rank correlation of at least 0.5."""
    upwards: list[str] = []
    downwards: list[str] = []
    for entry in features:
        correlation = rank_correlation(entry["data"], entry["values"])
        if correlation is not None and abs(correlation) >= 0.5:
            (upwards if correlation > 0 else downwards).append(str(entry["feature"]))
    rest = f"{row_count:,} row{'s' if row_count != 1 else ''}, {len(features)} features of {feature_count:,}."
    if not upwards and not downwards:
        return f"No feature shown pushes one way the higher it is. {rest}"
    verb = "pushes" if len(upwards or downwards) == 1 else "push"
    if upwards and downwards:
        return f"High {_listed(upwards)} {verb} towards {towards}, high {_listed(downwards)} away from it. {rest}"
    if upwards:
        return f"High {_listed(upwards)} {verb} towards {towards}. {rest}"
    return f"High {_listed(downwards)} {verb} away from {towards}. {rest}"


def waterfall_caption(entry: Mapping[str, Any], *, feature_names: Sequence[str], unit: str) -> str:
    """Say where one row's score comes from and how well the values are known."""
    score = float(entry["base"]) + math.fsum(entry["values"])
    order = sorted(range(len(feature_names)), key=lambda place: -abs(entry["values"][place]))[:2]
    largest = [
        f"{feature_names[place]} = {plain_number(entry['data'][place])} ({signed(entry['values'][place], 2)})"
        for place in order
    ]
    error = max(entry["errors"], default=0.0)
    return (
        f"The {unit} is {signed(score, 2)} (base {signed(entry['base'], 2)}), mainly for "
        f"{' and '.join(largest)}. Standard error of each value at most {error:.2g}."
    )


def dependence_caption(
    feature: str, correlation: Number, *, other: str, share: Number, towards: str, row_count: int, available: int
) -> str:
    """Say which way a feature pushes, judged by rank correlation, and how much another one's value adds to that.

    ``share`` is the part of what the feature's own value leaves unexplained that goes with the other feature.
    """
    if correlation is None or abs(correlation) < 0.5:
        said = f"The attribution of {feature} does not simply rise or fall with its value."
    else:
        said = f"The higher {feature}, the {'more' if correlation > 0 else 'less'} speaks for {towards}."
    if share is not None and other:
        said += f" {other} goes with {100 * share:.0f} % of the spread that is left at equal {feature}."
    return f"{said} {_of_rows(row_count, available)}."


def rows_caption(features: Sequence[str], *, order: str, row_count: int, available: int, feature_count: int) -> str:
    """Say what the heat map over rows shows and in which order."""
    return (
        f"Each column is a row, {order}. {_of_rows(row_count, available)}; {len(features)} features of "
        f"{feature_count:,}. The line above is the score."
    )


def spread_caption(sizes: Sequence[float], *, are_pixels: bool, row_count: int, class_count: int, shown: int) -> str:
    """Say how few pixels or patches carry half of the attribution; ``sizes`` are the mean sizes of all of them."""
    rest = f"Mean over the rows that are given each class; {row_count:,} row{'s' if row_count != 1 else ''}."
    if shown < class_count:
        rest += f" {shown} classes of {class_count}, those with most rows."
    total = math.fsum(sizes)
    if not total:
        return f"No part of the image changes the score. {rest}"
    carried, count = 0.0, 0
    for size in sorted(sizes, reverse=True):
        if carried >= 0.5 * total:
            break
        carried, count = carried + size, count + 1
    word = "pixels" if are_pixels else "patches"
    return f"Half of the attribution lies on {count:,} of {len(sizes):,} {word}. {rest}"


def paired_caption(changes: Sequence[Mapping[str, Any]], *, row_count: int, shown: int = 20) -> str:
    """Say for how many features two versions differ by more than the error."""
    beyond = [str(entry["feature"]) for entry in changes if entry["is_beyond_error"]]
    rest = f"Mean size now minus mean size before, paired over {row_count:,} rows; lines are 95 % intervals."
    if len(changes) > shown:
        rest += f" {shown} features of {len(changes):,}."
    if not beyond:
        return f"No feature is shown to carry more or less than before. {rest}"
    verb = "carries" if len(beyond) == 1 else "carry"
    return f"{_listed(beyond)} {verb} more or less than before by more than the error. {rest}"


def _of_rows(row_count: int, available: int) -> str:
    """Write how many rows are shown, and of how many."""
    shown = f"{row_count:,} row{'s' if row_count != 1 else ''}"
    return shown if row_count == available else f"{shown} of {available:,}, evenly taken"


def signed(value: float, digits: int) -> str:
    """Write a number with its sign and a true minus; what rounds to zero has none."""
    text = f"{value:+,.{digits}f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def decimals(largest: float) -> int:
    """Return how many decimals tell numbers of this size apart to about two digits."""
    if largest <= 0 or not math.isfinite(largest):
        return 2
    if largest >= 0.1:
        return 2 if largest < 10 else 1 if largest < 100 else 0
    return min(8, 1 - math.floor(math.log10(largest)))


def plain_number(value: float | str | None) -> str:
    """Write the value of a feature as people do: whole numbers with commas, others to three digits."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}" if digits <= 6 else f"{value:.2e}"
    return (text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text).replace("-", "−")


def rank_correlation(first: Sequence[Number], second: Sequence[Number]) -> float | None:
    """Return Spearman's rank correlation with mean ranks for ties; None where one side does not vary."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(pairs) < 3:
        return None
    left, right = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    middle = (len(pairs) - 1) / 2
    left_spread = math.fsum((rank - middle) ** 2 for rank in left)
    right_spread = math.fsum((rank - middle) ** 2 for rank in right)
    if not left_spread or not right_spread:
        return None
    together = math.fsum((a - middle) * (b - middle) for a, b in zip(left, right, strict=True))
    return together / math.sqrt(left_spread * right_spread)


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:3])
    if len(names) > 3:
        return ", ".join(shown) + f" and {len(names) - 3} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2
        start = end + 1
    return ranks
