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

import math
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
    grouping_of,
    run_entered,
    summed_by_feature,
)
from workers.frameworks.keras_paths import Scores, output_slices
from workers.frameworks.keras_program import Program
from workers.frameworks.keras_tracing import without_activation
from workers.frameworks.paths import Paths, Rescaled, RescaledContributions
from workers.frameworks.rescaling import SMALLEST_DIFFERENCE, refused_layer
from workers.frameworks.rows import chunks, filled_up

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
    """What a node gives on explained rows, on background rows, and on each pair of them, row by row.

    On pairs it gives ``unscaled`` times ``slopes``, if there are any: those of several nonlinearities are multiplied
    with each other before anything is differentiated, once for all outputs.
    """

    rows: Any
    background: Any
    unscaled: Any
    slopes: Any | None = None

    @property
    def pairs(self) -> Any:
        return self.unscaled if self.slopes is None else self.unscaled * self.slopes

    def through(self, rows: Any, background: Any, slopes: Any) -> Lifted:
        """Return what a nonlinearity gives that gives these values, and has these slopes on pairs."""
        return Lifted(rows, background, self.unscaled, slopes if self.slopes is None else self.slopes * slopes)


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
    walk: Walk, scores: Scores, paths: Paths, ends: Sequence[Ends], *, place: str, pairs: int, functions: dict[str, Any]
) -> RescaledContributions:
    """Return what ``Model.rescaled_contributions`` promises.

    Args:
        scores: gives the model's own scores for what enters it, shape (rows, all outputs).
        pairs: how many go through the model at once.
        functions: where what is compiled goes to, and is found again.

    Raises:
        JobError: ``layer_not_supported``.
    """
    count = paths.background_count
    # One shape of a program for all: as many background rows a time, and rows by a power of two, filled up.
    background_step = -(-count // -(-count // pairs))
    most_rows = 2 ** (max(1, pairs // background_step).bit_length() - 1)
    of_features = f"{paths.feature_count} features of {grouping_of(ends)}"
    given = [tensor for end in ends for tensor in end.tensors]

    def rescaled(rows: NDArray[np.intp], outputs: NDArray[np.intp]) -> Rescaled:
        contributions = np.zeros((len(rows), paths.feature_count, outputs.shape[1]))
        own, base = np.empty(outputs.shape), np.zeros(outputs.shape)
        for chosen in chunks(len(rows), most_rows):
            together = np.arange(chosen.start, chosen.start + filled_up(chosen.stop - chosen.start))
            together = np.minimum(together, chosen.stop - 1)
            for first in range(0, count, background_step):
                for columns in output_slices(outputs.shape[1]):
                    found = of_pairs(rows[together], first, outputs[together, columns])
                    values, row_scores, sums = (part[: chosen.stop - chosen.start] for part in found)
                    contributions[chosen, :, columns] += values
                    own[chosen, columns] = row_scores
                    base[chosen, columns] += sums
        return Rescaled(contributions / count, own, base / count)

    def of_pairs(rows: NDArray[np.intp], first: int, outputs: NDArray[np.intp]) -> list[NDArray[np.floating[Any]]]:
        shape = f"{len(rows)} rows by {background_step} with {outputs.shape[1]} outputs"
        name = f"contributions to {shape} of {of_features}"
        if name not in functions:
            sizes = (*outputs.shape, background_step)
            functions[name] = _compiled(walk, scores, ends, paths.feature_count, sizes)
        with tf.device(place):
            found = functions[name](*given, tf.constant(rows), tf.constant(first, tf.int64), tf.constant(outputs))
        return [tensor.numpy() for tensor in found]

    if (tried := "contributions, walked through") not in functions:
        numbers = (*_TRIED, int(np.prod(_TRIED)))
        with tf.device(place):
            walk(*[[tf.repeat(end.rows[:1], number, axis=0) for end in ends] for number in numbers])
        functions[tried] = walk
    return rescaled


def _compiled(
    walk: Walk, scores: Scores, ends: Sequence[Ends], feature_count: int, sizes: tuple[int, int, int]
) -> Program:
    """Return a program for so many rows, outputs and background rows, from the first one on that it is told.

    That the sizes are known when it is traced is what makes it fast: then a gradient asks no operation for the shape of
    its answer, and what goes forward on pairs, which nobody needs, is never run.
    """
    row_count, output_count, each = sizes

    def run(entered: list[tuple[Any, Any, Any]], rows: Any, first: Any, outputs: Any) -> tuple[Any, Any, Any]:
        """Return sums of contributions and of scores over the background rows, as far as there are some.

        Shapes: (rows, features, outputs) of the contributions, (rows, outputs) of the rows' scores and of the sums.
        """
        background_count = tf.shape(entered[0][1], tf.int64)[0]
        background = first + tf.range(each, dtype=tf.int64)
        is_counted = tf.cast(background < background_count, tf.float32)[:, None]
        ours = [tf.gather(of_rows, rows) for of_rows, _, _ in entered]
        theirs = [tf.gather(of_each, tf.minimum(background, background_count - 1)) for _, of_each, _ in entered]
        # From a background row that only fills up no row has any way to go, and so nothing contributes.
        steps = [
            (_of_row(of_rows) - _of_background(of_each)) * tf.cast(is_counted, of_rows.dtype)
            for of_rows, of_each in zip(ours, theirs, strict=True)
        ]
        leaves = [tf.zeros([row_count * each, *of_rows.shape[1:]], of_rows.dtype) for of_rows in ours]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaves)
            walked = walk(ours, theirs, leaves)
            of_pairs = walk.as_scores(walked.pairs)
        sums = []
        for output in tf.unstack(outputs, axis=1):
            of_output = tf.repeat(tf.one_hot(output, of_pairs.shape[1]), each, axis=0)
            found = tape.gradient(of_pairs, leaves, output_gradients=of_output)
            total = tf.zeros([row_count, feature_count])
            for multiplier, step, (_, _, features) in zip(found, steps, entered, strict=True):
                if multiplier is not None:
                    summed = tf.reduce_sum(tf.reshape(multiplier, step.shape) * step, 1)
                    total += summed_by_feature(summed, features, feature_count)
            sums.append(total)
        base = tf.reduce_sum(tf.cast(walk.as_scores(walked.background) * is_counted, tf.float64), 0)
        return tf.stack(sums, axis=-1), tf.gather(scores(ours), outputs, batch_dims=1), tf.gather(base, outputs)

    numbers = [tf.TensorSpec(shape, tf.int64) for shape in ([row_count], [], [row_count, output_count])]
    return Program(run, [[end.specs for end in ends], *numbers], autograph=False)


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
    entered = _of_row(before.rows) - _of_background(before.background)
    left = _of_row(of_rows) - _of_background(of_background)
    slopes = _quotient(left, entered, instead=_of_row(derivative))
    return before.through(of_rows, of_background, _by_pair(slopes, before.rows))


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
    whole = before if is_whole else _in_windows(before, sides)
    of_rows, of_background = (_largest_of(values, sides) for values in (whole.rows, whole.background))
    left = _of_row(of_rows.spread) - _of_background(of_background.spread)
    credited = tf.where(left > 0, _of_row(of_rows.places), _of_background(of_background.places)) * left
    entered = _of_row(whole.rows) - _of_background(whole.background)
    slopes = _quotient(credited, entered, instead=tf.zeros([1, 1, 1]))
    given = whole.through(of_rows.values, of_background.values, _by_pair(slopes * math.prod(sides), whole.rows))
    # A mean, since its gradient is faster than that of a sum over inner axes.
    return Lifted(given.rows, given.background, tf.nn.avg_pool(given.pairs, sides, sides, "VALID"))


@dataclass(frozen=True)
class _Largest:
    """The largest values of windows, each also at every place of its window, and 1 where it is first, 0 elsewhere."""

    values: Any
    spread: Any
    places: Any


def _in_windows(values: Lifted, sides: tuple[int, ...]) -> Lifted:
    """Leave out the values that fill no window."""
    sizes = values.rows.shape[1:-1]
    whole = (slice(None), *[slice(size // side * side) for size, side in zip(sizes, sides, strict=True)])
    return Lifted(values.rows[whole], values.background[whole], values.pairs[whole])


def _largest_of(values: Any, sides: tuple[int, ...]) -> _Largest:
    """Split each side of an image in two axes, windows and places in a window, and find the largest values."""
    *sizes, channels = values.shape[1:]
    axes = [length for size, side in zip(sizes, sides, strict=True) for length in (size // side, side)]
    split = tf.reshape(values, [-1, *axes, channels])
    inner = [2 + 2 * axis for axis in range(len(sides))]
    largest = tf.reduce_max(split, inner, keepdims=True)
    order = [axis for axis in range(len(split.shape)) if axis not in inner] + inner
    turned = tf.transpose(split, order)
    flat = tf.reshape(turned, [-1, math.prod(sides)])
    first = tf.one_hot(tf.argmax(flat, -1), math.prod(sides), dtype=values.dtype)
    places = tf.transpose(tf.reshape(first, tf.shape(turned)), np.argsort(order))
    whole = [-1, *sizes, channels]
    return _Largest(
        values=tf.squeeze(largest, inner),
        spread=tf.reshape(tf.broadcast_to(largest, tf.shape(split)), whole),
        places=tf.reshape(places, whole),
    )


def _of_row(values: Any) -> Any:
    """Return the values of rows so that they meet those of each background row, shape (rows, 1, values)."""
    return tf.reshape(values, [tf.shape(values)[0], 1, int(np.prod(values.shape[1:], dtype=int))])


def _of_background(values: Any) -> Any:
    """Return the values of background rows so that they meet those of each row, shape (1, background rows, values)."""
    return tf.expand_dims(tf.reshape(values, [tf.shape(values)[0], int(np.prod(values.shape[1:], dtype=int))]), 0)


def _by_pair(values: Any, rows: Any) -> Any:
    """Return (rows, background rows, values) as pairs, the values shaped like those of rows."""
    return tf.reshape(values, [-1, *rows.shape[1:]])


def _quotient(left: Any, entered: Any, *, instead: Any) -> Any:
    """Return the slope between two rows; what is divided by next to nothing is not chosen."""
    return tf.where(tf.abs(entered) < SMALLEST_DIFFERENCE, instead, left / entered)


def _demand_rows_first(before: Lifted, name: str, kind: str) -> None:
    """Refuse an activation with rows along another axis; sizes are known when the model is walked through."""
    sizes = tuple(value.shape[0] for value in (before.rows, before.background, before.unscaled))
    if None not in sizes and sizes[0] * sizes[1] != sizes[2]:
        raise refused_layer(name, kind, "rows are not along its first axis")
