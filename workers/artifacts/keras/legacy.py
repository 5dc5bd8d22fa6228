"""What is different in the config of a legacy HDF5 model: an object need not say of which module its class is.

Keras then looks the name up where the object stands: an initializer among the initializers, a layer in the *whole
namespace* of ``keras.layers``, which also has functions and modules. Only names of listed classes are taken, so that
what is looked up is what was meant. ``load_model`` ignores ``safe_mode`` for these files; the list is all there is.
"""

from __future__ import annotations

from typing import Any

from workers.artifacts.keras import names as keras_names

#: Compile settings that Keras 2 wrote beside those of Keras 3.
COMPILE_KEYS = frozenset({"optimizer_config", "sample_weight_mode"})

#: Settings that Keras 2 wrote for any layer and that Keras 3 reads.
KEYS = frozenset({"batch_input_shape"})

_LAYERS = (
    "keras.layers",
    "keras.src.models.functional",
    "keras",
    "keras.dtype_policies",
    "keras.quantizers",
    "keras.optimizers.schedules",
)
_MODULES = {
    "initializer": ("keras.initializers",),
    "regularizer": ("keras.regularizers",),
    "constraint": ("keras.constraints",),
    "optimizer": ("keras.optimizers",),
    "loss": ("keras.losses",),
    "metric": ("keras.metrics", "keras.losses"),
}

#: Names of classes in Python that differ from those under which Keras 3 saves them.
_RENAMED = {"GroupedQueryAttention": "GroupQueryAttention"}

#: Settings of Keras 2 that Keras 3 no longer reads, with the one value that says what it does anyhow.
_DROPPED: dict[str, dict[str, Any]] = {
    **{name: {"time_major": False} for name in ("ConvLSTM2D", "GRU", "LSTM", "RNN", "SimpleRNN")},
    **{name: {"groups": 1} for name in ("DepthwiseConv1D", "DepthwiseConv2D")},
}


def modernised(value: Any) -> Any:
    """Return a config without the settings that Keras 3 would stumble over and that say what it does anyhow."""
    if isinstance(value, list):
        return [modernised(item) for item in value]
    if not isinstance(value, dict):
        return value
    name, config = value.get("class_name"), value.get("config")
    if isinstance(name, str) and isinstance(config, dict):
        dropped = _DROPPED.get(name, {})
        kept = {key: item for key, item in config.items() if key not in dropped or item != dropped[key]}
        value = {**value, "config": kept}
    return {key: modernised(item) for key, item in value.items()}


def with_module(value: dict[str, Any], role: str) -> dict[str, Any]:
    """Return an object of a legacy config with the module in which Keras finds its class; None for a class not listed.

    Args:
        role: what the place of the object asks for, as in ``names.TEXTS``; empty for a layer.
    """
    name = value["class_name"]
    if not isinstance(name, str) or name.startswith("__") or name == "function":
        return value
    name = _RENAMED.get(name, name)
    modules = _MODULES.get(role, _LAYERS)
    module = next((module for module in modules if (module, name) in keras_names.CLASSES), None)
    return {**value, "class_name": name, "module": module}
