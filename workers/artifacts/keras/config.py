"""Walks the config of a Keras model: every class, setting and function has to be one of Keras' own, by exact name.

Keras' ``safe_mode`` refuses lambdas; it still imports what a config names. So each object is looked up by the module
and name that Keras would resolve, each setting by the keys of its class, each text in the places where Keras looks up
a function or opens a file, and anything that Keras would deserialise in another way (tensors, slices) by the few forms
that a saved model has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from workers.artifacts.findings import MAX_FINDINGS, Finding, finding, refusal, shown
from workers.artifacts.keras import legacy
from workers.artifacts.keras import names as keras_names
from workers.artifacts.keras.keys import keys_of

PLACE = "config.json"
_OBJECT_KEYS = frozenset(
    {
        "module",
        "class_name",
        "config",
        "registered_name",
        "build_config",
        "compile_config",
        "shared_object_id",
        "name",
        "inbound_nodes",
    }
)
_COMPILE_KEYS = frozenset(
    {
        "optimizer",
        "loss",
        "loss_weights",
        "metrics",
        "weighted_metrics",
        "run_eagerly",
        "steps_per_execution",
        "jit_compile",
        "auto_scale_loss",
    }
)
_FUNCTION_KEYS = frozenset({"module", "class_name", "config", "registered_name", "shared_object_id"})
#: Objects that stand for values: the keys of their config.
_VALUES = {
    "__keras_tensor__": frozenset({"shape", "dtype", "keras_history"}),
    "__tensor__": frozenset({"value", "dtype"}),
    "__numpy__": frozenset({"value", "dtype"}),
    "__slice__": frozenset({"start", "stop", "step"}),
    "__ellipsis__": frozenset(),
}
# fmt: off
_DTYPES = frozenset(
    {
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "bfloat16", "float32", "float64", "complex64",
    }
)
# fmt: on
_ROLES = {
    "activation": "activation",
    "recurrent_activation": "activation",
    "optimizer": "optimizer",
    "loss": "loss",
    "standardize": "standardize",
    "split": "split",
}
_COMPILE_ROLES = {
    "optimizer": "optimizer",
    "optimizer_config": "optimizer",
    "loss": "loss",
    "metrics": "metric",
    "weighted_metrics": "metric",
}
_SUFFIXES = ("initializer", "regularizer", "constraint")


def check_config(
    document: Any, custom: Mapping[str, str] = MappingProxyType({}), *, place: str = PLACE, is_legacy: bool = False
) -> tuple[Finding, ...]:
    """Return what is wrong with the parsed config of a model; nothing is imported.

    Args:
        custom: what a model package brings along: the name under which Keras knows it -> its name in the source.
        is_legacy: the config is that of an HDF5 model, in which an object may leave out the module of its class.

    Raises:
        RefusalError: the document is not the config of a Keras model.
    """
    name = document.get("class_name") if isinstance(document, dict) else document
    if not isinstance(document, dict) or not isinstance(name, str) or name not in keras_names.MODELS:
        raise refusal("ART-02.schema", f"The root of the config is {shown(name)}; a Keras model is expected.", place)
    walk = _Walk(is_legacy=is_legacy, custom=custom)
    walk.visit(document, f"{place}: model", "")
    return tuple(walk.findings[:MAX_FINDINGS])


def check_training_config(document: Any, place: str) -> tuple[Finding, ...]:
    """Return what is wrong with the compile settings of a legacy HDF5 model.

    Raises:
        RefusalError: the document holds settings that Keras does not write.
    """
    if not isinstance(document, dict) or not set(document) <= _COMPILE_KEYS | legacy.COMPILE_KEYS:
        raise refusal("ART-02.schema", "The compile settings have keys that Keras does not write.", place)
    walk = _Walk(is_legacy=True)
    for key, item in document.items():
        walk.visit(item, f"{place}.{key}", _COMPILE_ROLES.get(key, ""))
    return tuple(walk.findings[:MAX_FINDINGS])


class _Walk:
    def __init__(self, *, is_legacy: bool, custom: Mapping[str, str] = MappingProxyType({})) -> None:
        self._is_legacy = is_legacy
        self._custom = custom
        self.findings: list[Finding] = []

    def visit(self, value: Any, place: str, role: str) -> None:
        """Visit a value; ``role`` says what a text here would be looked up as."""
        if isinstance(value, dict):
            if "class_name" in value:
                self._object(value, place, role)
            else:
                for key, item in value.items():
                    self.visit(item, f"{place}.{key}", role or _role_of(key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.visit(item, f"{place}[{index}]", role)
        elif isinstance(value, str) and role and not self._is_known_text(value, role):
            self._refuse("ART-01.keras_function", f"{shown(value)} is no {role} of Keras' own.", place)

    def _is_known_text(self, text: str, role: str) -> bool:
        return text in self._custom or keras_names.fold(text) in keras_names.TEXTS[role]

    def _refuse(self, identifier: str, detail: str, place: str) -> None:
        self.findings.append(finding(identifier, detail, place))

    def _object(self, value: dict[str, Any], place: str, role: str) -> None:
        if self._is_legacy and "module" not in value:
            value = legacy.with_module(value, role)
        name, config = value["class_name"], value.get("config")
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            place = f"{place}/{config['name']}"
        if not isinstance(name, str) or not isinstance(value.get("module"), str | None):
            detail = f"The class {shown(name)} of module {shown(value.get('module'))} is not named by texts."
            self._refuse("ART-01.keras_class", detail, place)
        elif name == "__lambda__":
            self._refuse("ART-01.lambda", "A Python function is stored as bytecode; loading it runs code.", place)
        elif name in _VALUES:
            self._value(value, place)
        elif name == "function":
            self._function(value, place)
        else:
            self._class(value, place)

    def _class(self, value: dict[str, Any], place: str) -> None:
        name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
        if not self._is_known_class(name, module, registered, place):
            return
        unknown = set(value) - _OBJECT_KEYS
        config = value.get("config")
        if unknown or not isinstance(config, dict):
            detail = f"The object {name} has the key {shown(min(unknown))}." if unknown else f"{name} has no config."
            self._refuse("ART-02.schema", detail, place)
            return
        if not isinstance(value.get("name"), str | None) or not isinstance(value.get("shared_object_id"), int | None):
            self._refuse("ART-02.schema", f"The name or number of the object {name} is something else.", place)
        known = None if self._is_custom(name, registered) else keys_of(str(module), name)
        self._settings(known, name, config, place)
        self.visit(value.get("inbound_nodes"), f"{place}.inbound_nodes", "")
        if "build_config" in value and not _is_shapes(value["build_config"]):
            self._refuse("ART-02.schema", "`build_config` holds more than shapes.", f"{place}.build_config")
        if value.get("compile_config") is not None:
            self._compile_config(value["compile_config"], f"{place}.compile_config")
        if name == "InputLayer":
            self._input_shape(config, place)

    def _settings(self, known: frozenset[str] | None, name: str, config: dict[str, Any], place: str) -> None:
        """Visit the settings of an object; ``known`` are those that its class has, None for a class of a package."""
        for key, item in config.items():
            self.visit(item, f"{place}.{key}", _role_of(key))
            if known is not None and key not in known and not (self._is_legacy and key in legacy.KEYS):
                self._refuse("ART-02.schema", f"{name} has no setting {shown(key)}.", f"{place}.{key}")
            elif key == "vocabulary" and isinstance(item, str):
                detail = f"The vocabulary is the file {shown(item)}; save the model with the vocabulary in it."
                self._refuse("ART-01.file_name", detail, f"{place}.{key}")
            elif key == "idf_weights" and isinstance(item, str):
                self._refuse("ART-02.schema", "`idf_weights` are numbers, one a word.", f"{place}.{key}")

    def _is_known_class(self, name: str, module: str | None, registered: Any, place: str) -> bool:
        if name in keras_names.CODE_CLASSES:
            detail = (
                f"The layer {place.rpartition('/')[2]!r} is a {name} layer: it carries Python code, which is never "
                "loaded. Replace it by Keras' own layers or operations."
            )
            self._refuse("ART-01.lambda", detail, place)
            return False
        if self._is_custom(name, registered):
            return True
        if (module, name) not in keras_names.CLASSES:
            if module in keras_names.MODULES and name.isidentifier():
                detail = (
                    f"{shown(f'{module}.{name}')} is not on the list of Keras classes that are known to be harmless."
                )
                self._refuse("ART-03.keras_class", detail, place)
            else:
                detail = (
                    f"{shown(name)} of module {shown(module)} is not one of Keras' own classes; loading it needs code "
                    "that is not in the file."
                )
                if self._is_legacy and module is None:
                    detail = f"{shown(name)} is none of the classes of Keras that an HDF5 model may have there."
                self._refuse("ART-01.keras_class", detail, place)
            return False
        if registered not in (None, name):
            self._refuse(
                "ART-01.keras_class", f"The class is registered as {shown(registered)}, a custom object.", place
            )
            return False
        return True

    def _is_custom(self, name: str, registered: Any) -> bool:
        """Tell whether a class is one of the package's: Keras looks a registered name up before any module."""
        return isinstance(registered, str) and self._custom.get(registered) == name

    def _function(self, value: dict[str, Any], place: str) -> None:
        name, module, registered = value.get("config"), value.get("module"), value.get("registered_name")
        # Keras looks a function up by its name among custom objects, before any module.
        is_custom = isinstance(name, str) and name in self._custom
        if (
            not isinstance(name, str)
            or not (is_custom or (name in keras_names.FUNCTIONS and module in keras_names.FUNCTION_MODULES))
            or registered not in (None, "function", name)
            or not set(value) <= _FUNCTION_KEYS
        ):
            detail = f"The function {shown(name)} of module {shown(module)} is not one of Keras' own."
            self._refuse("ART-01.keras_function", detail, place)

    def _value(self, value: dict[str, Any], place: str) -> None:
        name, config = value["class_name"], value.get("config")
        keys = set(config) if isinstance(config, dict) else set()
        is_plain = config is not None or name == "__ellipsis__"
        if not set(value) <= {"class_name", "config"} or keys != _VALUES[name] or not is_plain:
            self._refuse("ART-02.schema", f"A value of class {name} has unknown parts.", place)
        elif isinstance(config, dict):
            dtypes = _DTYPES | {"string"} if name == "__keras_tensor__" else _DTYPES
            if "dtype" in config and (not isinstance(config["dtype"], str) or config["dtype"] not in dtypes):
                self._refuse("ART-02.schema", f"The dtype {shown(config['dtype'])} is not taken.", place)
            if not all(_is_plain(item) for key, item in config.items() if key != "dtype"):
                self._refuse("ART-02.schema", f"A value of class {name} holds more than numbers.", place)

    def _compile_config(self, value: Any, place: str) -> None:
        if not isinstance(value, dict) or not set(value) <= _COMPILE_KEYS:
            self._refuse("ART-02.schema", "`compile_config` has keys that Keras does not write.", place)
            return
        for key, item in value.items():
            self.visit(item, f"{place}.{key}", _COMPILE_ROLES.get(key, ""))

    def _input_shape(self, config: dict[str, Any], place: str) -> None:
        shape = config.get("batch_shape", config.get("batch_input_shape"))
        if not isinstance(shape, list) or not shape or shape[0] is not None:
            have = shape[0] if isinstance(shape, list) and shape else shape
            detail = f"The input has a fixed batch ({shown(have)}); build the model with an open batch (None)."
            self._refuse("SIG-01.batch", detail, place)
        elif not all(type(size) is int and size > 0 for size in shape[1:]):
            detail = f"The input has the shape {shown(shape)}; only the first size, the batch, may be open."
            self._refuse("SIG-01.shape", detail, place)


def _role_of(key: str) -> str:
    """Return what Keras looks a text up as under this key of a config."""
    if key == "fn":
        return "metric"
    if key in _ROLES:
        return _ROLES[key]
    return next((suffix for suffix in _SUFFIXES if key.endswith(f"_{suffix}")), "")


def _is_shapes(value: Any) -> bool:
    if value is None or type(value) is int:
        return True
    if isinstance(value, list):
        return all(map(_is_shapes, value))
    return isinstance(value, dict) and all(key.isidentifier() and _is_shapes(item) for key, item in value.items())


def _is_plain(value: Any) -> bool:
    """Tell whether a value is numbers, truth values, nothing, a layer's name, or lists of these."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)
