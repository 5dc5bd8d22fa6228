"""What every model on PyTorch does alike: run in chunks and differentiate, from functions of tensors."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from workers.frameworks.base import FloatArray, Inputs, Model
from workers.frameworks.coalitions import MEMORY_BYTES, Game, Scale, demand_probabilities
from workers.frameworks.fitting import fit_targets
from workers.frameworks.paths import PathGradients, Paths
from workers.frameworks.pytorch_coalitions import Score, TorchCoalitionScorer
from workers.frameworks.pytorch_entrances import Entrance, ends_at, float_entrances
from workers.frameworks.pytorch_first_layer import LEAST_FEATURES, FirstLayer
from workers.frameworks.pytorch_paths import Scores, path_gradients
from workers.frameworks.rows import GRADIENT_CHUNK_VALUES, chunks, conform, is_differentiable
from workers.frameworks.widths import gradient_rows, pass_rows
from workers.protocol import JobError
from workers.signature import Signature


class TorchModel(Model):
    """A model whose scores are a function of torch tensors."""

    framework: ClassVar[str] = "pytorch"

    def __init__(self, *, signature: Signature, device: str) -> None:
        self.signature = signature
        self.device = device

    @abstractmethod
    def _scores(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """Return logits, or the values of a regression, as float32 of shape (rows, outputs)."""

    @abstractmethod
    def _output(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """Return the first output as the model gives it, as float32 of shape (rows, outputs)."""

    @abstractmethod
    def _tensors(self) -> dict[str, torch.Tensor]:
        """Return every parameter and buffer by a stable name; they share their memory with the model."""

    @property
    def _is_exact(self) -> bool:
        """Whether the output itself is what scores are computed from."""
        return self.signature.output.kind != "probabilities"

    @property
    def is_reentrant(self) -> bool:
        """Whether several threads of the processor may run the model at once, each with the answers that it has alone.

        Code of a package or a script may keep something from call to call.
        """
        return False

    def coalition_scorer(self, game: Game, *, memory_bytes: int = MEMORY_BYTES) -> TorchCoalitionScorer:
        if game.scale == "probabilities":
            demand_probabilities(self)
        return TorchCoalitionScorer(
            self,
            game,
            self._score_on(game.scale),
            first_layer=self._first_layer_of(game) if game.features > LEAST_FEATURES else None,
            memory_bytes=memory_bytes,
        )

    def _first_layer_of(self, game: Game) -> FirstLayer | None:  # noqa: ARG002 - what follows it depends on the game
        """Return the dense layer that the model begins with, where its graph shows one."""
        return None

    def _score_on(self, scale: Scale) -> Score:
        """Return what gives the scores of many rows on a scale."""
        return self._scores if scale == "logits" else lambda tensors: self._shares(self._output(tensors))

    def _shares(self, output: torch.Tensor) -> torch.Tensor:
        """Return probabilities of shape (rows, outputs) from what the model gives."""
        if not self._is_exact:
            return output
        return output.double().softmax(1) if output.shape[1] > 1 else output.double().sigmoid()

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

    def path_gradients(self, paths: Paths) -> PathGradients:
        entrances, scores = self._entered()
        ends = ends_at(entrances, paths, self.signature, self.device)
        return path_gradients(
            paths, ends, scores, device=self.device, chunk_rows=gradient_rows(self, GRADIENT_CHUNK_VALUES)
        )

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

    def _entered(self) -> tuple[list[Entrance], Scores]:
        """Return where paths can enter the model, and its scores as a function of one tensor an entrance.

        Raises:
            JobError: ``no_gradient``.
        """
        return float_entrances(self.signature), self._scores

    def _in_chunks(self, inputs: Inputs, run: Callable[[list[torch.Tensor]], torch.Tensor]) -> FloatArray:
        arrays = conform(inputs, self.signature)
        first, *others = list(chunks(len(arrays[0]), pass_rows(self))) or [slice(0, 0)]
        found = run(self._tensors_of(arrays, first)).cpu().numpy()
        if not others:
            return found
        # Small arrays that are kept, made between large ones that go, would cut the heap into pieces; so all of the
        # answer has its place from the beginning.
        answer = np.empty((len(arrays[0]), *found.shape[1:]), found.dtype)
        answer[first] = found
        for rows in others:
            answer[rows] = run(self._tensors_of(arrays, rows)).cpu().numpy()
        return answer

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
        for rows in chunks(len(arrays[0]), gradient_rows(self)):
            tensors = self._tensors_of(arrays, rows)
            leaves = [tensors[index].requires_grad_() for index in wanted]
            # A copy of each leaf goes in: an in-place operator may write to what it is given.
            result = run([tensor.clone() if tensor.requires_grad else tensor for tensor in tensors], rows)
            if not result.requires_grad:
                raise JobError("no_gradient", "The output does not depend on the inputs in a way that has a gradient.")
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


def prepare(device: str, seed: int) -> None:
    """Seed torch and let it compute deterministically, before anything is loaded.

    Raises:
        JobError: ``device_missing``, when the job asks for a CUDA device that is not there.
    """
    if device.startswith("cuda"):
        # cuBLAS is deterministic only with a workspace of this form, and reads it when CUDA starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise JobError("device_missing", f"The job asks for {device}; PyTorch finds no CUDA device.", place=device)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")


def environment() -> dict[str, Any]:
    """Return versions, device names and settings that a result depends on."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(index) for index in range(count)],
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def flat(answer: torch.Tensor) -> torch.Tensor:
    """Return float32 of shape (rows, outputs)."""
    return answer.float().flatten(1) if answer.ndim > 1 else answer.float().unsqueeze(1)


def logarithms(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of probabilities, or the log-odds of a single one: logits but for a constant a row."""
    tiny = torch.finfo(torch.float32).tiny
    if probabilities.shape[1] > 1:
        return probabilities.clamp_min(tiny).log()
    return probabilities.clamp_min(tiny).log() - (1 - probabilities).clamp_min(tiny).log()


def _to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.detach().cpu().numpy().copy()
