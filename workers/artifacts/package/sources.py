"""The Python sources of a package: text that has one reading, and what a syntax tree says of it to a reviewer.

Nothing here runs or judges code. The list of known imports and the list of notable calls save a reviewer's time; code
that wants to hide from them can. What holds it is the sandbox in which a released package is loaded.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workers.artifacts.findings import RefusalError, refusal, shown

#: One module; a syntax tree takes up to a thousand times the memory of its text.
MAX_SOURCE_BYTES = 256 * 1024

#: Where Python looks for a declaration of another encoding (PEP 263).
_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)", re.ASCII)

# fmt: off
#: Modules whose import needs no word of a reviewer; of torch, only what computes.
KNOWN_IMPORTS = frozenset(
    {
        "__future__", "abc", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum",
        "functools", "itertools", "keras", "math", "numbers", "numpy", "numpy.typing", "operator", "random",
        "tensorflow", "torch", "torch.distributions", "torch.fft", "torch.linalg", "torch.nn", "torch.special",
        "torch.utils.checkpoint", "types", "typing", "typing_extensions", "warnings",
    }
)
_KNOWN_BELOW = ("torch.nn.", "torch.distributions.", "keras.")

_NOTABLE_BELOW = (
    "builtins.", "ctypes.", "importlib.", "io.", "keras.saving.", "keras.utils.", "marshal.", "numpy.ctypeslib.",
    "os.", "pathlib.", "pickle.", "shutil.", "socket.", "subprocess.", "sys.", "tempfile.", "tensorflow.io.",
    "tensorflow.saved_model.", "threading.", "torch.classes.", "torch.hub.", "torch.jit.", "torch.ops.",
    "torch.utils.cpp_extension.", "urllib.",
)
_NOTABLE = frozenset(
    {
        "__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "input",
        "keras.config.enable_unsafe_deserialization", "locals", "numpy.fromfile", "numpy.load", "numpy.memmap",
        "numpy.save", "numpy.savez", "open", "setattr", "tensorflow.load_library", "tensorflow.load_op_library",
        "tensorflow.numpy_function", "tensorflow.py_function", "torch.from_file", "torch.load", "torch.save", "vars",
    }
)
_NOTABLE_ATTRIBUTES = frozenset({"__builtins__", "__globals__", "__subclasses__"})
_HARMLESS = frozenset({"keras.saving.register_keras_serializable", "keras.utils.register_keras_serializable"})
# fmt: on


@dataclass(frozen=True)
class Import:
    """One import of a module that is not in the package."""

    module: str
    place: str

    @property
    def is_known(self) -> bool:
        return self.module in KNOWN_IMPORTS or self.module.startswith(_KNOWN_BELOW)


@dataclass(frozen=True)
class ModuleSource:
    """One source that was read.

    Attributes:
        imports: what it imports from outside of the package, in order.
        inner: the sources of the package that it imports.
        calls: notable calls, each with its line.
        defined: functions and classes at module level.
        registered: name under which Keras knows an object -> the name at module level.
    """

    filename: str
    content: bytes
    imports: tuple[Import, ...]
    inner: frozenset[str]
    calls: tuple[str, ...]
    defined: frozenset[str]
    registered: Mapping[str, str]

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def line_count(self) -> int:
        return len(self.content.splitlines())


def read_source(filename: str, content: bytes, known: frozenset[str]) -> ModuleSource:
    """Read one module; ``known`` are the names of all sources of the package.

    Raises:
        RefusalError: ``ART-02.source`` with the line, where the text could be read in two ways, is no Python, or
            imports a module of the package that is not there.
    """
    tree = _parse(filename, _text(filename, content))
    names = _Names(filename, known)
    names.visit(tree)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return ModuleSource(
        filename,
        content,
        tuple(names.imports),
        frozenset(names.inner),
        tuple(_notable_calls(tree, names.renamed)),
        frozenset(defined),
        dict(_registered(tree)),
    )


def _text(filename: str, content: bytes) -> str:
    if len(content) > MAX_SOURCE_BYTES:
        detail = f"The source has {len(content):,} bytes; the limit is {MAX_SOURCE_BYTES:,}."
        raise refusal("ART-02.too_large", detail, filename)
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise refusal("ART-02.source", "The source is not UTF-8.", f"{filename}, byte {error.start:,}") from None
    for number, line in enumerate(text.split("\n"), 1):
        strange = next((character for character in line if character != "\t" and not character.isprintable()), "")
        if strange:
            detail = f"The character {shown(strange)} does not show, so people and Python may read two texts."
            raise refusal("ART-02.source", detail, f"{filename}, line {number}")
        coding = _CODING.match(line) if number <= 2 else None
        if coding and coding[1] != "utf-8":
            detail = f"The source declares the encoding {shown(coding[1])}; it is UTF-8 and needs to declare nothing."
            raise refusal("ART-02.source", detail, f"{filename}, line {number}")
    return text


def _parse(filename: str, text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # What a source does awkwardly (an invalid escape, ``is`` with a number) concerns its author only.
            warnings.simplefilter("ignore")
            return ast.parse(text, filename)
    except SyntaxError as error:
        raise refusal(
            "ART-02.source", f"This is not Python: {error.msg}.", f"{filename}, line {error.lineno}"
        ) from None
    except (RecursionError, MemoryError, ValueError):
        raise refusal("ART-02.source", "The source is nested too deeply.", filename) from None


class _Names(ast.NodeVisitor):
    """Collects what a module imports, and under which names."""

    def __init__(self, filename: str, known: frozenset[str]) -> None:
        self._filename = filename
        self._known = known
        self._tops = {name.partition("/")[0].removesuffix(".py") for name in known}
        self.imports: list[Import] = []
        self.inner: set[str] = set()
        self.renamed: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._outside(alias.name, node.lineno)
            if alias.asname:
                self.renamed[alias.asname] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self._inside(node)
            return
        module = node.module or ""
        # ``from torch import hub`` imports the module torch.hub: it is named by what it may lead to.
        for alias in node.names:
            self.renamed[alias.asname or alias.name] = f"{module}.{alias.name}"
        self._outside(module, node.lineno)

    def _outside(self, module: str, line: int) -> None:
        place = f"{self._filename}, line {line}"
        if module.partition(".")[0] in self._tops:
            detail = f"`{module}` is a source of the package, which is imported as `from .{module} import ...`."
            raise refusal("ART-02.source", detail, place)
        self.imports.append(Import(module, place))

    def _inside(self, node: ast.ImportFrom) -> None:
        place = f"{self._filename}, line {node.lineno}"
        folder = self._filename.split("/")[:-1]
        if node.level - 1 > len(folder):
            raise refusal("ART-02.source", "The import leads out of the package.", place)
        parts = [*folder[: len(folder) - node.level + 1], *(node.module.split(".") if node.module else [])]
        found = self._source(parts)
        for alias in node.names:
            inner = self._source([*parts, alias.name])
            if inner is not None:
                self.inner.add(inner)
            elif found is None:
                name = ".".join([*parts, *([] if node.module else [alias.name])])
                raise refusal("ART-02.source", f"The package has no source for the module {shown(name)}.", place)
        if found is not None:
            self.inner.add(found)

    def _source(self, parts: list[str]) -> str | None:
        stem = "/".join(parts)
        return next((name for name in (f"{stem}.py", f"{stem}/__init__.py") if stem and name in self._known), None)


def _notable_calls(tree: ast.Module, renamed: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func, renamed)
            if name in _NOTABLE or (name.startswith(_NOTABLE_BELOW) and name not in _HARMLESS):
                yield f"{name} (line {node.lineno})"
        elif isinstance(node, ast.Attribute) and node.attr in _NOTABLE_ATTRIBUTES:
            yield f"{node.attr} (line {node.lineno})"


def _dotted(node: ast.expr, renamed: Mapping[str, str]) -> str:
    """Return the dotted name of a called thing, by the module that it comes from; empty where it has none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([renamed.get(node.id, node.id), *reversed(parts)])


