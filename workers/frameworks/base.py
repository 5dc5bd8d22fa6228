"""The interface between Assay and a deep-learning framework.

Everything above (training, evaluation, explainers, attacks) sees NumPy arrays and this module only, so that an
algorithm is written once and runs on every framework. A model is always used through its first output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from workers.frameworks.coalitions import MEMORY_BYTES, CoalitionScorer, Game, NumpyCoalitionScorer
from workers.frameworks.paths import (
    PathGradients,
    Paths,
    Points,
    RescaledContributions,
    no_path_through,
    summed_by_feature,
)
from workers.frameworks.widths import Widths, widths_of
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

#: Input name -> array of shape (rows, *row_shape).
Inputs = Mapping[str, NDArray[Any]]

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training: losses and metrics on training rows and, where split off, on validation rows."""

    epoch: int
    loss: float
    validation_loss: float | None
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from and rows to watch; targets are class numbers (integers) or values (floats)."""

    inputs: Inputs
    targets: NDArray[Any]
    validation_inputs: Inputs | None = None
    validation_targets: NDArray[Any] | None = None


@dataclass
class History:
    """What a training did: its epochs, the epoch whose weights were kept, and why it ended."""

    epochs: list[EpochRecord] = field(default_factory=list)
    kept_epoch: int = 0
    ended_because: str = "all epochs were run"


class Model(ABC):
    """A loaded model. Rows go in as NumPy arrays and are cast to the signature's dtypes; NumPy arrays come out.

    ``forward``, ``logits``, ``loss``, ``loss_gradient`` and ``features`` run in inference mode (no dropout, running
    statistics of batch normalisation), in chunks, and change nothing.
    """

    framework: ClassVar[str]
    signature: Signature
    device: str

    @cached_property
    def widths(self) -> Widths:
        """How much the layers make of a row, which decides how many rows go through at once."""
        return widths_of(self)

    @abstractmethod
    def forward(self, inputs: Inputs) -> FloatArray:
        """Return the first output as the model gives it: float32 of shape (rows, outputs)."""

    @abstractmethod
    def logits(self, inputs: Inputs) -> FloatArray:
        """Return the scores before the final softmax or sigmoid, shape (rows, outputs), whatever the model gives.

        A model whose output is ``probabilities`` gives the tensor that goes into its last softmax or sigmoid; where
        that cannot be found, the logarithm of the probabilities (log-odds for a single output), which differs from it
        by a constant a row only. A ``value`` or ``embedding`` comes back unchanged.
        """

    @abstractmethod
    def loss_gradient(self, inputs: Inputs, targets: NDArray[Any]) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Return the loss of each row, shape (rows,), and its gradient for each input, shaped like the input.

        The loss is cross-entropy on logits for class numbers and squared error for values.
        """

    @abstractmethod
    def logits_gradient(self, inputs: Inputs, output: int) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Return one logit of each row, shape (rows,), and its gradient for each input, shaped like the input."""

    def path_gradients(self, paths: Paths) -> PathGradients:
        """Return what sums the gradients of logits, each times its path's whole step, at points on some paths.

        The paths of an input of whole numbers run through what an embedding makes of it, where the adapter can see one.
        This default needs ``logits_gradient`` only; adapters compose the points and sum on the device.

        Raises:
            JobError: ``no_gradient``, when an input has no gradient to follow.
        """

        def gradients(points: Points) -> NDArray[np.float64]:
            ends, starts = (
                {name: np.asarray(values)[places] for name, values in arrays.items()}
                for arrays, places in ((paths.rows, points.rows), (paths.background, points.background_rows))
            )
            steps = {name: ends[name] - starts[name] for name in paths.features}
            composed = {}
            for name, values in starts.items():
                position = points.positions.reshape(-1, *[1] * (values.ndim - 1))
                composed[name] = values + position * (ends[name] - values)
            sums = np.zeros((points.group_count, paths.feature_count, points.output_count))
            for output in np.unique(points.outputs):
                _, found = self.logits_gradient(composed, int(output))
                for column in range(points.output_count):
                    asked = points.outputs[:, column] == output
                    contributions = {
                        name: np.where(asked.reshape(-1, *[1] * (step.ndim - 1)), found[name] * step, 0)
                        for name, step in steps.items()
                    }
                    sums[..., column] += summed_by_feature(paths, points, contributions)
            return sums

        without = [name for name in paths.features if not np.issubdtype(np.asarray(paths.rows[name]).dtype, np.inexact)]
        if without:
            raise no_path_through(without[0])
        return gradients

    def rescaled_contributions(self, paths: Paths) -> RescaledContributions:  # noqa: ARG002 - of no paths
        """Return what gives DeepLIFT's contributions by the rescale rule, from the background rows to explained rows.

        The scores of the rows come from the model as it is, not from what the rule made of it: values that do not add
        up to them show that a layer was not understood.

        Raises:
            JobError: ``layer_not_supported``, with the layer or operator for which no rule is known.
        """
        raise JobError(
            "layer_not_supported",
            "DeepLIFT follows a model layer by layer, and this format does not show its layers. Use 'permutation'.",
            place="method",
        )

    @abstractmethod
    def features(self, inputs: Inputs) -> FloatArray:
        """Return what enters the last layer with weights, flattened: shape (rows, features)."""

    def coalition_scorer(self, game: Game, *, memory_bytes: int = MEMORY_BYTES) -> CoalitionScorer:
        """Return what scores rows of this model with features from background rows; a framework may have a faster one.

        Raises:
            JobError: ``no_probabilities``, when they are asked of a model that gives none.
        """
        return NumpyCoalitionScorer(self, game, memory_bytes=memory_bytes)

    @abstractmethod
    def fit(
        self,
        rows: TrainingRows,
        recipe: Recipe,
        *,
        on_epoch: Callable[[EpochRecord], None],
    ) -> History:
        """Train in place. The same seed and rows give the same weights on CPU.

        Raises:
            JobError: code ``loss_not_finite`` with the epoch, when the loss is NaN or infinite.
        """

    @abstractmethod
    def weights(self) -> dict[str, NDArray[Any]]:
        """Return every parameter and buffer by a stable name, as copies."""

    @abstractmethod
    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Replace parameters and buffers by name; used to randomise and to restore."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the model in its code-free format (``.keras`` or ``.pt2``)."""

    @abstractmethod
    def layers(self) -> list[dict[str, Any]]:
        """Describe the layers or operators in order: ``{"name", "kind", "output_shape", "parameter_count"}``."""


class Framework(ABC):
    """How one framework loads a model. A plug-in of the group ``assay.frameworks`` is one such class."""

    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]

    @abstractmethod
    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> Model:
        """Load a rewritten artefact. Random state is seeded *before* loading (Keras draws Dropout's state then).

        ``signature`` is the version's; None reads it from the artefact (outputs of unknown kind are guessed from the
        last operation: softmax and sigmoid give ``probabilities``, an integer target decides otherwise).

        Raises:
            JobError: code ``model_does_not_load``, when the framework refuses the artefact.
        """

    @abstractmethod
    def environment(self) -> dict[str, Any]:
        """Versions, device names and numeric settings that a result depends on."""
