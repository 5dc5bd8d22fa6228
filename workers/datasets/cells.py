"""From texts to values: which cells are numbers (whole, decimal or any), booleans, dates or moments, and their values.

Each reader takes a text column and returns the values and which cells do not fit; nothing is guessed cell by cell.
Numbers use a point and no thousands separators; moments are ISO 8601 (``2024-02-29``, ``2024-02-29T13:45:00Z``). Spaces
around a value are let through. In columns of numbers, booleans and moments the usual words for a missing value
(``NA``, ``NaN``, ``null``, ...) mean one; in texts they are words.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.canonical import DECIMAL_DIGITS

MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "")

_WHOLE = r"^[+-]?[0-9]{1,19}$"
_WHOLE_FLOAT = r"^[+-]?[0-9]{1,15}\.0*$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"^[+-]?[iI]nf(inity)?$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
_ZONED = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
_PADDED = r"^[+-]?0[0-9]+$"
#: What may be a code: padded, or of 19 and more digits.
_CODE = r"^[+-]?(0[0-9]+|[0-9]{19,})$"

_PROBE_ROWS = 100

_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")

#: Values (as far as they fit) and a mask of the cells that do not.
Reading = tuple[pa.Array, NDArray[np.bool_]]


def whole_numbers(texts: pa.Array, *, also_points: bool = False) -> Reading:
    """Read ``int64``; ``also_points`` lets ``3.0`` be 3, which writers put for an integer next to a missing one."""
    texts = without_missing(texts)
    values = _cast_at_once(texts, pa.int64())
    if values is not None and not pc.any(pc.match_substring(texts, "x")).as_py():  # 0x1f is a number to Arrow
        return values, np.zeros(len(texts), dtype=bool)
    fits = pc.match_substring_regex(texts, _WHOLE)
    if also_points:
        fits = pc.or_(fits, pc.match_substring_regex(texts, _WHOLE_FLOAT))
    if not pc.any(fits).as_py():
        return _read(texts, fits, pa.int64())
    plain = pc.replace_substring_regex(texts, r"^(\+)|\.0*$", "")
    fits = pc.and_(fits, pc.invert(_is_beyond_64_bits(plain)))
    return _read(plain, fits, pa.int64())


def numbers(texts: pa.Array) -> Reading:
    """Read ``float64``; ``inf`` is a number."""
    texts = without_missing(texts)
    at_once = _cast_at_once(texts, pa.float64())
    if at_once is not None and pc.all(pc.is_finite(at_once)).as_py():
        return at_once, np.zeros(len(texts), dtype=bool)
    says_infinite = pc.match_substring_regex(texts, _INFINITE)
    fits = pc.or_(pc.match_substring_regex(texts, _NUMBER), says_infinite)
    if pc.any(pc.starts_with(texts, "+")).as_py():
        texts = pc.replace_substring_regex(texts, r"^\+", "")
    values, wrong = _read(texts, fits, pa.float64())
    # 1e400 has the form of a number and is larger than any.
    return values, wrong | _as_mask(pc.and_(pc.is_inf(values), pc.invert(says_infinite)))


def booleans(texts: pa.Array, *, also_digits: bool = False) -> Reading:
    """Read true and false; ``also_digits`` lets 1 and 0 stand for them."""
    texts = without_missing(texts)
    true, false = (*_TRUE, *(["1"] * also_digits)), (*_FALSE, *(["0"] * also_digits))
    is_true = pc.is_in(texts, pa.array(true))
    fits = pc.or_(is_true, pc.is_in(texts, pa.array(false)))
    wrong = pc.and_(pc.is_valid(texts), pc.invert(fits))
    return pc.if_else(fits, is_true, pa.scalar(None, pa.bool_())), _as_mask(wrong)


def moments(texts: pa.Array, *, zoned: bool = False) -> Reading:
    """Read ``timestamp[us]``: with a zone in every cell (``zoned``) in UTC; without one, a date is its midnight."""
    texts = without_missing(texts)
    target = pa.timestamp("us", tz="UTC") if zoned else pa.timestamp("us")
    return _read(texts, pc.match_substring_regex(texts, _ZONED if zoned else _MOMENT), target, give_up=False)


def dates(texts: pa.Array) -> Reading:
    """Read ``date32``: days without a time."""
    texts = without_missing(texts)
    return _read(texts, pc.match_substring_regex(texts, _DATE), pa.date32(), give_up=False)


def decimals(texts: pa.Array, *, scale: int) -> Reading:
    """Read ``decimal128(38, scale)`` exactly: what has more digits after the point or 39 in all does not fit."""
    texts = without_missing(texts)
    whole = pc.utf8_length(pc.replace_substring_regex(texts, r"^[+-]?0*|\..*$", ""))
    fits = pc.and_(
        pc.match_substring_regex(texts, _DECIMAL),
        pc.and_(pc.less_equal(_fraction_digits(texts), scale), pc.less_equal(whole, DECIMAL_DIGITS - scale)),
    )
    plain = pc.replace_substring_regex(texts, r"^\+|\.$", "")
    return _read(plain, fits, pa.decimal128(DECIMAL_DIGITS, scale))


def decimal_scale(texts: pa.Array) -> int:
    """Return the most digits after the point of the cells that are decimals, at most 38."""
    texts = without_missing(texts)
    digits = _fraction_digits(texts.filter(pc.match_substring_regex(texts, _DECIMAL)))
    return min(pc.max(digits).as_py() or 0, DECIMAL_DIGITS)


def _fraction_digits(texts: pa.Array) -> pa.Array:
    return pc.utf8_length(pc.replace_substring_regex(texts, r"^[^.]*\.?", ""))


def holds_codes(texts: pa.Array) -> bool:
    """Tell whether cells are digits that no number keeps: ``007`` loses its zeros, 20 digits lose the last ones."""
    candidates = texts.filter(pc.match_substring_regex(texts, _CODE))
    is_code = pc.or_(pc.match_substring_regex(candidates, _PADDED), _is_beyond_64_bits(candidates))
    return bool(pc.any(is_code).as_py())


def without_missing(texts: pa.Array) -> pa.Array:
    """Return the cells without spaces around them, and none where they say that a value is missing."""
    trimmed = pc.utf8_trim(texts, " \t")
    is_missing = pc.is_in(trimmed, pa.array(MISSING_WORDS))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), trimmed)


def _cast_at_once(texts: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Cast a column in which every cell fits, which is the usual case and five times as fast as looking at each."""
    try:
        # Arrow words an error for every cell that does not fit, which takes longer than all else: a few cells first.
        texts.slice(0, _PROBE_ROWS).cast(target)
        return texts.cast(target)
    except pa.ArrowInvalid:
        return None


