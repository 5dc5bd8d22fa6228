"""A model without a framework: linear or one hidden layer, with gradients worked out by hand.

It stands in for an adapter where a test is about an algorithm over models and not about a framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.frameworks.base import EpochRecord, History, Inputs, Model, TrainingRows
from workers.recipe import Recipe
from workers.signature import Signature


class NumpyModel(Model):
    """``x @ weights + bias``, or with ``hidden`` weights ``activation(x @ hidden + hidden_bias) @ weights + bias``.

    The activation is ``tanh`` or ``relu``.

    The output kind says what comes out: logits, probabilities (softmax; sigmoid of a single output) or a value.
    ``calls`` counts rows forwarded.
    """

    framework = "numpy"

    def __init__(
        self,
        weights: Any,
        bias: Any = 0.0,
        *,
        hidden: Any = None,
        hidden_bias: Any = 0.0,
        activation: str = "tanh",
        kind: str = "logits",
        classes: Sequence[str] = (),
        columns: Sequence[str] = (),
        row_shape: Sequence[int] | None = None,
        name: str = "features",
    ) -> None:
        self._weights = {"weights": np.asarray(weights, dtype=np.float64)}
        outputs = self._weights["weights"].shape[1]
        self._weights["bias"] = np.broadcast_to(np.asarray(bias, dtype=np.float64), (outputs,)).copy()
        if hidden is not None:
            self._weights["hidden"] = np.asarray(hidden, dtype=np.float64)
            units = self._weights["hidden"].shape[1]
            self._weights["hidden_bias"] = np.broadcast_to(np.asarray(hidden_bias, dtype=np.float64), (units,)).copy()
        width = self._weights.get("hidden", self._weights["weights"]).shape[0]
        shape = [-1, *(row_shape or [width])]
        self.signature = Signature.from_json(
            {
                "inputs": [{"name": name, "shape": shape, "dtype": "float32", "columns": list(columns)}],
                "outputs": [
                    {
                        "name": "answer",
                        "shape": [-1, outputs],
                        "dtype": "float32",
                        "kind": kind,
                        "classes": list(classes),
                    }
                ],
            }
        )
        self._activation = activation
        self.device = "cpu"
        self.calls = 0

    def forward(self, inputs: Inputs) -> np.ndarray:
        scores = self.logits(inputs)
        return _probabilities(scores) if self.signature.output.kind == "probabilities" else scores

    def logits(self, inputs: Inputs) -> np.ndarray:
        self.calls += len(self._rows(inputs))
        return (self.features(inputs) @ self._weights["weights"] + self._weights["bias"]).astype(np.float32)

    def loss_gradient(self, inputs: Inputs, targets: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        # The loss is rounded as a framework's is: scores are float32, and so large ones flatten the cross-entropy.
        scores = self.logits(inputs)
        targets = np.asarray(targets)
        if not self.signature.output.class_count:
            error = scores - targets.reshape(len(scores), -1)
            return (error**2).sum(1), self._back(inputs, 2 * error)
        if scores.shape[1] == 1:
            sign = np.where(targets == 1, 1.0, -1.0).astype(np.float32)
            margin = sign * scores[:, 0]
            slope = -sign * (1 / (1 + np.exp(np.minimum(margin, 80))))
            return np.logaddexp(np.float32(0), -margin), self._back(inputs, slope[:, None])
        shares = _probabilities(scores)
        rows = np.arange(len(scores))
        loss = -np.log(np.maximum(shares[rows, targets], np.finfo(np.float32).tiny))
        slope = shares.copy()
        slope[rows, targets] -= 1
        return loss, self._back(inputs, slope)

    def logits_gradient(self, inputs: Inputs, output: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        scores = self.logits(inputs)
        slope = np.zeros(scores.shape)
        slope[:, output] = 1
        return scores[:, output], self._back(inputs, slope)

    def features(self, inputs: Inputs) -> np.ndarray:
        rows = self._rows(inputs)
        if "hidden" in self._weights:
            sums = rows @ self._weights["hidden"] + self._weights["hidden_bias"]
            return np.tanh(sums) if self._activation == "tanh" else np.maximum(sums, 0)
        return rows

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        raise NotImplementedError("This model is not for training.")

    def weights(self) -> dict[str, np.ndarray]:
        return {name: values.copy() for name, values in self._weights.items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = {name: np.asarray(values, dtype=np.float64) for name, values in weights.items()}

    def save(self, path: Path) -> None:
        np.savez(path, **self._weights)

    def layers(self) -> list[dict[str, Any]]:
        shape = list(self.signature.output.shape)
        count = sum(values.size for values in self._weights.values())
        return [{"name": "answer", "kind": "Dense", "output_shape": shape, "parameter_count": count}]

    def _rows(self, inputs: Inputs) -> np.ndarray:
        values = np.asarray(inputs[self.signature.inputs[0].name], dtype=np.float32)
        return values.reshape(len(values), -1).astype(np.float64)

    def _back(self, inputs: Inputs, slope: np.ndarray) -> dict[str, np.ndarray]:
        gradient = slope @ self._weights["weights"].T
        if "hidden" in self._weights:
            units = self.features(inputs)
            slopes = 1 - units**2 if self._activation == "tanh" else units > 0
            gradient = (gradient * slopes) @ self._weights["hidden"].T
        spec = self.signature.inputs[0]
        return {spec.name: gradient.reshape(len(gradient), *spec.row_shape).astype(np.float32)}


def _probabilities(scores: np.ndarray) -> np.ndarray:
    if scores.shape[1] == 1:
        return 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
