"""Gradients at many points on paths at once, composed, differentiated and summed up in one compiled function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.keras_entrances import Ends, grouping_of, summed_by_feature
from workers.frameworks.keras_program import Program
from workers.frameworks.paths import PathGradients, Paths, Points
from workers.frameworks.rows import chunks
from workers.protocol import JobError

#: Gives logits, shape (points, outputs), for one tensor an entrance.
Scores = Callable[[list[Any]], Any]

#: Outputs that one compiled function differentiates; of more it runs once a slice of so many.
OUTPUTS_TOGETHER = 16


def path_gradients(
    paths: Paths, ends: Sequence[Ends], scores: Scores, *, place: str, chunk_rows: int, functions: dict[str, Any]
) -> PathGradients:
    """Return what ``Model.path_gradients`` promises; what is compiled goes to ``functions``, and is used again."""

    def gradients(points: Points) -> NDArray[np.float64]:
        sums = np.zeros((points.group_count, paths.feature_count, points.output_count))
        for places in chunks(len(points), chunk_rows):
            part, first = points.part(places)
            for columns in output_slices(points.output_count):
                sums[first : first + part.group_count, :, columns] += of_part(part, part.outputs[:, columns])
        return sums

    def of_part(points: Points, outputs: NDArray[np.intp]) -> NDArray[np.float32]:
        name = f"path gradients of {outputs.shape[1]} outputs by {paths.feature_count} features of {grouping_of(ends)}"
        if name not in functions:
            functions[name] = _compiled(ends, scores, paths.feature_count, outputs.shape[1])
        numbers = points.rows, points.background_rows, points.positions, points.groups, outputs
        with tf.device(place):
            given = [tensor for end in ends for tensor in end.tensors]
            found = functions[name](*given, *map(tf.constant, numbers))
        answer: NDArray[np.float32] = found.numpy()
        return answer

    return gradients


def _compiled(ends: Sequence[Ends], scores: Scores, feature_count: int, output_count: int) -> Program:
    def run(
        entered: list[tuple[Any, Any, Any]], rows: Any, background: Any, positions: Any, groups: Any, outputs: Any
    ) -> Any:
        leaves, steps = [], []
        for of_rows, of_background, _ in entered:
            start = tf.gather(of_background, background)
            step = tf.gather(of_rows, rows) - start
            position = tf.reshape(tf.cast(positions, start.dtype), [-1, *[1] * (len(start.shape) - 1)])
            leaves.append(start + position * step)
            steps.append(step)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaves)
            columns = chosen_columns(scores(leaves), outputs)
        group_count = groups[-1] + 1
        sums = []
        for column in columns:
            found = tape.gradient(column, leaves)
            if all(gradient is None for gradient in found):
                raise JobError("no_gradient", "The output does not depend on the inputs in a way that has a gradient.")
            total = tf.zeros([group_count, feature_count])
            for gradient, step, (_, _, features) in zip(found, steps, entered, strict=True):
                if gradient is not None:
                    values = summed_by_feature(gradient * step, features, feature_count)
                    total += tf.math.unsorted_segment_sum(values, groups, group_count)
            sums.append(total)
        return tf.stack(sums, axis=-1)

    numbers = [tf.TensorSpec([None], dtype) for dtype in (tf.int64, tf.int64, tf.float32, tf.int64)]
    asked = tf.TensorSpec([None, output_count], tf.int64)
    return Program(run, [[end.specs for end in ends], *numbers, asked], autograph=False)


def output_slices(count: int) -> Iterator[slice]:
    """Cut the asked outputs into slices that one compiled function differentiates."""
    return chunks(count, OUTPUTS_TOGETHER)


def chosen_columns(scores: Any, outputs: Any) -> list[Any]:
    """Return for each asked output its score in each row."""
    return tf.unstack(tf.gather(scores, outputs, batch_dims=1), num=outputs.shape[1], axis=1)  # type: ignore[no-any-return]
