"""Models in HDF5, as Keras 2 saved them: ``model.save("model.h5")``. Keras loads them without a safe mode."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.hdf5_files import copied
from tests.corpus.keras_files import graph_layer, layer_of, stored_function, torch_layer

#: Changes the parsed config of one model.
Change = Callable[[Any, Workshop], object]


def _changed(change: Change, sample: str = "lambda.h5") -> Callable[[Workshop], Path]:
    """Return a maker of a model whose config was changed."""

    def make(shop: Workshop) -> Path:
        path = copied(shop, sample)
        with h5py.File(path) as file:
            document = json.loads(file.attrs["model_config"])
        change(document, shop)
        return _with_settings(path, model_config=json.dumps(document))

    return make


def _with_settings(path: Path, **settings: str) -> Path:
    """Write a model again with other settings; in place, the old ones would leave free space behind."""
    with h5py.File(path) as file, h5py.File(path.with_suffix(".new"), "w") as fresh:
        fresh.attrs.update(dict(file.attrs) | settings)
        for name in file:
            file.copy(name, fresh)
    return path.with_suffix(".new").replace(path)


def _layer(document: Any) -> Any:
    return document["config"]["layers"][-1]


def _lambda(document: Any, shop: Workshop) -> None:
    _layer(document)["config"]["function"] = stored_function(shop)


def _nested(document: Any, shop: Workshop) -> None:
    _lambda(document, shop)
    inner = copy.deepcopy(document)
    inner["config"]["name"] = shop.word()
    document["config"]["layers"][-1] = inner


def _foreign_class(document: Any, shop: Workshop) -> None:
    name, module = shop.rng.choice(
        [("TFOpLambda", None), ("SlicingOpLambda", None), ("system", "os"), ("Popen", "subprocess")]
    )
    _layer(document).update(class_name=name, module=module)
    _layer(document)["config"]["function"] = "io.write_file"


def _foreign_function(document: Any, shop: Workshop) -> None:
    stated = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    _layer(document).update(class_name="Activation", config={"name": shop.word(), "activation": stated})


def _torch_module(document: Any, shop: Workshop) -> None:
    _layer(document).update(torch_layer(shop))


def _saved_model(document: Any, shop: Workshop) -> None:
    _layer(document).update(graph_layer(shop))


def _vocabulary(document: Any, shop: Workshop) -> None:
    layer_of(document, "StringLookup")["config"]["vocabulary"] = str(shop.decoy)


def _key_twice(shop: Workshop) -> Path:
    path = _changed(_lambda)(shop)
    with h5py.File(path, "r+") as file:
        stated = file.attrs["model_config"]
        file.attrs["model_config"] = stated.replace(
            '"class_name": "Lambda"', '"class_name": "Dense", "class_name": "Lambda"'
        )
    return path


_RULES = (
    "ART-01.lambda",
    "ART-01.keras_class",
    "ART-01.keras_function",
    "ART-01.file_name",
    "ART-02.json",
    "ART-02.schema",
    "ART-02.hdf5",
    "ART-02.hdf5_structure",
)


def _case(name: str, says: str, make: Callable[[Workshop], Path], bite: str) -> Case:
    return Case(f"h5/{name}", says, make, _RULES, "h5", bite)


CASES: tuple[Case, ...] = (
    _case("lambda", "A Lambda layer carries Python code.", _changed(_lambda), "keras"),
    _case("nested", "The same in a model in the model.", _changed(_nested), "keras"),
    _case(
        "torch_module",
        "A wrapper that unpickles a torch module.",
        _changed(_torch_module),
        "keras",
    ),
    _case(
        "tfsm_layer",
        "A layer that loads a SavedModel of the host.",
        _changed(_saved_model),
        "keras",
    ),
    _case("vocabulary", "A vocabulary is read from the host.", _changed(_vocabulary, "lookup.h5"), "keras"),
    _case("foreign_class", "A class that is none of Keras'.", _changed(_foreign_class), "keras.names"),
    _case("foreign_function", "A function that is none of Keras'.", _changed(_foreign_function), "keras.names"),
    _case("key_twice", "A class is stated twice.", _key_twice, "keras"),
)

BENIGN: tuple[Benign, ...] = (
    Benign("h5/model", "A model as Keras 3 saves it in the old format.", lambda shop: copied(shop, "model.h5"), "h5"),
)
