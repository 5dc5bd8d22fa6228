"""Keras on TensorFlow: ``.keras`` archives, run, trained and saved again, and legacy ``.h5`` models, which are run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from workers.entry_point import EntryPoint
from workers.frameworks.base import EpochRecord, FloatArray, Framework, History, Inputs, TrainingRows
from workers.frameworks.coalitions import Scale
from workers.frameworks.fitting import OwnLoss, objective_of, own_loss_missing, run_epochs
from workers.frameworks.keras_deeplift import Walk, rescaled_contributions
from workers.frameworks.keras_entrances import (
    Entrance,
    call_in_inference,
    ends_at,
    entrances_of,
    functional_of,
    run_entered,
)
from workers.frameworks.keras_first_layer import FirstLayer, first_dense, run_behind
from workers.frameworks.keras_paths import Scores
from workers.frameworks.keras_running import TensorFlowModel, logarithms, place_of
from workers.frameworks.keras_tracing import (
    all_layers,
    compiles_well,
    last_activation,
    watching_features,
    without_activation,
)
from workers.frameworks.keras_training import KerasTrainer, Precision
from workers.frameworks.paths import Paths, RescaledContributions
from workers.frameworks.rescaling import scores_not_found
from workers.frameworks.rows import demand_signature, is_differentiable
from workers.frameworks.widths import gradient_rows
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import STRING, OutputKind, OutputSpec, Signature, TensorSpec


class KerasModel(TensorFlowModel):
    """A loaded Keras model and the TensorFlow functions compiled from it, which share its weights."""

    def __init__(self, model: Any, *, signature: Signature, device: str) -> None:
        super().__init__(signature=signature, device=device)
        self._model = model
        self._activation = last_activation(model)

    def features(self, inputs: Inputs) -> FloatArray:
        return self._run(inputs, "features", self._features)

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        objective = objective_of(recipe, self.signature)
        own_loss = None if recipe.own_loss is None else self._own_loss(recipe.own_loss)
        _seed_dropout(self._model, recipe.seed)
        with Precision(self._model, recipe.precision):
            trainer = KerasTrainer(
                model=self._model,
                scores=self._scores if own_loss is None else self._outputs,
                signature=self.signature,
                rows=rows,
                recipe=recipe,
                objective=objective,
                own_loss=own_loss,
                device=self.place,
            )
            return run_epochs(trainer, rows, recipe, on_epoch=on_epoch)

    def save(self, path: Path) -> None:
        self._model.save(path)

    def layers(self) -> list[dict[str, Any]]:
        return [
            {
                "name": layer.name,
                "kind": type(layer).__name__,
                "output_shape": _shape_of(layer),
                # The lookup inside a TextVectorization is never built, and has nothing to count.
                "parameter_count": int(layer.count_params()) if layer.built else 0,
            }
            for layer in all_layers(self._model)
            if not isinstance(layer, keras.layers.InputLayer)
        ]

    def _own_loss(self, name: EntryPoint) -> OwnLoss:
        """Return the loss of this name that came with the model."""
        raise own_loss_missing(name)

    def _outputs(self, tensors: list[Any], training: bool) -> Any:
        return self._flat(self._call(tensors, training))

    def _call(self, tensors: list[Any], training: bool) -> Any:
        model = self._model
        structure = getattr(model, "_functional", None) or model
        packed = keras.tree.pack_sequence_as(structure._inputs_struct, tensors)
        answer = model(packed, training=training)
        return keras.tree.flatten(answer)[0]

    def _before_activation(self, tensors: list[Any], training: bool) -> Any | None:
        if self._activation is None:
            return None
        with without_activation(self._activation):
            return self._call(tensors, training)

    def _is_compiled_well(self) -> bool:
        return compiles_well(self._model)

    def _features(self, tensors: list[Any]) -> Any:
        with watching_features(self._model) as entered:
            self._call(tensors, False)
        if not entered:
            raise JobError("no_features", "The model has no layer with weights, so it has no features.")
        features = tf.cast(keras.tree.flatten(entered[-1])[0], tf.float32)
        return tf.reshape(features, [tf.shape(features)[0], int(np.prod(features.shape[1:], dtype=int))])

    def rescaled_contributions(self, paths: Paths) -> RescaledContributions:
        if self._gives_probabilities and self._activation is None:
            raise scores_not_found(self.signature)
        function = functional_of(self._model)
        if function is None:
            return super().rescaled_contributions(paths)
        entrances, scores = self._entered()
        with tf.device(self.place):
            ends = ends_at(entrances, paths, self.signature)
        return rescaled_contributions(
            Walk(function, entrances, self._flat, self._activation if self._gives_probabilities else None),
            scores,
            paths,
            ends,
            place=self.place,
            pairs=gradient_rows(self),
            functions=self._functions,
        )

    @property
    def _gives_probabilities(self) -> bool:
        return self.signature.output.kind == "probabilities"

    def _entered(self) -> tuple[list[Entrance], Scores]:
        function = functional_of(self._model)
        if function is None or all(is_differentiable(spec) for spec in self.signature.inputs):
            return super()._entered()
        entrances = entrances_of(function, self.signature)

        def answer(leaves: list[Any]) -> Any:
            return self._flat(run_entered(function, entrances, leaves, call_in_inference))

        return entrances, lambda leaves: self._scored(lambda: answer(leaves))

    def _scored(self, answer: Callable[[], Any]) -> Any:
        """Return the scores of a model that is run by ``answer``."""
        if not self._gives_probabilities:
            return answer()
        if self._activation is None:
            return logarithms(answer())
        with without_activation(self._activation):
            return answer()

    def _first_layer(self, _scale: Scale) -> FirstLayer | None:
        function = functional_of(self._model)
        found = None if function is None else first_dense(function)
        if found is None:
            return None

        def rest(given: Any) -> Any:
            if _scale == "probabilities":
                return self._as_shares(self._flat(run_behind(function, found, given)))
            return self._scored(lambda: self._flat(run_behind(function, found, given)))

        return FirstLayer(layer=found[0], before=found[1], rest=rest)

    def _variables(self) -> dict[str, Any]:
        """Return the weights by path; a path that stands twice gets a number, in the order of the layers."""
        variables: dict[str, Any] = {}
        for variable in self._model.weights:
            name, number = variable.path, 1
            while name in variables:
                number += 1
                name = f"{variable.path}#{number}"
            variables[name] = variable
        return variables


class KerasFramework(Framework):
    """Keras 3 on TensorFlow."""

    name: ClassVar[str] = "keras"
    formats: ClassVar[tuple[str, ...]] = ("keras", "h5")

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> KerasModel:
        prepare(device, seed)
        model = load_in_safe_mode(path, device=device)
        found = read_signature(model)
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        return KerasModel(model, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        return environment()


def prepare(device: str, seed: int) -> None:
    """Seed TensorFlow and make it deterministic, before anything is loaded: a Dropout draws its state when it is built.

    Raises:
        JobError: ``device_missing``.
    """
    _prepare_devices(device)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def load_in_safe_mode(path: Path, *, device: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Load a rewritten ``.keras`` or ``.h5``, whose custom objects are those of its package and no others.

    Raises:
        JobError: ``model_does_not_load``.
    """
    try:
        with tf.device(place_of(device)), keras.saving.custom_object_scope(dict(custom_objects or {})):
            # The ending of the name tells the format. Safe mode does not hold for .h5: the inspection has to.
            return keras.saving.load_model(path, safe_mode=True, compile=False)
    except Exception as error:
        # Keras raises whatever a config leads it to; all of it means the same to the person who uploaded the file.
        reason = f"Keras does not load {path.name}: {type(error).__name__}: {error}"
        raise JobError("model_does_not_load", reason, place=path.name) from error


