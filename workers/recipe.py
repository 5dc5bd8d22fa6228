"""A recipe says how to retrain: loss, optimizer, epochs, batch size, seed, early stopping, validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workers.entry_point import EntryPoint

#: Each loss by its one name, with the names that frameworks give to the same thing.
LOSSES = {
    "cross_entropy": ("sparse_categorical_crossentropy", "categorical_crossentropy", "nll_loss"),
    "binary_cross_entropy": ("binary_crossentropy", "bce_loss", "bce_with_logits_loss"),
    "mean_squared_error": ("mse", "mse_loss"),
    "mean_absolute_error": ("mae", "l1_loss"),
    "huber": ("huber_loss", "smooth_l1_loss"),
}
OPTIMIZERS = {
    "sgd": ("learning_rate", "momentum", "nesterov", "weight_decay"),
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
    "adamw": ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"),
    "rmsprop": ("learning_rate", "rho", "momentum", "epsilon"),
}
METRICS = {
    "accuracy": ("sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy", "acc"),
    "mean_squared_error": ("mse",),
    "mean_absolute_error": ("mae",),
}
PRECISIONS = ("float32", "bfloat16")


class RecipeError(ValueError):
    """A recipe that is not well formed; the message names the key."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when ``monitor`` (``validation_loss``, ``loss``) has not fallen by ``min_delta`` for ``patience`` epochs."""

    patience: int
    min_delta: float = 0.0
    monitor: str = "validation_loss"
    restore_best: bool = True


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults stand where neither the artefact nor a person says otherwise.

    ``loss`` is a name of ``LOSSES``, or ``module:function`` for a loss that a model package brings along.
    """

    loss: str
    optimizer: str = "adam"
    optimizer_parameters: Mapping[str, float | bool] = field(default_factory=lambda: {"learning_rate": 0.001})
    epochs: int = 10
    batch_size: int = 32
    metrics: tuple[str, ...] = ()
    seed: int = 0
    precision: str = "float32"
    early_stopping: EarlyStopping | None = None
    validation_split: float = 0.0

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read the JSON that people write.

        Raises:
            RecipeError: with the key, when the document is not a recipe.
        """
        if not isinstance(document, Mapping):
            raise RecipeError("A recipe is an object with at least `loss`.")
        known = {
            "loss",
            "optimizer",
            "epochs",
            "batch_size",
            "metrics",
            "seed",
            "precision",
            "early_stopping",
            "validation_split",
        }
        unknown = set(document) - known
        if unknown:
            raise RecipeError(f"Unknown key {sorted(unknown)[0]!r}; a recipe has {', '.join(sorted(known))}.")
        optimizer, parameters = _optimizer(document.get("optimizer", {"name": "adam", "learning_rate": 0.001}))
        precision = document.get("precision", "float32")
        if precision not in PRECISIONS:
            raise RecipeError(f"`precision` {precision!r} is not one of {', '.join(PRECISIONS)}.")
        split = document.get("validation_split", 0.0)
        if isinstance(split, bool) or not isinstance(split, int | float) or not 0 <= split < 1:
            raise RecipeError("`validation_split` is a share of the rows, from 0 to below 1.")
        metrics = document.get("metrics", [])
        if not isinstance(metrics, list):
            raise RecipeError("`metrics` is a list of names.")
        return cls(
            loss=loss_name(document.get("loss")),
            optimizer=optimizer,
            optimizer_parameters=parameters,
            epochs=_whole(document, "epochs", 10, low=1, high=100_000),
            batch_size=_whole(document, "batch_size", 32, low=1, high=1_000_000),
            metrics=tuple(canonical_name("metrics", name, METRICS) for name in metrics),
            seed=_whole(document, "seed", 0, low=0, high=2**31 - 1),
            precision=precision,
            early_stopping=_early_stopping(document.get("early_stopping")),
            validation_split=float(split),
        )

    @property
    def own_loss(self) -> EntryPoint | None:
        """The loss that the model's package brings along; None for one of ``LOSSES``."""
        return EntryPoint.read(self.loss)

    def to_json(self) -> dict[str, Any]:
        stopping = self.early_stopping
        return {
            "loss": self.loss,
            "optimizer": {"name": self.optimizer, **self.optimizer_parameters},
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "metrics": list(self.metrics),
            "seed": self.seed,
            "precision": self.precision,
            "early_stopping": None
            if stopping is None
            else {
                "patience": stopping.patience,
                "min_delta": stopping.min_delta,
                "monitor": stopping.monitor,
                "restore_best": stopping.restore_best,
            },
            "validation_split": self.validation_split,
        }