def _registered(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield how Keras names each function and class of a module, and its name in the module."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        registrations = [found for found in map(_registration, node.decorator_list) if found is not None]
        if not registrations:
            yield node.name, node.name
        for package, name in registrations:
            yield f"{package}>{name or node.name}", node.name


def _registration(decorator: ast.expr) -> tuple[str, str] | None:
    """Return package and name of ``register_keras_serializable(package=..., name=...)``; None for anything else."""
    if not isinstance(decorator, ast.Call) or not ast.unparse(decorator.func).endswith("register_keras_serializable"):
        return None
    given = {"package": "Custom", "name": ""}
    pairs = [*zip(given, decorator.args, strict=False), *((word.arg, word.value) for word in decorator.keywords)]
    for key, value in pairs:
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str | None) or key not in given:
            return None
        given[key] = value.value or given[key]
    return given["package"], given["name"]


def demand_defined(source: ModuleSource | None, name: str, what: str, place: str) -> None:
    """Refuse a name of ``assay.toml`` that no source defines at module level."""
    if source is None:
        raise _undefined(f"The {what} is to be in a source that the package does not have.", place)
    if name not in source.defined:
        detail = f"{source.filename} defines no function or class {shown(name)} at module level."
        raise _undefined(f"The {what} is missing: {detail}", place)


def _undefined(detail: str, place: str) -> RefusalError:
    return refusal("ART-02.package", detail, place)
