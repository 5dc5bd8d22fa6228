"""The code of TorchScript: checked statement by statement against what torch writes, and written anew as it was read.

What is taken is a small language: assignments, branches, loops, and calls of operators, of functions and methods of
the archive, and of a few words such as ``annotate``. There is no other way to name anything: ``torch`` and ``ops``
stand only in calls, a function is called by its name, and the method of a value of unknown class is an operator.

Source: ``torch/csrc/jit/serialization/python_print.cpp`` and ``import_source.cpp`` of PyTorch 2.13.
"""

from __future__ import annotations

import ast

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.torchscript.declarations import BASES, LISTS, Declarations, annotated_name, place_of
from workers.artifacts.torchscript.expressions import Expressions
from workers.artifacts.torchscript.scope import Scope
from workers.artifacts.torchscript.types import read_type

_INDENT = "  "
_MAX_BLOCKS = 40


def write_module(module: str, tree: ast.Module, program: Declarations, constant_count: int) -> bytes:
    """Return a file of code in its one spelling.

    Args:
        module: the qualified name of the file.
        constant_count: how many tensors ``CONSTANTS`` has.

    Raises:
        RefusalError: what the language does not have, or what reaches outside the model, with file and line.
    """
    writer = _Writer(module, program, constant_count)
    try:
        for statement in tree.body:
            writer.definition(statement)
    except RecursionError:
        raise refusal("ART-02.code", "An expression is nested deeper than any that torch writes.", module) from None
    return "".join(f"{line}\n" for line in writer.lines).encode("ascii")


