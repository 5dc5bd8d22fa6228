"""Rules about regular expressions, which mean what they mean in Python.

RE2 finds what it finds as Python does (see ``re2``), in a time that grows with the text only. What is left goes through
Python's own engine, which may backtrack for ever and so has a limit of time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import literal
from validators.engine.compiled.re2 import Pattern, pattern_for_re2
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import Declined, Rule, Scan, where
from validators.engine.compiled.texts import scan_of_texts
from validators.engine.obstacles import python_regex

#: Seconds that Python's engine may take for all texts of one expectation.
SECONDS = 60.0
#: Python compiles no more than it keeps.
_MOST_PATTERNS = 256

#: What pandas hands to RE2 as it is, although Python reads it in another way.
_READ_OTHERWISE = ("{,", "[:")

_Combine = Callable[[Sequence[bool]], bool]


def match(arguments: Arguments) -> Rule:
    return _rule(arguments, [arguments.kwargs.get("regex")], "AND", all)


def not_match(arguments: Arguments) -> Rule:
    return _rule(arguments, [arguments.kwargs.get("regex")], "OR", _none)


def match_list(arguments: Arguments) -> Rule:
    word = arguments.word("match_on", "any", "all")
    patterns = arguments.kwargs.get("regex_list")
    return _rule(arguments, patterns, "OR", any) if word == "any" else _rule(arguments, patterns, "AND", all)


def not_match_list(arguments: Arguments) -> Rule:
    return _rule(arguments, arguments.kwargs.get("regex_list"), "OR", _none)


def _none(found: Sequence[bool]) -> bool:
    return not any(found)


def _rule(arguments: Arguments, patterns: object, word: str, meets: _Combine) -> Rule:
    arguments.only("column", "regex", "regex_list", "match_on")
    column = arguments.column()
    if column.kind != "string" or not isinstance(patterns, list) or not 0 < len(patterns) <= _MOST_PATTERNS:
        raise Declined
    if not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise Declined
    if any(sign in pattern for pattern in patterns for sign in _READ_OTHERWISE):
        raise Declined
    written = [pattern_for_re2(pattern) for pattern in patterns]
    is_ascii = f"strlen({column.sql}) = length({column.sql})"
    if None in written:
        return column_rule(arguments, column, _in_python(arguments, patterns, meets))
    known = [pattern for pattern in written if isinstance(pattern, Pattern)]
    matches = f" {word} ".join(f"regexp_matches({column.sql}, {literal(pattern.text)})" for pattern in known)
    fails = f"({matches})" if meets is _none else f"NOT ({matches})"
    if not any(pattern.ascii_only for pattern in known):
        return column_rule(arguments, column, where(fails))
    rest = _in_python(arguments, patterns, meets, only=f"NOT ({is_ascii})")
    return column_rule(arguments, column, where(f"{is_ascii} AND {fails}"), rest)


def _in_python(arguments: Arguments, patterns: Sequence[str], meets: _Combine, only: str = "TRUE") -> Scan:
    try:
        searches = [python_regex(pattern).search for pattern in patterns]
    except (re.error, RecursionError, OverflowError):
        raise Declined from None

    def fails(text: str) -> bool:
        return not meets([search(text) is not None for search in searches])

    return scan_of_texts(arguments.column(), fails, only=only, seconds=SECONDS)
