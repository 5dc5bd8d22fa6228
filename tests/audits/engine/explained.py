"""A model made of NumPy, and what the tests of explainers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from audits.engine.explainers.players import Players
from workers.frameworks.base import Inputs, Model
from workers.signature import OutputSpec, Signature, TensorSpec


class NumpyModel(Model):
    """A model whose logits are ``function(weights, inputs)``; it counts the rows and the largest batch it was asked."""

    framework = "numpy"
    device = "cpu"

    def __init__(
        self,
        function: Callable[[Mapping[str, np.ndarray], Inputs], np.ndarray],
        weights: Mapping[str, np.ndarray] | None = None,
        *,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: int,
        kind: str = "logits",
        columns: Mapping[str, tuple[str, ...]] | None = None,
        classes: tuple[str, ...] = (),
        dtype: str = "float64",
    ) -> None:
        self.function = function
        self._weights = {name: np.array(value) for name, value in (weights or {}).items()}
        self.signature = Signature(
            inputs=tuple(
                TensorSpec(name=name, shape=(-1, *shape), dtype=dtype, columns=(columns or {}).get(name, ()))
                for name, shape in inputs.items()
            ),
            outputs=(OutputSpec(name="answer", shape=(-1, outputs), dtype=dtype, kind=kind, classes=classes),),  # type: ignore[arg-type]
        )
        self.rows_seen = 0
        self.largest_batch = 0

    def logits(self, inputs: Inputs) -> np.ndarray:
        count = len(next(iter(inputs.values())))
        self.rows_seen += count
        self.largest_batch = max(self.largest_batch, count)
        return self.function(self._weights, inputs)

    def forward(self, inputs: Inputs) -> np.ndarray:
        scores = self.logits(inputs)
        if self.signature.output.kind != "probabilities":
            return scores
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def weights(self) -> dict[str, np.ndarray]:
        return {name: value.copy() for name, value in self._weights.items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = {name: np.array(value) for name, value in weights.items()}

    def loss_gradient(self, inputs: Inputs, targets: Any) -> Any:
        raise AssertionError("an explainer needs no gradient")

    def logits_gradient(self, inputs: Inputs, output: int) -> Any:
        raise AssertionError("an explainer needs no gradient")

    def features(self, inputs: Inputs) -> Any:
        raise AssertionError("an explainer needs no features")

    def fit(self, rows: Any, recipe: Any, *, on_epoch: Any) -> Any:
        raise AssertionError("an explainer does not train")

    def save(self, path: Path) -> None:
        raise AssertionError("an explainer does not save")

    def layers(self) -> list[dict[str, Any]]:
        return []


def linear_model(weights: np.ndarray, bias: np.ndarray, **more: Any) -> NumpyModel:
    """A linear model, row-wise deterministic: sums of products, no matrix library."""
    return NumpyModel(
        lambda held, inputs: np.stack(
            [
                sum(inputs["features"][:, place] * held["weights"][place, output] for place in range(len(weights)))
                + held["bias"][output]
                for output in range(weights.shape[1])
            ],
            axis=1,
        ),
        {"weights": weights, "bias": bias},
        inputs={"features": (len(weights),)},
        outputs=weights.shape[1],
        **more,
    )


def curved_model(features: int, outputs: int = 2, seed: int = 0, **more: Any) -> NumpyModel:
    """A two-layer network with strong interactions."""
    generator = np.random.default_rng(seed)
    weights = {
        "first": generator.normal(0, 1.2, (features, 16)),
        "second": generator.normal(0, 1, (16, outputs)),
    }
    return NumpyModel(
        lambda held, inputs: np.tanh(inputs["features"] @ held["first"]) ** 2 @ held["second"],
        weights,
        inputs={"features": (features,)},
        outputs=outputs,
        **more,
    )


def flat_players(features: int, name: str = "features") -> Players:
    return Players(
        names=tuple(f"f{place}" for place in range(features)),
        assignment={name: np.arange(features)},
        grid=(features,),
    )


def all_outputs(rows: int, outputs: int) -> np.ndarray:
    return np.tile(np.arange(outputs), (rows, 1))
