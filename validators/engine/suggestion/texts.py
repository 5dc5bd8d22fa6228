"""Rules about texts that are no list of categories: how they are built, and how long they are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validators.engine.suggestion.candidate import Candidate, RowTest
from validators.engine.suggestion.categories import share_within
from validators.engine.suggestion.profile import TEXT_LENGTH, ColumnProfile, TableProfile
from validators.engine.suggestion.statistics import SMALLEST_SAMPLE, mostly_of

_LEAST_ROWS = 50
#: Values that a pattern is made from, and what it may be at most: longer texts are prose.
_PATTERN_VALUES, _LONGEST, _MOST_SHAPES = 20_000, 64, 5
#: Rows, and the length that some of them reach, for a rule that finds cut texts.
_LEAST_FOR_SHARE, _LONG_TEXT, _LONG_SHARE = 200, 12, 0.9
_CLASSES = {"9": "[0-9]", "A": "[A-Z]", "a": "[a-z]", "w": "[A-Za-z0-9]"}
_IS_HEXADECIMAL = re.compile("[0-9a-f]+").fullmatch
_TO_SHAPE = str.maketrans(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "9" * 10 + "A" * 26 + "a" * 26
)


def rules(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    """Propose a pattern for texts that are built alike; lengths for all."""
    if column.fit_present < _LEAST_ROWS or not column.lowest:
        return
    pattern = None if column.is_known_text else _pattern(table, column)
    if pattern is not None:
        yield pattern
    says_length = pattern is not None and pattern.mostly == 1 and "+" not in pattern.kwargs["regex"]
    if not says_length:
        yield from _lengths(table, column)


def shapes_of(values: NDArray[Any]) -> tuple[str, Counter[str]]:
    """Return the beginning that all texts share, and how often each shape of the rest comes.

    In a shape ``9``, ``A`` and ``a`` stand for any digit, capital and small letter of ASCII. Of several ways to write
    shapes the first that gives few is taken: letter by letter, without the lengths of runs (``A+-9+``), without telling
    letters from digits (``w+@w+``).
    """
    prefix = _shared_beginning(values)
    shapes = Counter(text[len(prefix) :].translate(_TO_SHAPE) for text in values)
    for shorter in (_without_lengths, _without_classes):
        if len(shapes) <= _MOST_SHAPES:
            break
        shapes = _merged(shapes, shorter)
    return prefix, shapes


def _pattern(table: TableProfile, column: ColumnProfile) -> Candidate | None:
    if column.highest[0] > _LONGEST:
        return None
    values = table.of_sample(column)[:_PATTERN_VALUES]
    prefix, shapes = shapes_of(values)
    within = share_within(shapes, table.deviations) if len(shapes) <= _MOST_SHAPES else None
    if within is None or any(not text.isprintable() for text in (prefix, *shapes)):
        return None
    alternatives = sorted(_written(shape) for shape in shapes)
    body = alternatives[0] if len(alternatives) == 1 else f"(?:{'|'.join(alternatives)})"
    if list(shapes) == ["w+"] and all(_IS_HEXADECIMAL(text[len(prefix) :]) for text in values):
        body = "[0-9a-f]+"
    regex = _literal(prefix) + body
    kwargs: dict[str, Any] = {"column": column.name, "regex": f"^{regex}$"}
    if within < 1:
        kwargs["mostly"] = within
    count = len(shapes)
    return Candidate(
        "expect_column_values_to_match_regex",
        kwargs,
        "warning",
        column.name,
        f"All of {len(values):,} texts are built {'alike' if count == 1 else f'in one of {count} ways'}.",
        {"rows": len(values), "shapes": dict(shapes.most_common()), "wilson_lower": within},
        RowTest(f"NOT {column.missing_sql}", f"NOT regexp_full_match({column.sql}, ?)", [regex]),
    )


def _lengths(table: TableProfile, column: ColumnProfile) -> Iterator[Candidate]:
    shortest, longest = int(column.lowest[0]), int(column.highest[0])
    evidence = {"rows": column.fit_present, "shortest": shortest, "longest": longest}
    why = f"From {shortest:,} to {longest:,} characters in {column.fit_present:,} rows."
    if shortest == longest:
        why = f"All of {column.fit_present:,} texts have {shortest:,} characters."
        yield _length_rule(column, {"min_value": shortest, "max_value": longest}, why, evidence)
        return
    if shortest >= 1:
        yield _length_rule(column, {"min_value": 1}, f"None of {column.fit_present:,} texts is empty.", evidence)
    mostly = mostly_of(column.fit_present, column.fit_present, table.deviations)
    bounds = {"min_value": shortest, "max_value": longest, "mostly": mostly}
    yield _length_rule(column, bounds, why, evidence | {"wilson_lower": mostly})
    yield from _long_texts(table, column, evidence)


def _long_texts(table: TableProfile, column: ColumnProfile, evidence: dict[str, Any]) -> Iterator[Candidate]:
    """Propose that the long texts stay: where a field cuts texts, no value lies outside the range of lengths."""
    lengths = np.fromiter((len(text) for text in table.of_sample(column)), dtype=np.int64)
    if len(lengths) < _LEAST_FOR_SHARE:
        return
    long = min(int(np.quantile(lengths, _LONG_SHARE, method="lower")), TEXT_LENGTH)
    if long < _LONG_TEXT:
        return
    reached = int(np.count_nonzero(lengths >= long))
    share = reached / len(lengths)
    spread = math.sqrt(share * (1 - share) * (1 / len(lengths) + 1 / (SMALLEST_SAMPLE * column.present)))
    mostly = math.floor((share - table.deviations * spread) * 10_000) / 10_000
    if mostly > 0:
        why = f"{reached:,} of {len(lengths):,} texts are so long; cut texts would not be."
        yield _length_rule(
            column, {"min_value": long, "mostly": mostly}, why, evidence | {"share": share}, severity="info"
        )


def _length_rule(
    column: ColumnProfile, bounds: dict[str, Any], why: str, evidence: dict[str, Any], severity: str = "warning"
) -> Candidate:
    lowest, highest = bounds.get("min_value", 0), bounds.get("max_value", 2**62)
    return Candidate(
        "expect_column_value_lengths_to_be_between",
        {"column": column.name, **bounds},
        severity,
        column.name,
        why,
        evidence,
        RowTest(
            f"NOT {column.missing_sql}",
            f"({column.measured_sql} < ? OR {column.measured_sql} > ?)",
            [lowest, highest],
        ),
    )


def _shared_beginning(values: NDArray[Any]) -> str:
    """Return what all texts begin with, up to its last sign that is neither a letter nor a digit (``SKU-``)."""
    lowest, highest = min(values), max(values)
    length = next((n for n, (one, other) in enumerate(zip(lowest, highest, strict=False)) if one != other), len(lowest))
    shared = lowest[:length]
    found = re.match(r".*[^0-9A-Za-z]", shared, re.DOTALL)
    return found.group() if found and not re.search(r"[0-9]", found.group()) else ""


def _merged(shapes: Counter[str], shorter: Callable[[str], str]) -> Counter[str]:
    merged: Counter[str] = Counter()
    for shape, count in shapes.items():
        merged[shorter(shape)] += count
    return merged


def _without_lengths(shape: str) -> str:
    return re.sub(r"([9Aa])\1*", r"\1+", shape)


def _without_classes(shape: str) -> str:
    return re.sub(r"(?:[9Aa]\+)+", "w+", shape)


def _written(shape: str) -> str:
    """Write a shape as a regular expression that Python's ``re`` and RE2 read alike."""
    parts = []
    for run in re.finditer(r"(?P<sign>[9Aaw])\+|(?P<run>([9Aa])\3*)|(?P<other>.)", shape, re.DOTALL):
        if run["sign"]:
            parts.append(f"{_CLASSES[run['sign']]}+")
        elif run["run"]:
            count = len(run["run"])
            parts.append(_CLASSES[run["run"][0]] + (f"{{{count}}}" if count > 1 else ""))
        else:
            parts.append(_literal(run["other"]))
    return "".join(parts)


def _literal(text: str) -> str:
    """Return a text that stands for itself in Python's ``re`` and in RE2; no more is escaped than has to be."""
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)
