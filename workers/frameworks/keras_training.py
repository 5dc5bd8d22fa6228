"""One training of a Keras model: its step, its measurements, its optimizer, as compiled TensorFlow functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.base import Inputs, TrainingRows
from workers.frameworks.fitting import Objective, OwnLoss, Trainer, boundary_of, fit_targets
from workers.frameworks.keras_tracing import all_layers
from workers.frameworks.rows import chunk_rows, conform_for_training
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature


class KerasTrainer(Trainer):
    """Trains a model in place. ``scores(tensors, training)`` gives logits, or the values of a regression."""

    def __init__(
        self,
        *,
        model: Any,
        scores: Callable[[list[Any], bool], Any],
        signature: Signature,
        rows: TrainingRows,
        recipe: Recipe,
        objective: Objective,
        own_loss: OwnLoss | None,
        device: str,
    ) -> None:
        self._model, self._scores, self._signature = model, scores, signature
        self._objective, self._metrics, self._device = objective, recipe.metrics, device
        self._own_loss, self._boundary = own_loss, boundary_of(objective, signature)
        self._inputs, self._targets = self._held(rows.inputs, rows.targets)
        self._watched: tuple[list[Any], Any] | None = None
        if rows.validation_inputs is not None and rows.validation_targets is not None:
            self._watched = self._held(rows.validation_inputs, rows.validation_targets)
        if not model.trainable_variables:
            raise JobError("nothing_to_train", "The model has no trainable parameters.")
        with tf.device(device):
            self._optimizer = _optimizer(recipe)
            self._optimizer.build(model.trainable_variables)
            self._sums = tf.Variable(tf.zeros(1 + len(self._metrics), tf.float64), trainable=False)
            self._seen = tf.Variable(tf.zeros(1 + len(self._metrics), tf.float64), trainable=False)
        numbers = tf.TensorSpec([None], tf.int64)
        self._step = tf.function(self._take_step, input_signature=[numbers])
        self._watch = tf.function(self._add_watched, input_signature=[numbers])

    def step(self, rows: NDArray[np.int64]) -> None:
        self._step(tf.constant(rows))

    def take_sums(self) -> dict[str, float]:
        return self._take(self._sums)

    def measure_validation(self) -> dict[str, float]:
        assert self._watched is not None
        count, size = len(self._watched[1]), chunk_rows(self._signature)
        for start in range(0, count, size):
            self._watch(tf.range(start, min(start + size, count), dtype=tf.int64))
        return self._take(self._seen)

    def snapshot(self) -> list[NDArray[Any]]:
        return [variable.numpy() for variable in self._model.weights]

    def restore(self, snapshot: Any) -> None:
        for variable, kept in zip(self._model.weights, snapshot, strict=True):
            variable.assign(kept)

    def _held(self, inputs: Inputs, targets: NDArray[Any]) -> tuple[list[Any], Any]:
        """Hold rows in host memory; batches are gathered there and go to the device."""
        with tf.device("/CPU:0"):
            tensors = [
                tf.cast(tf.constant(array), spec.dtype)
                for array, spec in zip(
                    conform_for_training(inputs, self._signature), self._signature.inputs, strict=True
                )
            ]
            return tensors, tf.constant(fit_targets(targets, self._signature))

    def _gathered(self, held: tuple[list[Any], Any], rows: Any) -> tuple[list[Any], Any]:
        with tf.device("/CPU:0"):
            return [tf.gather(tensor, rows) for tensor in held[0]], tf.gather(held[1], rows)

    def _take_step(self, rows: Any) -> None:
        inputs, targets = self._gathered((self._inputs, self._targets), rows)
        variables = self._model.trainable_variables
        with tf.device(self._device):
            with tf.GradientTape() as tape:
                scores = self._scores(inputs, True)
                losses = self._losses(scores, targets)
                # A layer's penalties (weight regularisation) belong to what is minimised, not to what is reported.
                total = tf.add_n([tf.reduce_mean(losses), *self._model.losses])
            gradients = tape.gradient(total, [variable.value for variable in variables])
            self._optimizer.apply(gradients, variables)
            self._sums.assign_add(self._sums_of(losses, scores, targets))

    def _add_watched(self, rows: Any) -> None:
        assert self._watched is not None
        inputs, targets = self._gathered(self._watched, rows)
        with tf.device(self._device):
            scores = self._scores(inputs, False)
            self._seen.assign_add(self._sums_of(self._losses(scores, targets), scores, targets))

    def _losses(self, scores: Any, targets: Any) -> Any:
        if self._own_loss is None:
            return _losses(self._objective, scores, targets)
        # Whether it returns one number or one a row, each row counts with the mean.
        value = tf.cast(tf.reduce_mean(self._own_loss(targets, scores)), tf.float32)
        return tf.broadcast_to(value, tf.shape(scores)[:1])

    def _sums_of(self, losses: Any, scores: Any, targets: Any) -> Any:
        values = [losses, *(_metric(name, scores, targets, self._boundary) for name in self._metrics)]
        return tf.stack([tf.cast(tf.reduce_sum(value), tf.float64) for value in values])

    def _take(self, sums: Any) -> dict[str, float]:
        values = sums.numpy().tolist()
        sums.assign(tf.zeros_like(sums))
        return dict(zip(("loss", *self._metrics), values, strict=True))


def _losses(objective: Objective, scores: Any, targets: Any) -> Any:
    if objective == "softmax":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=scores)
    if objective == "sigmoid":
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(targets, scores.dtype), logits=scores[:, 0])
    if objective == "mean_squared_error":
        return tf.reduce_mean(tf.square(scores - targets), 1)
    if objective == "mean_absolute_error":
        return tf.reduce_mean(tf.abs(scores - targets), 1)
    error = tf.abs(scores - targets)
    return tf.reduce_mean(tf.where(error <= 1.0, 0.5 * tf.square(error), error - 0.5), 1)


def _metric(name: str, scores: Any, targets: Any, boundary: float) -> Any:
    if name == "accuracy":
        predicted = tf.argmax(scores, 1) if scores.shape[1] > 1 else tf.cast(scores[:, 0] > boundary, tf.int64)
        return tf.cast(predicted == targets, tf.float32)
    if name == "mean_squared_error":
        return tf.reduce_mean(tf.square(scores - targets), 1)
    return tf.reduce_mean(tf.abs(scores - targets), 1)


def _optimizer(recipe: Recipe) -> Any:
    classes = {
        "sgd": keras.optimizers.SGD,
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
    }
    try:
        return classes[recipe.optimizer](**recipe.optimizer_parameters)
    except ValueError as error:
        raise JobError("recipe_does_not_fit", f"Keras refuses the optimizer: {error}.", place="optimizer") from error


class Precision:
    """Lets a loaded model compute in another precision for a while; weights stay float32."""

    def __init__(self, model: Any, precision: str) -> None:
        self._layers = [model, *all_layers(model)] if precision == "bfloat16" else []
        self._policies: list[Any] = []

    def __enter__(self) -> None:
        self._policies = [layer.dtype_policy for layer in self._layers]
        for layer in self._layers:
            layer.dtype_policy = "mixed_bfloat16"

    def __exit__(self, *_error: object) -> None:
        for layer, policy in zip(self._layers, self._policies, strict=True):
            layer.dtype_policy = policy