class _Writer:
    def __init__(self, module: str, program: Declarations, constant_count: int) -> None:
        self.lines: list[str] = []
        self._module = module
        self._program = program
        self._constant_count = constant_count
        self._depth = 0

    def definition(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.ClassDef):
            self._class(statement)
        elif isinstance(statement, ast.FunctionDef):
            self._function(statement)

    def _class(self, definition: ast.ClassDef) -> None:
        bases = [base.id if isinstance(base, ast.Name) else "" for base in definition.bases]
        if definition.keywords or definition.decorator_list or len(bases) > 1 or not BASES.issuperset(bases):
            raise self._refusal("A class is a Module, a NamedTuple, or has no base.", definition)
        self._line(f"class {definition.name}{f'({bases[0]})' if bases else ''}:")
        self._depth += 1
        for statement in definition.body:
            self._member(statement)
        self._depth -= 1

    def _member(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef):
            self._function(statement)
            return
        if isinstance(statement, ast.Pass):
            self._line("pass")
            return
        declared = annotated_name(statement)
        if declared is not None:
            self._attribute(statement, *declared)
            return
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=elements)) if name in LISTS:
                names = [self._plain_text(element) for element in elements]
                self._line(f"{name} = [{''.join(f'{text}, ' for text in names)}]")
            case ast.Assign(targets=[ast.Name(id="__annotations__")], value=ast.List(elts=[])):
                self._line("__annotations__ = []")
            case _:
                raise self._refusal("A class holds attributes with types, and methods.", statement)

    def _attribute(self, statement: ast.stmt, name: str, annotation: ast.expr) -> None:
        declared = read_type(annotation, self._program.classes, place_of(self._module, statement))
        if not isinstance(statement, ast.AnnAssign):
            if not name.isascii() or not name.isprintable() or '"' in name or "\\" in name:
                raise self._refusal(f"{shown(name)} is no name of an attribute.", statement)
            self._line(f'__annotations__["{name}"] = {declared}')
        elif statement.value is None:
            self._line(f"{name} : {declared}")
        else:
            value = self._expressions(Scope.empty()).text(statement.value)
            self._line(f"{name} : {declared} = {value}")

    def _function(self, definition: ast.FunctionDef) -> None:
        arguments = definition.args
        if (
            definition.decorator_list
            or arguments.vararg
            or arguments.kwarg
            or arguments.kwonlyargs
            or arguments.posonlyargs
            or definition.returns is None
        ):
            raise self._refusal("A function has plain arguments and says what it returns.", definition)
        place = place_of(self._module, definition)
        types = [
            "" if argument.annotation is None else read_type(argument.annotation, self._program.classes, place)
            for argument in arguments.args
        ]
        constants = self._expressions(Scope.empty())
        defaults = ["", *(f"={constants.text(default)}" for default in arguments.defaults)]
        first_default = len(types) - len(arguments.defaults)
        listed = [
            f"{argument.arg}{f': {kind}' if kind else ''}{defaults[max(0, index - first_default + 1)]}"
            for index, (argument, kind) in enumerate(zip(arguments.args, types, strict=True))
        ]
        returned = read_type(definition.returns, self._program.classes, place)
        self._line(f"def {definition.name}({', '.join(listed)}) -> {returned}:")
        scope = Scope.of(definition, types, self._program)
        self._block(definition.body, self._expressions(scope))

    def _block(self, statements: list[ast.stmt], expressions: Expressions) -> None:
        self._depth += 1
        if self._depth > _MAX_BLOCKS:
            raise self._refusal(f"Blocks are nested deeper than {_MAX_BLOCKS}.", statements[0])
        for statement in statements:
            self._statement(statement, expressions)
        self._depth -= 1

    def _statement(self, statement: ast.stmt, expressions: Expressions) -> None:
        text = expressions.text
        match statement:
            case ast.Pass():
                self._line("pass")
            case ast.Return(value=None):
                self._line("return")
            case ast.Return(value=ast.expr() as value):
                self._line(f"return {text(value)}")
            case ast.Expr(value=ast.Call() as value):
                self._line(text(value))
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if expressions.names_function(value):
                self._line(f"{expressions.new_name(name, statement)} = {expressions.function_name(value)}")
            case ast.Assign(targets=[target], value=value):
                self._line(f"{self._target(target, expressions)} = {text(value)}")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value):
                kind = read_type(annotation, self._program.classes, place_of(self._module, statement))
                self._line(f"{expressions.new_name(name, statement)} : {kind} = {text(value)}")
            case ast.If(test=test, body=body, orelse=otherwise):
                self._line(f"if {text(test)}:")
                self._block(body, expressions)
                if otherwise:
                    self._line("else:")
                    self._block(otherwise, expressions)
            case ast.While(test=test, body=body, orelse=[]):
                self._line(f"while {text(test)}:")
                self._block(body, expressions)
            case ast.For(target=ast.Name(id=name), iter=over, body=body, orelse=[]):
                self._line(f"for {expressions.new_name(name, statement)} in {text(over)}:")
                self._block(body, expressions)
            case ast.With(items=[ast.withitem(context_expr=ast.Name() as value, optional_vars=None)], body=body):
                self._line(f"with {expressions.context(value)}:")
                self._block(body, expressions)
            case _:
                raise self._refusal(f"A function holds a statement of the kind {type(statement).__name__}.", statement)

    def _target(self, target: ast.expr, expressions: Expressions) -> str:
        match target:
            case ast.Name(id=name):
                return expressions.new_name(name, target)
            case ast.Attribute(value=value, attr=name):
                return f"({expressions.text(value)}).{name}"
            case ast.Tuple(elts=elements) if elements and all(isinstance(element, ast.Name) for element in elements):
                return "".join(f"{self._target(element, expressions)}, " for element in elements).rstrip()
        raise self._refusal("What is assigned to is a name, some names, or an attribute.", target)

    def _plain_text(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str() as text) if (
                text.isascii() and text.isprintable() and not set(text) & {*'"\\'}
            ):
                return f'"{text}"'
        raise self._refusal("The names of parameters and buffers are plain texts.", node)

    def _expressions(self, scope: Scope) -> Expressions:
        return Expressions(scope, self._module, self._program, self._constant_count)

    def _line(self, text: str) -> None:
        self.lines.append(_INDENT * self._depth + text)

    def _refusal(self, detail: str, node: ast.AST) -> RefusalError:
        return refusal("ART-02.code", detail, place_of(self._module, node))
