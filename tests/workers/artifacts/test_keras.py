"""A ``.keras`` is refused for anything that is not Keras' own, by layer; a benign one survives the rewriting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.workers.artifacts.crafting import changed, changed_json, read_entries
from tests.workers.artifacts.keras_models import keras
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import Inspection, inspect
from workers.artifacts.rewrite import rewrite

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def inspected(path: Path) -> Inspection:
    return inspect(path, filename=path.name)


def finding_of(path: Path, verdict: str = "rejected") -> Finding:
    inspection = inspected(path)
    assert inspection.verdict == verdict
    return inspection.findings[0]


def layer(document: Any, name: str = "hidden_0") -> Any:
    return next(entry for entry in document["config"]["layers"] if entry["config"]["name"] == name)


def dense_chain() -> Any:
    k = keras()
    model = k.Sequential(
        [
            k.Input((5,)),
            k.layers.Normalization(mean=[0.0] * 5, variance=[1.0] * 5),
            k.layers.Dense(4, activation="relu", kernel_regularizer="l2", kernel_constraint=k.constraints.MaxNorm(2)),
            k.layers.BatchNormalization(),
            k.layers.Dropout(0.1),
            k.layers.Dense(3, activation=k.activations.softmax, kernel_initializer="he_normal"),
        ]
    )
    model.compile(
        k.optimizers.Adam(k.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)),
        loss=k.losses.sparse_categorical_crossentropy,
        metrics=["accuracy", k.metrics.AUC(), k.metrics.sparse_categorical_accuracy],
    )
    return model


def residual_images() -> Any:
    k = keras()
    image = k.Input((8, 8, 1))
    hidden = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv2D(4, 3, padding="same")(image)))
    hidden = k.layers.Add()([k.layers.Conv2D(4, 3, padding="same")(hidden), hidden])
    model = k.Model(image, k.layers.Dense(10)(k.layers.GlobalAveragePooling2D()(hidden)))
    model.compile("sgd", k.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def sequences() -> Any:
    k = keras()
    tokens = k.Input((6,), dtype="int32")
    hidden = k.layers.Embedding(30, 8, mask_zero=True)(tokens)
    hidden = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True))(hidden)
    hidden = k.layers.GRU(8, return_sequences=True)(hidden)
    hidden = k.layers.MultiHeadAttention(2, 4)(hidden, hidden) + hidden
    hidden = k.layers.TimeDistributed(k.layers.Dense(4))(k.layers.LayerNormalization()(hidden))
    return k.Model(tokens, k.layers.Dense(2)(hidden[:, -1]))


def two_inputs() -> Any:
    k = keras()
    user, item = k.Input((), dtype="int32", name="user"), k.Input((), dtype="int32", name="item")
    joined = k.layers.Concatenate()([k.layers.Embedding(10, 4)(user), k.layers.Embedding(20, 4)(item)])
    hidden = k.layers.Dense(8, activation="gelu", dtype="bfloat16")(joined)
    model = k.Model([user, item], k.layers.Dense(1, activation="sigmoid")(k.ops.relu(hidden)))
    model.compile("adamw", "binary_crossentropy", weighted_metrics=["accuracy"])
    return model


@pytest.mark.parametrize("build", [dense_chain, residual_images, sequences, two_inputs])
def test_a_benign_model_survives_the_rewriting(build: Callable[[], Any], tmp_path: Path) -> None:
    k = keras()
    source, target = tmp_path / "source.keras", tmp_path / "rewritten.keras"
    build().save(source)
    inspection = inspected(source)
    assert inspection.findings == ()
    rewrite(source, inspection, target)
    original, rewritten = (k.saving.load_model(path, safe_mode=True, compile=False) for path in (source, target))
    generator = np.random.default_rng(1)
    rows = [generator.integers(0, 9, (5, *spec.shape[1:])).astype(spec.dtype) for spec in original.inputs]
    rows = rows if len(rows) > 1 else rows[0]
    answers = [np.asarray(k.ops.convert_to_numpy(model(rows))) for model in (original, rewritten)]
    assert np.array_equal(*answers)
    assert [w.path for w in original.weights] == [w.path for w in rewritten.weights]


def test_the_same_content_gives_the_same_bytes_at_any_time(keras_file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    rewrite(keras_file, inspected(keras_file), first)
    time.sleep(1.1)  # HDF5 keeps times in whole seconds
    rewrite(first, inspected(first), second)
    assert second.read_bytes() == first.read_bytes()


def test_the_rewritten_file_holds_three_entries_and_no_date(keras_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "rewritten.keras"
    rewrite(keras_file, inspected(keras_file), target)
    entries = read_entries(target)
    assert list(entries) == ["metadata.json", CONFIG, WEIGHTS]
    assert json.loads(entries["metadata.json"])["date_saved"] == "1980-01-01@00:00:00"


def test_a_lambda_layer_is_rejected_with_its_name(tmp_path: Path) -> None:
    k = keras()
    inputs = k.Input((3,))
    model = k.Model(inputs, k.layers.Lambda(lambda rows: rows * 2, name="doubling")(inputs))
    model.save(tmp_path / "lambda.keras")
    finding = finding_of(tmp_path / "lambda.keras")
    assert (finding.id, finding.severity) == ("ART-01.lambda", "critical")
    assert "'doubling' is a Lambda layer: it carries Python code" in finding.detail
    assert finding.place.endswith("/doubling")


def test_a_lambda_layer_inside_other_layers_is_found(tmp_path: Path) -> None:
    k = keras()
    inner = k.Sequential([k.Input((3,)), k.layers.Lambda(lambda rows: rows * 2, name="hidden")], name="inner")
    inputs = k.Input((4, 3))
    k.Model(inputs, k.layers.TimeDistributed(inner)(inputs)).save(tmp_path / "nested.keras")
    finding = finding_of(tmp_path / "nested.keras")
    assert finding.id == "ART-01.lambda"
    assert "/inner" in finding.place
    assert finding.place.endswith("/hidden")


def test_a_custom_registered_layer_is_rejected(tmp_path: Path) -> None:
    k = keras()

    @k.saving.register_keras_serializable(package="tests")
    class Doubling(k.layers.Layer):
        def call(self, rows: Any) -> Any:
            return rows * 2

    inputs = k.Input((3,))
    k.Model(inputs, Doubling(name="mine")(inputs)).save(tmp_path / "custom.keras")
    finding = finding_of(tmp_path / "custom.keras")
    assert finding.id == "ART-01.keras_class"
    assert "'Doubling'" in finding.detail
    assert finding.place.endswith("/mine")


def replaced(**parts: Any) -> Callable[[Any], None]:
    return lambda document: layer(document).update(parts)


def configured(**parts: Any) -> Callable[[Any], None]:
    return lambda document: layer(document)["config"].update(parts)


FUNCTION = {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}


@pytest.mark.parametrize(
    ("change", "identifier", "place"),
    [
        (replaced(module="os", class_name="system"), "ART-01.keras_class", "/hidden_0"),
        (replaced(module="keras.src.saving.saving_lib"), "ART-01.keras_class", "/hidden_0"),
        (replaced(module="keras.layers.Dense"), "ART-01.keras_class", "/hidden_0"),
        (replaced(module=None), "ART-01.keras_class", "/hidden_0"),
        (replaced(module="tf_keras.layers"), "ART-01.keras_class", "/hidden_0"),
        (replaced(registered_name="package>Dense"), "ART-01.keras_class", "/hidden_0"),
        (replaced(class_name="TFSMLayer"), "ART-01.lambda", "/hidden_0"),
        (replaced(class_name="TorchModuleWrapper"), "ART-01.lambda", "/hidden_0"),
        (replaced(class_name=["Dense"]), "ART-01.keras_class", "/hidden_0"),
        (replaced(surprise=1), "ART-02.schema", "/hidden_0"),
        (replaced(config=None), "ART-02.schema", "layers[1]"),
        (replaced(build_config={"input_shape": "code"}), "ART-02.schema", "/hidden_0.build_config"),
        (configured(activation="exec"), "ART-01.keras_function", "/hidden_0.activation"),
        (configured(activation="package>mine"), "ART-01.keras_function", "/hidden_0.activation"),
        (configured(activation=FUNCTION), "ART-01.keras_function", "/hidden_0.activation"),
        (configured(activation={**FUNCTION, "module": "os"}), "ART-01.keras_function", "/hidden_0.activation"),
        (configured(activation=LAMBDA), "ART-01.lambda", "/hidden_0.activation"),
        (configured(kernel_initializer="mine"), "ART-01.keras_function", "/hidden_0.kernel_initializer"),
        (configured(anything=[{"deep": LAMBDA}]), "ART-01.lambda", "/hidden_0.anything[0].deep"),
        (
            configured(anything={"class_name": "__typespec__", "config": [], "module": "os", "spec_name": "x"}),
            "ART-01.keras_class",
            "/hidden_0.anything",
        ),
        (
            configured(anything={"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}),
            "ART-02.schema",
            "/hidden_0.anything",
        ),
        (lambda document: document.update(compile_config={"loss": LAMBDA}), "ART-01.lambda", "compile_config.loss"),
        (
            lambda document: document.update(compile_config={"loss": "mine"}),
            "ART-01.keras_function",
            "compile_config.loss",
        ),
        (
            lambda document: document.update(compile_config={"metrics": [["accuracy", "mine"]]}),
            "ART-01.keras_function",
            "compile_config.metrics[0][1]",
        ),
        (lambda document: document.update(compile_config={"surprise": 1}), "ART-02.schema", "compile_config"),
        (lambda document: document.update(class_name="MyModel"), "ART-02.schema", "config.json"),
        (
            lambda document: layer(document, "features")["config"].update(batch_shape=[32, 4]),
            "SIG-01.batch",
            "/features",
        ),
        (
            lambda document: layer(document, "features")["config"].update(batch_shape=[None, None]),
            "SIG-01.shape",
            "/features",
        ),
    ],
)
def test_a_config_that_names_something_else_is_rejected_with_the_layer(
    keras_file: Path, tmp_path: Path, change: Callable[[Any], None], identifier: str, place: str
) -> None:
    finding = finding_of(changed_json(keras_file, tmp_path / "hostile.keras", CONFIG, change))
    assert finding.id == identifier
    assert finding.place.endswith(place)


def test_a_keras_class_that_is_not_listed_is_quarantined(keras_file: Path, tmp_path: Path) -> None:
    path = changed_json(keras_file, tmp_path / "new.keras", CONFIG, replaced(class_name="FeatureSpace"))
    finding = finding_of(path, "quarantined")
    assert finding.id == "ART-03.keras_class"
    assert "keras.layers.FeatureSpace" in finding.detail


def test_every_listed_class_is_one_that_keras_itself_has() -> None:
    import importlib

    from workers.artifacts.keras.names import CLASSES

    keras()
    for module, name in sorted(CLASSES):
        found = getattr(importlib.import_module(module), name, None)
        assert isinstance(found, type), f"{module}.{name}"
        assert found.__module__.startswith("keras.src."), f"{module}.{name}"


@pytest.mark.parametrize(
    ("changes", "identifier", "place"),
    [
        ({"assets/words.txt": b"x"}, "ART-02.unknown_entry", "assets/words.txt"),
        ({"code.py": b"x"}, "ART-02.unknown_entry", "code.py"),
        ({"model.weights.npz": b"x"}, "ART-02.unknown_entry", "model.weights.npz"),
        ({WEIGHTS: None}, "ART-02.missing_entry", WEIGHTS),
        ({CONFIG: b'{"a": 1, "a": 2}'}, "ART-02.json", CONFIG),
        ({CONFIG: b"[" * 100_000}, "ART-02.json", CONFIG),
        ({"metadata.json": b'{"keras_version": "2.15.0"}'}, "ART-02.schema", "metadata.json"),
        ({WEIGHTS: b"not HDF5"}, "ART-02.truncated", f"{WEIGHTS}: / (byte 0)"),
        ({WEIGHTS: b"not HDF5" + bytes(100)}, "ART-02.hdf5", f"{WEIGHTS}: / (byte 0)"),
        ({WEIGHTS: b"\x89HDF\r\n\x1a\n" + bytes(100)}, "ART-02.hdf5_structure", f"{WEIGHTS}: / (byte 8)"),
    ],
)
def test_entries_that_do_not_belong_or_are_damaged(
    keras_file: Path, tmp_path: Path, changes: dict[str, bytes | None], identifier: str, place: str
) -> None:
    finding = finding_of(changed(keras_file, tmp_path / "odd.keras", changes))
    assert (finding.id, finding.place) == (identifier, place)


def attribute(file: Any) -> None:
    file.attrs["code"] = np.arange(3)


def soft_link(file: Any) -> None:
    file["link"] = h5py.SoftLink("/layers")


@pytest.mark.parametrize(("change", "words"), [(soft_link, "soft link"), (attribute, "attribute 'code'")])
def test_weights_that_are_more_than_arrays_are_rejected(
    keras_file: Path, tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(read_entries(keras_file)[WEIGHTS])
    with h5py.File(weights, "a") as file:
        change(file)
    finding = finding_of(changed(keras_file, tmp_path / "hostile.keras", {WEIGHTS: weights.read_bytes()}))
    assert finding.id == "ART-02.hdf5"
    assert words in finding.detail
    assert finding.place.startswith(f"{WEIGHTS}: /")


def test_damaged_weights_with_a_right_checksum_are_a_finding_or_read(keras_file: Path, tmp_path: Path) -> None:
    weights = read_entries(keras_file)[WEIGHTS]
    generator = np.random.default_rng(11)
    verdicts = set()
    for number in range(150):
        damaged = bytearray(weights)
        for offset in generator.integers(0, len(weights), 1):
            damaged[offset] ^= int(generator.integers(1, 256))
        path = changed(keras_file, tmp_path / f"{number}.keras", {WEIGHTS: bytes(damaged)})
        verdicts.add(inspected(path).verdict)
    assert verdicts == {"registered", "rejected"}
