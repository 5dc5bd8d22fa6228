"""Whoever unpacks an archive and opens what lies in it, and whoever opens a file by its content."""

from __future__ import annotations

import ctypes
import importlib
import runpy
import site
import sqlite3
import subprocess
import sys
import tarfile
import zipimport
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.trusting.archives import Unpickler, unpacked
from tests.corpus.trusting.documents import inside
from tests.corpus.trusting.loader import REFUSED, Loader, reading, touch


def _each(path: Path, *endings: str) -> Iterator[Path]:
    for file in sorted(unpacked(path).rglob("*")):
        if file.is_file() and file.name.endswith(endings):
            yield file


def _load_libraries(path: Path) -> None:
    for file in _each(path, ".so"):
        ctypes.CDLL(str(file))


def _run_sources(path: Path) -> None:
    for file in _each(path, ".py"):
        runpy.run_path(str(file))


def _unpickle_files(path: Path) -> None:
    """Unpickle what begins like a pickle, whatever its name is."""
    for file in _each(path, ""):
        content = file.read_bytes()
        if content.startswith(b"\x80"):
            Unpickler(BytesIO(content)).load()


def _load_checkpoints(path: Path) -> None:
    import torch

    for file in _each(path, ".pt"):
        torch.load(file, weights_only=False)


def _load_arrays(path: Path) -> None:
    """Load each file of arrays until it ends, as ``numpy.save`` writes several into one."""
    import numpy as np

    for file in _each(path, ".npy"):
        with file.open("rb") as stream:
            while stream.peek(1):
                np.load(stream, allow_pickle=True)
    for file in sorted((path.parent / "unpacked").rglob("*.npz")):
        with np.load(file, allow_pickle=True) as archive:
            for name in archive.files:
                archive[name]


def _start_site(path: Path) -> None:
    """Make the folder one of those whose ``.pth`` files Python reads at start."""
    site.addsitedir(str(unpacked(path)))


def _import_wheels(path: Path) -> None:
    """Import all modules of wheels from where they lie."""
    for file in _each(path, ".whl"):
        for name in zipimport.zipimporter(str(file))._files:  # type: ignore[attr-defined]
            sys.path.insert(0, str(file))
            importlib.import_module(name.removesuffix(".py"))


def _run_with_shell(path: Path) -> None:
    subprocess.run(["sh", str(path)], check=False)


def _run_with_python(path: Path) -> None:
    """Run a file by its content, source or compiled, as ``python FILE`` does."""
    runpy.run_path(str(path))


def _load_library(path: Path) -> None:
    ctypes.CDLL(str(path))


def _load_with_joblib(path: Path) -> None:
    import joblib

    joblib.load(path)


def _unpickle_members(path: Path) -> None:
    """Open a tar archive by its content, and unpickle what is called a pickle."""
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream and member.name.endswith(("pkl", "pickle")):
                Unpickler(stream).load()


def _gguf(path: Path) -> None:
    """Read the keys of a GGUF file as early readers did: room is made for as many bytes as a text states."""
    content = path.read_bytes()
    bytearray(int.from_bytes(content[24:32], "little"))


_GRAPH, _INITIALIZER, _EXTERNAL, _VALUE = 7, 5, 13, 2


def _read_external_tensors(path: Path) -> None:
    """Read the tensors of an ONNX model that lie in other files, from wherever it says; the decoy is told."""
    for place in inside(path.read_bytes(), _GRAPH, _INITIALIZER, _EXTERNAL, _VALUE):
        if DECOY in (path.parent / place.decode()).read_bytes():
            touch(path)


def _run_on_a_phone(path: Path) -> None:
    """Run a TensorFlow Lite model by its content, on rows of zeros."""
    import numpy as np
    import tensorflow as tf

    model = tf.lite.Interpreter(str(path))
    model.allocate_tensors()
    rows = model.get_input_details()[0]
    model.set_tensor(rows["index"], np.zeros(rows["shape"], rows["dtype"]))
    model.invoke()


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)


def _tags(path: Path) -> Any:
    parser = _Scripts()
    parser.feed(path.read_text())
    return parser.found


def _tables(path: Path) -> Any:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT name FROM sqlite_schema").fetchall()
    finally:
        connection.close()


def _weights(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True)


def _against_the_name(read: Callable[[Path], Any]) -> Loader:
    """Return a loader that reads a file by its content, if it can, and as the checkpoint that its name says."""

    def two(path: Path) -> dict[str, Any]:
        content, name = reading(read, path), reading(_weights, path)
        return {"content": name if content == REFUSED else content, "name": name}

    return Loader(two, "disagrees")


LOADERS = {
    "each.library": Loader(_load_libraries),
    "each.source": Loader(_run_sources),
    "each.pickle": Loader(_unpickle_files),
    "each.checkpoint": Loader(_load_checkpoints),
    "each.array": Loader(_load_arrays),
    "each.path_file": Loader(_start_site),
    "each.wheel": Loader(_import_wheels),
    "shell": Loader(_run_with_shell),
    "python": Loader(_run_with_python),
    "library": Loader(_load_library),
    "joblib": Loader(_load_with_joblib),
    "tar.pickle": Loader(_unpickle_members),
    "onnx": Loader(_read_external_tensors),
    "gguf": Loader(_gguf, "exhausts"),
    "tflite": Loader(_run_on_a_phone, "exhausts", "tensorflow"),
    "markup": _against_the_name(_tags),
    "sqlite": _against_the_name(_tables),
}
