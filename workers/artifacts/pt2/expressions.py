"""The grammar of shape expressions in a ``.pt2``: integers, declared symbols, arithmetic and comparisons.

``torch.export.load`` gives ``expr_str`` to ``sympy.sympify``, which evaluates it as Python. Here the text is parsed
into a tree by a recursive descent over exactly what torch writes (``sympy.srepr``), and the tree is printed again;
only the printed text goes into the rewritten file.

    expression := INTEGER | "true" | "false" | call
    call       := "Integer(" INTEGER ")" | "Rational(" INTEGER ", " INTEGER ")"
                | "Symbol('" NAME "'" {", " ASSUMPTION "=" BOOLEAN} ")"
                | FUNCTION "(" expression {", " expression} ")"
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from workers.artifacts.findings import refusal, shown

_MAX_LENGTH = 4000
_MAX_DEPTH = 24
_MAX_INTEGER = 2**63 - 1
_MAX_EXPONENT = 8

#: The functions that exported shapes use, with how many arguments each takes.
FUNCTIONS: dict[str, tuple[int, int]] = {
    "Add": (1, 64),
    "Mul": (1, 64),
    "Pow": (2, 2),
    "PowByNatural": (2, 2),
    "Max": (1, 64),
    "Min": (1, 64),
    "Mod": (2, 2),
    "PythonMod": (2, 2),
    "FloorDiv": (2, 2),
    "CleanDiv": (2, 2),
    "CeilDiv": (2, 2),
    "ModularIndexing": (3, 3),
    "IntTrueDiv": (2, 2),
    "FloorToInt": (1, 1),
    "CeilToInt": (1, 1),
    "TruncToInt": (1, 1),
    "ToFloat": (1, 1),
    "Equality": (2, 2),
    "Unequality": (2, 2),
    "LessThan": (2, 2),
    "StrictLessThan": (2, 2),
    "GreaterThan": (2, 2),
    "StrictGreaterThan": (2, 2),
    "And": (1, 64),
    "Or": (1, 64),
    "Not": (1, 1),
}

_ASSUMPTIONS = ("positive", "nonnegative", "integer", "real", "finite")
#: Sizes that depend on data (``u0``) are not taken: torch counts up to their number when it loads them.
SYMBOL_NAME = re.compile(r"s[0-9]{1,9}")
_TOKEN = re.compile(r" *(?:(?P<integer>-?[0-9]{1,19})|(?P<word>[A-Za-z]+)|(?P<text>'s[0-9]{1,9}')|(?P<mark>[(),=]))")


@dataclass(frozen=True)
class Node:
    """One node: a function with arguments, a symbol with its assumptions, or an integer."""

    kind: str
    value: int = 0
    name: str = ""
    assumptions: tuple[tuple[str, bool], ...] = ()
    arguments: tuple[Node, ...] = ()

    def __str__(self) -> str:
        if self.kind == "Integer":
            return f"Integer({self.value})"
        if self.kind == "Symbol":
            return f"Symbol('{self.name}'" + "".join(f", {key}={value}" for key, value in self.assumptions) + ")"
        if self.kind == "Rational":
            return "Rational({}, {})".format(*(argument.value for argument in self.arguments))
        if self.kind in ("true", "false"):
            return self.kind
        return f"{self.kind}({', '.join(map(str, self.arguments))})"


def parse(text: str, symbols: Collection[str], place: str) -> Node:
    """Read one expression; every symbol has to be one of ``symbols``.

    Raises:
        RefusalError: the text is anything else, is too long, too deep, or could grow without bound.
    """
    if len(text) > _MAX_LENGTH:
        raise refusal("ART-01.expression", f"An expression has {len(text):,} characters.", place)
    parser = _Parser(text, symbols, place)
    node = parser.expression(0)
    if parser.peek() is not None:
        raise parser.refused()
    return node


class _Parser:
    def __init__(self, text: str, symbols: Collection[str], place: str) -> None:
        self._text = text
        self._symbols = symbols
        self._place = place
        self._position = 0
        self._tokens = self._split()

    def refused(self, why: str = "") -> Exception:
        detail = f"The expression {shown(self._text, 200)} is not arithmetic on declared symbols{why}."
        return refusal("ART-01.expression", detail, self._place)

    def _split(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        end = len(self._text.rstrip(" "))
        position = 0
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                raise self.refused()
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def peek(self) -> tuple[str, str] | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, kind: str, value: str | None = None) -> str:
        token = self.peek()
        if token is None or token[0] != kind or (value is not None and token[1] != value):
            raise self.refused()
        self._position += 1
        return token[1]

    def expression(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self.refused(f" (nested deeper than {_MAX_DEPTH})")
        token = self.peek()
        if token is not None and token[0] == "integer":
            return self._integer()
        word = self._take("word")
        if word in ("true", "false"):
            return Node(word)
        self._take("mark", "(")
        if word == "Integer":
            node = self._integer()
        elif word == "Rational":
            numerator = self._integer()
            self._take("mark", ",")
            denominator = self._integer()
            if denominator.value <= 0:
                raise self.refused()
            node = Node("Rational", arguments=(numerator, denominator))
        elif word == "Symbol":
            node = self._symbol()
        elif word in FUNCTIONS:
            node = self._function(word, depth)
        else:
            raise self.refused(f": {shown(word)} is not a function that shapes use")
        self._take("mark", ")")
        return node

    def _integer(self) -> Node:
        value = int(self._take("integer"))
        if abs(value) > _MAX_INTEGER:
            raise self.refused(" (an integer is too large)")
        return Node("Integer", value=value)

    def _symbol(self) -> Node:
        name = self._take("text")[1:-1]
        if name not in self._symbols:
            raise self.refused(f": the symbol {shown(name)} is not declared")
        assumptions: dict[str, bool] = {}
        while self.peek() == ("mark", ","):
            self._take("mark", ",")
            key = self._take("word")
            self._take("mark", "=")
            value = self._take("word")
            if key not in _ASSUMPTIONS or key in assumptions or value not in ("True", "False"):
                raise self.refused()
            assumptions[key] = value == "True"
        return Node("Symbol", name=name, assumptions=tuple(assumptions.items()))

    def _function(self, word: str, depth: int) -> Node:
        arguments = [self.expression(depth + 1)]
        while self.peek() == ("mark", ","):
            self._take("mark", ",")
            arguments.append(self.expression(depth + 1))
        fewest, most = FUNCTIONS[word]
        if not fewest <= len(arguments) <= most:
            raise self.refused(f": {word} with {len(arguments)} arguments")
        if word in ("Pow", "PowByNatural"):
            base, exponent = arguments
            if base.kind != "Symbol" or exponent.kind != "Integer" or abs(exponent.value) > _MAX_EXPONENT:
                raise self.refused(f": a power is a symbol to an integer of at most {_MAX_EXPONENT}")
        return Node(word, arguments=tuple(arguments))