def loss_name(name: Any) -> str:
    """Return the one name of a loss; ``module:function``, a package's own, stands for itself.

    Raises:
        RecipeError: when it is neither.
    """
    own = EntryPoint.read(name)
    return canonical_name("loss", name, LOSSES) if own is None else str(own)


def canonical_name(key: str, name: Any, table: Mapping[str, tuple[str, ...]]) -> str:
    """Return the one name of a loss or metric, whatever a framework calls it (case and underscores are free).

    Raises:
        RecipeError: when the table does not know the name.
    """
    folded = str(name).replace("_", "").lower()
    for canonical, others in table.items():
        if folded in {other.replace("_", "") for other in (canonical, *others)}:
            return canonical
    raise RecipeError(f"`{key}`: {name!r} is not known; known are {', '.join(table)}.")


def _whole(document: Mapping[str, Any], key: str, default: int, *, low: int, high: int) -> int:
    value = document.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RecipeError(f"`{key}` is a whole number from {low:,} to {high:,}, not {value!r}.")
    return value


def _optimizer(entry: Any) -> tuple[str, dict[str, float | bool]]:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping) or str(entry.get("name", "")).lower() not in OPTIMIZERS:
        raise RecipeError(f"`optimizer` is an object whose `name` is one of {', '.join(OPTIMIZERS)}.")
    name = str(entry["name"]).lower()
    parameters: dict[str, float | bool] = {"learning_rate": 0.001}
    for key, value in entry.items():
        if key == "name":
            continue
        if key not in OPTIMIZERS[name]:
            raise RecipeError(f"`optimizer.{key}` is not known; {name} has {', '.join(OPTIMIZERS[name])}.")
        if key == "nesterov":
            if not isinstance(value, bool):
                raise RecipeError("`optimizer.nesterov` is true or false.")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise RecipeError(f"`optimizer.{key}` is a number from 0 to below 1,000,000, not {value!r}.")
        parameters[key] = value
    return name, parameters


def _early_stopping(entry: Any) -> EarlyStopping | None:
    if entry is None:
        return None
    known = {"patience", "min_delta", "monitor", "restore_best"}
    if not isinstance(entry, Mapping) or set(entry) - known or "patience" not in entry:
        raise RecipeError(
            f"`early_stopping` is null or an object with `patience` and, if wanted, {', '.join(sorted(known))}."
        )
    min_delta, monitor = entry.get("min_delta", 0.0), entry.get("monitor", "validation_loss")
    if isinstance(min_delta, bool) or not isinstance(min_delta, int | float) or not 0 <= min_delta < 1e6:
        raise RecipeError(f"`early_stopping.min_delta` is a number from 0 to below 1,000,000, not {min_delta!r}.")
    if monitor not in ("validation_loss", "loss"):
        raise RecipeError("`early_stopping.monitor` is `validation_loss` or `loss`.")
    restore_best = entry.get("restore_best", True)
    if not isinstance(restore_best, bool):
        raise RecipeError("`early_stopping.restore_best` is true or false.")
    return EarlyStopping(
        patience=_whole(entry, "patience", 0, low=1, high=100_000),
        min_delta=float(min_delta),
        monitor=monitor,
        restore_best=restore_best,
    )
