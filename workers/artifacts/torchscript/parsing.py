"""Source text to a syntax tree, with Python's own parser: what torch writes is Python's syntax, and a small part of it.

Only the tree goes on, from which the code is written anew: what Python and TorchScript would read differently
(comments, escapes, joined texts, numbers) is not in what torch gets to read.
"""

from __future__ import annotations

import ast
import re
import warnings

from workers.artifacts.findings import refusal

_WORD = re.compile(rb"\w+|[^\w\s]")


def count_words(content: bytes) -> int:
    """Return how many names, numbers and signs a text has: its tree takes memory and time by them, not by letters."""
    return sum(1 for _ in _WORD.finditer(content))


def parse_module(content: bytes, place: str) -> ast.Module:
    """Return the tree of a file.

    Raises:
        RefusalError: not ASCII, no Python, or nested too deep.
    """
    tree = _parse(content, place, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parse_expression(text: str, place: str) -> ast.expr:
    """Return the tree of one expression.

    Raises:
        RefusalError: as ``parse_module``.
    """
    tree = _parse(text.encode(), place, "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _parse(content: bytes, place: str, mode: str) -> ast.AST:
    if not content.isascii() or b"\0" in content:
        raise refusal("ART-02.code", "The code is not plain ASCII, as torch writes it.", place)
    try:
        with warnings.catch_warnings():
            # Python warns of code that it would run and TorchScript would not; nothing of this is run.
            warnings.simplefilter("ignore")
            return ast.parse(content.decode("ascii"), mode=mode)
    except SyntaxError as error:
        where = f"{place}, line {error.lineno or 1}"
        raise refusal("ART-02.code", f"The code is not in the syntax of TorchScript: {error.msg}.", where) from None
    except (RecursionError, MemoryError, ValueError):
        raise refusal("ART-02.code", "The code is nested deeper than any that torch writes.", place) from None
