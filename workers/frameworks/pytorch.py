"""PyTorch: models of ``torch.export``, loaded from a rewritten ``.pt2``, run, trained and saved again."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from torch.nn import functional

from workers.frameworks.base import EpochRecord, FloatArray, Framework, History, Inputs, Model, TrainingRows
from workers.frameworks.fitting import fit_targets, objective_of, run_epochs
from workers.frameworks.pytorch_graph import Answer, FeaturesMissingError, describe, last_activation, variant
from workers.frameworks.pytorch_training import PyTorchTrainer
from workers.frameworks.rows import chunk_rows, chunks, conform, demand_signature, is_differentiable
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import OutputKind, OutputSpec, Signature, TensorSpec


class PyTorchModel(Model):
    """An exported program. Variants of its graph share one set of weights."""

    framework: ClassVar[str] = "pytorch"

    def __init__(self, program: torch.export.ExportedProgram, *, signature: Signature, device: str) -> None:
        self.signature = signature
        self.device = device
        self._program = program
        placed = program if device == "cpu" else _moved(program, device)
        self._module: fx.GraphModule = placed.module(check_guards=False)
        self._finds_logits = last_activation(self._module.graph) is not None
        self._variants: dict[tuple[bool, Answer], fx.GraphModule] = {}

    def forward(self, inputs: Inputs) -> FloatArray:
        return self._run(inputs, "output")

    def logits(self, inputs: Inputs) -> FloatArray:
        if self.signature.output.kind != "probabilities":
            return self._run(inputs, "output")
        with torch.no_grad():
            return self._in_chunks(inputs, self._scores)

    def features(self, inputs: Inputs) -> FloatArray:
        try:
            return self._run(inputs, "features")
        except FeaturesMissingError:
            raise JobError("no_features", "The model has no operator with weights, so it has no features.") from None

    def loss_gradient(self, inputs: Inputs, targets: NDArray[Any]) -> tuple[FloatArray, dict[str, FloatArray]]:
        expected = torch.from_numpy(fit_targets(targets, self.signature))

        def losses(tensors: list[torch.Tensor], rows: slice) -> torch.Tensor:
            scores, wanted = self._scores(tensors), expected[rows].to(self.device)
            if not self.signature.output.class_count:
                return ((scores - wanted) ** 2).sum(1)
            if scores.shape[1] == 1:
                return functional.binary_cross_entropy_with_logits(scores[:, 0], wanted.float(), reduction="none")
            return functional.cross_entropy(scores, wanted, reduction="none")

        return self._with_gradient(inputs, losses)

    def logits_gradient(self, inputs: Inputs, output: int) -> tuple[FloatArray, dict[str, FloatArray]]:
        return self._with_gradient(inputs, lambda tensors, _rows: self._scores(tensors)[:, output])

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        objective = objective_of(recipe, self.signature)
        torch.manual_seed(recipe.seed)
        trainer = PyTorchTrainer(
            module=self._variant(training=True, answer="output" if self._is_exact else "logits"),
            watcher=self._variant(training=False, answer="output" if self._is_exact else "logits"),
            holder=self._module,
            as_scores=self._as_scores,
            signature=self.signature,
            rows=rows,
            recipe=recipe,
            objective=objective,
            device=self.device,
        )
        return run_epochs(trainer, rows, recipe, on_epoch=on_epoch)

    def weights(self) -> dict[str, NDArray[Any]]:
        return {name: _to_numpy(tensor) for name, tensor in self._tensors().items()}

    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        tensors = self._tensors()
        unknown = set(weights) - set(tensors)
        if unknown:
            raise KeyError(f"The model has no weights named {sorted(unknown)[0]!r}.")
        with torch.no_grad():
            for name, array in weights.items():
                tensors[name].copy_(torch.from_numpy(np.array(array)).reshape(tensors[name].shape))

    def save(self, path: Path) -> None:
        """Write a ``.pt2``; the same weights give the same bytes, whatever the file is called."""
        tensors = self._tensors()
        with torch.no_grad():
            for name, kept in self._program.state_dict.items():
                kept.copy_(tensors[name])
        buffer = io.BytesIO()
        torch.export.save(self._program, buffer)
        path.write_bytes(buffer.getvalue())

    def layers(self) -> list[dict[str, Any]]:
        return describe(self._module)

    @property
    def _is_exact(self) -> bool:
        """Whether the output itself is what scores are computed from."""
        return self.signature.output.kind != "probabilities"

    def _variant(self, *, training: bool, answer: Answer) -> fx.GraphModule:
        key = (training, answer)
        if key not in self._variants:
            self._variants[key] = variant(self._module, training=training, answer=answer)
        return self._variants[key]

    def _scores(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """Return logits, or the values of a regression, as float32 of shape (rows, outputs)."""
        answer: Answer = "output" if self._is_exact else "logits"
        return self._as_scores(self._variant(training=False, answer=answer)(*tensors))

    def _as_scores(self, answer: torch.Tensor) -> torch.Tensor:
        scores = _flat(answer)
        if self._is_exact or self._finds_logits:
            return scores
        tiny = torch.finfo(torch.float32).tiny
        if scores.shape[1] > 1:
            return scores.clamp_min(tiny).log()
        return scores.clamp_min(tiny).log() - (1 - scores).clamp_min(tiny).log()

    def _run(self, inputs: Inputs, answer: Answer) -> FloatArray:
        module = self._variant(training=False, answer=answer)
        with torch.no_grad():
            return self._in_chunks(inputs, lambda tensors: _flat(module(*tensors)))

    def _in_chunks(self, inputs: Inputs, run: Callable[[list[torch.Tensor]], torch.Tensor]) -> FloatArray:
        arrays = conform(inputs, self.signature)
        slices = list(chunks(len(arrays[0]), chunk_rows(self.signature))) or [slice(0, 0)]
        parts = [run(self._tensors_of(arrays, rows)).cpu().numpy() for rows in slices]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _with_gradient(
        self, inputs: Inputs, run: Callable[[list[torch.Tensor], slice], torch.Tensor]
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        specs = self.signature.inputs
        arrays = conform(inputs, self.signature)
        wanted = [index for index, spec in enumerate(specs) if is_differentiable(spec)]
        if not wanted:
            raise JobError("no_gradient", "Every input of the model is a whole number; there is no gradient to take.")
        values = np.empty(len(arrays[0]), np.float32)
        gradients = {specs[index].name: np.empty(arrays[index].shape, np.float32) for index in wanted}
        for rows in chunks(len(arrays[0]), chunk_rows(self.signature)):
            tensors = self._tensors_of(arrays, rows)
            leaves = [tensors[index].requires_grad_() for index in wanted]
            # A copy of each leaf goes in: an in-place operator may write to what it is given.
            result = run([tensor.clone() if tensor.requires_grad else tensor for tensor in tensors], rows)
            found = torch.autograd.grad(result.sum(), leaves, allow_unused=True)
            values[rows] = result.detach().float().cpu().numpy()
            for index, gradient in zip(wanted, found, strict=True):
                gradients[specs[index].name][rows] = 0.0 if gradient is None else gradient.float().cpu().numpy()
        return values, gradients

    def _tensors_of(self, arrays: list[NDArray[Any]], rows: slice) -> list[torch.Tensor]:
        """Copy rows to the device; a copy, so that no operator writes to the caller's array."""
        return [
            torch.tensor(array[rows], dtype=getattr(torch, spec.dtype), device=self.device)
            for array, spec in zip(arrays, self.signature.inputs, strict=True)
        ]

    def _tensors(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = dict(self._module.named_parameters(remove_duplicate=False))
        found.update(self._module.named_buffers(remove_duplicate=False))
        return {name: found[name].detach() for name in self._program.state_dict}


class PyTorchFramework(Framework):
    """PyTorch through ``torch.export``."""

    name: ClassVar[str] = "pytorch"
    formats: ClassVar[tuple[str, ...]] = ("pt2",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> PyTorchModel:
        if device.startswith("cuda"):
            # cuBLAS is deterministic only with a workspace of this form, and reads it when CUDA starts.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            if not torch.cuda.is_available():
                raise JobError(
                    "device_missing", f"The job asks for {device}; PyTorch finds no CUDA device.", place=device
                )
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
        try:
            program = torch.export.load(path)
        except Exception as error:
            # torch raises whatever its reader meets; all of it means the same to the person who uploaded the file.
            reason = f"PyTorch does not load {path.name}: {type(error).__name__}: {error}"
            raise JobError("model_does_not_load", reason, place=path.name) from error
        found = read_signature(program)
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        return PyTorchModel(program, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "devices": [torch.cuda.get_device_name(index) for index in range(count)],
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }


def read_signature(program: torch.export.ExportedProgram) -> Signature:
    """Read names, shapes and dtypes from the graph; the kind of the first output is guessed from its last operator.

    Raises:
        JobError: ``model_does_not_load``, when an input is not a tensor, the batch is fixed, or another size is not.
    """
    nodes = {node.name: node for node in program.graph.nodes}
    inputs = tuple(
        TensorSpec(name, *_shape_and_dtype(nodes, name, "input")) for name in program.graph_signature.user_inputs
    )
    outputs = []
    for index, name in enumerate(program.graph_signature.user_outputs):
        shape, dtype = _shape_and_dtype(nodes, name, "output")
        kind: OutputKind = "embedding"
        if index == 0:
            activation = last_activation(program.graph)
            width = int(np.prod(shape[1:], dtype=int))
            kind = "probabilities" if activation is not None else "logits" if width > 1 else "value"
        outputs.append(OutputSpec(str(name), shape, dtype, kind))
    if not inputs or not outputs:
        raise JobError("model_does_not_load", "The exported program has no tensor input or no tensor output.")
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _shape_and_dtype(nodes: Mapping[str, fx.Node], name: Any, side: str) -> tuple[tuple[int, ...], str]:
    value = nodes[name].meta.get("val") if name in nodes else None
    if not isinstance(value, torch.Tensor) or not value.ndim:
        raise JobError("model_does_not_load", f"The {side} {name!r} is not a tensor of rows.", place=str(name))
    batch, *sizes = value.shape
    if isinstance(batch, int):
        raise JobError(
            "model_does_not_load",
            f"The {side} {name!r} has a fixed batch of {batch}; export the model with a dynamic first dimension.",
            place=str(name),
        )
    for size in sizes:
        if not isinstance(size, int):
            raise JobError(
                "model_does_not_load",
                f"The {side} {name!r} has the shape {list(value.shape)}; only the first size, the batch, may be open.",
                place=str(name),
            )
    return (-1, *sizes), str(value.dtype).removeprefix("torch.")


def _moved(program: torch.export.ExportedProgram, device: str) -> torch.export.ExportedProgram:
    """Return a copy of a program on another device; the original stays on the CPU, to be saved from there."""
    from torch.export.passes import move_to_device_pass

    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    return move_to_device_pass(torch.export.load(buffer), device)


def _flat(answer: torch.Tensor) -> torch.Tensor:
    """Return float32 of shape (rows, outputs)."""
    return answer.float().flatten(1) if answer.ndim > 1 else answer.float().unsqueeze(1)


def _to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.detach().cpu().numpy().copy()
