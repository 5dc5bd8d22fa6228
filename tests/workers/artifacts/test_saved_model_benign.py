"""What TensorFlow and Keras export is read, quarantined until accepted, and does the same after it was written anew."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.artifacts.saved_models import ACCEPTED, exported, packed, tensorflow, unpacked
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite


def rewritten(path: Path, target: Path) -> Path:
    """Inspect, accept and write anew."""
    inspection = inspect(path, filename=path.name)
    assert (inspection.verdict, inspection.format, inspection.framework) == ("quarantined", "saved_model", "keras")
    assert [finding.id for finding in inspection.findings] == ["ART-03.saved_model"]
    accepted = inspect(path, filename=path.name, accepted=ACCEPTED)
    assert accepted.verdict == "registered"
    rewrite(path, accepted, target)
    return target


def answers(path: Path, folder: Path, rows: dict[str, Any], signature: str = "serving_default") -> dict[str, Any]:
    tf = tensorflow()
    loaded = tf.saved_model.load(str(unpacked(path, folder)))
    given = {name: tf.constant(array) for name, array in rows.items()}
    return {name: tensor.numpy() for name, tensor in loaded.signatures[signature](**given).items()}


def check_the_same(path: Path, rows: dict[str, Any], tmp_path: Path, signature: str = "serving_default") -> None:
    copy = rewritten(path, tmp_path / "copy.saved_model")
    before = answers(path, tmp_path / "before", rows, signature)
    after = answers(copy, tmp_path / "after", rows, signature)
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def keras_models() -> dict[str, Callable[[Any], tuple[Any, tuple[int, ...]]]]:
    return {
        "dense": lambda k: (
            k.Sequential([k.Input((4,)), k.layers.Dense(8, "relu"), k.layers.BatchNormalization(),
                          k.layers.Dropout(0.1), k.layers.Dense(3, "softmax")]), (4,)),
        "recurrent": lambda k: (k.Sequential([k.Input((5, 3)), k.layers.LSTM(4), k.layers.Dense(2)]), (5, 3)),
        "convolution": lambda k: (
            k.Sequential([k.Input((8, 8, 1)), k.layers.Conv2D(3, 3, activation="gelu"), k.layers.MaxPooling2D(),
                          k.layers.GlobalAveragePooling2D(), k.layers.Dense(2)]), (8, 8, 1)),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(keras_models()))
def test_a_keras_export_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    tensorflow()
    import keras

    model, shape = keras_models()[name](keras)
    model.export(str(tmp_path / "model"), verbose=False)
    path = packed(tmp_path / "model", tmp_path / "model.zip", root="")
    rows = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    check_the_same(path, {model.inputs[0].name: rows}, tmp_path)


def test_attention_in_mixed_precision_gives_the_same_numbers(tmp_path: Path) -> None:
    tensorflow()
    import keras

    inputs = keras.Input((6, 8), name="steps")
    hidden = keras.layers.MultiHeadAttention(2, 4, dtype="mixed_float16")(inputs, inputs)
    answer = keras.layers.Dense(2, dtype="float32")(keras.layers.GlobalAveragePooling1D()(hidden))
    keras.Model(inputs, answer).export(str(tmp_path / "model"), verbose=False)
    path = packed(tmp_path / "model", tmp_path / "model.zip")
    check_the_same(path, {"steps": np.ones((2, 6, 8), "float32")}, tmp_path)


@pytest.fixture(scope="module")
def rich_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Control flow, a gradient of its own, a constant, a vocabulary, tables, texts and two signatures."""
    tf = tensorflow()
    folder = tmp_path_factory.mktemp("rich")
    (folder / "words.txt").write_text("no\nyes\n")

    class Rich(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.weights = tf.Variable([[1.0, -1.0], [0.5, 2.0]])
            self.names = tf.Variable(["no", "yes"])
            self.constant = tf.constant([1.0, 2.0])
            initializer = tf.lookup.TextFileInitializer(
                str(folder / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )  # fmt: skip
            self.words = tf.lookup.StaticHashTable(initializer, -1)
            self.counts = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
            self.counts.insert(tf.constant(["yes"]), tf.constant([3], tf.int64))

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])  # type: ignore[untyped-decorator]
        def score(self, features: Any) -> Any:
            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def squared(value: Any) -> Any:
                return value * value, lambda upstream: upstream * 2 * value

            hidden = squared(features @ self.weights)
            for _ in tf.range(3):
                hidden = hidden + 1.0 if tf.reduce_sum(hidden) > 0 else hidden - 1.0
            sums = tf.map_fn(tf.reduce_sum, hidden)
            return {"scores": hidden + self.constant + sums[:, None]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def look_up(self, words: Any) -> Any:
            return {"numbers": self.words.lookup(words), "counts": self.counts.lookup(words)}

    module = Rich()
    signatures = {"serving_default": module.score, "look_up": module.look_up}
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(folder / "model"), signatures=signatures, options=options)
    return packed(folder / "model", folder / "rich.zip")


