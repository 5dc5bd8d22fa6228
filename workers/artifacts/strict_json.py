"""Strict JSON: one reading of a file, with limits on size, values, depth and text, and no duplicate keys."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from workers.artifacts.findings import refusal, shown

MAX_BYTES = 32 * 1024 * 1024
#: What separates values. A value costs many times the bytes that it is written in: 32 MiB of `{"":1},` become 1 GiB.
_SEPARATORS = (b",", b"[", b"{")
_MAX_VALUES = 1_000_000
_MAX_DEPTH = 64
_MAX_TEXT = 1024 * 1024


def parse(content: bytes, place: str) -> Any:
    """Return the value of a UTF-8 JSON file.

    Raises:
        RefusalError: not UTF-8, not JSON, a key that stands twice, NaN or Infinity, nested too deep, too large, or of
            too many values.
    """
    if len(content) > MAX_BYTES:
        raise refusal("ART-02.too_large", f"The JSON has {len(content):,} bytes; the limit is {MAX_BYTES:,}.", place)
    if sum(map(content.count, _SEPARATORS)) > _MAX_VALUES:
        raise refusal("ART-02.too_large", f"The JSON has more than {_MAX_VALUES:,} values, the limit.", place)
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise refusal("ART-02.json", f"The JSON is nested deeper than {_MAX_DEPTH}.", place) from None
    except ValueError as error:
        raise refusal("ART-02.json", f"This is not strict JSON: {str(error)[:200]}.", place) from None
    _check(value, place)
    return value


def _check(value: Any, place: str) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following.extend(item)
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
            elif isinstance(item, str):
                _check_text(item, place)
        level = following
    for item in level:
        if isinstance(item, dict | list):
            raise refusal("ART-02.json", f"The JSON is nested deeper than {_MAX_DEPTH}.", place)
        if isinstance(item, str):
            _check_text(item, place)


def _check_text(text: str, place: str) -> None:
    if len(text) > _MAX_TEXT:
        raise refusal("ART-02.too_large", f"A text has {len(text):,} characters; the limit is {_MAX_TEXT:,}.", place)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise refusal("ART-02.json", f"The text {shown(text)} holds half a character.", place)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(twice)} stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is larger than a number can be")
    return value
