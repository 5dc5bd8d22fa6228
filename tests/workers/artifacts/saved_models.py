"""SavedModels for tests: real exports in archives, and exports with one message changed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCEPTED = ("ART-03.saved_model",)


def tensorflow() -> Any:
    """Import TensorFlow as the workers do."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    return tensorflow


def packed(folder: Path, target: Path, *, root: str = "model/") -> Path:
    """Write a folder as an archive, as people do before they upload it."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, root + path.relative_to(folder).as_posix())
    return target


def unpacked(path: Path, folder: Path) -> Path:
    """Unpack an archive, to load it as TensorFlow would, and return where the model lies."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return next(folder.rglob("saved_model.pb")).parent


def exported(target: Path, call: Callable[[Any], Any], *, options: Any = None, **attributes: Any) -> Path:
    """Export a module whose one signature takes two numbers a row and does ``call``."""
    tf = tensorflow()
    module = tf.Module()
    module.weights = tf.Variable([[1.0, -1.0], [0.5, 2.0]], name="weights")
    for name, value in attributes.items():
        setattr(module, name, value)
    specification = tf.TensorSpec([None, 2], tf.float32, name="features")
    module.score = tf.function(
        lambda features: {"scores": call(features @ module.weights)}, input_signature=[specification]
    )
    folder = target.with_suffix("")
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.score}, options=options)
    return packed(folder, target)


def changed_message(source: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    """Copy a SavedModel with its one message changed by ``change``, which is given TensorFlow's object of it."""
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    def rewrite(content: bytes) -> bytes:
        document = saved_model_pb2.SavedModel()
        document.ParseFromString(content)
        change(document)
        return document.SerializeToString()

    return changed_entry(source, target, "saved_model.pb", rewrite)


def changed_entry(source: Path, target: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """Copy an archive with one entry changed, or left out where ``change`` gives None."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as out:
        for entry in archive.namelist():
            content: bytes | None = archive.read(entry)
            if entry.endswith(name):
                content = change(archive.read(entry))
            if content is not None:
                out.writestr(zipfile.ZipInfo(entry), content)
    return target


def added_entry(source: Path, target: Path, name: str, content: bytes) -> Path:
    """Copy an archive with one entry more."""
    target.write_bytes(source.read_bytes())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return target