def environment() -> dict[str, Any]:
    """Return versions, device names and settings that a result depends on."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "devices": [
            str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count(),
        "deterministic": True,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }


def read_signature(model: Any) -> Signature:
    """Read names, shapes and dtypes from a model; the kind of the first output is guessed from its last activation.

    Raises:
        JobError: ``model_does_not_load``, when the model states no inputs and outputs, an inner size is open, or an
            output is texts.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise JobError(
            "model_does_not_load", f"The {type(model).__name__} in the archive has no stated inputs and outputs."
        )
    inputs = tuple(
        TensorSpec(tensor.name, _shape(tensor, "input"), keras.backend.standardize_dtype(tensor.dtype))
        for tensor in model.inputs
    )
    names = getattr(model, "output_names", None) or [tensor._keras_history.operation.name for tensor in model.outputs]
    outputs = []
    for index, (name, tensor) in enumerate(zip(names, model.outputs, strict=True)):
        shape = _shape(tensor, "output")
        if tensor.dtype == STRING:
            raise JobError("model_does_not_load", f"The output {name!r} is texts; an output is numbers.", place=name)
        kind: OutputKind = "embedding"
        if index == 0:
            width = int(np.prod(shape[1:], dtype=int))
            kind = "probabilities" if last_activation(model) is not None else "logits" if width > 1 else "value"
        outputs.append(OutputSpec(name, shape, keras.backend.standardize_dtype(tensor.dtype), kind))
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _shape(tensor: Any, side: str) -> tuple[int, ...]:
    batch, *sizes = tensor.shape
    if batch is not None or None in sizes:
        raise JobError(
            "model_does_not_load",
            f"The {side} {tensor.name!r} has the shape {list(tensor.shape)}; the first size, the batch, has to be open "
            "and no other may be.",
            place=tensor.name,
        )
    return (-1, *sizes)


def _shape_of(layer: Any) -> list[int]:
    try:
        tensor = keras.tree.flatten(layer.output)[0]
    except (AttributeError, ValueError):
        # A layer inside another, or one that is used several times, has no one output.
        return []
    return [-1 if size is None else int(size) for size in tensor.shape]


def _prepare_devices(device: str) -> None:
    gpus = tf.config.list_physical_devices("GPU")
    if device.startswith("cuda") and len(gpus) <= int(device.partition(":")[2] or 0):
        raise JobError(
            "device_missing", f"The job asks for {device}; TensorFlow finds {len(gpus)} CUDA devices.", place=device
        )
    for gpu in gpus:
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)


def _seed_dropout(model: Any, seed: int) -> None:
    """Seed each layer's own random state, so that a training does not depend on what ran before it."""
    keras.utils.set_random_seed(seed)
    generators = [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]
    for number, state in enumerate(generators):
        state.assign(np.array([seed, number], dtype=state.dtype))
