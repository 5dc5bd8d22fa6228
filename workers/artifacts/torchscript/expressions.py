"""The expressions of TorchScript: checked and written at once, so that what is written is what was checked."""

from __future__ import annotations

import ast
import math

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.torchscript.declarations import Declarations, place_of
from workers.artifacts.torchscript.operators import ATEN, PRIM, does_outside
from workers.artifacts.torchscript.scope import Scope
from workers.artifacts.torchscript.types import dotted, read_type

#: Words that are called with a type first.
_WITH_TYPE = frozenset({"annotate", "unchecked_cast", "uninitialized"})
#: Words that are called with values only.
_WORDS = frozenset({"int", "float", "bool", "str", "complex", "range"})
#: Numbers that have no digits.
_NUMBERS = frozenset({"inf", "nan", "infj", "nanj"})
#: What no name of a function may hide.
_RESERVED = (
    _WITH_TYPE
    | _WORDS
    | _NUMBERS
    | {"torch", "ops", "CONSTANTS", "__torch__", "getattr", "isinstance", "__annotations__"}
)


class Expressions:
    """The expressions of one function, or of constants where the scope is empty."""

    def __init__(self, scope: Scope, module: str, program: Declarations, constant_count: int) -> None:
        self._scope = scope
        self._module = module
        self._program = program
        self._constant_count = constant_count

    def text(self, node: ast.expr) -> str:
        """Return an expression in its one spelling.

        Raises:
            RefusalError: what the language does not have, or what reaches outside the model.
        """
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name(id=name):
                return self._name(name, node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as number):
                return f"-{self._constant(number)}"
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)) if name in _NUMBERS:
                return f"-{name}"
            case ast.List(elts=elements):
                return f"[{', '.join(map(self.text, elements))}]"
            case ast.Tuple(elts=elements):
                return f"({''.join(f'{self.text(element)}, ' for element in elements).rstrip()})"
            case ast.Dict(keys=keys, values=values):
                return f"{{{', '.join(self._entry(*entry) for entry in zip(keys, values, strict=True))}}}"
            case ast.Subscript(value=value, slice=index) if not isinstance(index, ast.Slice):
                return f"({self.text(value)})[{self.text(index)}]"
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
        raise self._refusal(f"The code holds an expression of the kind {type(node).__name__}.", node)

    def new_name(self, name: str, node: ast.AST) -> str:
        """Return a name that is assigned to.

        Raises:
            RefusalError: it would hide a word of the language.
        """
        if name in _RESERVED:
            raise self._refusal(f"The name {name} would hide a word of the language.", node)
        return name

    def names_function(self, node: ast.expr) -> bool:
        """Tell whether an expression is the name of a function of the archive."""
        return dotted(node) in self._program.functions

    def function_name(self, node: ast.expr) -> str:
        """Return the name of a function of the archive."""
        return str(dotted(node))

    def context(self, node: ast.Name) -> str:
        """Return what a block is entered with: an object of a class of the archive, as ``no_grad``.

        Raises:
            RefusalError: it is not known to be one, or has no methods to enter and to leave.
        """
        known = self._scope.of_value(node)
        methods = self._program.classes[known.name].methods if known and known.kind == "object" else set()
        if not {"__enter__", "__exit__"} <= methods:
            raise self._refusal("A block is entered with an object of the archive that can be entered and left.", node)
        return self.text(node)

    def _constant(self, node: ast.Constant) -> str:
        value = node.value
        if value is None or isinstance(value, bool):
            return repr(value)
        if isinstance(value, str):
            return self._quoted(value, node)
        if isinstance(value, int) and value < 2**63:
            return repr(value)
        if isinstance(value, float) and math.isfinite(value):
            return repr(value)
        if isinstance(value, complex) and math.isfinite(value.imag):
            return repr(value)
        raise self._refusal("A number does not fit into 64 bits, or is no number of TorchScript.", node)

    def _quoted(self, text: str, node: ast.AST) -> str:
        """Return a text in quotes: what is no printable ASCII stands as the number of its byte."""
        if any(ord(character) > 0xFF for character in text):
            raise self._refusal("A text has a character that is no byte; torch writes texts byte by byte.", node)
        return '"' + "".join(map(_escaped, text)) + '"'

    def _name(self, name: str, node: ast.AST) -> str:
        if name in _NUMBERS:
            return name
        if name in _RESERVED or name not in self._scope.names:
            raise self._refusal(f"The name {shown(name)} is assigned nothing.", node)
        known = self._scope.names[name]
        if known is not None and known.kind == "function":
            raise self._refusal("A function is called, and no value.", node)
        return name

    def _entry(self, key: ast.expr | None, value: ast.expr) -> str:
        if key is None:
            raise self._refusal("A dictionary is written entry by entry.", value)
        return f"{self.text(key)}: {self.text(value)}"

    def _attribute(self, node: ast.Attribute) -> str:
        name = dotted(node) or ""
        if name.startswith("CONSTANTS."):
            number = name.removeprefix("CONSTANTS.c")
            if not number.isdecimal() or str(int(number)) != number or int(number) >= self._constant_count:
                raise self._refusal(f"There is no constant {shown(name)}.", node)
            return name
        if node.attr.startswith("__"):
            raise self._refusal(f"The attribute {shown(node.attr)} is none of an object.", node)
        # The value of an attribute is a value, whatever it is called: only calls reach operators.
        return f"({self.text(node.value)}).{node.attr}"

    def _call(self, node: ast.Call) -> str:
        match node.func:
            case ast.Name(id=name):
                return self._call_of_name(name, node)
            case ast.Attribute(value=owner, attr=attribute):
                called = dotted(node.func) or ""
                namespace = called.partition(".")[0]
                if namespace in ("torch", "ops"):
                    return self._operator(called, node)
                if namespace == "__torch__":
                    return self._call_of_archive(called, owner, attribute, node)
                self._check_method(owner, attribute, node)
                return f"({self.text(owner)}).{attribute}({self._arguments(node)})"
        raise self._refusal("What is called is an operator, a function or a method by its name.", node)

    def _call_of_name(self, name: str, node: ast.Call) -> str:
        if name == "getattr":
            match node:
                case ast.Call(args=[owner, ast.Constant(value=str() as attribute) as text], keywords=[]) if (
                    not attribute.startswith("__")
                ):
                    return f"getattr({self.text(owner)}, {self._constant(text)})"
            raise self._refusal("`getattr` names an attribute by a text.", node)
        if name in _WITH_TYPE or name == "isinstance":
            return self._call_with_type(name, node)
        if name in _WORDS:
            return f"{name}({self._arguments(node)})"
        known = self._scope.names.get(name)
        if known is None or known.kind != "function":
            raise self._refusal(f"The name {shown(name)} is called and is no function of the archive.", node)
        return f"{name}({self._arguments(node)})"

    def _call_with_type(self, name: str, node: ast.Call) -> str:
        place = place_of(self._module, node)
        match node:
            case ast.Call(args=[kind], keywords=[]) if name == "uninitialized":
                return f"uninitialized({read_type(kind, self._program.classes, place)})"
            case ast.Call(args=[value, ast.List(elts=kinds)], keywords=[]) if name == "isinstance":
                listed = ", ".join(read_type(kind, self._program.classes, place) for kind in kinds)
                return f"isinstance({self.text(value)}, [{listed}])"
            case ast.Call(args=[kind, value], keywords=[]) if name in ("annotate", "unchecked_cast"):
                return f"{name}({read_type(kind, self._program.classes, place)}, {self.text(value)})"
        raise self._refusal(f"`{name}` is called with a type and a value.", node)

    def _operator(self, called: str, node: ast.Call) -> str:
        words = called.split(".")
        namespace, name = ("aten", words[1]) if words[0] == "torch" and len(words) == 2 else ("", "")
        if words[0] == "ops" and len(words) == 3:
            namespace, name = words[1], words[2]
        if not (namespace == "aten" and name in ATEN) and not (namespace == "prim" and name in PRIM):
            raise self._operator_refusal(called, namespace, name, node)
        return f"{called}({self._arguments(node)})"

    def _operator_refusal(self, called: str, namespace: str, name: str, node: ast.AST) -> RefusalError:
        does = does_outside(namespace, name)
        place = place_of(self._module, node)
        if does is not None:
            return refusal("ART-01.operator", f"The operator {shown(called)} {does}.", place)
        detail = f"The operator {shown(called)} is not one of PyTorch's that only compute, so it is not taken."
        return refusal("ART-01.custom_operator", detail, place)

    def _call_of_archive(self, called: str, owner: ast.expr, attribute: str, node: ast.Call) -> str:
        """A function, a class whose objects are made by it, or an empty object to be filled by ``__init__``."""
        if called in self._program.functions or called in self._program.classes:
            return f"{called}({self._arguments(node)})"
        if attribute == "__new__" and dotted(owner) in self._program.classes:
            match node:
                case ast.Call(args=[made], keywords=[]) if dotted(made) == dotted(owner):
                    return f"{called}({dotted(made)})"
        if called.startswith("__torch__.torch.classes."):
            detail = f"Objects of {shown(called)} are made by compiled code."
            raise refusal("ART-01.custom_object", detail, place_of(self._module, node))
        raise self._refusal(f"The function {shown(called)} is called and is not in the archive.", node)

    def _check_method(self, owner: ast.expr, method: str, node: ast.Call) -> None:
        """Refuse a method that would be an operator which is not taken, as ``x.save(...)`` is for a tensor."""
        known = self._scope.of_value(owner)
        if known is not None and known.kind == "object":
            if method not in self._program.classes[known.name].methods:
                raise self._refusal(f"The class {shown(known.name)} has no method {shown(method)}.", node)
        elif method not in ATEN:
            raise self._operator_refusal(f"torch.{method}", "aten", method, node)

    def _arguments(self, node: ast.Call) -> str:
        named = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._refusal("Arguments are written one by one.", node)
            named.append(f"{keyword.arg}={self.text(keyword.value)}")
        return ", ".join([*map(self.text, node.args), *named])

    def _refusal(self, detail: str, node: ast.AST) -> RefusalError:
        return refusal("ART-02.code", detail, place_of(self._module, node))


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\{ord(character):03o}"
