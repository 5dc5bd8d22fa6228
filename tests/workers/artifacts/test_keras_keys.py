"""The table of settings is what the installed Keras takes and writes, class by class."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.artifacts.crafting import changed_json
from tests.workers.artifacts.keras_models import keras
from workers.artifacts.inspection import inspect as inspect_file
from workers.artifacts.keras.keys import keys_of
from workers.artifacts.keras.names import CLASSES

#: Arguments of constructors that no saved config has: tensors and arrays of the layer's own.
NEVER_SAVED = {"weights", "input_tensor", "inputs", "outputs", "inbound_nodes", "kwargs"}


@functools.cache
def tree_of(function: Any) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def functions(cls: type, name: str) -> Iterator[tuple[Any, ast.Module]]:
    """Yield a function of a class and of its bases, and the syntax tree of each."""
    for base in cls.__mro__:
        function = base.__dict__.get(name)
        if function is not None and base.__module__.startswith("keras."):
            function = inspect.unwrap(getattr(function, "__func__", function))
            yield function, tree_of(function)


def texts(node: ast.AST | None) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def written_keys(tree: ast.Module) -> set[str]:
    """Return the keys of dictionaries that a ``get_config`` makes or adds to."""
    keys: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys.update(*map(texts, node.keys))
        elif isinstance(node, ast.Subscript):
            keys |= texts(node.slice)
    return keys


def popped_keys(tree: ast.Module) -> set[str]:
    """Return the keys that are taken out of ``kwargs`` or ``config``."""
    keys: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("kwargs.pop", "config.pop"):
            keys |= texts(node.args[0])
    return keys


def derived(cls: type) -> set[str]:
    keys: set[str] = set()
    for function, tree in functions(cls, "__init__"):
        parameters = inspect.signature(function).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        keys |= {parameter.name for parameter in parameters if parameter.kind in named} | popped_keys(tree)
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    for _, tree in functions(cls, "get_config"):
        keys |= written_keys(tree)
    for _, tree in functions(cls, "from_config"):
        keys |= popped_keys(tree)
    return keys - NEVER_SAVED - {"self"}


def test_the_settings_of_each_class_are_those_of_the_installed_keras() -> None:
    k = keras()
    of_all_layers = derived(k.layers.Layer)
    wrong = {}
    for module, name in CLASSES:
        cls = getattr(importlib.import_module(module), name)
        expected = derived(cls) | (of_all_layers if issubclass(cls, k.layers.Layer) else set())
        if not issubclass(cls, k.Model) and expected != keys_of(module, name):
            wrong[f"{module}.{name}"] = expected ^ keys_of(module, name)
    assert wrong == {}


def test_a_model_may_have_what_its_get_config_writes() -> None:
    k = keras()
    rows = k.Input((3,))
    for model in (k.Model(rows, k.layers.Dense(1)(rows)), k.Sequential([k.Input((3,)), k.layers.Dense(1)])):
        assert set(model.get_config()) <= keys_of("keras", type(model).__name__)


def configured(**settings: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        layer = next(entry for entry in document["config"]["layers"] if entry["class_name"] == "Dense")
        layer["config"].update(settings)

    return change


def lookup(class_name: str, **settings: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["config"]["layers"][1].update(
            module="keras.layers", class_name=class_name, registered_name=None, config={"name": "words", **settings}
        )

    return change


FUNCTION = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}


@pytest.mark.parametrize(
    ("change", "identifier", "words", "place"),
    [
        (configured(surprise=1), "ART-02.schema", "Dense has no setting 'surprise'", ".surprise"),
        (configured(weights="/etc/passwd"), "ART-02.schema", "no setting 'weights'", ".weights"),
        (configured(filepath="/etc/passwd"), "ART-02.schema", "no setting 'filepath'", ".filepath"),
        (configured(activation={**FUNCTION, "more": 1}), "ART-01.keras_function", "'relu'", ".activation"),
        (lookup("StringLookup", vocabulary="/etc/passwd"), "ART-01.file_name", "/etc/passwd", "/words.vocabulary"),
        (lookup("IntegerLookup", vocabulary="gs://x/y"), "ART-01.file_name", "gs://x/y", "/words.vocabulary"),
        (lookup("TextVectorization", vocabulary="words.txt"), "ART-01.file_name", "words.txt", "/words.vocabulary"),
        (lookup("TextVectorization", standardize="deserialize"), "ART-01.keras_function", "'deserialize'", "dardize"),
        (lookup("TextVectorization", split="mine"), "ART-01.keras_function", "'mine'", "/words.split"),
        (lookup("TFSMLayer", filepath="/tmp/model"), "ART-01.lambda", "TFSMLayer", "/words"),
        (lookup("FeatureSpace"), "ART-03.keras_class", "FeatureSpace", "/words"),
        (lambda document: document["config"]["layers"][1].update(name={"a": 1}), "ART-02.schema", "name", "/hidden_0"),
    ],
)
def test_a_setting_that_names_a_file_or_does_not_exist_is_refused(
    keras_file: Path, tmp_path: Path, change: Callable[[Any], None], identifier: str, words: str, place: str
) -> None:
    path = changed_json(keras_file, tmp_path / "hostile.keras", "config.json", change)
    finding = inspect_file(path, filename=path.name).findings[0]
    assert finding.id == identifier
    assert words in finding.detail
    assert finding.place.endswith(place)
