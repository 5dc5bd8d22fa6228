"""Finds in a module's syntax tree whatever loads or runs foreign code, under whatever name it goes there.

A use is enough: a loader that is put into a variable, passed to another function or fetched by ``getattr`` will be
called. What cannot be told from the text (a module or an attribute of a loading library by a name that is computed)
counts as unsafe.
"""

from __future__ import annotations

import ast

#: Dotted names that are refused wherever they end the name of what is used.
UNSAFE_ENDS = (
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "pickle._Unpickler",
    "pickle._loads",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "marshal.loads",
    "marshal.load",
    "shelve.open",
    "joblib.load",
    "torch.load",
    "torch.serialization.load",
    "torch.export.load",
    "torch.jit.load",
    "torch.jit.jit_module_from_flatbuffer",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.ops.load_library",
    "torch.classes.load_library",
    "cpp_extension.load",
    "cpp_extension.load_inline",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.full_load",
    "models.load_model",
    "saving.load_model",
    "saved_model.load",
    "saved_model.load_v2",
    "layers.TFSMLayer",
    "tensorflow.load_op_library",
    "tf.load_op_library",
    "tensorflow.load_library",
    "tf.load_library",
    "pandas.read_pickle",
    "pd.read_pickle",
    "sympy.sympify",
    "sympy.parse_expr",
    "enable_unsafe_deserialization",
    "os.system",
    "os.popen",
    "runpy.run_path",
    "runpy.run_module",
    "importlib.util.spec_from_file_location",
    "importlib.machinery.SourceFileLoader",
    "importlib.machinery.SourcelessFileLoader",
    "importlib.machinery.ExtensionFileLoader",
    "loader.exec_module",
    "zipimport.zipimporter",
    "code.InteractiveInterpreter",
    "code.InteractiveConsole",
    "code.interact",
    "cdll.LoadLibrary",
    "ctypes.PyDLL",
)
UNSAFE_BUILTINS = ("eval", "exec", "compile", "__import__")
UNSAFE_NAMES = (*UNSAFE_BUILTINS, "sympify", "load_model")
#: Modules that do nothing else: bringing one in under a computed or stated name is use enough.
UNSAFE_MODULES = frozenset(
    {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "code", "zipimport"}
)
#: Where a computed attribute may be any of the above.
_LOADING_LIBRARIES = UNSAFE_MODULES | {"torch", "keras", "tensorflow", "numpy", "os", "builtins", "ctypes", "importlib"}

#: Arguments that have to be a literal: anything else may be the unsafe value.
SAFE_ARGUMENTS = {"allow_pickle": False, "safe_mode": True, "weights_only": True, "shell": False}


def unsafe_uses(source: str) -> set[str]:
    """Return what a module uses that is unsafe, by the name under which it is allowed."""
    return _Walk(ast.parse(source)).found


class _Walk:
    def __init__(self, tree: ast.Module) -> None:
        self.found: set[str] = set()
        self._origins = _origins(tree)
        self._defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                self._name(self._resolved(node))
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self._name(f"{node.module}.{alias.name}")
            if isinstance(node, ast.Call):
                self._call(node)

    def _resolved(self, node: ast.expr) -> str:
        """Return the dotted name of an expression as its module would be imported; empty for anything else."""
        if isinstance(node, ast.Name):
            return self._origins.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolved(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if isinstance(node, ast.Call):
            return self._fetched(node)
        return ""

    def _fetched(self, node: ast.Call) -> str:
        """Return the name of what ``getattr`` and ``import_module`` fetch by a literal."""
        function = self._resolved(node.func) if not isinstance(node.func, ast.Call) else ""
        literals = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
        if function == "getattr" and len(literals) > 1 and isinstance(literals[1], str):
            owner = self._resolved(node.args[0])
            return f"{owner}.{literals[1]}" if owner else ""
        if function in ("importlib.import_module", "__import__") and literals and isinstance(literals[0], str):
            return literals[0]
        return ""

    def _name(self, name: str) -> None:
        if not name or name in self._defined or name.startswith("workers.frameworks.loading."):
            return
        for end in UNSAFE_ENDS:
            if name == end or name.endswith(f".{end}"):
                self.found.add("load_model" if end.endswith("load_model") else end)
        bare = name.removeprefix("builtins.")
        if bare in UNSAFE_NAMES:
            self.found.add(bare)

    def _call(self, node: ast.Call) -> None:
        name = self._resolved(node.func)
        self._name(self._fetched(node))
        for keyword in node.keywords:
            if keyword.arg in SAFE_ARGUMENTS:
                literal = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if literal is not SAFE_ARGUMENTS[keyword.arg]:
                    self.found.add(f"{keyword.arg}={ast.unparse(keyword.value)}")
        first = node.args[0] if node.args else None
        if name == "getattr" and first is not None:
            self._computed_attribute(node, first)
        elif name == "importlib.import_module":
            self._imported(first)
        elif name == "ctypes.CDLL" and not (isinstance(first, ast.Constant) and first.value is None):
            self.found.add("ctypes.CDLL")

    def _computed_attribute(self, node: ast.Call, owner: ast.expr) -> None:
        library = self._resolved(owner)
        is_computed = len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)
        if is_computed and library.partition(".")[0] in _LOADING_LIBRARIES:
            self.found.add(f"getattr({library}, ...)")

    def _imported(self, name: ast.expr | None) -> None:
        if not isinstance(name, ast.Constant):
            self.found.add("import_module(...)")
        elif str(name.value).partition(".")[0] in UNSAFE_MODULES:
            self.found.add(f"import_module({name.value})")


def _origins(tree: ast.Module) -> dict[str, str]:
    """Return what each name of a module stands for: imports under other names, and plain assignments of them."""
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    origins[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.Name):
            stated = ast.unparse(node.value)
            first, dot, rest = stated.partition(".")
            if first in origins or dot:
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id != first:
                        origins.setdefault(target.id, origins.get(first, first) + dot + rest)
    return origins
