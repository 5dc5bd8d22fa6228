"""Walks through a Keras model that begins with a wide dense layer: only what a step changes goes through that layer.

A walk is cut into blocks of steps. At a block's beginning the composed row goes through the layer whole, and within the
block only the values that have changed since do: of ``n`` values, blocks of ``s`` steps cost ``n / s + s`` products a
unit instead of ``n``. A coalition and the features that it leaves out give the layer the same sum as the row and the
background row, so what the reverse of a walk gives is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from workers.frameworks.keras_entrances import call_in_inference, nodes_of

#: Steps of a block, at the most.
BLOCK_STEPS = 32
#: Up to so many features, no walk is cut.
LEAST_FEATURES = 4 * BLOCK_STEPS
#: Layers that change each value by itself, or only the shape of a row: a composed row may be composed behind them.
PER_VALUE = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Rescaling, keras.layers.Dropout)


@dataclass(frozen=True)
class FirstLayer:
    """The dense layer that a model's only input goes into, and nothing else of the model does.

    Attributes:
        before: what the input goes through on its way to the layer, one by one.
        rest: gives the scores from what the layer gives before its activation, of shape (rows, units).
    """

    layer: Any
    before: tuple[Any, ...]
    rest: Callable[[Any], Any]

    def enter(self, values: Any) -> Any:
        """Return what goes into the layer, shape (rows, values)."""
        for layer in self.before:
            values = call_in_inference(layer, values)
        return values

    def whole(self, entered: Any) -> Any:
        """Return what the layer gives before its activation."""
        product = tf.matmul(entered, self.layer.kernel)
        return product if self.layer.bias is None else product + self.layer.bias


def first_dense(function: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """Return the dense layer that a functional model's only input goes into, and the layers before it.

    None where the graph does not show that nothing else is made of the input, or where it is not in float32.
    """
    nodes = nodes_of(function)
    path: list[Any] = []
    if len(function.inputs) != 1:
        return None
    tensor = function.inputs[0]
    while True:
        users = [node for node in nodes if any(entered is tensor for entered in node.input_tensors)]
        if len(users) != 1 or any(tensor is output for output in function.outputs):
            return None
        layer = users[0].operation
        is_used_once = sum(node.operation is layer for node in nodes) == 1
        if not is_used_once or getattr(layer, "compute_dtype", None) != "float32" or tensor.dtype != "float32":
            return None
        if type(layer) is keras.layers.Dense:
            is_plain = len(tensor.shape) == 2 and layer.quantization_mode is None
            return (layer, tuple(path)) if is_plain else None
        if type(layer) not in PER_VALUE or getattr(layer, "data_format", None) == "channels_first":
            return None
        path.append(layer)
        (tensor,) = users[0].output_tensors


def run_behind(function: Any, found: tuple[Any, tuple[Any, ...]], given: Any) -> Any:
    """Run a functional model from what its first dense layer gives before its activation."""
    layer, before = found

    def called(operation: Any) -> Callable[..., Any]:
        if any(operation is passed for passed in before):
            return lambda values, *_args, **_named: values
        if operation is layer:
            return lambda values, *_args, **_named: layer.activation(values)
        return lambda *args, **named: call_in_inference(operation, *args, **named)

    return keras.tree.flatten(function._run_through_graph([given], operation_fn=called))[0]


class BlocksProgram:
    """What is traced once: a loop over batches of blocks, and the credits that are made of all their scores.

    Of a coalition along the order only the difference is kept between its score and that of the features it leaves
    out: a feature's credit is half of that difference's change.
    """

    def __init__(self, first_layer: FirstLayer, outputs: int, blocks_of_a_walk: int) -> None:
        self._first_layer = first_layer
        self._outputs = outputs
        self._blocks_of_a_walk = blocks_of_a_walk

    def __call__(
        self,
        count: Any,
        group: Any,
        background: Any,
        ranks: Any,
        orders: Any,
        blocks: Any,
        background_rows: Any,
        picked: Any,
        starts: Any,
        ends: Any,
    ) -> Any:
        """Return credits of shape (rows, background rows, permutations, features, outputs).

        Args:
            count: batches.
            ranks: shape (background rows, permutations, features).
            orders: the features of each block in the order in which they change, shape (blocks, steps).
            blocks: shape (units, batches of a unit, blocks of a batch); the last ones are filled up.
            background_rows: of each walk, shape (walks,).
        """
        layer, steps = self._first_layer, orders.shape[1]
        rows, others = layer.enter(group), layer.enter(background)
        both = layer.whole(rows)[None] + layer.whole(others)[:, None]
        kernel, by_value = tf.convert_to_tensor(layer.layer.kernel), tf.transpose(rows)
        row_count, values = rows.shape
        size = blocks.shape[2]
        of_walks = tf.reshape(ranks, [-1, values])
        triangle = tf.linalg.band_part(tf.ones([steps, steps]), -1, 0)
        batches = tf.reshape(blocks, [-1, size])

        def differences(number: Any) -> Any:
            block = batches[number]
            walk, first = block // self._blocks_of_a_walk, block % self._blocks_of_a_walk * steps
            order, place = tf.gather(orders, block), tf.gather(background_rows, walk)
            filling = tf.gather(others, place)
            kept = tf.cast(tf.gather(of_walks, walk) < first[:, None], tf.float32)
            composed = (filling * (1 - kept))[:, None] + kept[:, None] * rows[None]
            at_start = tf.reshape(layer.whole(tf.reshape(composed, [-1, values])), [size, row_count, 1, -1])
            changes = tf.transpose(tf.gather(by_value, order), [0, 2, 1])
            changes -= tf.gather(filling, order, batch_dims=1)[:, None]
            changed = tf.reshape(changes[:, :, None] * triangle, [size, -1, steps])
            given = tf.matmul(changed, tf.gather(kernel, order))
            given = at_start + tf.reshape(given, [size, row_count, steps, -1])
            others_given = tf.gather(both, place)[:, :, None] - given
            found = layer.rest(tf.reshape(tf.stack([given, others_given]), [-1, given.shape[3]]))
            found = tf.cast(tf.reshape(found, [2, size, row_count, steps, found.shape[1]]), tf.float64)
            difference = found[0] - found[1]
            if picked is None:
                return difference
            chosen = tf.broadcast_to(picked[None], [size, *picked.shape])
            return tf.gather(difference, chosen, axis=3, batch_dims=2)

        shape = [size, row_count, steps, self._outputs]
        found = tf.TensorArray(tf.float64, size=batches.shape[0], element_shape=shape)
        _, found = tf.while_loop(
            lambda number, _found: number < count,
            lambda number, found: (number + 1, found.write(number, differences(number))),
            (tf.constant(0), found),
            parallel_iterations=1,
        )
        return self._credits(found.stack(), ranks, blocks.shape[0], starts, ends)

    def _credits(self, found: Any, ranks: Any, units: int, starts: Any, ends: Any) -> Any:
        walk_count, permutations, features = ranks.shape
        row_count = ends.shape[0]
        own = tf.reshape(found, [units, -1, *found.shape[2:]])
        blocks_of_a_row = permutations * self._blocks_of_a_walk
        own = own[:, : own.shape[1] // blocks_of_a_row * blocks_of_a_row]
        own = tf.reshape(own, [-1, permutations, self._blocks_of_a_walk, *found.shape[2:]])[:walk_count]
        inner = tf.transpose(own, [0, 1, 2, 4, 3, 5])
        inner = tf.reshape(inner, [walk_count, permutations, -1, row_count, self._outputs])[:, :, : features - 1]
        first = tf.transpose(starts - ends[:, None], [1, 0, 2])[:, None, None]
        first = tf.broadcast_to(first, [walk_count, permutations, 1, row_count, self._outputs])
        walk = tf.concat([first, inner, -first], axis=2)
        credits = tf.gather(walk[:, :, 1:] - walk[:, :, :-1], ranks, axis=2, batch_dims=2) / 2
        return tf.transpose(credits, [3, 0, 1, 2, 4])
