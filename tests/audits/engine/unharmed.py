"""Trains and explains a small network, and prints what came out: ``python -m tests.audits.engine.unharmed keras``.

In a process that has done nothing else it says what a process in which explanations failed before (`after-failures`)
has to say too.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Task
from tests import tiny_models
from tests.audits.engine.explained import all_outputs, flat_players
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.loading import load_model
from workers.recipe import Recipe
from workers.signature import Signature

SUFFIXES = {"keras": ".keras", "pytorch": ".pt2"}
RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "epochs": 2,
    "batch_size": 8,
    "metrics": ["accuracy"],
    "seed": 7,
}


def network(framework: str) -> Model:
    """Return a freshly loaded network of 5 features and 3 classes."""
    with TemporaryDirectory() as folder:
        path = tiny_models.mlp(Path(folder) / f"model{SUFFIXES[framework]}", inputs=5, hidden=8, classes=3)
        signature = Signature.from_json(tiny_models.signature(inputs=5, outputs=3))
        model = load_model(path, framework=framework, signature=signature, device="cpu", seed=7)
        model.logits({"features": np.zeros((1, 5), dtype="float32")})
    return model


def task_of(model: Model) -> Task:
    generator = np.random.default_rng(2)
    return Task(
        model=model,
        rows={"features": generator.normal(size=(2, 5)).astype("float32")},
        background={"features": generator.normal(size=(20, 5)).astype("float32")},
        players=flat_players(5),
        outputs=all_outputs(2, 3),
        output_names=("a", "b", "c"),
        seed=1,
    )


def work(framework: str) -> str:
    """Train, explain by every method, and return the digest of the weights and the values."""
    model = network(framework)
    generator = np.random.default_rng(3)
    rows = TrainingRows(
        {"features": generator.normal(size=(32, 5)).astype("float32")}, generator.integers(0, 3, size=32)
    )
    model.fit(rows, Recipe.from_json(RECIPE), on_epoch=lambda _: None)
    digest = hashlib.sha256()
    for name, weights in sorted(model.weights().items()):
        digest.update(name.encode() + weights.tobytes())
    for explainer in BUILT_IN.values():
        answer = explainer().explain(task_of(model))
        digest.update(answer.values.tobytes() + answer.errors.tobytes())
    return digest.hexdigest()


def main() -> None:
    framework, *after = sys.argv[1:]
    if after:
        from tests.audits.engine.harm import FAILURES

        with TemporaryDirectory() as folder:
            for fail in FAILURES:
                fail(framework, Path(folder))
    print(work(framework))


if __name__ == "__main__":
    main()
