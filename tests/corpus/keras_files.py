"""``.keras`` archives: Python code in configs, names that are imported, files that are read."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus.case import Benign, Case, Unfit, Workshop
from tests.corpus.gadgets import shell, stored_code
from tests.corpus.graphs import placed_graph
from tests.corpus.pickles import assemble, call
from tests.corpus.zips import Entry, write_zip

CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

#: Changes the parsed config of one model.
Change = Callable[[Any, Workshop], None]


def entries_of(sample: Path) -> dict[str, bytes]:
    """Return the three entries of a real export."""
    with zipfile.ZipFile(sample) as archive:
        return {name: archive.read(name) for name in (_METADATA, CONFIG, _WEIGHTS)}


def written(shop: Workshop, entries: dict[str, bytes]) -> Path:
    return write_zip(shop.path(".keras"), [Entry(name, content) for name, content in entries.items()])


def stored_function(shop: Workshop) -> dict[str, Any]:
    """Return Python code as Keras stores a function that has no name."""
    return {"class_name": "__lambda__", "config": stored_code(shop)}


def stored_value(shop: Workshop) -> dict[str, Any]:
    """Return the same where it stands for a value and not for the function of a Lambda layer."""
    stated = stored_function(shop)["config"]
    return {"class_name": "__lambda__", "config": {"value": [stated["code"], None, None]}}


def layer_of(document: Any, kind: str) -> Any:
    return next(layer for layer in document["config"]["layers"] if layer["class_name"] == kind)


def changed(sample: str, change: Change) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        entries = entries_of(shop.samples / sample)
        document = json.loads(entries[CONFIG].replace(b'"doubled"', json.dumps(shop.word()).encode()))
        change(document, shop)
        return written(shop, entries | {CONFIG: json.dumps(document).encode()})

    return make


def put_code(document: Any, shop: Workshop) -> None:
    """Let the Lambda layer of a model run a payload."""
    layer_of(document, "Lambda")["config"]["function"] = stored_function(shop)


def _lambda_under_inner_path(document: Any, shop: Workshop) -> None:
    put_code(document, shop)
    layer_of(document, "Lambda")["module"] = shop.rng.choice(["keras.src.layers.core.lambda_layer", "keras.src.layers"])


def _lambda_in_a_wrapper(document: Any, shop: Workshop) -> None:
    put_code(document, shop)
    layer = layer_of(document, "Lambda")
    rows, output = {"name": "inner_rows"}, [layer["name"], 0, 0]
    first = layer_of(document, "InputLayer")
    inner = json.loads(json.dumps([first, layer]).replace(f'"{first["name"]}"', '"inner_rows"'))
    config = {
        "name": "inner",
        "trainable": True,
        "layers": inner,
        "input_layers": [["inner_rows", 0, 0]],
        "output_layers": [output],
    }
    nested = {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
        "name": layer["name"],
        "inbound_nodes": layer["inbound_nodes"],
    }
    assert rows["name"] == inner[0]["name"]
    layers = document["config"]["layers"]
    layers[layers.index(layer)] = nested
    config["name"] = layer["name"]


def _function_as(key: str) -> Change:
    def change(document: Any, shop: Workshop) -> None:
        layer_of(document, "Dense")["config"][key] = stored_value(shop)

    return change


def _class(module: str, name: str, **more: Any) -> Change:
    """Return a change that makes a layer an object of another class."""

    def change(document: Any, shop: Workshop) -> None:
        layer_of(document, "Dense").update(module=module, class_name=name, **more)

    return change


def _foreign_class(document: Any, shop: Workshop) -> None:
    module, name = shop.rng.choice(
        [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("shutil", "rmtree"), ("pdb", "Pdb")]
    )
    _class(module, name)(document, shop)


def _attribute_path(document: Any, shop: Workshop) -> None:
    module = shop.rng.choice(
        [
            "keras.src.utils.file_utils.os",
            "keras.src.saving.saving_lib.os",
            "keras.src.layers.core.lambda_layer.inspect.os",
        ]
    )
    _class(module, "system")(document, shop)


def _foreign_function(document: Any, shop: Workshop) -> None:
    module, name = shop.rng.choice(
        [
            ("keras.utils", "get_file"),
            ("keras.saving", "load_model"),
            ("keras.config", "enable_unsafe_deserialization"),
            ("keras.src.utils.file_utils", "extract_archive"),
            ("os", "system"),
            ("builtins", "exec"),
        ]
    )
    stated = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    config = layer_of(document, "Dense")["config"]
    config[shop.rng.choice(["activation", "kernel_initializer", "bias_regularizer", "kernel_constraint"])] = stated


def _function_name(document: Any, shop: Workshop) -> None:
    name = f"{shop.word()}>{shop.word()}"
    stated = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
    layer_of(document, "Dense")["config"]["activation"] = stated


def _registered(document: Any, shop: Workshop) -> None:
    layer_of(document, "Dense")["registered_name"] = f"{shop.word()}>Dense"


def _called_with_arguments(document: Any, shop: Workshop) -> None:
    # CVE-2025-1550: up to Keras 3.8 a function stood for a layer and was called with the arguments of its node.
    layer = layer_of(document, "Dense")
    layer.update(module="os", class_name="function", config="system", registered_name="function")
    layer["inbound_nodes"] = [{"args": [shell(shop)], "kwargs": {}}]


def torch_layer(shop: Workshop) -> dict[str, Any]:
    """Return a layer of Keras that unpickles what stands in its config."""
    pickled = assemble(call("os:system", shell(shop)), shop.rng, protocol=2)
    config = {"name": shop.word(), "module": base64.b64encode(pickled).decode()}
    return {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": config}


def graph_layer(shop: Workshop) -> dict[str, Any]:
    """Return a layer of Keras that loads a SavedModel from a folder, where one lies that writes."""
    folder = placed_graph(shop, "stateless", shop.folder / shop.word())
    config = {"name": shop.word(), "filepath": str(folder), "call_endpoint": "serving_default"}
    return {"module": "keras.layers", "class_name": "TFSMLayer", "config": config}


def _torch_module(document: Any, shop: Workshop) -> None:
    layer_of(document, "Dense").update(torch_layer(shop))


def _saved_model(document: Any, shop: Workshop) -> None:
    layer = layer_of(document, "Dense")
    layer.update(graph_layer(shop))
    layer.pop("build_config", None)
    layer["inbound_nodes"][0]["kwargs"] = {}


def _vocabulary(document: Any, shop: Workshop) -> None:
    layer_of(document, "StringLookup")["config"]["vocabulary"] = str(shop.decoy)


def _weights_of_words(document: Any, shop: Workshop) -> None:
    layer_of(document, "StringLookup")["config"]["idf_weights"] = str(shop.decoy)


def _build_config(document: Any, shop: Workshop) -> None:
    layer_of(document, "Dense")["build_config"] = {"input_shape": [None, 2**40], "vocabulary": str(shop.decoy)}


def _unknown_key(document: Any, shop: Workshop) -> None:
    layer_of(document, "Dense")[shop.rng.choice(["Config", "CLASS_NAME", "Module"])] = {"path": str(shop.decoy)}


def _value_dtype(document: Any, shop: Workshop) -> None:
    stated = {"class_name": "__numpy__", "config": {"value": [""], "dtype": f"S{2**31 - 1}"}}
    layer_of(document, "Dense")["config"]["bias_initializer"] = stated


def _value_of_objects(document: Any, shop: Workshop) -> None:
    stated = {"class_name": "__tensor__", "config": {"value": {"path": str(shop.decoy)}, "dtype": "float32"}}
    layer_of(document, "Dense")["config"]["bias_initializer"] = stated


_CLASS = ("ART-01.keras_class",)
_FUNCTION = ("ART-01.keras_function",)
_LAMBDA = ("ART-01.lambda",)
_CODE_CLASS = ("ART-01.lambda", "ART-01.keras_class", "ART-03.keras_class")
_FILE = ("ART-01.file_name", "ART-02.schema")


def _case(name: str, says: str, make: Callable[[Workshop], Path], rules: tuple[str, ...], bite: str) -> Case:
    return Case(f"keras/{name}", says, make, rules, "keras", bite)


CASES: tuple[Case, ...] = (
    _case("lambda", "A Lambda layer carries Python code.", changed("lambda.keras", put_code), _LAMBDA, "keras"),
    _case(
        "lambda_inner_path",
        "The same under Keras' inner path.",
        changed("lambda.keras", _lambda_under_inner_path),
        _CODE_CLASS,
        "keras",
    ),
    _case(
        "lambda_nested",
        "The same in a model in the model.",
        changed("lambda.keras", _lambda_in_a_wrapper),
        _LAMBDA,
        "keras",
    ),
    _case(
        "activation",
        "An activation is Python code.",
        changed("model.keras", _function_as("activation")),
        _LAMBDA,
        "keras",
    ),
    _case(
        "initializer",
        "An initializer is Python code.",
        changed("model.keras", _function_as("kernel_initializer")),
        _LAMBDA,
        "keras.parts",
    ),
    _case(
        "constraint",
        "A constraint is Python code.",
        changed("model.keras", _function_as("kernel_constraint")),
        _LAMBDA,
        "keras.parts",
    ),
    _case(
        "foreign_class",
        "A class of another module.",
        changed("model.keras", _foreign_class),
        _CLASS,
        "keras.names",
    ),
    _case(
        "attribute_path",
        "A class behind attributes of a module.",
        changed("model.keras", _attribute_path),
        _CLASS,
        "keras.names",
    ),
    _case(
        "foreign_function",
        "A function that is no part of a model.",
        changed("model.keras", _foreign_function),
        _FUNCTION,
        "keras.names",
    ),
    _case(
        "function_name",
        "An activation by the name of a custom object.",
        changed("model.keras", _function_name),
        _FUNCTION,
        "keras.registered",
    ),
    _case(
        "registered",
        "One of Keras' classes, registered by another.",
        changed("model.keras", _registered),
        _CLASS,
        "keras.registered",
    ),
    _case(
        "called",
        "A function called with a node's arguments.",
        changed("model.keras", _called_with_arguments),
        _FUNCTION,
        "keras.names",
    ),
    _case(
        "torch_module",
        "A wrapper that unpickles a torch module.",
        changed("model.keras", _torch_module),
        _CODE_CLASS,
        "keras",
    ),
    _case(
        "tfsm_layer",
        "A layer that loads a SavedModel of the host.",
        changed("linear.keras", _saved_model),
        _CODE_CLASS,
        "keras",
    ),
    _case("vocabulary", "A vocabulary is read from the host.", changed("lookup.keras", _vocabulary), _FILE, "keras"),
    _case(
        "build_config",
        "The build config asks for terabytes, and names a file.",
        changed("model.keras", _build_config),
        ("ART-02.schema",),
        "keras.room",
    ),
    _case(
        "unknown_key",
        "An object has a key twice for readers that do not look at case.",
        changed("model.keras", _unknown_key),
        ("ART-02.schema",),
        "json.case",
    ),
    _case(
        "value_dtype",
        "A value is of texts of 2 GiB.",
        changed("model.keras", _value_dtype),
        ("ART-02.schema",),
        "keras.parts.room",
    ),
)

#: Keras 3.15 takes neither, safe mode or not.
UNFIT: tuple[Unfit, ...] = (
    Unfit(
        "keras/idf_weights",
        "Weights of words are a text where numbers belong.",
        changed("lookup.keras", _weights_of_words),
        _FILE,
        "keras",
    ),
    Unfit(
        "keras/value",
        "A value holds a mapping where numbers belong.",
        changed("model.keras", _value_of_objects),
        ("ART-02.schema",),
        "keras",
    ),
)


def _untouched(sample: str) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        path = shop.path(".keras")
        shutil.copyfile(shop.samples / sample, path)
        return path

    return make


def _names_like_code(document: Any, shop: Workshop) -> None:
    name = "__import__('os').system('true')"
    text = json.dumps(document).replace('"hidden_0"', json.dumps(name))
    document.clear()
    document.update(json.loads(text))


BENIGN: tuple[Benign, ...] = (
    Benign("keras/mlp", "Dense, BatchNormalization, Dropout.", _untouched("model.keras"), "keras"),
    Benign("keras/lookup", "A StringLookup with its words in the config.", _untouched("lookup.keras"), "keras"),
    Benign(
        "keras/names", "A layer whose name only looks like code.", changed("model.keras", _names_like_code), "keras"
    ),
)
