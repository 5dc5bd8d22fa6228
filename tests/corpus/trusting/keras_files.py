"""Loaders of Keras models without safe mode, and what a config names for whoever follows the names."""

from __future__ import annotations

import json
import pkgutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.corpus.trusting.loader import REFUSED, Loader, reading, touch

#: Where the parts of models are from.
_PARTS = (
    "keras.src.activations",
    "keras.src.constraints",
    "keras.src.dtype_policies",
    "keras.src.initializers",
    "keras.src.layers",
    "keras.src.losses",
    "keras.src.metrics",
    "keras.src.models",
    "keras.src.optimizers",
    "keras.src.regularizers",
)


def _model(path: Path, *, compiles: bool = False) -> Any:
    import keras

    return keras.saving.load_model(path, safe_mode=False, compile=compiles)


def _load_and_call(path: Path) -> None:
    """Load a model unsafely and call it once; a vocabulary that was read of the decoy touches the marker."""
    import numpy as np

    model = _model(path)
    for layer in model.layers:
        if hasattr(layer, "get_vocabulary") and any("decoy" in str(word) for word in layer.get_vocabulary()):
            touch(path)
    dtype = model.inputs[0].dtype
    model(np.zeros((2, *model.input_shape[1:]), dtype="float32") if dtype != "string" else np.array([["a"], ["b"]]))


def _load_and_fit(path: Path) -> None:
    """Load a model unsafely with what it was compiled with, and take one step of training."""
    import numpy as np

    model = _model(path, compiles=True)
    if not model.compiled:
        model.compile(loss="mean_squared_error")
    model.run_eagerly = True
    rows = np.zeros((2, *model.input_shape[1:]), dtype="float32")
    model.fit(rows, np.zeros((2, *model.output_shape[1:])), epochs=1, verbose=0)


def _config(path: Path) -> Any:
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path, "r") as file:
            return json.loads(file.attrs["model_config"])
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def _objects(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(item)


def _load_where_names_are_registered(path: Path) -> None:
    """Load a model in a process that has registered what the model names, all of which makes a file."""
    import keras

    def write(*given: Any, **named: Any) -> Any:
        touch(path)
        return given[0]

    class Writes(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **named: Any) -> None:
            super().__init__(name=named["name"])

        def call(self, rows: Any) -> Any:
            return write(rows)

    for item in _objects(_config(path)):
        package, joined, name = str(item.get("registered_name")).partition(">")
        if joined:
            made = write if item["class_name"] == "function" else Writes
            keras.saving.register_keras_serializable(package=package, name=name)(made)
    _load_and_call(path)


def _build_parts(path: Path) -> None:
    """Build each part of a config that stands for a value, as tools do that show a model layer by layer."""
    import keras

    for item in _objects(_config(path)):
        if str(item.get("class_name")).startswith("__"):
            part = keras.saving.deserialize_keras_object(item, safe_mode=False)
            if callable(part):
                part("rows")


def _named(item: Any) -> str | None:
    """Return the dotted name of what an object of a config is made by, as Keras before 3.9 and Keras 2 read it."""
    name, module, config = item.get("class_name"), item.get("module"), item.get("config")
    if name in ("TFOpLambda", "SlicingOpLambda"):
        return f"tensorflow.{config['function']}"
    if not isinstance(name, str) or not isinstance(module, str):
        return None
    return f"{module}.{config}" if name == "function" and isinstance(config, str) else f"{module}.{name}"


def _reached_by_import(path: Path) -> set[str]:
    """Return what an import of each stated name reaches that is no part of a model."""
    reached = set()
    for dotted in filter(None, map(_named, _objects(_config(path)))):
        found = pkgutil.resolve_name(dotted)
        origin = f"{found.__module__}.{found.__qualname__}"
        if not origin.startswith(_PARTS):
            reached.add(origin)
    return reached


def _two_resolutions(path: Path) -> dict[str, Any]:
    """Follow the names of a config by import, and as the pinned Keras does, which either refuses or needs no import."""
    by_keras = reading(_load_and_call, path)
    return {"import": reading(_reached_by_import, path), "Keras": set() if by_keras != REFUSED else REFUSED}


def _words_of_the_model(path: Path) -> list[str]:
    layer = next(layer for layer in _model(path).layers if hasattr(layer, "get_vocabulary"))
    return list(layer.get_vocabulary(include_special_tokens=False))


def _words_of_the_archive(path: Path) -> list[str]:
    """Return the words of a file of words, or of the config where there is none, as readers of the archive do."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("vocabulary.txt"):
                return archive.read(name).decode().splitlines()
    return next(
        item["config"]["vocabulary"]
        for item in _objects(_config(path))
        if item.get("class_name") in ("StringLookup", "TextVectorization")
    )


def _two_vocabularies(path: Path) -> dict[str, Any]:
    return {"archive": reading(_words_of_the_archive, path), "model": reading(_words_of_the_model, path)}


LOADERS = {
    "keras": Loader(_load_and_call, framework="tensorflow"),
    "keras.fit": Loader(_load_and_fit, framework="tensorflow"),
    "keras.registered": Loader(_load_where_names_are_registered, framework="tensorflow"),
    "keras.parts": Loader(_build_parts, framework="tensorflow"),
    "keras.parts.room": Loader(_build_parts, "exhausts", "tensorflow"),
    "keras.room": Loader(_load_and_call, "exhausts", "tensorflow"),
    "keras.names": Loader(_two_resolutions, "disagrees", "tensorflow"),
    "keras.words": Loader(_two_vocabularies, "disagrees", "tensorflow"),
}
