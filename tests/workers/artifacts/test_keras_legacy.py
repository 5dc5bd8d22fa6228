"""Legacy ``.h5`` models: what Keras 2 and 3 wrote is taken, what names anything else is refused, with its place.

Keras 2 is not installed; its files are made as it made them, by the layout of its ``save_model_to_hdf5``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.workers.artifacts.hdf5_files import as_h5py_reads
from tests.workers.artifacts.keras_models import adapted_lookups, keras
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite
from workers.frameworks.loading import load_model

KERNEL, BIAS = np.array([[1.0, -1.0], [0.5, 2.0]], "float32"), np.array([0.25, -0.5], "float32")


def initializer(name: str) -> dict[str, Any]:
    return {"class_name": name, "config": {}}


#: A dense layer as Keras 2.4 wrote it: no modules, the shape of the input on the first layer.
DENSE = {
    "class_name": "Dense",
    "config": {
        "name": "dense",
        "trainable": True,
        "batch_input_shape": [None, 2],
        "dtype": "float32",
        "units": 2,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": initializer("GlorotUniform"),
        "bias_initializer": initializer("Zeros"),
        "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.01}},
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    },
}
INPUT = {
    "class_name": "InputLayer",
    "config": {"batch_input_shape": [None, 2], "dtype": "float32", "sparse": False, "ragged": False, "name": "rows"},
}
MODEL = {"class_name": "Sequential", "config": {"name": "sequential", "layers": [INPUT, DENSE]}}
TRAINING = {
    "loss": "categorical_crossentropy",
    "metrics": ["accuracy"],
    "weighted_metrics": None,
    "loss_weights": None,
    "sample_weight_mode": None,
    "optimizer_config": {"class_name": "Adam", "config": {"name": "Adam", "learning_rate": 0.001, "decay": 0.0}},
}


def write_keras_2(path: Path, model: Any = MODEL, training: Any = TRAINING) -> Path:
    """Write a model of one dense layer with h5py, as Keras 2 did: lists of texts of one size, times of arrays."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.4.0", b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"dense"])
        weights.attrs["backend"], weights.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        layer = weights.create_group("dense")
        layer.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
        layer.create_dataset("dense/kernel:0", data=KERNEL, track_times=True)
        layer.create_dataset("dense/bias:0", data=BIAS, track_times=True)
        state = file.create_group("optimizer_weights")
        state.attrs["weight_names"] = np.array([b"Adam/iter:0"])
        state["Adam/iter:0"] = np.int64(3)
    return path


def finding_of(path: Path) -> Finding:
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict == "rejected"
    return inspection.findings[0]


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")
def test_a_model_of_keras_2_is_taken_and_answers_as_its_weights_say(tmp_path: Path) -> None:
    source, target = write_keras_2(tmp_path / "model.h5"), tmp_path / "rewritten.h5"
    inspection = inspect(source, filename="model.h5")
    assert (inspection.findings, inspection.format) == ((), "h5")
    rewrite(source, inspection, target)
    model = load_model(target, framework="keras", signature=None, device="cpu", seed=0)
    rows = np.array([[1.0, 2.0], [-1.0, 0.5]], "float32")
    assert np.allclose(model.forward({model.signature.inputs[0].name: rows}), rows @ KERNEL + BIAS, atol=1e-6)


def test_compile_settings_and_the_state_of_the_optimizer_are_left_out(tmp_path: Path) -> None:
    source, target = write_keras_2(tmp_path / "model.h5"), tmp_path / "rewritten.h5"
    rewrite(source, inspect(source, filename="model.h5"), target)
    members = as_h5py_reads(target.read_bytes())
    assert set(members[""]) == {"model_config", "keras_version", "backend"}
    assert {path for path in members if path.count("/") == 1} == {"/model_weights"}


def test_settings_that_keras_3_no_longer_reads_are_left_out_where_they_say_nothing(tmp_path: Path) -> None:
    k = keras()
    rows = k.Input((5, 2))
    convolved = k.layers.DepthwiseConv1D(2)(k.layers.LSTM(3, return_sequences=True)(rows))
    k.Model(rows, convolved).save(tmp_path / "new.h5")
    source, target = tmp_path / "old.h5", tmp_path / "rewritten.h5"

    def written(time_major: bool) -> Path:
        source.write_bytes((tmp_path / "new.h5").read_bytes())
        with h5py.File(source, "r+") as file:
            config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["time_major"] = time_major
        config["config"]["layers"][2]["config"]["groups"] = 1
        with h5py.File(tmp_path / "new.h5") as new, h5py.File(source, "w") as file:
            new.copy("model_weights", file)
            file.attrs.update({name: value for name, value in new.attrs.items() if name != "model_config"})
            file.attrs["model_config"] = json.dumps(config)
        return source

    inspection = inspect(written(False), filename="old.h5")
    assert inspection.findings == ()
    rewrite(source, inspection, target)
    assert k.saving.load_model(target, compile=False).count_params() > 0
    assert "LSTM has no setting 'time_major'" in finding_of(written(True)).detail


