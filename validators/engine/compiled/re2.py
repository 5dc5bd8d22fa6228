"""Python's regular expressions, written for RE2 where both find the same.

The pattern that RE2 gets is made from the tree that Python's own parser makes, so that no difference of the two
languages (``{,5}``, ``[[:alpha:]]``, ``\\s``, ``$`` before a last newline) is left to chance. Python's digits, word
characters and word boundaries are those of Unicode and RE2's are not, so that a pattern with them holds for texts in
ASCII only. Lookaround, backreferences, flags, ``\\B`` and possessive quantifiers are not written.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: RE2 repeats nothing more often.
_MOST_REPEATS = 1000
_LONGEST_PATTERN = 10_000
#: What Python takes for white space: ``str.isspace`` of texts.
_SPACE = r"\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_IN_CLASS = {"CATEGORY_DIGIT": "0-9", "CATEGORY_WORD": "0-9A-Za-z_", "CATEGORY_SPACE": _SPACE}
_AT = {"AT_BEGINNING": r"\A", "AT_BEGINNING_STRING": r"\A", "AT_END_STRING": r"\z"}


@dataclass(frozen=True)
class Pattern:
    """A pattern for RE2, and whether it finds what Python's does in texts of ASCII only."""

    text: str
    ascii_only: bool


class _NotWritten(Exception):
    """This part of a pattern means something else to RE2, or nothing."""


def pattern_for_re2(pattern: str) -> Pattern | None:
    """Return a pattern with which RE2 finds something in exactly the texts in which ``re.search`` does.

    None where there is none, and where the pattern is not valid in Python.
    """
    if len(pattern) > _LONGEST_PATTERN:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            tree = re._parser.parse(pattern)  # type: ignore[attr-defined]  # no public way to the tree
        writer = _Writer()
        text = writer.sequence(tree, is_last=True) if tree.state.flags == re.UNICODE else None
        if text is None:
            return None
        pc.match_substring_regex(pa.array([""]), text)
    except (_NotWritten, re.error, RecursionError, OverflowError, pa.ArrowInvalid):
        return None
    return Pattern(text, writer.ascii_only)


class _Writer:
    """Writes a tree; remembers whether a part of it holds for ASCII only."""

    def __init__(self) -> None:
        self.ascii_only = False

    def sequence(self, nodes: Iterable[tuple[Any, Any]], *, is_last: bool) -> str:
        parts = list(nodes)
        return "".join(
            self._node(str(operator), value, is_last=is_last and number == len(parts))
            for number, (operator, value) in enumerate(parts, start=1)
        )

    def _node(self, operator: str, value: Any, *, is_last: bool) -> str:
        match operator:
            case "LITERAL":
                return _character(value)
            case "NOT_LITERAL":
                return f"[^{_character(value)}]"
            case "ANY":
                return r"[^\n]"
            case "AT":
                return self._position(str(value), is_last=is_last)
            case "IN":
                return self._class(value)
            case "BRANCH":
                branches = "|".join(self.sequence(branch, is_last=is_last) for branch in value[1])
                return f"(?:{branches})"
            case "SUBPATTERN":
                _, added, removed, inner = value
                if added or removed:
                    raise _NotWritten
                return f"(?:{self.sequence(inner, is_last=is_last)})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeated(*value)
        raise _NotWritten

    def _repeated(self, low: int, high: Any, inner: Iterable[tuple[Any, Any]]) -> str:
        text = f"(?:{self.sequence(inner, is_last=False)})"
        if high == re._constants.MAXREPEAT:  # type: ignore[attr-defined]
            if low > _MOST_REPEATS:
                raise _NotWritten
            return text + (f"{{{low},}}" if low > 1 else "+" if low else "*")
        if high > _MOST_REPEATS:
            raise _NotWritten
        return f"{text}{{{low},{high}}}"

    def _position(self, name: str, *, is_last: bool) -> str:
        if name in _AT:
            return _AT[name]
        # Python's ``$`` is met before a newline that ends the text; as the last part it may as well take the newline.
        if name == "AT_END" and is_last:
            return r"(?:\n?\z)"
        # Its opposite differs: nothing at all has one for RE2, and none for Python.
        if name == "AT_BOUNDARY":
            self.ascii_only = True
            return r"\b"
        raise _NotWritten

    def _class(self, members: Iterable[tuple[Any, Any]]) -> str:
        text, sign = "", ""
        for operator, value in members:
            match str(operator):
                case "NEGATE":
                    sign = "^"
                case "LITERAL":
                    text += _character(value)
                case "RANGE":
                    text += f"{_character(value[0])}-{_character(value[1])}"
                case "CATEGORY" if str(value) in _IN_CLASS:
                    self.ascii_only |= str(value) != "CATEGORY_SPACE"
                    text += _IN_CLASS[str(value)]
                case "CATEGORY":
                    text += self._complement(str(value))
                case _:
                    raise _NotWritten
        return f"[{sign}{text}]"

    def _complement(self, name: str) -> str:
        if name == "CATEGORY_NOT_DIGIT":
            self.ascii_only = True
            return r"\D"
        if name == "CATEGORY_NOT_WORD":
            self.ascii_only = True
            return r"\W"
        raise _NotWritten


def _character(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\x{{{code:x}}}"
