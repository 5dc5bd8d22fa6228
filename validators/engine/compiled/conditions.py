"""Row conditions as SQL: Great Expectations' condition objects, and texts in the simple forms of the pandas parser.

A simple text is made of comparisons of a column with a number or a text (``age >= 18``), ``and``, ``or`` and
parentheses. Everything else is left to Great Expectations, which has pandas evaluate it.

Missing values are as pandas has them: a comparison with one is false and ``!=`` true in floats and texts; in integers
next to missing ones it is unknown, as in SQL.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from typing import Any

from validators.engine.compiled.columns import Column, Table, literal
from validators.engine.compiled.rules import Declined

_OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="
}  # fmt: skip
#: What Great Expectations allows in one condition.
_MOST_PARTS = 100
_LONGEST_TEXT = 2_000


class Condition:
    """Reads row conditions on one table; ``side_by_side`` tells for an expectation that compares columns."""

    def __init__(self, table: Table, side_by_side: bool) -> None:
        self._table = table
        self._side_by_side = side_by_side

    def sql(self, condition: Any, parser: Any) -> str:
        """Return SQL that is true in exactly the rows of a condition.

        Raises:
            Declined: when it is not one of the forms that are understood.
        """
        if isinstance(condition, str):
            if parser != "pandas":
                raise Declined
            return f"({self._text(condition)}) IS TRUE"
        if _count(condition) > _MOST_PARTS:
            raise Declined
        return f"({self._object(condition)}) IS TRUE"

    def _object(self, condition: Any) -> str:
        match condition:
            case {"type": "comparison", "column": {"name": str(name)}, "operator": str(operator), "parameter": value}:
                column = self._named(name)
                if operator in ("IN", "NOT_IN"):
                    return _membership(column, value, negated=operator == "NOT_IN")
                return self._comparison(column, operator, value)
            case {"type": "nullity", "column": {"name": str(name)}, "is_null": bool(is_null)}:
                column = self._named(name)
                return column.is_missing if is_null else column.is_there
            case {"type": "and" | "or" as word, "conditions": [_, *_] as parts}:
                if any(_may_not_hold(part, word) for part in parts):
                    raise Declined
                return f" {word} ".join(f"({self._object(part)})" for part in parts)
        raise Declined

    def _text(self, condition: str) -> str:
        if len(condition) > _LONGEST_TEXT or any(sign in condition for sign in "@`&|~\\\n"):
            raise Declined
        try:
            tree = ast.parse(condition.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise Declined from None
        return self._node(tree)

    def _node(self, node: ast.expr) -> str:
        match node:
            case ast.BoolOp(op=operator, values=parts):
                word = "AND" if isinstance(operator, ast.And) else "OR"
                return f" {word} ".join(f"({self._node(part)})" for part in parts)
            case ast.Compare(left=ast.Name(id=name), ops=[sign], comparators=[value]) if type(sign) in _COMPARISONS:
                return self._comparison(self._named(name), _COMPARISONS[type(sign)], _constant(value))
        raise Declined

    def _named(self, name: str) -> Column:
        """Return a column that pandas finds by its plain name."""
        column = self._table.column(name)
        is_plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and name != "index"
        if column is None or not is_plain or "__" in name:
            raise Declined
        return column

    def _comparison(self, column: Column, operator: str, value: Any) -> str:
        is_equality = operator in ("==", "!=")
        if operator not in _OPERATORS or not _compares(column, value) or (column.kind == "string" and not is_equality):
            raise Declined
        sql = f"{column.sql} {_OPERATORS[operator]} {literal(value)}"
        if column.kind != "integer":
            return f"coalesce({sql}, {'TRUE' if operator == '!=' else 'FALSE'})"
        if operator == "!=" and self._side_by_side:
            # Whether a missing integer is one of pandas' own or NaN depends on how large the others are.
            raise Declined
        return sql


def _count(condition: Any) -> int:
    parts = condition.get("conditions") if isinstance(condition, Mapping) else None
    return sum(map(_count, parts)) if isinstance(parts, list) else 1


def _may_not_hold(part: Any, word: str) -> bool:
    """Tell of what Great Expectations does not let stand inside an ``and`` or ``or``."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return kind == "or" or (word == "and" and kind == "and")


def _constant(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise Declined


def _membership(column: Column, values: Any, *, negated: bool) -> str:
    if not isinstance(values, list) or not values or not all(_compares(column, value) for value in values):
        raise Declined
    if column.kind == "integer" and not all(isinstance(value, int) for value in values):
        raise Declined
    listed = ", ".join(literal(float(value) if column.kind == "float" else value) for value in values)
    sql = f"coalesce({column.sql} IN ({listed}), FALSE)"
    return f"NOT {sql}" if negated else sql


def _compares(column: Column, value: Any) -> bool:
    if column.kind == "string":
        return isinstance(value, str)
    if not column.is_number or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**53