def changed(change: Callable[[Any], None]) -> Any:
    """Return the model with its dense layer changed."""
    model = copy.deepcopy(MODEL)
    change(model["config"]["layers"][1])
    return model


def configured(**settings: Any) -> Callable[[Any], None]:
    return lambda layer: layer["config"].update(settings)


def replaced(**parts: Any) -> Callable[[Any], None]:
    return lambda layer: layer.update(parts)


NEW = {"module": "os", "class_name": "system", "config": {"command": "id"}, "registered_name": None}


@pytest.mark.parametrize(
    ("change", "identifier", "place"),
    [
        # What stands in the namespace of keras.layers beside the layers: functions and modules.
        (replaced(class_name="deserialize", config={"config": NEW}), "ART-01.keras_class", "layers[1]"),
        (replaced(class_name="serialization_lib"), "ART-01.keras_class", "/dense"),
        (replaced(class_name="Layer"), "ART-01.keras_class", "/dense"),
        (replaced(class_name="Lambda", config={"name": "l", "function": ["4wAA", None, None]}), "ART-01.lambda", "/l"),
        (replaced(class_name="TFOpLambda", config={"name": "op", "function": "io.write_file"}), "ART-01.k", "/op"),
        (replaced(class_name="SlicingOpLambda"), "ART-01.keras_class", "/dense"),
        (replaced(class_name="Custom>Mine"), "ART-01.keras_class", "/dense"),
        (replaced(class_name=7), "ART-01.keras_class", "/dense"),
        (replaced(module="os", class_name="system"), "ART-01.keras_class", "/dense"),
        (replaced(module=None), "ART-01.keras_class", "/dense"),
        (replaced(registered_name="package>Dense"), "ART-01.keras_class", "/dense"),
        (replaced(config=[]), "ART-02.schema", "layers[1]"),
        (replaced(__passive_serialization__=True), "ART-02.schema", "/dense"),
        (configured(kernel_initializer=initializer("Dense")), "ART-01.keras_class", "kernel_initializer"),
        (configured(kernel_initializer=initializer("deserialize")), "ART-01.keras_class", "kernel_initializer"),
        (configured(kernel_initializer={**NEW, "class_name": "Zeros"}), "ART-01.keras_class", "kernel_initializer"),
        (configured(activation="deserialize"), "ART-01.keras_function", ".activation"),
        (configured(activation="Custom>mine"), "ART-01.keras_function", ".activation"),
        (configured(units={"class_name": "TypeSpec", "type_spec": "x", "serialized": []}), "ART-01.k", ".units"),
        (configured(units={"class_name": "CompositeTensor", "spec": 1, "tensors": []}), "ART-01.k", ".units"),
        (configured(units={"class_name": "__tuple__", "items": [1]}), "ART-01.keras_class", ".units"),
        (configured(units={"class_name": "__lambda__", "config": {"value": "4wEA"}}), "ART-01.lambda", ".units"),
        (configured(vocabulary="/etc/passwd"), "ART-02.schema", ".vocabulary"),
        (replaced(class_name="Bidirectional", config={"layer": NEW}), "ART-01.keras_class", ".layer"),
        (replaced(class_name="StringLookup", config={"vocabulary": "/x"}), "ART-01.file_name", ".vocabulary"),
    ],
)
def test_a_config_that_names_something_else_is_refused(
    tmp_path: Path, change: Callable[[Any], None], identifier: str, place: str
) -> None:
    finding = finding_of(write_keras_2(tmp_path / "hostile.h5", changed(change)))
    assert finding.id.startswith(identifier)
    assert finding.place.startswith("model_config")
    assert finding.place.endswith(place)


@pytest.mark.parametrize(
    ("change", "identifier"),
    [
        ({"loss": "mine"}, "ART-01.keras_function"),
        ({"loss": {"class_name": "deserialize", "config": {}}}, "ART-01.keras_class"),
        ({"metrics": [["accuracy", {"class_name": "Custom>M", "config": {}}]]}, "ART-01.keras_class"),
        ({"optimizer_config": {"class_name": "Mine", "config": {}}}, "ART-01.keras_class"),
        ({"optimizer_config": {"class_name": "Adam", "config": {"surprise": 1}}}, "ART-02.schema"),
        ({"surprise": 1}, "ART-02.schema"),
    ],
)
def test_compile_settings_that_name_something_else_are_refused(
    tmp_path: Path, change: dict[str, Any], identifier: str
) -> None:
    finding = finding_of(write_keras_2(tmp_path / "hostile.h5", training={**TRAINING, **change}))
    assert finding.id == identifier
    assert finding.place.startswith("training_config")


