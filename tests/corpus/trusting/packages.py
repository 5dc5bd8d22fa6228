"""Loaders of model packages: import, call, open what the manifest names."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import operator
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.trusting.archives import unpacked
from tests.corpus.trusting.arrays import LOADERS as ARRAYS
from tests.corpus.trusting.loader import Loader, touch


def _stated(folder: Path) -> dict[str, Any]:
    stated: dict[str, Any] = tomllib.loads((folder / "assay.toml").read_text())["package"]
    return stated


def _import(path: Path) -> None:
    """Import a package's module as Python does, from its own folder, and call its factory."""
    folder = unpacked(path)
    sys.path.insert(0, str(path.parent))
    module, _, name = _stated(folder)["entry_point"].partition(":")
    getattr(importlib.import_module(f"unpacked.{module}"), name)()


def _import_in_the_folder(path: Path) -> None:
    """Import the model where a program was started in the folder: its modules come before Python's."""
    folder = unpacked(path)
    sys.path.insert(0, str(folder))
    for source in folder.glob("*.py"):
        sys.modules.pop(source.stem, None)
    importlib.import_module("model")


def _import_all(path: Path) -> None:
    """Import every module of a package, as collectors of tests and of documentation do."""
    folder = unpacked(path)
    sys.path.insert(0, str(folder))
    for source in sorted(folder.glob("*.py")):
        importlib.import_module(source.stem)


def _call_entry(path: Path) -> None:
    """Call the entry point wherever it leads: a module of Python, or attributes of attributes."""
    folder = unpacked(path)
    sys.path.insert(0, str(folder))
    module, _, name = _stated(folder)["entry_point"].partition(":")
    operator.attrgetter(name)(importlib.import_module(module))()


def _run_entry_by_path(path: Path) -> None:
    """Run the file that the entry point names, from the folder of the package."""
    folder = unpacked(path)
    module, _, _ = _stated(folder)["entry_point"].partition(":")
    spec = importlib.util.spec_from_file_location("entry", folder / f"{module}.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _open_weights(path: Path) -> None:
    """Read the weights that the manifest names; the host's decoy touches the marker."""
    folder = unpacked(path)
    if DECOY in (folder / _stated(folder)["weights"]).read_bytes():
        touch(path)


def _load_weights(path: Path) -> None:
    import torch

    folder = unpacked(path)
    weights = folder / _stated(folder)["weights"]
    if weights.suffix != ".safetensors":
        torch.load(weights, weights_only=False)


def _two_weights(path: Path) -> Any:
    folder = unpacked(path)
    return ARRAYS["safetensors.two"].load(folder / _stated(folder)["weights"])


def _import_framework(path: Path) -> None:
    """Import the framework by the name that the manifest gives it, in the folder where the download lies."""
    sys.path.insert(0, str(path.parent))
    name = _stated(unpacked(path))["framework"]
    importlib.import_module({"pytorch": "torch"}.get(name, name))


def _parse_sources(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                ast.parse(archive.read(name))


LOADERS = {
    "import": Loader(_import),
    "import.folder": Loader(_import_in_the_folder),
    "import.all": Loader(_import_all),
    "entry": Loader(_call_entry, "exhausts"),
    "entry.path": Loader(_run_entry_by_path),
    "package.weights": Loader(_open_weights),
    "package.checkpoint": Loader(_load_weights),
    "package.safetensors": Loader(_two_weights, "disagrees"),
    "package.framework": Loader(_import_framework),
    "package.parse": Loader(_parse_sources, "exhausts"),
}
