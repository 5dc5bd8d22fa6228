"""One training of an exported torch program: its step, its measurements, its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from workers.frameworks.base import Inputs, TrainingRows
from workers.frameworks.fitting import Objective, OwnLoss, Trainer, boundary_of, fit_targets
from workers.frameworks.rows import chunk_rows, chunks, conform_for_training
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature


class PyTorchTrainer(Trainer):
    """Trains what ``learn`` runs; ``watch`` runs the same in inference, and ``holder`` has the weights of both."""

    def __init__(
        self,
        *,
        learn: Callable[..., torch.Tensor],
        watch: Callable[..., torch.Tensor],
        holder: torch.nn.Module,
        as_scores: Callable[[torch.Tensor], torch.Tensor],
        signature: Signature,
        rows: TrainingRows,
        recipe: Recipe,
        objective: Objective,
        own_loss: OwnLoss | None,
        device: str,
    ) -> None:
        self._learn, self._watch, self._holder, self._as_scores = learn, watch, holder, as_scores
        self._objective, self._metrics, self._device = objective, recipe.metrics, torch.device(device)
        self._own_loss, self._boundary = own_loss, boundary_of(objective, signature)
        self._chunk_rows = chunk_rows(signature)
        self._autocasts = recipe.precision == "bfloat16"
        self._inputs, self._targets = self._on_device(rows.inputs, rows.targets, signature)
        self._watched: tuple[list[torch.Tensor], torch.Tensor] | None = None
        if rows.validation_inputs is not None and rows.validation_targets is not None:
            self._watched = self._on_device(rows.validation_inputs, rows.validation_targets, signature)
        self._parameters = [parameter for parameter in holder.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise JobError("nothing_to_train", "The model has no trainable parameters.")
        self._optimizer = _optimizer(self._parameters, recipe)
        self._sums: list[tuple[int, list[torch.Tensor]]] = []

    def step(self, rows: NDArray[np.int64]) -> None:
        picked = torch.from_numpy(rows).to(self._device)
        targets = self._targets[picked]
        self._optimizer.zero_grad(set_to_none=True)
        scores = self._scores(self._learn, [tensor[picked] for tensor in self._inputs])
        loss = self._loss(scores, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._sums.append((len(rows), self._means(loss, scores, targets)))

    def take_sums(self) -> dict[str, float]:
        sums, self._sums = self._totals(self._sums), []
        return sums

    def measure_validation(self) -> dict[str, float]:
        assert self._watched is not None
        inputs, targets = self._watched
        means = []
        with torch.no_grad():
            for rows in chunks(len(targets), self._chunk_rows):
                scores, wanted = self._scores(self._watch, [tensor[rows].clone() for tensor in inputs]), targets[rows]
                means.append((len(wanted), self._means(self._loss(scores, wanted), scores, wanted)))
        return self._totals(means)

    def snapshot(self) -> list[torch.Tensor]:
        return [tensor.detach().clone() for tensor in self._state()]

    def restore(self, snapshot: Any) -> None:
        with torch.no_grad():
            for tensor, kept in zip(self._state(), snapshot, strict=True):
                tensor.copy_(kept)

    def _state(self) -> list[torch.Tensor]:
        return [*self._holder.parameters(), *self._holder.buffers()]

    def _on_device(
        self, inputs: Inputs, targets: NDArray[Any], signature: Signature
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        tensors = [
            torch.from_numpy(array).to(device=self._device, dtype=getattr(torch, spec.dtype))
            for array, spec in zip(conform_for_training(inputs, signature), signature.inputs, strict=True)
        ]
        return tensors, torch.from_numpy(fit_targets(targets, signature)).to(self._device)

    def _scores(self, run: Callable[..., torch.Tensor], inputs: list[torch.Tensor]) -> torch.Tensor:
        if not self._autocasts:
            return self._as_scores(run(*inputs))
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            answer = run(*inputs)
        return self._as_scores(answer)

    def _loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self._own_loss is None:
            return _loss(self._objective, scores, targets)
        value = self._own_loss(scores, targets)
        if not isinstance(value, torch.Tensor) or (torch.is_grad_enabled() and not value.requires_grad):
            raise JobError(
                "recipe_does_not_fit", "The package's loss returns no tensor that depends on the outputs.", place="loss"
            )
        return value.float().mean()

    def _means(self, loss: torch.Tensor, scores: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Return loss and metrics as means over a batch; they stay on the device, so that no step waits for it."""
        detached = scores.detach()
        return [loss.detach(), *(_metric(name, detached, targets, self._boundary) for name in self._metrics)]

    def _totals(self, means: list[tuple[int, list[torch.Tensor]]]) -> dict[str, float]:
        counts = torch.tensor([count for count, _ in means], dtype=torch.float64)
        values = torch.stack([torch.stack(batch) for _, batch in means]).double().cpu()
        return dict(zip(("loss", *self._metrics), (counts @ values).tolist(), strict=True))


def _loss(objective: Objective, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if objective == "softmax":
        return functional.cross_entropy(scores, targets)
    if objective == "sigmoid":
        return functional.binary_cross_entropy_with_logits(scores[:, 0], targets.to(scores.dtype))
    if objective == "mean_squared_error":
        return functional.mse_loss(scores, targets)
    if objective == "mean_absolute_error":
        return functional.l1_loss(scores, targets)
    return functional.huber_loss(scores, targets)


def _metric(name: str, scores: torch.Tensor, targets: torch.Tensor, boundary: float) -> torch.Tensor:
    if name == "accuracy":
        predicted = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > boundary).long()
        return (predicted == targets).float().mean()
    return functional.mse_loss(scores, targets) if name == "mean_squared_error" else functional.l1_loss(scores, targets)


def _optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    given: dict[str, Any] = dict(recipe.optimizer_parameters)
    renamed: dict[str, Any] = {"lr": given.pop("learning_rate")}
    if "beta_1" in given or "beta_2" in given:
        renamed["betas"] = (given.pop("beta_1", 0.9), given.pop("beta_2", 0.999))
    for ours, theirs in (("epsilon", "eps"), ("rho", "alpha")):
        if ours in given:
            renamed[theirs] = given.pop(ours)
    classes: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    # One kernel for all parameters, with the same arithmetic as the many small operators that it replaces.
    if recipe.optimizer != "rmsprop" and all(parameter.dtype.is_floating_point for parameter in parameters):
        renamed["fused"] = True
    try:
        return classes[recipe.optimizer](parameters, **given, **renamed)
    except ValueError as error:
        raise JobError("recipe_does_not_fit", f"PyTorch refuses the optimizer: {error}.", place="optimizer") from error
