"""No module of the product loads or runs foreign code, except those whose task it is.

The syntax trees of all modules are read: what unpickles, evaluates, or loads a model is used only in the framework
adapters, which are given rewritten files alone. A module by a name that is not written in the code is imported where a
plug-in or a runner is looked up, and, of an upload, in ``workers.frameworks.package`` alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.artifacts.unsafe_names import unsafe_uses

ROOT = Path(__file__).parents[3]
PACKAGES = ("workers", "governance", "validators", "audits")

#: Which module may use which of the unsafe names.
ALLOWED = {
    # A module of the installation, by the name that an entry point, a job kind or the settings state.
    "audits/engine/checks/__init__.py": {"import_module(...)"},
    "governance/urls.py": {"import_module(...)"},
    "workers/child.py": {"import_module(...)"},
    "workers/frameworks/loading.py": {"import_module(...)"},
    # A source of a released package, in the sandbox.
    "workers/frameworks/package.py": {"import_module(...)"},
    # A dtype of the signature, which is one of a list.
    "workers/frameworks/pytorch_entrances.py": {"getattr(torch, ...)"},
    "workers/frameworks/pytorch_package.py": {"getattr(torch, ...)"},
    "workers/frameworks/pytorch_running.py": {"getattr(torch, ...)"},
    "workers/frameworks/pytorch_training.py": {"getattr(torch, ...)"},
    # An operator that writes to its input, as the one of a list that does not.
    "workers/frameworks/pytorch_deeplift.py": {"getattr(torch.ops.aten, ...)"},
    # The adapters, which are given rewritten files alone.
    "workers/frameworks/keras.py": {"load_model"},
    "workers/frameworks/pytorch.py": {"torch.export.load", "getattr(torch, ...)"},
    "workers/frameworks/keras_saved_model.py": {"saved_model.load"},
    "workers/frameworks/pytorch_script.py": {"torch.jit.load"},
}


def modules() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_modules_of_all_packages_are_found() -> None:
    assert {name.partition("/")[0] for name in modules()} == set(PACKAGES)
    assert set(ALLOWED) <= set(modules())


@pytest.mark.parametrize("module", modules())
def test_a_module_uses_nothing_unsafe_that_is_not_its_task(module: str) -> None:
    assert unsafe_uses((ROOT / module).read_text(encoding="utf-8")) <= ALLOWED.get(module, set())


@pytest.mark.parametrize("module", ALLOWED)
def test_what_a_module_is_allowed_it_uses(module: str) -> None:
    assert unsafe_uses((ROOT / module).read_text(encoding="utf-8")) == ALLOWED[module]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle\npickle.load(f)", "pickle.load"),
        ("from pickle import loads\nloads(b)", "pickle.loads"),
        ("from pickle import loads as read\nread(b)", "pickle.loads"),
        ("import pickle as p\np.loads(b)", "pickle.loads"),
        ("import pickle\nclass Mine(pickle.Unpickler): pass", "pickle.Unpickler"),
        ("import pickle\nread = pickle.loads\nread(b)", "pickle.loads"),
        ("import pickle\nlist(map(pickle.loads, bs))", "pickle.loads"),
        ("import pickle\ngetattr(pickle, 'loads')(b)", "pickle.loads"),
        ("import pickle\ngetattr(pickle, name)(b)", "getattr(pickle, ...)"),
        ("import importlib\nimportlib.import_module('pickle').loads(b)", "pickle.loads"),
        ("import importlib\nimportlib.import_module('pickle')", "import_module(pickle)"),
        ("from importlib import import_module as bring\nbring(name)", "import_module(...)"),
        ("__import__('pickle').loads(b)", "pickle.loads"),
        ("import marshal\nmarshal.loads(b)", "marshal.loads"),
        ("from marshal import loads\nloads(b)", "marshal.loads"),
        ("import torch\ntorch.load(f, weights_only=True)", "torch.load"),
        ("import torch\ntorch.serialization.load(f)", "torch.serialization.load"),
        ("import torch as t\nt.load(f)", "torch.load"),
        ("import torch\nopen_file = torch.load\nopen_file(f)", "torch.load"),
        ("from torch import export\nexport.load(f)", "torch.export.load"),
        ("from torch import jit\njit.load(f)", "torch.jit.load"),
        ("from torch.jit import load\nload(f)", "torch.jit.load"),
        ("import torch.jit as j\nj.load(f)", "torch.jit.load"),
        ("import torch\ntorch.hub.load('.', 'model')", "torch.hub.load"),
        ("import torch\ntorch.ops.load_library(f)", "torch.ops.load_library"),
        ("import torch\ngetattr(torch.jit, name)(f)", "getattr(torch.jit, ...)"),
        ("import keras\nkeras.models.load_model(f)", "load_model"),
        ("import keras\nkeras.saving.load_model(f)", "load_model"),
        ("from keras.saving import load_model\nload_model(f)", "load_model"),
        ("from keras import saving as s\ns.load_model(f)", "load_model"),
        ("import tensorflow as tf\ntf.keras.models.load_model(f)", "load_model"),
        ("import tensorflow as tf\ntf.saved_model.load(f)", "saved_model.load"),
        ("from tensorflow import saved_model\nsaved_model.load(f)", "saved_model.load"),
        ("import tensorflow as tf\ntf.load_op_library(f)", "tensorflow.load_op_library"),
        ("import keras\nkeras.config.enable_unsafe_deserialization()", "enable_unsafe_deserialization"),
        ("import joblib\njoblib.load(f)", "joblib.load"),
        ("import numpy as np\nnp.load(f, allow_pickle=True)", "allow_pickle=True"),
        ("import numpy as np\nnp.load(f, allow_pickle=trusted)", "allow_pickle=trusted"),
        ("import numpy as np\nnp.lib.format.read_array(f, allow_pickle=True)", "allow_pickle=True"),
        ("import keras\nread(f, safe_mode=False)", "safe_mode=False"),
        ("read(f, weights_only=None)", "weights_only=None"),
        ("import yaml\nyaml.load(f)", "yaml.load"),
        ("eval('1')", "eval"),
        ("exec(code)", "exec"),
        ("import builtins\nbuiltins.exec(code)", "exec"),
        ("run = exec\nrun(code)", "exec"),
        ("compile(code, 'a', 'exec')", "compile"),
        ("__import__('os')", "__import__"),
        ("import subprocess\nsubprocess.run('x', shell=True)", "shell=True"),
        ("from sympy import sympify\nsympify(text)", "sympy.sympify"),
        ("import ctypes\nctypes.CDLL(path)", "ctypes.CDLL"),
        ("from ctypes import CDLL\nCDLL('libc.so.6')", "ctypes.CDLL"),
        ("import ctypes\nctypes.cdll.LoadLibrary(path)", "cdll.LoadLibrary"),
        (
            "import importlib.util\nimportlib.util.spec_from_file_location('a', path)",
            "importlib.util.spec_from_file_location",
        ),
        (
            "from importlib.util import spec_from_file_location as s\ns('a', path)",
            "importlib.util.spec_from_file_location",
        ),
        ("from importlib.machinery import SourceFileLoader", "importlib.machinery.SourceFileLoader"),
        ("import importlib.util\nspec.loader.exec_module(module)", "loader.exec_module"),
        ("import runpy\nrunpy.run_path(path)", "runpy.run_path"),
        ("import code\ncode.InteractiveInterpreter().runsource(text)", "code.InteractiveInterpreter"),
    ],
)
def test_each_unsafe_use_is_recognised(source: str, found: str) -> None:
    assert found in unsafe_uses(source)


def test_safe_uses_are_not_mistaken() -> None:
    source = (
        "import ctypes, json, re, numpy as np\nfrom workers.frameworks.loading import load_model\n"
        "from importlib import import_module\n"
        "json.loads(t); re.compile('a'); np.load(f, allow_pickle=False); load_model(p); model.compile(); model.eval()\n"
        "ctypes.CDLL(None); import_module('workers.sandbox'); getattr(model, name); getattr(np, 'float32')\n"
    )
    assert unsafe_uses(source) == set()
