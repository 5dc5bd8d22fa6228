"""``python -m tests.corpus.biting FRAMEWORK < requests.json``: loads files as they come, and says which bit.

A child process imports one framework, enters the sandbox of jobs and forks for each file, so that a payload can reach
nothing but the folder of the corpus. Reads a JSON list of ``{id, path, loader}``, prints ``{id: what happened}``:
empty for a file that bit, and else what the loader said.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from workers import sandbox
from workers.protocol import Limits

_SECONDS = 20
_GRACE_SECONDS = 2.0
_MEMORY_BYTES = 4 * 1024**3
_ROOT = Path(__file__).parents[2]


def _pickle(path: Path) -> None:
    import pickle

    with path.open("rb") as stream:
        pickle.load(stream)


def _torch(path: Path) -> None:
    import torch

    if path.suffix in (".pkl", ".pickle"):
        _pickle(path)
    else:
        torch.load(path, weights_only=False)


def _torch_export(path: Path) -> None:
    import torch

    module = torch.export.load(path).module()
    module(torch.zeros(2, 4))


def _torch_jit(path: Path) -> None:
    import torch

    torch.jit.load(path)(torch.zeros(2, 4))


def _numpy(path: Path) -> None:
    import numpy as np

    loaded = np.load(path, allow_pickle=True)
    if hasattr(loaded, "files"):
        for name in loaded.files:
            loaded[name]


def _zipfile(path: Path) -> None:
    """Extract by hand, as many tools do: where a name leads out of the folder, so does the file."""
    import zipfile

    inside = path.parent / "extracted" / "here"
    inside.mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            target = inside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def _h5py(path: Path) -> None:
    """Read every array that a plain walk reaches; what was read of the host's decoy touches the marker."""
    import h5py

    if path.suffix == ".keras":
        import zipfile

        with zipfile.ZipFile(path) as archive:
            path = Path(archive.extract("model.weights.h5", path.parent))

    def read(group: h5py.Group) -> None:
        for name in group:
            with contextlib.suppress(Exception):
                item = group[name]
                if isinstance(item, h5py.Group):
                    read(item)
                elif DECOY in item[()].tobytes():
                    (path.parent / "marker").touch()

    with h5py.File(path, "r") as file:
        read(file)


def _import(path: Path) -> None:
    """Import a package's module as Python does, from its own folder."""
    import zipfile

    inside = path.parent / "unpacked"
    inside.mkdir()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(inside)
    sys.path.insert(0, str(path.parent))
    import tomllib

    stated = tomllib.loads((inside / "assay.toml").read_text())["package"]
    entry = stated["entry_point"].partition(":")
    module = importlib.import_module(f"unpacked.{entry[0]}")
    getattr(module, entry[2])()


def _tells_of_the_decoy(answer: Any) -> bool:
    """Tell whether an answer holds the decoy's content or name, as numbers or as text."""
    content = answer.tobytes() if hasattr(answer, "tobytes") and answer.dtype != object else repr(answer).encode()
    return DECOY in content or b"decoy" in content


def _keras(path: Path) -> None:
    """Load a model unsafely and call it once; a vocabulary that was read of the decoy touches the marker."""
    import keras
    import numpy as np

    model = keras.saving.load_model(path, safe_mode=False, compile=False)
    for layer in model.layers:
        if hasattr(layer, "get_vocabulary") and any("decoy" in str(word) for word in layer.get_vocabulary()):
            (path.parent / "marker").touch()
    model(np.zeros((2, *model.input_shape[1:]), dtype="float32"))


def _saved_model(path: Path) -> None:
    """Unpack a SavedModel, load it and call its signature."""
    import shutil

    import tensorflow as tf

    folder = path.parent / "saved_model"
    shutil.unpack_archive(path, folder)
    root = next(folder.rglob("saved_model.pb")).parent
    loaded = tf.saved_model.load(str(root))
    answers = loaded.signatures["serving_default"](tf.zeros((2, 4)))
    if any(_tells_of_the_decoy(answer.numpy()) for answer in answers.values()):
        (path.parent / "marker").touch()


LOADERS: Mapping[str, Callable[[Path], None]] = {
    "pickle": _pickle,
    "torch": _torch,
    "torch.export": _torch_export,
    "torch.jit": _torch_jit,
    "numpy": _numpy,
    "zipfile": _zipfile,
    "h5py": _h5py,
    "import": _import,
    "keras": _keras,
    "saved_model": _saved_model,
}
#: Which process runs which loaders: a framework is imported once.
FRAMEWORKS: Mapping[str, frozenset[str]] = {
    "torch": frozenset(LOADERS) - {"keras", "saved_model"},
    "tensorflow": frozenset({"keras", "saved_model"}),
}
_IMPORTED = {"torch": ("torch", "h5py"), "tensorflow": ("tensorflow", "keras")}


def _bite(path: Path, loader: str) -> str:
    """Fork, load, wait; return empty when the marker appeared."""
    said = path.parent / "said"
    child = os.fork()
    if child == 0:
        _in_the_child(path, loader, said)
    os.waitpid(child, 0)
    ends = time.monotonic() + _GRACE_SECONDS
    # A process that the payload started may be slower than the loader.
    while not (appeared := _marker_is_there(path.parent)) and time.monotonic() < ends:
        time.sleep(0.02)
    if appeared:
        return ""
    return said.read_text() if said.exists() else "it loaded, and nothing happened"


def _marker_is_there(folder: Path) -> bool:
    """Tell whether the marker was made; some gadgets put an ending behind the name that they are given."""
    return any(folder.glob("marker*"))


def _in_the_child(path: Path, loader: str, said: Path) -> None:
    """Load the file and end, whatever comes of it."""
    try:
        signal.alarm(_SECONDS)
        os.chdir(path.parent)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        warnings.simplefilter("ignore")
        LOADERS[loader](path)
    except BaseException as error:  # noqa: BLE001 - a payload may raise anything
        said.write_text(f"{type(error).__name__}: {str(error)[-700:]}")
    finally:
        os._exit(0)


def main() -> int:
    framework = sys.argv[1]
    requests = json.load(sys.stdin)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in _IMPORTED[framework]:
        importlib.import_module(name)
    folder = Path(os.path.commonpath([request["path"] for request in requests]))
    folder = folder if folder.is_dir() else folder.parent
    packages = [_ROOT, *map(Path, sys.path)]
    # As for a GPU's job, which may start programs of the system: without them, many a payload could not bite.
    layers = sandbox.enter(folder=folder, limits=Limits(), packages=packages, uses_gpu=True, parent_pid=None)
    sandbox.require(layers)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS + 5))
    print(json.dumps({request["id"]: _bite(Path(request["path"]), request["loader"]) for request in requests}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
