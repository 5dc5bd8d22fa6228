"""Strict JSON: one reading of a file, with limits on size, depth and text, and no duplicate keys."""

from __future__ import annotations

import json
import math
from typing import Any

from workers.artifacts.findings import refusal, shown

MAX_BYTES = 32 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_TEXT = 1024 * 1024


def parse(content: bytes, place: str) -> Any:
    """Return the value of a UTF-8 JSON file.

    Raises:
        RefusalError: not UTF-8, not JSON, a key that stands twice, NaN or Infinity, nested too deep, or too large.
    """
    if len(content) > MAX_BYTES:
        raise refusal("ART-02.too_large", f"The JSON has {len(content):,} bytes; the limit is {MAX_BYTES:,}.", place)
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is larger than a number can be")
    return value
