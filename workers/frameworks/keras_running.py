"""What every model on TensorFlow does alike: run in chunks and differentiate, from one function that is traced once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.base import FloatArray, Inputs, Model
from workers.frameworks.coalitions import MEMORY_BYTES, Game, Scale, demand_probabilities
from workers.frameworks.fitting import fit_targets
from workers.frameworks.keras_coalitions import TensorFlowCoalitionScorer
from workers.frameworks.keras_entrances import Entrance, ends_at, float_entrances, tensor_of
from workers.frameworks.keras_first_layer import FirstLayer
from workers.frameworks.keras_paths import Scores, path_gradients
from workers.frameworks.keras_program import Program
from workers.frameworks.paths import PathGradients, Paths
from workers.frameworks.rows import GRADIENT_CHUNK_VALUES, chunks, conform, is_differentiable
from workers.frameworks.widths import gradient_rows, pass_rows
from workers.protocol import JobError
from workers.signature import Signature


class TensorFlowModel(Model):
    """A model of which TensorFlow functions are compiled, which share its weights."""

    framework: ClassVar[str] = "keras"

    def __init__(self, *, signature: Signature, device: str) -> None:
        self.signature = signature
        self.device = device
        self.place = place_of(device)
        #: Programs that score coalitions, by all that their shapes depend on.
        self.programs: dict[tuple[Any, ...], Any] = {}
        self._functions: dict[str, Any] = {}
        #: Names of functions whose values have no gradient for any input; tracing finds out.
        self._without_gradient: set[str] = set()

    @abstractmethod
    def _call(self, tensors: list[Any], training: bool) -> Any:
        """Return the first output for one tensor an input, in the order of the signature."""

    @abstractmethod
    def _before_activation(self, tensors: list[Any], training: bool) -> Any | None:
        """Return what goes into the last softmax or sigmoid; None where that cannot be found."""

    @abstractmethod
    def _variables(self) -> dict[str, Any]:
        """Return the weights by a stable name."""

    def forward(self, inputs: Inputs) -> FloatArray:
        return self._run(inputs, "output", lambda tensors: self._flat(self._call(tensors, False)))

    def logits(self, inputs: Inputs) -> FloatArray:
        return self._run(inputs, "logits", lambda tensors: self._scores(tensors, False))

    def coalition_scorer(self, game: Game, *, memory_bytes: int = MEMORY_BYTES) -> TensorFlowCoalitionScorer:
        def score(tensors: list[Any]) -> Any:
            return self._scores(tensors, False) if game.scale == "logits" else self._shares(tensors)

        if game.scale == "probabilities":
            demand_probabilities(self)
        return TensorFlowCoalitionScorer(
            self,
            game,
            score,
            compiles=self._is_compiled_well(),
            first_layer=self._first_layer(game.scale),
            memory_bytes=memory_bytes,
        )

    def _first_layer(self, _scale: Scale) -> FirstLayer | None:
        """Return the dense layer that the model begins with, and scores on a scale behind it, where it can be seen."""
        return None

    def _is_compiled_well(self) -> bool:
        """Tell whether XLA makes the model faster: it does for dense layers and does not for convolutions."""
        return False

    def _shares(self, tensors: list[Any]) -> Any:
        """Return probabilities of shape (rows, outputs), whatever the model gives."""
        return self._as_shares(self._flat(self._call(tensors, False)))

    def _as_shares(self, output: Any) -> Any:
        if self.signature.output.kind == "probabilities":
            return output
        output = tf.cast(output, tf.float64)
        return tf.nn.softmax(output) if output.shape[1] > 1 else tf.nn.sigmoid(output)

    def loss_gradient(self, inputs: Inputs, targets: NDArray[Any]) -> tuple[FloatArray, dict[str, FloatArray]]:
        expected = fit_targets(targets, self.signature)
        shape = [None] if self.signature.output.class_count else [None, expected.shape[1]]

        def losses(tensors: list[Any], wanted: Any) -> Any:
            scores = self._scores(tensors, False)
            if not self.signature.output.class_count:
                return tf.reduce_sum(tf.square(scores - wanted), 1)
            if scores.shape[1] == 1:
                labels = tf.cast(wanted, tf.float32)
                return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=scores[:, 0])
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=scores)

        return self._with_gradient("loss", inputs, losses, expected, tf.TensorSpec(shape, expected.dtype))

    def logits_gradient(self, inputs: Inputs, output: int) -> tuple[FloatArray, dict[str, FloatArray]]:
        def logit(tensors: list[Any], wanted: Any) -> Any:
            return tf.gather(self._scores(tensors, False), wanted[0], axis=1)

        arrays = next(iter(inputs.values()))
        chosen = np.full(len(arrays), output, np.int64)
        return self._with_gradient("logit", inputs, logit, chosen, tf.TensorSpec([None], tf.int64))

    def path_gradients(self, paths: Paths) -> PathGradients:
        entrances, scores = self._entered()
        with tf.device(self.place):
            ends = ends_at(entrances, paths, self.signature)
        return path_gradients(
            paths,
            ends,
            scores,
            place=self.place,
            chunk_rows=gradient_rows(self, GRADIENT_CHUNK_VALUES),
            functions=self._functions,
        )

    def weights(self) -> dict[str, NDArray[Any]]:
        return {name: _to_numpy(variable) for name, variable in self._variables().items()}

    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        variables = self._variables()
        unknown = set(weights) - set(variables)
        if unknown:
            raise KeyError(f"The model has no weights named {sorted(unknown)[0]!r}.")
        for name, array in weights.items():
            variables[name].assign(np.asarray(array))

    def _scores(self, tensors: list[Any], training: bool) -> Any:
        """Return logits, or the values of a regression, as float32 of shape (rows, outputs)."""
        if self.signature.output.kind != "probabilities":
            return self._flat(self._call(tensors, training))
        found = self._before_activation(tensors, training)
        if found is not None:
            return self._flat(found)
        return logarithms(self._flat(self._call(tensors, training)))

    def _flat(self, answer: Any) -> Any:
        width = int(np.prod(self.signature.output.shape[1:], dtype=int))
        return tf.reshape(tf.cast(answer, tf.float32), [-1, width])

    def _entered(self) -> tuple[list[Entrance], Scores]:
        """Return where paths can enter the model, and its scores as a function of one tensor an entrance.

        Raises:
            JobError: ``no_gradient``.
        """
        return float_entrances(self.signature), lambda leaves: self._scores(leaves, False)

    def _run(self, inputs: Inputs, name: str, run: Callable[[list[Any]], Any]) -> FloatArray:
        """Return what a function of tensors gives for all rows; it is traced when its name is first asked for."""
        arrays = conform(inputs, self.signature)
        if name not in self._functions:
            self._functions[name] = Program(run, [self._specs()])
        function = self._functions[name]
        slices = list(chunks(len(arrays[0]), pass_rows(self))) or [slice(0, 0)]
        with tf.device(self.place):
            parts = [function(*self._tensors(arrays, rows)).numpy() for rows in slices]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _with_gradient(
        self, name: str, inputs: Inputs, run: Callable[[list[Any], Any], Any], expected: NDArray[Any], spec: Any
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        specs = self.signature.inputs
        arrays = conform(inputs, self.signature)
        wanted = [index for index, spec in enumerate(specs) if is_differentiable(spec)]
        if not wanted:
            raise JobError("no_gradient", "Every input of the model is a whole number; there is no gradient to take.")
        if name not in self._functions:

            def differentiate(tensors: list[Any], expected: Any) -> tuple[Any, list[Any]]:
                leaves = [tensors[index] for index in wanted]
                with tf.GradientTape() as tape:
                    tape.watch(leaves)
                    values = run(tensors, expected)
                found = tape.gradient(values, leaves)
                if all(gradient is None for gradient in found):
                    self._without_gradient.add(name)
                whole = [
                    tf.zeros_like(leaf) if gradient is None else gradient
                    for leaf, gradient in zip(leaves, found, strict=True)
                ]
                return tf.cast(values, tf.float32), [tf.cast(gradient, tf.float32) for gradient in whole]

            self._functions[name] = tf.function(differentiate, input_signature=[self._specs(), spec])
        function = self._functions[name]
        values = np.empty(len(arrays[0]), np.float32)
        gradients = {specs[index].name: np.empty(arrays[index].shape, np.float32) for index in wanted}
        with tf.device(self.place):
            for rows in chunks(len(arrays[0]), gradient_rows(self)):
                found_values, found = function(self._tensors(arrays, rows), tf.constant(expected[rows]))
                if name in self._without_gradient:
                    detail = "The output does not depend on the inputs in a way that has a gradient."
                    raise JobError("no_gradient", detail)
                values[rows] = found_values.numpy()
                for index, gradient in zip(wanted, found, strict=True):
                    gradients[specs[index].name][rows] = gradient.numpy()
        return values, gradients

    def _specs(self) -> list[Any]:
        return [tf.TensorSpec([None, *spec.row_shape], spec.dtype) for spec in self.signature.inputs]

    def _tensors(self, arrays: list[NDArray[Any]], rows: slice) -> list[Any]:
        return [tensor_of(array[rows], spec) for array, spec in zip(arrays, self.signature.inputs, strict=True)]


def logarithms(probabilities: Any) -> Any:
    """Return the logarithms of probabilities, or the log-odds of a single one: logits but for a constant a row."""
    tiny = np.finfo(np.float32).tiny
    if probabilities.shape[1] > 1:
        return tf.math.log(tf.maximum(probabilities, tiny))
    return tf.math.log(tf.maximum(probabilities, tiny)) - tf.math.log(tf.maximum(1 - probabilities, tiny))


def place_of(device: str) -> str:
    """Return the name that TensorFlow has for a device of a job."""
    kind, _, number = device.partition(":")
    return f"/GPU:{number or 0}" if kind == "cuda" else "/CPU:0"


def _to_numpy(variable: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.array(variable.numpy())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
