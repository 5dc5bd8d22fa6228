"""What the code of an archive declares: its classes with their attributes and methods, and its functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.artifacts.findings import refusal, shown
from workers.artifacts.torchscript.types import dotted

#: ``code/__torch__/a/b.py`` holds what is called ``__torch__.a.b.NAME``.
_FILE = re.compile(r"code/(__torch__(?:/[A-Za-z_][A-Za-z0-9_]*)*)\.py")

#: What torch looks up among compiled classes, whatever an archive says of it.
COMPILED = "__torch__.torch.classes"

#: Kinds of classes by their one base: modules, and tuples with names; a class without a base is a plain one.
BASES = frozenset({"Module", "NamedTuple"})

#: Attributes of a class that list the names of others.
LISTS = ("__parameters__", "__buffers__", "__forward_hooks__", "__forward_pre_hooks__")


@dataclass
class Class:
    """One class: what its objects have.

    Attributes:
        attributes: name -> type where that is one word, as the name of a class; empty for any other type.
    """

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Declarations:
    """All classes and functions of an archive by their qualified names."""

    classes: Mapping[str, Class]
    functions: frozenset[str]


def module_of(entry: str) -> str | None:
    """Return the qualified name of a file of code; None for an entry that is none."""
    found = _FILE.fullmatch(entry)
    return found[1].replace("/", ".") if found else None


def declare(trees: Mapping[str, ast.Module]) -> Declarations:
    """Collect what files declare, by the qualified names of the files.

    Raises:
        RefusalError: a statement that is no class or function, or a name that stands twice.
    """
    classes: dict[str, Class] = {}
    functions: set[str] = set()
    for module, tree in trees.items():
        if f"{module}.".startswith(f"{COMPILED}."):
            raise refusal("ART-01.custom_object", f"{COMPILED} are classes of compiled code.", module)
        for statement in tree.body:
            if not isinstance(statement, ast.ClassDef | ast.FunctionDef):
                raise refusal("ART-02.code", "A file holds classes and functions only.", place_of(module, statement))
            name = f"{module}.{statement.name}"
            if name in classes or name in functions or name in trees:
                raise refusal("ART-02.code", f"The name {shown(name)} stands twice.", place_of(module, statement))
            if isinstance(statement, ast.FunctionDef):
                functions.add(name)
            else:
                classes[name] = _declare_class(name, module, statement)
    return Declarations(classes, frozenset(functions))


def place_of(module: str, node: ast.AST) -> str:
    """Return file and line of a part of the code."""
    return f"code/{module.replace('.', '/')}.py, line {getattr(node, 'lineno', 1)}"


def annotated_name(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """Return name and type of the declaration of an attribute; names that are none stand in ``__annotations__``."""
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.annotation
    match statement:
        case ast.Assign(
            targets=[ast.Subscript(value=ast.Name(id="__annotations__"), slice=ast.Constant(value=str() as name))]
        ):
            return name, statement.value
    return None


def _declare_class(name: str, module: str, definition: ast.ClassDef) -> Class:
    made = Class(name)
    for statement in definition.body:
        declared = annotated_name(statement)
        if isinstance(statement, ast.FunctionDef):
            known, what = made.methods, statement.name
        elif declared is not None:
            known, what = set(made.attributes), declared[0]
            made.attributes[what] = dotted(declared[1]) or ""
        else:
            continue
        if what in known:
            raise refusal("ART-02.code", f"The name {shown(what)} stands twice.", place_of(module, statement))
        made.methods |= {what} if isinstance(statement, ast.FunctionDef) else set()
    return made
