"""From texts to values: which cells are whole numbers, numbers, booleans or moments, and what they say.

Each reader takes a text column and returns the values and which cells do not fit; nothing is guessed cell by cell.
Numbers use a point and no thousands separators; moments are ISO 8601 (``2024-02-29``, ``2024-02-29T13:45:00Z``). Spaces
around a value are let through. In columns of numbers, booleans and moments the usual words for a missing value
(``NA``, ``NaN``, ``null``, ...) mean one; in texts they are words.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "")

_WHOLE = r"^[+-]?[0-9]{1,19}$"
_WHOLE_FLOAT = r"^[+-]?[0-9]{1,15}\.0*$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"^[+-]?[iI]nf(inity)?$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
_ZONED = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})$"
_PADDED = r"^[+-]?0[0-9]+$"
#: What may be a code: padded, or of 19 and more digits.
_CODE = r"^[+-]?(0[0-9]+|[0-9]{19,})$"

_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")

#: Values (as far as they fit) and a mask of the cells that do not.
Reading = tuple[pa.Array, NDArray[np.bool_]]


def whole_numbers(texts: pa.Array, *, also_points: bool = False) -> Reading:
    """Read ``int64``; ``also_points`` lets ``3.0`` be 3, which writers put for an integer next to a missing one."""
    texts = _without_missing(texts)
    values = _cast_at_once(texts, pa.int64())
    if values is not None and not pc.any(pc.match_substring(texts, "x")).as_py():  # 0x1f is a number to Arrow
        return values, np.zeros(len(texts), dtype=bool)
    plain = pc.replace_substring_regex(texts, r"^(\+)|\.0*$", "")
    fits = pc.match_substring_regex(texts, _WHOLE)
    if also_points:
        fits = pc.or_(fits, pc.match_substring_regex(texts, _WHOLE_FLOAT))
    fits = pc.and_(fits, pc.invert(_is_beyond_64_bits(plain)))
    return _read(plain, fits, pa.int64())


def numbers(texts: pa.Array) -> Reading:
    """Read ``float64``; ``inf`` is a number."""
    texts = _without_missing(texts)
    at_once = _cast_at_once(texts, pa.float64())
    if at_once is not None and pc.all(pc.is_finite(at_once)).as_py():
        return at_once, np.zeros(len(texts), dtype=bool)
    says_infinite = pc.match_substring_regex(texts, _INFINITE)
    fits = pc.or_(pc.match_substring_regex(texts, _NUMBER), says_infinite)
    values, wrong = _read(pc.replace_substring_regex(texts, r"^\+", ""), fits, pa.float64())
    # 1e400 has the form of a number and is larger than any.
    return values, wrong | _as_mask(pc.and_(pc.is_inf(values), pc.invert(says_infinite)))


def booleans(texts: pa.Array, *, also_digits: bool = False) -> Reading:
    """Read true and false; ``also_digits`` lets 1 and 0 stand for them."""
    texts = _without_missing(texts)
    true, false = (*_TRUE, *(["1"] * also_digits)), (*_FALSE, *(["0"] * also_digits))
    is_true = pc.is_in(texts, pa.array(true))
    fits = pc.or_(is_true, pc.is_in(texts, pa.array(false)))
    wrong = pc.and_(pc.is_valid(texts), pc.invert(fits))
    return pc.if_else(fits, is_true, pa.scalar(None, pa.bool_())), _as_mask(wrong)


def moments(texts: pa.Array) -> Reading:
    """Read ``timestamp[us]``; with a zone in every cell it is in UTC, and a mixture does not fit."""
    texts = _without_missing(texts)
    zoned, plain = pc.match_substring_regex(texts, _ZONED), pc.match_substring_regex(texts, _MOMENT)
    is_zoned = (pc.sum(zoned).as_py() or 0) > (pc.sum(plain).as_py() or 0)
    target = pa.timestamp("us", tz="UTC") if is_zoned else pa.timestamp("us")
    values, wrong = _read(texts, zoned if is_zoned else plain, target, give_up=False)
    return values, wrong


READERS: dict[str, Callable[[pa.Array], Reading]] = {
    "integer": whole_numbers,
    "float": numbers,
    "boolean": booleans,
    "datetime": moments,
}


def holds_codes(texts: pa.Array) -> bool:
    """Tell whether cells are digits that no number keeps: ``007`` loses its zeros, 20 digits lose the last ones."""
    candidates = texts.filter(pc.match_substring_regex(texts, _CODE))
    is_code = pc.or_(pc.match_substring_regex(candidates, _PADDED), _is_beyond_64_bits(candidates))
    return bool(pc.any(is_code).as_py())


def _without_missing(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim(texts, " \t")
    is_missing = pc.is_in(trimmed, pa.array(MISSING_WORDS))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), trimmed)


def _cast_at_once(texts: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Cast a column in which every cell fits, which is the usual case and five times as fast as looking at each."""
    try:
        return texts.cast(target)
    except pa.ArrowInvalid:
        return None


def _read(texts: pa.Array, fits: pa.Array, target: pa.DataType, *, give_up: bool = True) -> Reading:
    fitting = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    wrong = _as_mask(pc.and_(pc.is_valid(texts), pc.invert(fits)))
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
