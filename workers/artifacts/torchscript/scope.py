"""What the names of one function stand for: objects of a known class, functions of the archive, or any other value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workers.artifacts.torchscript.declarations import Declarations
from workers.artifacts.torchscript.types import dotted

#: torch assigns before it uses: each look finds what depends on the one before.
_MAX_LOOKS = 24


@dataclass(frozen=True)
class Known:
    """What a value is known to be: an object of a class, or a function, of the archive."""

    kind: Literal["object", "function"]
    name: str


@dataclass(frozen=True)
class Scope:
    """The names of a function. A name that stands for different things is known to be none of them."""

    names: Mapping[str, Known | None]
    program: Declarations | None = None

    @classmethod
    def empty(cls) -> Scope:
        """The scope of constants, in which there are no names."""
        return cls({})

    @classmethod
    def of(cls, definition: ast.FunctionDef, types: Sequence[str], program: Declarations) -> Scope:
        """Return the names of a function, by looking at every assignment until nothing new is found.

        What is found is right after each look, so that looking may end early: then less is known.

        Args:
            types: the types of the arguments.
        """
        scope = cls({}, program)
        assigned = list(_assignments(definition.body))
        for _ in range(_MAX_LOOKS):
            names: dict[str, Known | None] = {
                argument.arg: scope.object_of(kind) for argument, kind in zip(definition.args.args, types, strict=True)
            }
            for name, value in assigned:
                known = None if value is None else scope.of_value(value)
                names[name] = known if names.get(name, known) == known else None
            if names == scope.names:
                break
            scope = cls(names, program)
        return scope

    def object_of(self, kind: str) -> Known | None:
        """Return what a value of this type is known to be."""
        assert self.program is not None
        return Known("object", kind) if kind in self.program.classes else None

    def of_value(self, node: ast.expr) -> Known | None:
        """Return what the value of an expression is known to be."""
        if self.program is None:
            return None
        match node:
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str() as attribute)]):
                return self._attribute(owner, attribute)
            case ast.Call(func=ast.Name(id="annotate" | "unchecked_cast"), args=[kind, _]):
                return self.object_of(dotted(kind) or "")
            case ast.Call(func=ast.Attribute(value=made, attr="__new__")):
                return self.object_of(dotted(made) or "")
            case ast.Attribute(value=owner, attr=attribute):
                name = dotted(node) or ""
                if name in self.program.functions:
                    return Known("function", name)
                return self._attribute(owner, attribute)
        return None

    def _attribute(self, owner: ast.expr, attribute: str) -> Known | None:
        known = self.of_value(owner)
        if known is None or known.kind != "object" or self.program is None:
            return None
        return self.object_of(self.program.classes[known.name].attributes.get(attribute, ""))


def _assignments(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield every name that is assigned to with its value; None where it is a part of a value or counts."""
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, None
            case ast.Assign(targets=[ast.Tuple(elts=elements)], value=value):
                values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(elements) else None
                for index, element in enumerate(elements):
                    if isinstance(element, ast.Name):
                        yield element.id, None if values is None else values[index]
            case ast.For(target=ast.Name(id=name), body=body):
                yield name, None
                yield from _assignments(body)
            case ast.If(body=body, orelse=otherwise):
                yield from _assignments(body)
                yield from _assignments(otherwise)
            case ast.While(body=body) | ast.With(body=body):
                yield from _assignments(body)
