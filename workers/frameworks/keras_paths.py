"""Gradients at many points on paths at once, composed, differentiated and summed up in one compiled function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.keras_entrances import Ends
from workers.frameworks.paths import PathGradients, Paths, Points
from workers.frameworks.rows import chunks
from workers.protocol import JobError

#: Gives logits, shape (points, outputs), for one tensor an entrance.
Scores = Callable[[list[Any]], Any]

#: Outputs that one compiled function differentiates; of more it runs once a slice of so many.
OUTPUTS_TOGETHER = 16


def path_gradients(paths: Paths, ends: Sequence[Ends], scores: Scores, *, place: str, chunk_rows: int) -> PathGradients:
    """Return what ``Model.path_gradients`` promises."""
    functions: dict[int, Any] = {}
    unreached: list[bool] = []

    def gradients(points: Points) -> NDArray[np.float64]:
        sums = np.zeros((points.group_count, paths.feature_count, points.output_count))
        for places in chunks(len(points), chunk_rows):
            part, first = points.part(places)
            for columns in output_slices(points.output_count):
                sums[first : first + part.group_count, :, columns] += of_part(part, part.outputs[:, columns])
        return sums

    def of_part(points: Points, outputs: NDArray[np.intp]) -> NDArray[np.float32]:
        count = outputs.shape[1]
        if count not in functions:
            functions[count] = tf.function(
                compiled,
                autograph=False,
                input_signature=[
                    [end.spec for end in ends],
                    [end.spec for end in ends],
                    *[tf.TensorSpec([None], dtype) for dtype in (tf.int64, tf.int64, tf.float32, tf.int64)],
                    tf.TensorSpec([None, count], tf.int64),
                ],
            )
        with tf.device(place):
            found = functions[count](
                [end.rows for end in ends],
                [end.background for end in ends],
                points.rows, points.background_rows, points.positions, points.groups, outputs,
            )  # fmt: skip
        if any(unreached):
            raise JobError("no_gradient", "The output does not depend on the inputs in a way that has a gradient.")
        answer: NDArray[np.float32] = found.numpy()
        return answer

    def compiled(
        ended: list[Any], started: list[Any], rows: Any, background: Any, positions: Any, groups: Any, outputs: Any
    ) -> Any:
        leaves, steps = [], []
        for of_rows, of_background in zip(ended, started, strict=True):
            start = tf.gather(of_background, background)
            step = tf.gather(of_rows, rows) - start
            position = tf.reshape(tf.cast(positions, start.dtype), [-1, *[1] * (len(start.shape) - 1)])
            leaves.append(start + position * step)
            steps.append(step)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaves)
            answer = scores(leaves)
            columns = chosen_columns(answer, outputs)
        sums = []
        group_count = groups[-1] + 1
        for column in columns:
            found = tape.gradient(column, leaves)
            unreached.append(all(gradient is None for gradient in found))
            total = tf.zeros([group_count, paths.feature_count])
            for gradient, step, end in zip(found, steps, ends, strict=True):
                if gradient is not None:
                    values = end.summed_by_feature(gradient * step, paths.feature_count)
                    total += tf.math.unsorted_segment_sum(values, groups, group_count)
            sums.append(total)
        return tf.stack(sums, axis=-1)

    return gradients


def output_slices(count: int) -> Iterator[slice]:
    """Cut the asked outputs into slices that one compiled function differentiates."""
    return chunks(count, OUTPUTS_TOGETHER)


def chosen_columns(scores: Any, outputs: Any) -> list[Any]:
    """Return for each asked output its score in each row."""
    return tf.unstack(tf.gather(scores, outputs, batch_dims=1), num=outputs.shape[1], axis=1)  # type: ignore[no-any-return]
