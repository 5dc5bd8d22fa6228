"""No module of the product loads or runs foreign code, except those whose task it is.

The syntax trees of all modules are read: a call that unpickles, evaluates, or loads a model stands only in the two
framework adapters, which are given rewritten files alone. A module by a name that is not written in the code is
imported where a plug-in or a runner is looked up, and, of an upload, in ``workers.frameworks.package`` alone.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("workers", "governance", "validators", "audits")

#: Which module may make which of the calls.
ALLOWED = {
    "audits/engine/checks/__init__.py": {"importlib.import_module"},
    "governance/urls.py": {"importlib.import_module"},
    "workers/child.py": {"importlib.import_module"},
    "workers/frameworks/loading.py": {"importlib.import_module"},
    "workers/frameworks/package.py": {"importlib.import_module"},
    "workers/frameworks/keras.py": {"load_model"},
    "workers/frameworks/keras_saved_model.py": {"saved_model.load"},
    "workers/frameworks/pytorch.py": {"torch.export.load"},
    "workers/frameworks/pytorch_script.py": {"torch.jit.load"},
}

#: Dotted names that are refused wherever they end a call's name.
UNSAFE_ENDS = (
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "marshal.loads",
    "marshal.load",
    "shelve.open",
    "importlib.import_module",
    "loader.exec_module",
    "runpy.run_path",
    "runpy.run_module",
    "joblib.load",
    "torch.load",
    "torch.export.load",
    "torch.jit.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "models.load_model",
    "saving.load_model",
    "saved_model.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "sympy.sympify",
    "enable_unsafe_deserialization",
    "os.system",
    "os.popen",
)
UNSAFE_NAMES = ("eval", "exec", "compile", "__import__", "sympify", "load_model")

#: Functions that are fine unless an argument says otherwise.
UNSAFE_ARGUMENTS = {"allow_pickle": True, "safe_mode": False, "weights_only": False, "shell": True}


def unsafe_calls(source: str) -> set[str]:
    """Return the unsafe calls of a module, by the name under which they are allowed."""
    found = set()
    tree = ast.parse(source)
    renamed = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    ours = {name for name, origin in renamed.items() if origin.startswith("workers.frameworks.loading.")}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ours | defined:
            continue
        first, dot, rest = name.partition(".")
        name = renamed.get(first, first) + dot + rest
        for end in UNSAFE_ENDS:
            if name == end or name.endswith(f".{end}"):
                found.add("load_model" if end.endswith("load_model") else end)
        if name in UNSAFE_NAMES:
            found.add(name)
        for keyword in node.keywords:
            value = getattr(keyword.value, "value", None)
            if keyword.arg in UNSAFE_ARGUMENTS and value is UNSAFE_ARGUMENTS[keyword.arg]:
                found.add(f"{keyword.arg}={value}")
    return found


def modules() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_modules_of_all_packages_are_found() -> None:
    assert {name.partition("/")[0] for name in modules()} == set(PACKAGES)
    assert set(ALLOWED) <= set(modules())


@pytest.mark.parametrize("module", modules())
def test_a_module_makes_no_unsafe_call_that_is_not_its_task(module: str) -> None:
    assert unsafe_calls((ROOT / module).read_text(encoding="utf-8")) <= ALLOWED.get(module, set())


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle\npickle.load(f)", "pickle.load"),
        ("from pickle import loads\nloads(b)", "pickle.loads"),
        ("from pickle import loads as read\nread(b)", "pickle.loads"),
        ("import torch\ntorch.load(f, weights_only=True)", "torch.load"),
        ("from torch import export\nexport.load(f)", "torch.export.load"),
        ("import keras\nkeras.models.load_model(f)", "load_model"),
        ("from keras.saving import load_model\nload_model(f)", "load_model"),
        ("import tensorflow as tf\ntf.keras.models.load_model(f)", "load_model"),
        ("import joblib\njoblib.load(f)", "joblib.load"),
        ("import numpy as np\nnp.load(f, allow_pickle=True)", "allow_pickle=True"),
        ("import yaml\nyaml.load(f)", "yaml.load"),
        ("eval('1')", "eval"),
        ("exec(code)", "exec"),
        ("from importlib import import_module as load\nload(name)", "importlib.import_module"),
        ("import importlib.util\nspec.loader.exec_module(module)", "loader.exec_module"),
        ("__import__('os')", "__import__"),
        ("import subprocess\nsubprocess.run('x', shell=True)", "shell=True"),
        ("from sympy import sympify\nsympify(text)", "sympy.sympify"),
    ],
)
def test_each_unsafe_call_is_recognised(source: str, found: str) -> None:
    assert found in unsafe_calls(source)


def test_safe_calls_are_not_mistaken() -> None:
    source = (
        "import json, re, numpy as np\nfrom workers.frameworks.loading import load_model\n"
        "json.loads(t); re.compile('a'); np.load(f, allow_pickle=False); load_model(p); model.compile(); model.eval()"
    )
    assert unsafe_calls(source) == set()
