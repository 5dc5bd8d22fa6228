"""Types as TorchScript writes them: a few words of its own, containers of them, and the classes of the archive."""

from __future__ import annotations

import ast
from collections.abc import Collection

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.torchscript.parsing import parse_expression

_WORDS = frozenset(
    {
        *("Tensor", "int", "float", "complex", "bool", "str", "number", "NoneType", "Any", "Device", "Layout"),
        *("ScalarType", "MemoryFormat", "list", "tuple"),
    }
)
_CONTAINERS = frozenset({"Optional", "List", "Dict", "Tuple", "Final", "Union"})
_MAX_DEPTH = 32


def read_type(node: ast.expr, classes: Collection[str], place: str) -> str:
    """Return a type in its one spelling.

    Args:
        classes: the qualified names of the classes of the archive.

    Raises:
        RefusalError: a class that is not in the archive, or a word that TorchScript has not.
    """
    return _read(node, classes, place, 0)


def read_type_text(text: str, classes: Collection[str], place: str) -> str:
    """Do what ``read_type`` does for the text of a pickle.

    Raises:
        RefusalError: also where the text is no expression.
    """
    return read_type(parse_expression(text, place), classes, place)


def dotted(node: ast.expr) -> str | None:
    """Return a dotted name, as ``__torch__.a.B``; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _read(node: ast.expr, classes: Collection[str], place: str, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise _refusal(f"A type is nested deeper than {_MAX_DEPTH}.", node, place)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _CONTAINERS:
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not inside:
            return f"{node.value.id}[()]"
        return f"{node.value.id}[{', '.join(_read(part, classes, place, depth + 1) for part in inside)}]"
    if isinstance(node, ast.Constant) and node.value is None:
        return "NoneType"
    name = dotted(node)
    if name in _WORDS or name in classes:
        return str(name)
    if name is not None and name.startswith("__torch__.torch.classes."):
        raise refusal("ART-01.custom_object", f"Objects of {shown(name)} are rebuilt by compiled code.", place)
    raise _refusal(f"{shown(name or type(node).__name__)} is no type of TorchScript or of the archive.", node, place)


def _refusal(detail: str, node: ast.expr, place: str) -> RefusalError:
    return refusal("ART-02.code", detail, f"{place}, line {node.lineno}")
