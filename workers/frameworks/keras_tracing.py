"""What a traced Keras model can be made to give besides its output: logits, and the features of its last layer.

Both are had by putting something else in a layer's place while a ``tf.function`` is traced; the graph keeps it, the
layer does not, and the weights are the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

#: Layers that may stand between the last softmax and the output without changing a number.
PASSING = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.InputLayer,
)
ACTIVATIONS = ("softmax", "sigmoid")
#: Layers that XLA compiles to something faster than TensorFlow's own operators.
COMPILED_WELL = (
    keras.layers.InputLayer,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Softmax,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


def last_activation(model: Any) -> Any | None:
    """Return the layer or operation whose softmax or sigmoid makes the first output, if it is used just once."""
    history = model.outputs[0]._keras_history
    while True:
        operation = history.operation
        if len(operation._inbound_nodes) != 1:
            return None
        if isinstance(operation, keras.Model):
            history = operation.outputs[history.tensor_index]._keras_history
        elif _is_activation(operation):
            return operation
        elif _is_passing(operation):
            tensors = operation._inbound_nodes[0].input_tensors
            if len(tensors) != 1:
                return None
            history = tensors[0]._keras_history
        else:
            return None


def compiles_well(model: Any) -> bool:
    """Tell whether a model is made of nothing but layers that XLA is known to be good at."""
    operations = getattr(model, "operations", None) or model.layers
    return all(
        compiles_well(operation) if isinstance(operation, keras.Model) else type(operation) in COMPILED_WELL
        for operation in operations
    )


@contextmanager
def without_activation(operation: Any) -> Iterator[None]:
    """Let a layer give its pre-activation while the context lasts."""
    if hasattr(operation, "activation"):
        activation, operation.activation = operation.activation, keras.activations.linear
        try:
            yield
        finally:
            operation.activation = activation
    else:
        with _called_as(operation, lambda inputs, *_args, **_kwargs: inputs):
            yield


@contextmanager
def watching_features(model: Any) -> Iterator[list[Any]]:
    """Collect what enters each layer with a kernel, in the order of the calls, while the context lasts."""
    entered: list[Any] = []

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def record(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            entered.append(inputs)
            return call(inputs, *args, **kwargs)

        return record

    layers = list(_layers_with_kernel(model))
    for layer in layers:
        vars(layer)["call"] = watched(layer.call)
    try:
        yield entered
    finally:
        for layer in layers:
            del vars(layer)["call"]


def all_layers(model: Any) -> Iterator[Any]:
    """Yield every layer of a model in order, nested models opened, none twice."""
    told: set[int] = set()
    for layer in model._flatten_layers(include_self=False):
        if not isinstance(layer, keras.Model) and id(layer) not in told:
            told.add(id(layer))
            yield layer


def _layers_with_kernel(model: Any) -> Iterator[Any]:
    """A recurrent layer counts as one: its cell runs inside a loop, out of which no tensor can be taken."""
    inside = {
        id(inner)
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.RNN)
        for inner in layer._flatten_layers(include_self=False)
    }
    for layer in all_layers(model):
        if id(layer) not in inside and (isinstance(layer, keras.layers.RNN) or hasattr(layer, "kernel")):
            yield layer


def _is_activation(operation: Any) -> bool:
    if isinstance(operation, keras.layers.Softmax):
        return operation.axis in (-1, len(operation.output.shape) - 1)
    if getattr(operation, "activation", None) is not None:
        return getattr(operation.activation, "__name__", "") in ACTIVATIONS
    return type(operation).__name__ in ("Softmax", "Sigmoid") and not isinstance(operation, keras.layers.Layer)


def _is_passing(operation: Any) -> bool:
    if isinstance(operation, PASSING):
        return not isinstance(operation, keras.layers.InputLayer)
    return isinstance(operation, keras.layers.Activation) and operation.activation is keras.activations.linear


@contextmanager
def _called_as(operation: Any, call: Callable[..., Any]) -> Iterator[None]:
    vars(operation)["call"] = call
    try:
        yield
    finally:
        del vars(operation)["call"]
