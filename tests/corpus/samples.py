"""``python -m tests.corpus.samples FRAMEWORK FOLDER``: real exports, of which the corpus changes copies.

What would write or read a file of the host names a placeholder, as long as any path here may become: a case puts the
padded path of its own folder there, byte for byte.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LENGTH = 240
#: The file that a payload makes, and the one that it reads.
MARKER = "/@MARKER@".ljust(_LENGTH, "M")
DECOY = "/@DECOY@".ljust(_LENGTH, "D")


def padded(path: Path) -> str:
    """Return the same path, written with as many characters as a placeholder has."""
    head, name = str(path.parent) + "/", path.name
    missing = _LENGTH - len(head) - len(name)
    if missing < 0:
        raise ValueError(f"The path {path} is longer than {_LENGTH} characters.")
    return head + "./" * (missing // 2) + "/" * (missing % 2) + name


def make(folder: Path) -> None:
    """Write the samples of both frameworks, each in a process of its own."""
    for framework in ("torch", "tensorflow"):
        command = [sys.executable, "-m", "tests.corpus.samples", framework, str(folder)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})


# ---------------------------------------------------------------------------------------------------- torch
def _make_torch(folder: Path) -> None:
    import torch

    from tests import tiny_models
    from tests.corpus import compiled_objects, ordinary

    ordinary.save_with_torch(folder)
    tiny_models.mlp(folder / "model.pt2", dropout=0.1, batch_normalisation=True)
    compiled_objects.save(folder)
    with warnings.catch_warnings():
        # torch 2.13 says of every use of TorchScript that torch.export comes after it.
        warnings.simplefilter("ignore")
        for name, module in _scripts(torch).items():
            torch.jit.save(torch.jit.script(module), str(folder / f"script_{name}.pt"))


def _scripts(torch: Any) -> dict[str, Any]:
    from tests.corpus import scripts

    return {name: getattr(scripts, name)() for name in scripts.NAMES}


# ----------------------------------------------------------------------------------------------- TensorFlow
def _make_tensorflow(folder: Path) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    from tests import tiny_models
    from tests.corpus import ordinary

    ordinary.save_with_keras(folder)
    path = tiny_models.mlp(folder / "model.keras", dropout=0.1, batch_normalisation=True)
    tiny_models.linear_classifier(folder / "linear.keras", weights=np.ones((4, 2), "float32"))
    model = keras.saving.load_model(path)
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.h5")
    words = keras.Input((1,), dtype="string", name="words")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], name="lookup")
    scores = keras.layers.Dense(2, name="scores")(keras.layers.Embedding(4, 3, name="vectors")(lookup(words)))
    keras.Model(words, scores).save(folder / "lookup.keras")
    keras.Model(words, scores).save(folder / "lookup.h5")
    doubled = keras.layers.Lambda(lambda rows: rows * 2, name="doubled")
    rows = keras.Input((4,), name="rows")
    keras.Model(rows, keras.layers.Dense(2)(doubled(rows))).save(folder / "lambda.keras")
    code = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda rows: rows * 2, name="doubled")])
    code.save(folder / "lambda.h5")
    for name, size in (("large", 2**15), ("small", 2)):
        (folder / f"{name}.tflite").write_bytes(_mobile(tf, size))
    for name, body in _graphs(tf).items():
        module = _module(tf, body, has_variables=name != "stateless")
        tf.saved_model.save(module, str(folder / f"graph_{name}"), signatures={"serving_default": module.serve})


def _mobile(tf: Any, size: int) -> bytes:
    """Return a TensorFlow Lite model that answers with a square of so many rows and columns."""

    def square(rows: Any) -> Any:
        # That the size hangs on the rows keeps the converter from making the square itself.
        return tf.fill((tf.cast(rows[0, 0], tf.int32) + size, size), rows[0, 0])

    function = tf.function(square, input_signature=[tf.TensorSpec((2, 4), tf.float32)], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    return bytes(converter.convert())


def _module(tf: Any, body: Callable[[Any], Any], *, has_variables: bool) -> Any:
    module = tf.Module()
    module.weight = tf.Variable(tf.ones((4, 2))) if has_variables else tf.ones((4, 2))

    def serve(rows: Any) -> dict[str, Any]:
        return {"answer": tf.matmul(rows, module.weight), **(body(rows) or {})}

    module.serve = tf.function(
        serve, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="rows")], autograph=False
    )
    return module


def _graphs(tf: Any) -> dict[str, Callable[[Any], Any]]:
    """Return what the serving function of each SavedModel does beside its work."""
    raw = tf.raw_ops

    def in_a_function(rows: Any) -> None:
        @tf.function
        def traced_save() -> None:
            # Exempt in scanners that go by the name of a function.
            tf.io.write_file(MARKER, "x")

        traced_save()

    def in_two_functions(rows: Any) -> None:
        @tf.function
        def inner() -> None:
            tf.io.write_file(MARKER, "x")

        @tf.function
        def outer() -> None:
            inner()

        outer()

    def in_a_loop(rows: Any) -> None:
        def body(count: Any) -> Any:
            tf.io.write_file(MARKER, "x")
            return count + 1

        tf.while_loop(lambda count: count < 1, body, [tf.shape(rows)[0] * 0])

    def in_a_branch(rows: Any) -> None:
        def write() -> Any:
            tf.io.write_file(MARKER, "x")
            return tf.constant(1)

        tf.cond(tf.shape(rows)[0] > 0, write, lambda: tf.constant(0))

    def save(rows: Any) -> Any:
        # TensorFlow would leave it out of the signature where no output hangs on it.
        written = raw.SaveV2(prefix=MARKER, tensor_names=["a"], shape_and_slices=[""], tensors=[rows])
        with tf.control_dependencies([written]):
            return {"saved": tf.identity(rows)}

    def records(rows: Any) -> None:
        data = tf.data.Dataset.from_tensor_slices(["a"])
        raw.DatasetToTFRecord(input_dataset=data._variant_tensor, filename=MARKER, compression_type="")

    def summary(rows: Any) -> None:
        writer = raw.SummaryWriter(shared_name="", container="")
        raw.CreateSummaryFileWriter(writer=writer, logdir=MARKER, max_queue=1, flush_millis=1, filename_suffix="x")

    def immutable(rows: Any) -> Any:
        return {"read": raw.ImmutableConst(dtype=tf.float32, shape=(8,), memory_region_name=DECOY)}

    return {
        "plain": lambda rows: None,
        "write": lambda rows: tf.io.write_file(MARKER, "x") and None,
        "stateless": lambda rows: tf.io.write_file(MARKER, "x") and None,
        "function": in_a_function,
        "functions": in_two_functions,
        "loop": in_a_loop,
        "branch": in_a_branch,
        "print": lambda rows: tf.print("x", output_stream=f"file://{MARKER}") and None,
        "save": save,
        "records": records,
        "summary": summary,
        "read": lambda rows: {"read": tf.io.read_file(DECOY)},
        "lines": lambda rows: {"read": tf.data.TextLineDataset(DECOY).reduce("", tf.add)},
        "memory": lambda rows: {"made": tf.fill((2**15 + tf.cast(rows[0, 0], tf.int32), 2**15), rows[0, 0])},
        "list": lambda rows: {"read": tf.io.matching_files(DECOY)},
        "immutable": immutable,
        "python": lambda rows: {"made": tf.py_function(lambda: 1.0, [], tf.float32)},
    }


if __name__ == "__main__":
    {"torch": _make_torch, "tensorflow": _make_tensorflow}[sys.argv[1]](Path(sys.argv[2]))
