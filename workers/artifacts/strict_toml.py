"""Strict TOML: one reading of a small file, and one way to write what was read.

Python's own reader refuses a key or a table that stands twice. Beyond it only texts, truth values, whole numbers of 64
bits, finite numbers, lists and tables are taken: no dates, which no part of Assay reads.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

from workers.artifacts.findings import refusal, shown

#: A line of a signature has some 20 bytes a column: this holds 10,000 columns.
MAX_BYTES = 256 * 1024
_MAX_DEPTH = 8
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def parse(content: bytes, place: str) -> dict[str, Any]:
    """Return the tables of a UTF-8 TOML file.

    Raises:
        RefusalError: not UTF-8, not TOML 1.0, a value of another type, nested too deep, or too large.
    """
    if len(content) > MAX_BYTES:
        raise refusal("ART-02.too_large", f"The TOML has {len(content):,} bytes; the limit is {MAX_BYTES:,}.", place)
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise refusal("ART-02.toml", f"The TOML is nested deeper than {_MAX_DEPTH}.", place) from None
    except ValueError as error:
        # Also for a number of more digits than Python converts.
        raise refusal("ART-02.toml", f"This is not strict TOML: {str(error)[:200]}.", place) from None
    _check(document, place, _MAX_DEPTH)
    return document


def write(document: Mapping[str, Any]) -> str:
    """Return the TOML of tables of plain values, keys in their order; what is None is left out."""
    lines: list[str] = []
    _write_table(lines, "", document)
    return "\n".join(lines) + "\n"


def _check(value: Any, place: str, depth: int) -> None:
    if depth == 0:
        raise refusal("ART-02.toml", f"The TOML is nested deeper than {_MAX_DEPTH}.", place)
    if isinstance(value, dict):
        for key, entry in value.items():
            _check(entry, f"{place}: {key}" if depth == _MAX_DEPTH else f"{place}.{key}", depth - 1)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _check(entry, f"{place}[{index}]", depth - 1)
    elif isinstance(value, bool | str):
        return
    elif isinstance(value, int):
        if not _LOWEST <= value <= _HIGHEST:
            raise refusal("ART-02.toml", "A whole number has more than 64 bits.", place)
    elif not isinstance(value, float) or not math.isfinite(value):
        raise refusal("ART-02.toml", f"The value {shown(value)} is no text, truth value or finite number.", place)


def _write_table(lines: list[str], path: str, table: Mapping[str, Any]) -> None:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    listed = {key: value for key, value in table.items() if _is_tables(value)}
    for key, value in table.items():
        if value is not None and key not in inner and key not in listed:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in inner.items():
        name = f"{path}{_key(key)}"
        lines.extend(["", f"[{name}]"] if lines else [f"[{name}]"])
        _write_table(lines, f"{name}.", value)
    for key, entries in listed.items():
        name = f"{path}{_key(key)}"
        for entry in entries:
            lines.extend(["", f"[[{name}]]"])
            _write_table(lines, f"{name}.", entry)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _key(key: str) -> str:
    return key if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # Python writes 1e-05, which TOML reads as well; a whole float keeps its ".0".
    return repr(value)


def _text(text: str) -> str:
    characters = (
        _ESCAPES.get(character, character if character.isprintable() else f"\\U{ord(character):08X}")
        for character in text
    )
    return f'"{"".join(characters)}"'
