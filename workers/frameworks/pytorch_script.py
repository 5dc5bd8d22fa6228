"""TorchScript: a rewritten archive is loaded and its ``forward`` is run.

A script says neither which shapes it takes nor what it gives: the stated signature is tried out when it is loaded. It
is evaluated, explained and audited, not trained. Its scores before the softmax are the logarithms of its probabilities,
which differ from the logits by a constant a row only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Never

import numpy as np
import torch
from numpy.typing import NDArray

from workers.frameworks.base import EpochRecord, FloatArray, Framework, Inputs, TrainingRows
from workers.frameworks.pytorch_entrances import Entrance
from workers.frameworks.pytorch_paths import Scores
from workers.frameworks.pytorch_running import TorchModel, environment, flat, logarithms, prepare
from workers.frameworks.rows import demand_signature
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import OutputKind, OutputSpec, Signature

_ACTIVATIONS = frozenset({"aten::softmax", "aten::sigmoid"})
#: Numbers of rows that a script is tried with: an open batch takes both.
_TRIED_ROWS = (2, 3)


class ScriptModel(TorchModel):
    """A loaded script in inference mode, and the weights that it has not folded into its code."""

    def __init__(self, module: Any, *, signature: Signature, device: str) -> None:
        super().__init__(signature=signature, device=device)
        self._module = module

    def forward(self, inputs: Inputs) -> FloatArray:
        with torch.no_grad():
            return self._in_chunks(inputs, self._output)

    def logits(self, inputs: Inputs) -> FloatArray:
        with torch.no_grad():
            return self._in_chunks(inputs, self._scores)

    def features(self, inputs: Inputs) -> Never:  # noqa: ARG002 - no rows have any
        raise JobError("no_features", "TorchScript is run as a whole, so what enters its last layer cannot be told.")

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> Never:  # noqa: ARG002
        raise JobError(
            "format_does_not_train",
            "TorchScript is compiled for inference and is not retrained here; register the model as .pt2 for that.",
        )

    def save(self, path: Path) -> Never:  # noqa: ARG002 - wherever to
        raise JobError("format_does_not_train", "TorchScript is not written again; the registered file is the model.")

    def layers(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name or "model",
                "kind": module.original_name,
                "output_shape": [],
                "parameter_count": sum(tensor.numel() for tensor in module.parameters(recurse=False)),
            }
            for name, module in self._module.named_modules()
        ]

    def answers(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs in order, of a script that gives a tensor, a tuple, a list or a dictionary of them.

        Raises:
            JobError: ``model_does_not_load``, when it gives something else.
        """
        # Optimised execution watches the first runs and compiles others: their numbers would differ.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            answer = self._module(*tensors)
        if isinstance(answer, dict):
            answer = list(answer.values())
        outputs = list(answer) if isinstance(answer, tuple | list) else [answer]
        if not outputs or not all(isinstance(output, torch.Tensor) for output in outputs):
            raise JobError("model_does_not_load", "The script gives something else than tensors.")
        return outputs

    def _output(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        return flat(self.answers(tensors)[0])

    def _scores(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        scores = self._output(tensors)
        return scores if self._is_exact else logarithms(scores)

    def _with_gradient(
        self, inputs: Inputs, run: Callable[[list[torch.Tensor], slice], torch.Tensor]
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        # cuDNN's recurrent layers have no gradient in inference mode; PyTorch's own ones do. And a script may have
        # switched gradients off.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            return super()._with_gradient(inputs, run)

    def _entered(self) -> tuple[list[Entrance], Scores]:
        entrances, _ = super()._entered()

        def scores(leaves: list[torch.Tensor]) -> torch.Tensor:
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                return self._scores(leaves)

        return entrances, scores

    def _tensors(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = dict(self._module.named_parameters())
        found.update(self._module.named_buffers())
        return {name: tensor.detach() for name, tensor in found.items()}


class ScriptFramework(Framework):
    """PyTorch, through TorchScript."""

    name: ClassVar[str] = "pytorch"
    formats: ClassVar[tuple[str, ...]] = ("torchscript",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> ScriptModel:
        """Load the rewritten copy of a TorchScript archive and try the stated signature out.

        Raises:
            JobError: ``model_does_not_load``, when PyTorch refuses it, it does not run, or no signature was stated;
                ``signature_does_not_fit`` with what differs.
        """
        if signature is None:
            detail = "TorchScript does not say what its inputs and outputs are; state the signature."
            raise JobError("model_does_not_load", detail, place=path.name)
        prepare(device, seed)
        module = _load(path, device)
        model = ScriptModel(module, signature=signature, device=device)
        try:
            demand_signature(_tried(model, _is_activated(module)), signature, place=path.name)
        except (RuntimeError, torch.jit.Error) as error:
            reason = f"{path.name} does not run on rows of the stated signature: {str(error).strip().splitlines()[-1]}"
            raise JobError("model_does_not_load", reason, place=path.name) from error
        return model

    def environment(self) -> dict[str, Any]:
        return environment()


def _load(path: Path, device: str) -> Any:
    try:
        with warnings.catch_warnings():
            # torch would rather have torch.export; which format an upload has is not ours to choose.
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        return module.eval()
    except Exception as error:
        # torch raises whatever its reader meets; all of it means the same to the person who uploaded the file.
        reason = f"PyTorch does not load {path.name}: {type(error).__name__}: {error}"
        raise JobError("model_does_not_load", reason, place=path.name) from error


def _tried(model: ScriptModel, is_activated: bool) -> Signature:
    """Return the signature that a script turns out to have when it is run on zeros.

    Raises:
        JobError: ``model_does_not_load``, when the rows that come out are not as many as went in.
    """
    stated = model.signature
    shapes = []
    for count in _TRIED_ROWS:
        zeros: list[NDArray[Any]] = [np.zeros((count, *spec.row_shape)) for spec in stated.inputs]
        with torch.no_grad():
            answers = model.answers(model._tensors_of(zeros, slice(None)))
        shapes.append([(tuple(answer.shape), str(answer.dtype).removeprefix("torch.")) for answer in answers])
        if any(not shape or shape[0] != count for shape, _ in shapes[-1]):
            told = ", ".join(str(list(shape)) for shape, _ in shapes[-1])
            detail = f"{count} rows went into the script, and the outputs have the shapes {told}; rows come first."
            raise JobError("model_does_not_load", detail)
    outputs = []
    for index, (shape, dtype) in enumerate(shapes[0]):
        kind: OutputKind = "probabilities" if index == 0 and is_activated else "embedding"
        name = stated.outputs[index].name if index < len(stated.outputs) else f"output_{index}"
        outputs.append(OutputSpec(name, (-1, *shape[1:]), dtype, kind))
    return Signature(inputs=stated.inputs, outputs=tuple(outputs))


def _is_activated(module: Any) -> bool:
    """Tell whether the first output is the result of a softmax or sigmoid, looking into branches."""
    graph = module.inlined_graph  # its nodes live as long as it does
    waiting = [output.node() for output in graph.outputs()][:1]
    while waiting:
        node = waiting.pop()
        if node.kind() in _ACTIVATIONS:
            return True
        if node.kind() == "prim::TupleConstruct":
            waiting.extend(value.node() for value in list(node.inputs())[:1])
        elif node.kind() == "prim::If":
            waiting.extend(value.node() for block in node.blocks() for value in list(block.outputs())[:1])
    return False