def test_a_module_gives_the_same_numbers_with_its_functions_and_its_gradients(
    rich_module: Path, tmp_path: Path
) -> None:
    check_the_same(rich_module, {"features": np.array([[1.0, 2.0], [-3.0, 0.5]], "float32")}, tmp_path)


def test_a_vocabulary_and_tables_come_along(rich_module: Path, tmp_path: Path) -> None:
    rows = {"words": np.array(["yes", "no", "what"])}
    check_the_same(rich_module, rows, tmp_path, "look_up")
    found = answers(tmp_path / "copy.saved_model", tmp_path / "again", rows, "look_up")
    assert found["numbers"].tolist() == [1, 0, -1]
    assert found["counts"].tolist() == [3, 0, 0]


def test_the_copy_cannot_write_checkpoints_and_has_no_other_graph(rich_module: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    copy = rewritten(rich_module, tmp_path / "copy.saved_model")
    with zipfile.ZipFile(copy) as archive:
        names = archive.namelist()
        document = saved_model_pb2.SavedModel.FromString(archive.read("saved_model.pb"))
    assert sorted(names) == [
        "assets/words.txt", "saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index",
    ]  # fmt: skip
    (graph,) = document.meta_graphs
    assert not graph.signature_def
    assert not graph.HasField("saver_def")
    assert {node.op for node in graph.graph_def.node} == {"Const"}
    operators = {node.op for function in graph.graph_def.library.function for node in function.node_def}
    assert "MatMul" in operators
    assert not operators & {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}


def test_the_same_upload_gives_the_same_copy(rich_module: Path, tmp_path: Path) -> None:
    first = rewritten(rich_module, tmp_path / "first.saved_model").read_bytes()
    assert first == rewritten(rich_module, tmp_path / "second.saved_model").read_bytes()
    twice = rewritten(tmp_path / "first.saved_model", tmp_path / "twice.saved_model")
    assert twice.read_bytes() == first


def test_a_model_without_variables_has_no_checkpoint_to_read(tmp_path: Path) -> None:
    tf = tensorflow()

    module = tf.Module()
    module.double = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.double)
    path = packed(tmp_path / "model", tmp_path / "model.zip")
    check_the_same(path, {"x": np.ones((2, 2), "float32")}, tmp_path)


def test_text_that_looks_like_code_is_text(tmp_path: Path) -> None:
    tf = tensorflow()
    odd = tf.Variable(["WriteFile('/etc/passwd')", "__import__('os').system('x')"])
    path = exported(tmp_path / "odd.zip", lambda scores: tf.nn.softmax(scores), odd=odd)
    check_the_same(path, {"features": np.ones((2, 2), "float32")}, tmp_path)


def test_it_comes_in_a_tar_archive_too(rich_module: Path, tmp_path: Path) -> None:
    folder = unpacked(rich_module, tmp_path / "folder")
    path = tmp_path / "model.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(folder, "model")
    copy = rewritten(path, tmp_path / "copy.saved_model")
    assert copy.read_bytes() == rewritten(rich_module, tmp_path / "of_the_zip.saved_model").read_bytes()
