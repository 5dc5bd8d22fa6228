"""Where paths enter a Keras model: at inputs of floats, and behind the embeddings of inputs of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.paths import Paths, no_path_through
from workers.frameworks.rows import conform, is_differentiable
from workers.signature import Signature, TensorSpec


@dataclass(frozen=True)
class Entrance:
    """An input, by its number, and the embedding behind which it is entered, if it is one of whole numbers."""

    input: int
    embedding: Any | None = None

    def enter(self, values: Any) -> Any:
        return values if self.embedding is None else self.embedding(values)


@dataclass(frozen=True)
class Ends:
    """Both ends of all paths at one entrance: (rows, ...) and (background, ...).

    ``features`` is the feature of each value; None where each value is the feature of its number.
    """

    rows: Any
    background: Any
    features: Any | None

    @property
    def tensors(self) -> list[Any]:
        """What a program takes of them, whose specifications are ``specs``."""
        return [self.rows, self.background] + ([] if self.features is None else [self.features])

    @property
    def specs(self) -> tuple[Any, Any, Any]:
        """Specifications of rows and background, of any number, and of ``features``."""
        spec = tf.TensorSpec([None, *self.rows.shape[1:]], self.rows.dtype)
        return spec, spec, None if self.features is None else tf.TensorSpec(self.features.shape, tf.int64)


def tensor_of(rows: NDArray[Any], spec: TensorSpec) -> Any:
    """Return rows that conform to an input as a tensor of its dtype; NumPy lacks one of them, bfloat16."""
    tensor = tf.constant(rows)
    return tensor if tensor.dtype == spec.dtype else tf.cast(tensor, spec.dtype)


def grouping_of(ends: Sequence[Ends]) -> str:
    """Return by what a model's program for some ends is found again: their shapes are the model's own."""
    return ", ".join("single values" if end.features is None else "grouped values" for end in ends)


def summed_by_feature(values: Any, features: Any, feature_count: int) -> Any:
    """Sum values of shape (rows, ...) to (rows, features)."""
    flat = tf.reshape(tf.cast(values, tf.float32), [tf.shape(values)[0], int(np.prod(values.shape[1:], dtype=int))])
    if features is None:
        return flat
    return tf.transpose(tf.math.unsorted_segment_sum(tf.transpose(flat), features, feature_count))


def float_entrances(signature: Signature) -> list[Entrance]:
    """Return an entrance for each input.

    Raises:
        JobError: ``no_gradient``, when one is of whole numbers.
    """
    for spec in signature.inputs:
        if not is_differentiable(spec):
            raise no_path_through(spec.name)
    return [Entrance(index) for index in range(len(signature.inputs))]


def entrances_of(function: Any, signature: Signature) -> list[Entrance]:
    """Return the entrances of a functional model, those of one input in the order in which its embeddings are called.

    Raises:
        JobError: ``no_gradient``, when an input of whole numbers goes elsewhere than into embeddings without a mask.
    """
    entrances = []
    for index, (tensor, spec) in enumerate(zip(function.inputs, signature.inputs, strict=True)):
        if is_differentiable(spec):
            entrances.append(Entrance(index))
            continue
        for node in nodes_of(function):
            if not any(entered is tensor for entered in node.input_tensors):
                continue
            layer = node.operation
            if type(layer) is not keras.layers.Embedding or layer.mask_zero or len(layer._inbound_nodes) != 1:
                raise no_path_through(spec.name)
            entrances.append(Entrance(index, layer))
    return entrances


def nodes_of(function: Any) -> list[Any]:
    """Return the nodes of a functional model in the order in which they run."""
    by_depth = function._nodes_by_depth
    return [
        node
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if node.operation and not node.is_input
    ]


def functional_of(model: Any) -> Any | None:
    """Return a model as a graph of calls; a class of its own has none."""
    found = getattr(model, "_functional", None) or model
    return found if hasattr(found, "_nodes_by_depth") else None


def call_in_inference(operation: Any, *args: Any, **named: Any) -> Any:
    """Call a layer or operation as a model in inference does."""
    if getattr(operation, "_call_has_training_arg", False):
        named = {**named, "training": False}
    return operation(*args, **named)


def run_entered(function: Any, entrances: Sequence[Entrance], values: Sequence[Any], call: Callable[..., Any]) -> Any:
    """Run a functional model on one value an entrance; ``call(operation, ...)`` calls all but the embeddings there."""
    given: list[Any] = [None] * len(function.inputs)
    behind = {}
    for entrance, value in zip(entrances, values, strict=True):
        if entrance.embedding is None:
            given[entrance.input] = value
        else:
            behind[id(entrance.embedding)] = value

    def called(operation: Any) -> Callable[..., Any]:
        if id(operation) in behind:
            return lambda *_args, **_named: behind[id(operation)]
        return lambda *args, **named: call(operation, *args, **named)

    return keras.tree.flatten(function._run_through_graph(given, operation_fn=called))[0]


def ends_at(entrances: Sequence[Entrance], paths: Paths, signature: Signature) -> list[Ends]:
    """Turn both ends of all paths into tensors, once."""
    found = []
    rows, background = (conform(arrays, signature) for arrays in (paths.rows, paths.background))
    for entrance in entrances:
        spec = signature.inputs[entrance.input]
        ends, starts = (entrance.enter(tensor_of(arrays[entrance.input], spec)) for arrays in (rows, background))
        # An embedding makes several values of one, which all belong to its feature.
        each = 1 if entrance.embedding is None else ends.shape[-1]
        of_values = np.repeat(paths.features[spec.name].reshape(-1), each)
        is_plain = np.array_equal(of_values, np.arange(paths.feature_count))
        found.append(Ends(ends, starts, None if is_plain else tf.constant(of_values, tf.int64)))
    return found
