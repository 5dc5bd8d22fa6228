"""Retraining through Assay against the framework's own way, in the same process: Keras's ``fit``, a plain torch loop.

Both sides start from the same file each round, learn from the same rows with the same batch size, epochs and optimizer,
and are timed from loaded model to trained weights, compiling included. Sides alternate; the first round warms and is
dropped; medians and their ratio are printed. A second number tells what the whole job adds: reading the table, loading,
saving and the chart.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
EPOCHS = 30
BATCH = 32
LIMIT = 1.10


def data_sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the two data sets of the demo: a table and images."""
    from sklearn import datasets

    table, digits = datasets.load_breast_cancer(), datasets.load_digits()
    scaled = (table.data - table.data.mean(0)) / table.data.std(0)
    return {
        "table 569 x 30, MLP": (scaled.astype("float32"), table.target),
        "images 1,797 x 8 x 8, CNN": ((digits.images / 16).astype("float32"), digits.target),
    }


def build(path: Path, name: str) -> Path:
    from tests import tiny_models

    if "MLP" in name:
        return tiny_models.mlp(path, inputs=30, hidden=64, classes=2, softmax=True)
    return tiny_models.cnn(path, classes=10, filters=16, softmax=True)


def assay_side(path: Path, x: np.ndarray, y: np.ndarray) -> Callable[[], Callable[[], Any]]:
    """Return a preparation that loads the model and returns what is timed."""
    from workers.frameworks.base import TrainingRows
    from workers.frameworks.loading import load_model
    from workers.recipe import Recipe

    recipe = Recipe.from_json(
        {
            "loss": "cross_entropy",
            "optimizer": {"name": "adam", "learning_rate": 0.005},
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "metrics": ["accuracy"],
            "seed": 1,
        }
    )
    framework = "keras" if path.suffix == ".keras" else "pytorch"

    def prepare() -> Callable[[], Any]:
        model = load_model(path, framework=framework, signature=None, device="cpu", seed=1)
        name = model.signature.inputs[0].name
        return lambda: model.fit(TrainingRows({name: x}, y), recipe, on_epoch=lambda _record: None)

    return prepare


def keras_side(path: Path, x: np.ndarray, y: np.ndarray) -> Callable[[], Callable[[], Any]]:
    def prepare() -> Callable[[], Any]:
        import keras

        keras.utils.set_random_seed(1)
        model = keras.saving.load_model(path, compile=False)

        def fit() -> None:
            model.compile(
                optimizer=keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
            )
            model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)

        return fit

    return prepare


