"""SavedModels: a rewritten copy is unpacked and loaded, and one of its signatures is run.

A SavedModel is a graph without layers: it is evaluated, explained and audited, not trained. Its scores before the
softmax are the logarithms of its probabilities, which differ from the logits by a constant a row only.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Never

import numpy as np
import tensorflow as tf

from workers.frameworks.base import EpochRecord, Framework, Inputs, TrainingRows
from workers.frameworks.keras import environment, prepare
from workers.frameworks.keras_running import TensorFlowModel, place_of
from workers.frameworks.rows import demand_signature
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import DTYPES, STRING, OutputKind, OutputSpec, Signature, TensorSpec

_DEFAULT = "serving_default"
_ACTIVATIONS = frozenset({"Softmax", "Sigmoid"})
_CALLS = frozenset({"StatefulPartitionedCall", "PartitionedCall"})


class SavedGraph(TensorFlowModel):
    """One signature of a SavedModel: a function from named tensors to named tensors, with the variables it reads."""

    def __init__(self, loaded: Any, function: Any, *, found: Signature, signature: Signature, device: str) -> None:
        super().__init__(signature=signature, device=device)
        # TensorFlow frees the variables of a loaded model when nothing refers to its root.
        self._loaded = loaded
        self._function = function
        self._input_names = [spec.name for spec in found.inputs]
        self._output_name = found.output.name

    def features(self, inputs: Inputs) -> Never:  # noqa: ARG002 - no rows have any
        raise JobError("no_features", "A SavedModel keeps no layers, so what enters its last one cannot be told.")

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> Never:  # noqa: ARG002
        raise JobError(
            "format_does_not_train",
            "A SavedModel holds a graph for inference and cannot be retrained; register the model as .keras for that.",
        )

    def save(self, path: Path) -> Never:  # noqa: ARG002 - wherever to
        raise JobError("format_does_not_train", "A SavedModel is not written again; the registered file is the model.")

    def layers(self) -> list[dict[str, Any]]:
        """Describe what owns the variables: a graph has no layers, but names of variables tell whose they are."""
        counts: dict[str, int] = {}
        for name, variable in self._variables().items():
            owner = name.rpartition("/")[0] or name
            counts[owner] = counts.get(owner, 0) + int(np.prod(variable.shape, dtype=int))
        return [
            {"name": owner, "kind": "variables", "output_shape": [], "parameter_count": count}
            for owner, count in counts.items()
        ]

    def _call(self, tensors: list[Any], training: bool) -> Any:  # noqa: ARG002 - an export is for inference
        return self._function(**dict(zip(self._input_names, tensors, strict=True)))[self._output_name]

    def _before_activation(self, tensors: list[Any], training: bool) -> None:  # noqa: ARG002 - a graph is called whole
        return None

    def _variables(self) -> dict[str, Any]:
        """Return the variables with numbers; a name that stands twice gets a number, in the order of the graph."""
        variables: dict[str, Any] = {}
        for variable in self._function.variables:
            if not (variable.dtype.is_floating or variable.dtype.is_integer or variable.dtype.is_bool):
                continue
            first = name = variable.name.partition(":")[0]
            number = 1
            while name in variables:
                number += 1
                name = f"{first}#{number}"
            variables[name] = variable
        return variables


class SavedModelFramework(Framework):
    """TensorFlow, through a SavedModel."""

    name: ClassVar[str] = "keras"
    formats: ClassVar[tuple[str, ...]] = ("saved_model",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> SavedGraph:
        """Load the rewritten copy of a SavedModel, a zip file.

        Raises:
            JobError: ``model_does_not_load``, when TensorFlow refuses it, or no signature of it takes rows of numbers.
        """
        prepare(device, seed)
        loaded = _load(path, device)
        function = _chosen(loaded, path)
        found = read_signature(function)
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        return SavedGraph(loaded, function, found=found, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        return environment()


def _load(path: Path, device: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="saved-model-") as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        try:
            with tf.device(place_of(device)):
                return tf.saved_model.load(folder)
        except Exception as error:
            # TensorFlow raises whatever a graph leads it to; all of it means the same to whoever uploaded the file.
            reason = f"TensorFlow does not load {path.name}: {type(error).__name__}: {error}"
            raise JobError("model_does_not_load", reason, place=path.name) from error


def read_signature(function: Any) -> Signature:
    """Read names, shapes and dtypes from a function; the kind of the first output is guessed from its last operator.

    Raises:
        JobError: ``model_does_not_load``, when it takes or gives something else than rows of numbers.
    """
    inputs = tuple(
        TensorSpec(name, *_shape_and_dtype(name, spec, "input"))
        for name, spec in sorted(function.structured_input_signature[1].items())
    )
    outputs: list[OutputSpec] = []
    for (name, spec), tensor in zip(sorted(function.structured_outputs.items()), function.graph.outputs, strict=True):
        shape, dtype = _shape_and_dtype(name, spec, "output")
        kind: OutputKind = "embedding"
        if not outputs:
            width = int(np.prod(shape[1:], dtype=int))
            is_activated = _ends_in_activation(tensor)
            kind = "probabilities" if is_activated else "logits" if width > 1 else "value"
        outputs.append(OutputSpec(name, shape, dtype, kind))
    if not inputs or not outputs:
        raise JobError("model_does_not_load", "The signature of the SavedModel has no input or no output.")
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _chosen(loaded: Any, path: Path) -> Any:
    signatures: Mapping[str, Any] = getattr(loaded, "signatures", {})
    if _DEFAULT in signatures:
        return signatures[_DEFAULT]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    told = ", ".join(map(repr, signatures)) or "none"
    raise JobError(
        "model_does_not_load",
        f"The SavedModel has the signatures {told}; one of them has to be {_DEFAULT!r}, or there is just one.",
        place=path.name,
    )


def _shape_and_dtype(name: str, spec: Any, side: str) -> tuple[tuple[int, ...], str]:
    shape = None if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None else spec.shape.as_list()
    if not shape or (spec.dtype.name not in DTYPES and (side, spec.dtype.name) != ("input", STRING)):
        raise JobError(
            "model_does_not_load",
            f"The {side} {name!r} is {spec}; it has to be rows of numbers, or an input of texts, of a known shape.",
            place=name,
        )
    batch, *sizes = shape
    if batch is not None or None in sizes:
        raise JobError(
            "model_does_not_load",
            f"The {side} {name!r} has the shape {shape}; the first size, the batch, has to be open and no other may "
            "be.",
            place=name,
        )
    return (-1, *sizes), spec.dtype.name


def _ends_in_activation(tensor: Any) -> bool:
    """Tell whether a tensor is the result of a softmax or sigmoid, looking into the functions that are called."""
    while True:
        operator = tensor.op
        if operator.type in _CALLS:
            function = operator.graph._get_function(operator.get_attr("f").name)
            tensor = function.graph.outputs[tensor.value_index]
        elif operator.type == "Identity":
            tensor = operator.inputs[0]
        else:
            return operator.type in _ACTIVATIONS
