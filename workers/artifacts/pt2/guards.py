"""The grammar of ``guards_code`` in a ``.pt2``: comparisons of the sizes of inputs.

``ExportedProgram.module()`` executes these lines as Python. A model of two inputs has some by nature (both have the
same batch), so they are read with a small grammar and then left out of the rewritten file: torch derives the checks of
sizes again from the inputs' own shapes.
"""

from __future__ import annotations

import ast
import warnings

from workers.artifacts.findings import refusal, shown

_MAX_LENGTH = 2000
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
_SIZES = ("size", "stride", "storage_offset")


def check(text: str, place: str) -> None:
    """Refuse a guard that is not a comparison of sizes, such as ``L['x'].size()[0] == L['y'].size()[0]``."""
    tree: ast.expr | None = None
    if len(text) <= _MAX_LENGTH and text.isascii() and text.isprintable():
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            tree = None
    if tree is None or not _is_condition(tree):
        raise refusal("ART-01.guard", f"The guard {shown(text, 200)} is not a comparison of input sizes.", place)


def _is_condition(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(map(_is_condition, node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_condition(node.operand)
    return isinstance(node, ast.Compare) and all(map(_is_number, [node.left, *node.comparators]))


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _ARITHMETIC) and _is_number(node.left) and _is_number(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_number(node.operand)
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and type(node.slice.value) is int and _is_size(node.value)
    return _is_size(node) and isinstance(node, ast.Call) and _attribute(node) == "storage_offset"


def _is_size(node: ast.expr) -> bool:
    """Tell whether a node is ``L['x'].size()`` or one of its kin."""
    return (
        isinstance(node, ast.Call)
        and not node.args
        and not node.keywords
        and _attribute(node) in _SIZES
        and isinstance(node.func, ast.Attribute)
        and _is_input(node.func.value)
    )


def _attribute(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _is_input(node: ast.expr) -> bool:
    """Tell whether a node is ``L['x']``, ``L['args'][0]`` or deeper."""
    while isinstance(node, ast.Subscript):
        if not isinstance(node.slice, ast.Constant) or not isinstance(node.slice.value, int | str):
            return False
        node = node.value
    return isinstance(node, ast.Name) and node.id == "L"