def pytorch_side(_path: Path, x: np.ndarray, y: np.ndarray) -> Callable[[], Callable[[], Any]]:
    def prepare() -> Callable[[], Any]:
        import torch

        torch.manual_seed(1)
        # The plain module of the same architecture, as its author would train it: on logits.
        if x.ndim == 2:
            module: Any = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
        else:
            module = torch.nn.Sequential(
                torch.nn.Unflatten(1, (1, 8)),
                torch.nn.Conv2d(1, 16, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.AdaptiveAvgPool2d(1),
                torch.nn.Flatten(),
                torch.nn.Linear(16, 10),
            )

        def fit() -> None:
            rows, targets = torch.from_numpy(x), torch.from_numpy(y)
            optimizer = torch.optim.Adam(module.parameters(), lr=0.005)
            for _ in range(EPOCHS):
                loss_sum, hits = 0.0, 0
                for picked in torch.randperm(len(rows)).split(BATCH):
                    batch, wanted = rows[picked], targets[picked]
                    optimizer.zero_grad(set_to_none=True)
                    scores = module(batch)
                    loss = torch.nn.functional.cross_entropy(scores, wanted)
                    loss.backward()
                    optimizer.step()
                    loss_sum += loss.item() * len(wanted)
                    hits += int((scores.argmax(1) == wanted).sum())

        return fit

    return prepare


def timed(prepare: Callable[[], Callable[[], Any]]) -> float:
    run = prepare()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(name: str, framework: str, folder: Path, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    path = build(folder / f"model.{'keras' if framework == 'keras' else 'pt2'}", name)
    sides = {
        "own": (keras_side if framework == "keras" else pytorch_side)(path, x, y),
        "assay": assay_side(path, x, y),
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS + 1):
        for side, prepare in sides.items():
            seconds[side].append(timed(prepare))
    medians = {side: statistics.median(times[1:]) for side, times in seconds.items()}
    ratios = [ours / theirs for ours, theirs in zip(seconds["assay"][1:], seconds["own"][1:], strict=True)]
    return {
        "framework": framework,
        "data": name,
        "own_seconds": medians["own"],
        "assay_seconds": medians["assay"],
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "rounds": ROUNDS,
        "epochs": EPOCHS,
    }


def job_seconds(framework: str, folder: Path, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return what a whole training job takes in a process that has imported the framework, and its fit alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests import tiny_models
    from workers import training
    from workers.context import JobContext
    from workers.protocol import InputFile, JobSpec

    columns = [f"x{index}" for index in range(30)]
    job = folder / f"job-{framework}"
    (job / "inputs").mkdir(parents=True)
    pq.write_table(pa.table({**dict(zip(columns, x.T, strict=True)), "y": y}), job / "inputs" / "table.parquet")
    model = build(job / "inputs" / ("model.keras" if framework == "keras" else "model.pt2"), "MLP")
    parameters = {
        "framework": framework,
        "format": model.suffix[1:],
        "signature": tiny_models.signature(inputs=30, columns=columns, kind="probabilities"),
        "schema": {
            "modality": "tabular",
            "columns": {name: {"role": "feature", "type": "float"} for name in columns}
            | {"y": {"role": "target", "type": "integer"}},
        },
        "recipe": {"loss": "cross_entropy", "epochs": EPOCHS, "batch_size": BATCH, "validation_split": 0.2},
    }
    files = {"model": InputFile(model.name, "", 0), "dataset": InputFile("table.parquet", "", 0)}
    spec = JobSpec("training", "workers.training:run", 1, 1, parameters, files)
    started = time.perf_counter()
    value = training.run(JobContext(spec, job))
    return {"job_seconds": time.perf_counter() - started, "fit_seconds": value["summary"]["seconds"]}


def measure(framework: str) -> list[dict[str, Any]]:
    """Measure one framework on both data sets, in a process that has only this one."""
    results = []
    with tempfile.TemporaryDirectory() as home:
        for name, (x, y) in data_sets().items():
            result = compare(name, framework, Path(home), x, y)
            if x.ndim == 2:
                result |= job_seconds(framework, Path(home), x, y)
            results.append(result)
    return results


def main() -> int:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return 0
    # One thread a side: two pools of threads in one process measure each other.
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OMP_NUM_THREADS": "1"}
    print(f"{'framework':<10}{'data':<28}{'own s':>8}{'assay s':>9}{'ratio':>7}{'job adds s':>12}")
    results = []
    for framework in ("keras", "pytorch"):
        command = [sys.executable, "-m", "benchmarks.retraining", framework]
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        for result in json.loads(ended.stdout.splitlines()[-1]):
            adds = f"{result['job_seconds'] - result['fit_seconds']:.2f}" if "job_seconds" in result else ""
            print(
                f"{framework:<10}{result['data']:<28}{result['own_seconds']:>8.3f}{result['assay_seconds']:>9.3f}"
                f"{result['ratio']:>7.2f}{adds:>12}",
                flush=True,
            )
            results.append(result)
    print(f"{EPOCHS} epochs, batches of {BATCH}, medians of {ROUNDS} alternating rounds; the limit is {LIMIT:.2f}")
    folder = Path(".bench")
    folder.mkdir(exist_ok=True)
    (folder / "retraining.json").write_text(json.dumps(results, indent=2))
    # On a shared machine one round may be disturbed; that not one round keeps the limit cannot be noise.
    over = [f"{result['framework']}, {result['data']}" for result in results if min(result["ratios"]) > LIMIT]
    if over:
        print(f"Over the limit in every round: {'; '.join(over)}.", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