def unlisted_array(file: Any) -> None:
    file["model_weights/dense/more"] = np.zeros(3)


def unlisted_state(file: Any) -> None:
    file["optimizer_weights/more"] = np.zeros(3)


def missing_array(file: Any) -> None:
    file["model_weights/dense"].attrs["weight_names0"] = np.array([b"dense/kernel:0"])


def listed_group(file: Any) -> None:
    file["optimizer_weights"].attrs["weight_names"] = np.array([b"Adam"])


def other_layer(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = np.array([b"other"])


def repeated_layer(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = np.array([b"dense", b"dense"])


def traversal(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = np.array([b"../optimizer_weights"])


def other_member(file: Any) -> None:
    file["payload"] = np.zeros(3)


def other_attribute(file: Any) -> None:
    file.attrs["payload"] = "x"


def attribute_of_an_array(file: Any) -> None:
    file["model_weights/dense/dense/kernel:0"].attrs["payload"] = "x"


def old_version(file: Any) -> None:
    file.attrs["keras_version"] = b"1.2.2"


def config_of_numbers(file: Any) -> None:
    file.attrs["model_config"] = np.zeros(3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unlisted_array, "not listed as the weight of a layer"),
        (unlisted_state, "not listed as the weight of a layer"),
        (missing_array, "Keras writes a list 'weight_names'"),
        (listed_group, "is listed and is no array"),
        (other_layer, "is listed and is no group"),
        (traversal, "is listed and is no group"),
        (repeated_layer, "has a name twice"),
        (other_member, "does not belong into a legacy Keras model"),
        (other_attribute, "'payload' is not one that Keras writes there"),
        (attribute_of_an_array, "'payload' is not one that Keras writes there"),
        (old_version, "Keras 2 and 3 are taken"),
        (config_of_numbers, "is not one text"),
    ],
)
def test_a_file_whose_lists_and_members_do_not_agree_is_refused(
    tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    made, path = write_keras_2(tmp_path / "made.h5"), tmp_path / "hostile.h5"
    with h5py.File(made, "r+") as file:
        change(file)
    # Copied into a new file, so that nothing but the change is left to refuse.
    with h5py.File(made) as old, h5py.File(path, "w") as file:
        for name in old:
            old.copy(name, file)
        for name, value in old.attrs.items():
            file.attrs[name] = value
    assert words in finding_of(path).detail


def test_a_model_whose_words_the_format_does_not_keep_is_refused(tmp_path: Path) -> None:
    adapted_lookups().save(tmp_path / "model.h5")
    finding = finding_of(tmp_path / "model.h5")
    assert finding.id == "ART-02.missing_entry"
    assert "save it as a .keras file" in finding.detail


def test_a_long_list_of_layers_is_read_and_written_in_parts(tmp_path: Path) -> None:
    names = [b"layer_%05d" % number for number in range(3200)]
    path, target = tmp_path / "long.h5", tmp_path / "rewritten.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "3.15.1", "tensorflow"
        file.attrs["model_config"] = json.dumps(MODEL)
        weights = file.create_group("model_weights")
        for number, part in enumerate(np.array_split(np.array(names), 2)):
            weights.attrs[f"layer_names{number}"] = part
        for name in names:
            weights.create_group(name).attrs["weight_names"] = []
    rewrite(path, inspect(path, filename="long.h5"), target)
    members = as_h5py_reads(target.read_bytes())
    parts = [members["/model_weights"][f"layer_names{number}"] for number in range(2)]
    assert [name for part in parts for name in part] == names


def test_weights_that_keras_2_saved_alone_are_weights(tmp_path: Path) -> None:
    model, path = write_keras_2(tmp_path / "model.h5"), tmp_path / "weights.h5"
    with h5py.File(model) as old, h5py.File(path, "w") as file:
        old.copy("model_weights/dense", file, "dense")
        file.attrs.update(old["model_weights"].attrs)
    inspection = inspect(path, filename="weights.h5")
    assert (inspection.verdict, inspection.format) == ("registered", "weights_h5")
    with h5py.File(path, "r+") as file:
        file["more"] = np.zeros(3)
    assert "not listed as the weight of a layer" in finding_of(path).detail
