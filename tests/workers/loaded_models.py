"""What tests of the adapters share: both formats, loading by suffix, rows, and the softmax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from workers.frameworks.base import Model
from workers.frameworks.loading import load_model
from workers.signature import Signature

#: Framework -> name of a model file in its format.
FRAMEWORKS = {"keras": "model.keras", "pytorch": "model.pt2"}


def framework_of(path: Path) -> str:
    return "keras" if path.suffix == ".keras" else "pytorch"


def load(path: Path, signature: dict[str, Any] | None = None) -> Model:
    """Load a model on the CPU; without a signature, that of the artefact is read."""
    stated = None if signature is None else Signature.from_json(signature)
    return load_model(path, framework=framework_of(path), signature=stated, device="cpu", seed=0)


def rows(count: int, *shape: int, seed: int = 1) -> np.ndarray:
    """Return normally distributed rows."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