def _read(texts: pa.Array, fits: pa.Array, target: pa.DataType, *, give_up: bool = True) -> Reading:
    wrong = _as_mask(pc.and_(pc.is_valid(texts), pc.invert(fits)))
    if not pc.any(fits).as_py():
        return pa.nulls(len(texts), target), wrong
    fitting = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    try:
        return fitting.cast(target), wrong
    except pa.ArrowInvalid:
        if give_up:
            raise
    # A date like 2024-02-30 has the form of one: find the cells one by one.
    values = []
    for row, text in enumerate(fitting.to_pylist()):
        try:
            values.append(pa.scalar(text, pa.string()).cast(target).as_py())
        except pa.ArrowInvalid:
            wrong[row] = True
            values.append(None)
    return pa.array(values, target), wrong


def _is_beyond_64_bits(texts: pa.Array) -> pa.Array:
    digits = pc.replace_substring_regex(texts, r"^[+-]", "")
    limit = pc.if_else(pc.starts_with(texts, "-"), "9223372036854775808", "9223372036854775807")
    length = pc.utf8_length(digits)
    return pc.or_(pc.greater(length, 19), pc.and_(pc.equal(length, 19), pc.greater(digits, limit)))


def _as_mask(booleans: pa.Array) -> NDArray[np.bool_]:
    return np.array(pc.fill_null(booleans, False).to_numpy(zero_copy_only=False), dtype=bool)
