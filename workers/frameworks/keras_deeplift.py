"""DeepLIFT's rescale rule on a functional Keras model, call by call; what has no rule here is refused by name.

Each operation runs three times: on explained rows, on background rows, and on pairs of both. Of a pair only the
gradient matters: there a linear operation runs as it is, and a nonlinear one becomes the multiplication with a
constant slope, the difference of its outputs over the difference of its inputs between the pair's two rows. What is
left is a linear function, whose gradient are DeepLIFT's multipliers. A node of the graph is one use of a layer, so
layers that are used again are right. Nothing global is touched.

Source: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences" (2017);
for max-pooling the rule of shap's DeepExplainer, which that paper does not give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.keras_entrances import (
    Ends,
    Entrance,
    call_in_inference,
    run_entered,
    shape_of,
    summed_by_feature,
)
from workers.frameworks.keras_paths import chosen_columns, output_slices
from workers.frameworks.keras_tracing import without_activation
from workers.frameworks.paths import Paths, RescaledContributions
from workers.frameworks.rescaling import SMALLEST_DIFFERENCE, refused_layer
from workers.frameworks.rows import chunks

#: Layers and operations that are linear in all of their tensors together.
LINEAR_IN_ALL = {
    "Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "EinsumDense", "Flatten", "Reshape", "Permute",
    "RepeatVector", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "Add", "Subtract", "Average",
    "Concatenate", "BatchNormalization", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity", "Rescaling",
    "Normalization", "Negative", "Stack", "Transpose", "ExpandDims", "Squeeze", "Mean", "Sum", "GetItem", "Pad",
    "Split", "Swapaxes", "Moveaxis", "Flip", "Ravel",
}  # fmt: skip
#: Linear in any one of their tensors, and in the first only.
LINEAR_IN_ONE = {"Multiply", "Matmul", "Dot"}
LINEAR_IN_FIRST = {"Divide", "TrueDivide"}
#: Functions of single numbers, given constants and weights.
ELEMENTWISE = {
    "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "Mish",
    "Sigmoid", "HardSigmoid", "HardSilu", "HardTanh", "LogSigmoid", "Softplus", "Softsign", "Tanh", "Absolute", "Exp",
    "Square", "Clip",
}  # fmt: skip
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "hard_sigmoid",
    "hard_silu", "hard_tanh", "log_sigmoid", "softplus", "softsign", "tanh", "exponential",
)  # fmt: skip
LARGEST = {"MaxPooling1D", "MaxPooling2D", "MaxPooling3D"}
#: Rows and background rows with which a model is walked through before it is compiled; their product is neither.
_TRIED = (2, 3)


@dataclass(frozen=True, eq=False)
class Lifted:
    """What a node gives on explained rows, on background rows, and on each pair of them, row by row."""

    rows: Any
    background: Any
    pairs: Any


@dataclass(frozen=True)
class Walk:
    """How a model is walked through: its graph, where paths enter it, and what turns its answer into scores.

    ``stripped`` is the layer or operation of the last softmax or sigmoid, which is left out.
    """

    function: Any
    entrances: Sequence[Entrance]
    as_scores: Callable[[Any], Any]
    stripped: Any | None

    def __call__(self, rows: list[Any], background: list[Any], pairs: list[Any]) -> Lifted:
        entered = [Lifted(*three) for three in zip(rows, background, pairs, strict=True)]
        call = partial(_call, self.stripped)
        return run_entered(self.function, self.entrances, entered, call)  # type: ignore[no-any-return]


def rescaled_contributions(
    walk: Walk, paths: Paths, ends: Sequence[Ends], *, place: str, pairs: int, functions: dict[str, Any]
) -> RescaledContributions:
    """Return what ``Model.rescaled_contributions`` promises.

    Args:
        pairs: how many go through the model at once.
        functions: where what is compiled goes to, and is found again.

    Raises:
        JobError: ``layer_not_supported``.
    """
    count = paths.background_count

    def contributions(rows: NDArray[np.intp], outputs: NDArray[np.intp]) -> NDArray[np.float64]:
        sums = np.zeros((len(rows), paths.feature_count, outputs.shape[1]))
        background_step = min(count, pairs)
        row_step = max(1, pairs // background_step)
        for first in range(0, len(rows), row_step):
            chosen = slice(first, first + row_step)
            for background in chunks(count, background_step):
                for columns in output_slices(outputs.shape[1]):
                    sums[chosen, :, columns] += of_pairs(rows[chosen], background, outputs[chosen, columns])
        return sums / count

    def of_pairs(rows: NDArray[np.intp], background: slice, outputs: NDArray[np.intp]) -> NDArray[np.float32]:
        name = f"contributions to {outputs.shape[1]} outputs of {paths.feature_count} features {shape_of(ends)}"
        if name not in functions:
            functions[name] = _compiled(walk, ends, paths.feature_count, outputs.shape[1])
        with tf.device(place):
            found = functions[name](
                [tf.gather(end.rows, rows) for end in ends],
                [end.background[background] for end in ends],
                [end.features for end in ends],
                outputs,
            )
        answer: NDArray[np.float32] = found.numpy()
        return answer

    if (tried := "contributions, walked through") not in functions:
        numbers = (*_TRIED, int(np.prod(_TRIED)))
        with tf.device(place):
            walk(*[[tf.repeat(end.rows[:1], number, axis=0) for end in ends] for number in numbers])
        functions[tried] = walk
    return contributions


def _compiled(walk: Walk, ends: Sequence[Ends], feature_count: int, output_count: int) -> Any:
    def run(ours: list[Any], theirs: list[Any], features: list[Any], outputs: Any) -> Any:
        """Return sums over some background rows, shape (rows, features, outputs)."""
        each, row_count = tf.shape(theirs[0])[0], tf.shape(ours[0])[0]
        steps = [_paired(row, background, tf.subtract) for row, background in zip(ours, theirs, strict=True)]
        leaves = [tf.zeros_like(step) for step in steps]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaves)
            scores = walk.as_scores(walk(ours, theirs, leaves).pairs)
            columns = chosen_columns(scores, tf.repeat(outputs, each, axis=0))
        sums = []
        for column in columns:
            total = tf.zeros([row_count, feature_count])
            for multiplier, step, of_values in zip(tape.gradient(column, leaves), steps, features, strict=True):
                if multiplier is not None:
                    summed = tf.reshape(multiplier * step, tf.concat([[row_count, each], tf.shape(step)[1:]], 0))
                    summed = tf.ensure_shape(tf.reduce_sum(summed, 1), [None, *step.shape[1:]])
                    total += summed_by_feature(summed, of_values, feature_count)
            sums.append(total)
        return tf.stack(sums, axis=-1)

    specs = [end.spec for end in ends]
    asked = tf.TensorSpec([None, output_count], tf.int64)
    features = [end.feature_spec for end in ends]
    return tf.function(run, autograph=False, input_signature=[specs, specs, features, asked])


def _call(stripped: Any | None, operation: Any, *args: Any, **named: Any) -> Any:
    """Apply a layer or operation to what it is given, by the rule for it."""
    lifted = [value for value in keras.tree.flatten((args, named)) if isinstance(value, Lifted)]
    if not lifted:
        return operation(*args, **named)
    kind = _kind(operation)
    if operation is stripped and kind not in LINEAR_IN_ALL:
        return args[0]
    if kind in ("Functional", "Sequential"):
        inner = getattr(operation, "_functional", None) or operation
        given = keras.tree.flatten(args)
        return inner._run_through_graph(given, operation_fn=lambda found: partial(_call, stripped, found))
    if kind == "Activation":
        return _activated(operation, lifted[0])
    if kind in ELEMENTWISE:
        if lifted != [args[0]]:
            raise refused_layer(operation.name, kind, "more than its input depends on the inputs")
        return _elementwise(lambda values: operation(values, *args[1:], **named), lifted[0], operation.name, kind)
    if kind in LARGEST:
        return _largest(operation, lifted[0])
    _demand_linear(operation, kind, args, lifted)
    if not hasattr(operation, "activation"):
        return _each(operation, args, named)
    with without_activation(operation):
        before = _each(operation, args, named)
    return before if operation is stripped else _activated(operation, before)


def _kind(operation: Any) -> str:
    """Return the name of a class that is Keras' own; another one's is of no use."""
    kind = type(operation)
    return kind.__name__ if kind.__module__.startswith("keras.src.") else ""


def _demand_linear(operation: Any, kind: str, args: Any, lifted: list[Lifted]) -> None:
    if kind in LINEAR_IN_ALL:
        return
    if kind in LINEAR_IN_ONE:
        if len(lifted) != 1:
            raise refused_layer(operation.name, kind, "it multiplies two activations")
    elif kind in LINEAR_IN_FIRST:
        if lifted != [args[0]]:
            raise refused_layer(operation.name, kind, "it divides by an activation")
    else:
        raise refused_layer(operation.name, type(operation).__name__, "no rule is known for it")


def _each(operation: Any, args: Any, named: Any) -> Any:
    """Run a linear operation on rows, on background rows and on pairs."""

    def given(space: str) -> Any:
        return keras.tree.map_structure(
            lambda value: getattr(value, space) if isinstance(value, Lifted) else value, (args, named)
        )

    answers = []
    for space in ("rows", "background", "pairs"):
        of_space, named_of_space = given(space)
        answers.append(call_in_inference(operation, *of_space, **named_of_space))
    if isinstance(answers[0], list | tuple):
        return [Lifted(*three) for three in zip(*answers, strict=True)]
    return Lifted(*answers)


def _activated(operation: Any, before: Lifted) -> Lifted:
    activation = operation.activation
    if activation is None or activation is keras.activations.linear:
        return before
    if not any(activation is keras.activations.get(name) for name in ACTIVATIONS):
        told = getattr(activation, "__name__", type(activation).__name__)
        raise refused_layer(operation.name, type(operation).__name__, f"no rule is known for its activation {told!r}")
    return _elementwise(activation, before, operation.name, activation.__name__)


def _elementwise(function: Callable[[Any], Any], before: Lifted, name: str, kind: str) -> Lifted:
    _demand_rows_first(before, name, kind)
    with tf.GradientTape() as tape:
        tape.watch(before.rows)
        of_rows = function(before.rows)
    derivative = tape.gradient(of_rows, before.rows)
    of_background = function(before.background)
    entered = _paired(before.rows, before.background, tf.subtract)
    left = _paired(of_rows, of_background, tf.subtract)
    derivative = _paired(derivative, before.background, _first_of)
    is_small = tf.abs(entered) < SMALLEST_DIFFERENCE
    slopes = tf.where(is_small, derivative, left / tf.where(is_small, tf.ones_like(entered), entered))
    return Lifted(of_rows, of_background, before.pairs * slopes)


def _largest(operation: Any, before: Lifted) -> Lifted:
    """Credit a rise of the largest value to where it is in the row, and a fall to where it was in the background."""
    kind, sides = type(operation).__name__, tuple(operation.pool_size)
    _demand_rows_first(before, operation.name, kind)
    is_whole = all(size % side == 0 for size, side in zip(before.rows.shape[1:-1], sides, strict=True))
    if (
        tuple(operation.strides) != sides
        or operation.data_format != "channels_last"
        or not (operation.padding == "valid" or is_whole)
    ):
        raise refused_layer(operation.name, kind, "its windows overlap or are padded, or channels come first")
    rows, background, pairs = (_split(values, sides) for values in (before.rows, before.background, before.pairs))
    inner = [2 + 2 * axis for axis in range(len(sides))]
    of_rows, of_background = (tf.reduce_max(values, inner, keepdims=True) for values in (rows, background))
    places = tf.where(
        _paired(of_rows, of_background, tf.greater),
        _paired(_first_largest(rows, inner), background, _first_of),
        _paired(rows, _first_largest(background, inner), _second_of),
    )
    entered = _paired(rows, background, tf.subtract)
    is_left_out = (tf.abs(entered) < SMALLEST_DIFFERENCE) | ~places
    left = _paired(of_rows, of_background, tf.subtract)
    slopes = tf.where(is_left_out, tf.zeros_like(entered), left / tf.where(is_left_out, tf.ones_like(entered), entered))
    return Lifted(tf.squeeze(of_rows, inner), tf.squeeze(of_background, inner), tf.reduce_sum(pairs * slopes, inner))


def _split(values: Any, sides: tuple[int, ...]) -> Any:
    """Return (rows, windows, places in a window, ..., channels), two axes a side; what fills no window is left out."""
    *sizes, channels = values.shape[1:]
    counts = [size // side for size, side in zip(sizes, sides, strict=True)]
    whole = values[(slice(None), *[slice(count * side) for count, side in zip(counts, sides, strict=True)])]
    split = [length for count, side in zip(counts, sides, strict=True) for length in (count, side)]
    return tf.reshape(whole, [-1, *split, channels])


def _first_largest(values: Any, inner: list[int]) -> Any:
    """Tell of each value of split windows whether it is the first of its window's largest ones."""
    outer = [axis for axis in range(len(values.shape)) if axis not in inner]
    order = [*outer, *inner]
    turned = tf.transpose(values, order)
    size = int(np.prod([values.shape[axis] for axis in inner]))
    flat = tf.reshape(turned, [-1, size])
    places = tf.one_hot(tf.argmax(flat, -1), size)
    return tf.transpose(tf.reshape(places, tf.shape(turned)), np.argsort(order)) > 0


def _first_of(ours: Any, theirs: Any) -> Any:
    """Return the first of two values, broadcast to the shape of both."""
    return tf.broadcast_to(ours, tf.broadcast_dynamic_shape(tf.shape(ours), tf.shape(theirs)))


def _second_of(ours: Any, theirs: Any) -> Any:
    return _first_of(theirs, ours)


def _paired(rows: Any, background: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine each row with each background row; the pairs of one row follow each other."""
    both = combine(tf.expand_dims(rows, 1), tf.expand_dims(background, 0))
    flat = tf.reshape(both, tf.concat([[-1], tf.shape(both)[2:]], 0))
    return tf.ensure_shape(flat, [None, *both.shape[2:]])


def _demand_rows_first(before: Lifted, name: str, kind: str) -> None:
    """Refuse an activation with rows along another axis; sizes are known when the model is walked through."""
    sizes = tuple(value.shape[0] for value in (before.rows, before.background, before.pairs))
    if None not in sizes and sizes[0] * sizes[1] != sizes[2]:
        raise refused_layer(name, kind, "rows are not along its first axis")
