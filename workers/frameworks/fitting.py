"""The training loop that both frameworks share: shuffling, epochs, early stopping and the record of it.

A framework contributes a ``Trainer``: one step, one measurement, and copies of the weights. Everything that decides
*what* is learned from is here, so that a recipe means the same for both.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.entry_point import EntryPoint
from workers.frameworks.base import EpochRecord, History, TrainingRows
from workers.frameworks.rows import class_numbers, target_values
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

#: What is minimised. ``softmax`` and ``sigmoid`` are cross-entropies computed from logits, the stable way.
#: ``own`` is a loss that a model package brings along; it gets the first output as the model gives it.
Objective = Literal["softmax", "sigmoid", "mean_squared_error", "mean_absolute_error", "huber", "own"]

#: A package's loss: of outputs of shape (rows, outputs) and targets, in the order of its framework.
OwnLoss = Callable[[Any, Any], Any]


class Trainer(ABC):
    """One training of one model: the framework's part of the loop.

    Sums stay on the device until ``take_sums`` fetches them, once an epoch.
    """

    @abstractmethod
    def step(self, rows: NDArray[np.int64]) -> None:
        """Take one optimizer step on the training rows of these numbers and add to the sums."""

    @abstractmethod
    def take_sums(self) -> dict[str, float]:
        """Return the sums over rows since the last call, ``loss`` and each metric, and start anew."""

    @abstractmethod
    def measure_validation(self) -> dict[str, float]:
        """Return the same sums over all validation rows, in inference mode."""

    @abstractmethod
    def snapshot(self) -> Any:
        """Return a copy of all weights and buffers."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Put a copy back."""


def objective_of(recipe: Recipe, signature: Signature) -> Objective:
    """Return what a recipe minimises on a model's output.

    Raises:
        JobError: code ``recipe_does_not_fit``, when loss or metrics and output do not go together.
    """
    output = signature.output
    classes = output.class_count
    for metric in recipe.metrics:
        if (metric == "accuracy") != bool(classes):
            raise _does_not_fit(
                f"The metric {metric} does not go with the output {output.name!r} of kind {output.kind}.", metric
            )
    if recipe.own_loss is not None:
        return "own"
    classifies = recipe.loss in ("cross_entropy", "binary_cross_entropy")
    if classifies and not classes:
        raise _does_not_fit(
            f"The loss {recipe.loss} is for classes, and the output {output.name!r} is of kind {output.kind}.",
            output.name,
        )
    if not classifies and classes:
        raise _does_not_fit(
            f"The loss {recipe.loss} is for values, and the output {output.name!r} gives {output.kind} of {classes} "
            "classes; use cross_entropy.",
            output.name,
        )
    if classifies and len(output.shape) > 2:
        raise _does_not_fit(
            f"The output {output.name!r} of shape {list(output.shape)} has no single class a row.", output.name
        )
    if recipe.loss == "binary_cross_entropy" and classes > 2:
        raise _does_not_fit(
            f"The loss binary_cross_entropy tells two classes apart, and {output.name!r} has {classes}.", output.name
        )
    if classifies:
        return "sigmoid" if math.prod(output.shape[1:]) == 1 else "softmax"
    return recipe.loss  # type: ignore[return-value]  # one of the three losses that are left


def own_loss_missing(name: EntryPoint) -> JobError:
    """Return what is wrong with a recipe that names a package's loss for a model without a package."""
    return _does_not_fit(f"The loss {name} is a package's own, and this model is no package.", "loss")


def boundary_of(objective: Objective, signature: Signature) -> float:
    """Return above which number a single output says the second class, where a training sees it."""
    return 0.5 if objective == "own" and signature.output.kind == "probabilities" else 0.0


def fit_targets(targets: NDArray[Any], signature: Signature) -> NDArray[Any]:
    """Return class numbers (rows,) as int64, or values (rows, outputs) as float32."""
    return class_numbers(targets, signature) if signature.output.class_count else target_values(targets, signature)


def run_epochs(
    trainer: Trainer,
    rows: TrainingRows,
    recipe: Recipe,
    *,
    on_epoch: Callable[[EpochRecord], None],
) -> History:
    """Train for the recipe's epochs or until early stopping, and put the best weights back if it says so.

    Raises:
        JobError: ``loss_not_finite`` with the epoch; ``recipe_does_not_fit``, when validation rows are watched and
            there are none; ``no_rows``.
    """
    count = len(rows.targets)
    watched = 0 if rows.validation_targets is None else len(rows.validation_targets)
    stopping = recipe.early_stopping
    if not count:
        raise JobError("no_rows", "There are no rows to train on.")
    if stopping is not None and stopping.monitor == "validation_loss" and not watched:
        raise _does_not_fit(
            "Early stopping watches validation_loss, and there are no validation rows: give a `validation_split` above "
            "0 or a split column, or watch `loss`.",
            "early_stopping.monitor",
        )
    generator = np.random.default_rng(recipe.seed)
    history = History()
    best, best_epoch, best_weights, waited = math.inf, 0, None, 0
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        order = generator.permutation(count)
        for batch in batches(count, recipe.batch_size):
            trainer.step(order[batch])
        learned = {name: total / count for name, total in trainer.take_sums().items()}
        _check_finite(learned["loss"], epoch, "loss")
        seen = {name: total / watched for name, total in trainer.measure_validation().items()} if watched else {}
        if seen:
            _check_finite(seen["loss"], epoch, "validation loss")
        record = _record(epoch, learned, seen, time.perf_counter() - started)
        history.epochs.append(record)
        history.kept_epoch = epoch
        on_epoch(record)
        if stopping is None:
            continue
        value = record.loss if stopping.monitor == "loss" or record.validation_loss is None else record.validation_loss
        if value < best - stopping.min_delta:
            best, best_epoch, waited = value, epoch, 0
            best_weights = trainer.snapshot() if stopping.restore_best else None
        else:
            waited += 1
        if waited >= stopping.patience:
            history.ended_because = f"{stopping.monitor} had not fallen for {waited} epoch{'s' * (waited != 1)}"
            break
    if best_weights is not None and best_epoch != history.kept_epoch:
        trainer.restore(best_weights)
        history.kept_epoch = best_epoch
    return history


def batches(count: int, size: int) -> list[slice]:
    """Cut an epoch into batches.

    A last batch of one row joins the one before: batch normalisation has no variance of one row.
    """
    edges = list(range(0, count, size))
    if len(edges) > 1 and count - edges[-1] == 1:
        edges.pop()
    return [slice(start, end) for start, end in zip(edges, [*edges[1:], count], strict=True)]


def _record(epoch: int, learned: Mapping[str, float], seen: Mapping[str, float], seconds: float) -> EpochRecord:
    metrics = {name: value for name, value in learned.items() if name != "loss"}
    metrics |= {f"validation_{name}": value for name, value in seen.items() if name != "loss"}
    return EpochRecord(
        epoch=epoch, loss=learned["loss"], validation_loss=seen.get("loss"), metrics=metrics, seconds=seconds
    )


def _check_finite(value: float, epoch: int, what: str) -> None:
    if not math.isfinite(value):
        raise JobError(
            "loss_not_finite",
            f"The {what} is {value} in epoch {epoch}: the training diverged. Check the data for missing or extreme "
            "values, or take a smaller learning rate.",
            place=f"epoch {epoch}",
        )


def _does_not_fit(detail: str, place: str) -> JobError:
    return JobError("recipe_does_not_fit", detail, place=place)
