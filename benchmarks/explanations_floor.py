"""How near explanations come to the floor: the plain forward pass of as many rows as they evaluate.

The floor is the framework's own forward pass (a module under ``inference_mode``, or a compiled ``tf.function``) of as
many rows as were evaluated, at the best of several batch sizes, with the same threads in the same process. The two run
in turn and the best times are compared, since both can only be slowed down by what else the machine does.
One framework and one number of threads a process: ``python -m benchmarks.explanations_floor pytorch 1``, and names of
cases, if not all are wanted. Without an argument both frameworks run, each in a process of its own, on one thread;
``ASSAY_BENCH_THREADS=1,2`` names others. With one thread, the time is the processor's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
FLOOR_ROWS = (64, 128, 512, 2048, 8192)
RESULT = Path(__file__).resolve().parents[1] / ".bench"


@dataclass(frozen=True)
class Case:
    """A network by its layers, and how many rows are explained against how many.

    ``layers`` are numbers of units, ``conv N``, ``pool`` or ``flatten``; ``patch`` is the side of a feature of images.
    """

    name: str
    row_shape: tuple[int, ...]
    layers: tuple[int | str, ...]
    activation: str
    rows: int
    background: int = 100
    patch: int = 1

    @property
    def outputs(self) -> int:
        return int(self.layers[-1])

    def assignment(self) -> np.ndarray:
        if len(self.row_shape) == 1:
            return np.arange(self.row_shape[0])
        places = [np.arange(side) // self.patch for side in self.row_shape]
        return places[0][:, None] * (places[1][-1] + 1) + places[1][None]


CASES = (
    Case("table, MLP", (30,), (64, 32, 2), "tanh", rows=64),
    Case("table, MLP, 4 rows", (30,), (64, 32, 2), "tanh", rows=4),
    Case("table, MLP, 1 row", (30,), (64, 32, 2), "tanh", rows=1),
    Case("table, ReLU MLP", (30,), (64, 32, 2), "relu", rows=64),
    Case("wide table, MLP", (784,), (256, 64, 10), "relu", rows=4, background=16),
    Case("8x8, CNN", (8, 8), ("conv 16", "conv 32", "pool", "flatten", 10), "relu", rows=4),
    Case(
        "28x28, CNN",
        (28, 28),
        ("conv 16", "pool", "conv 32", "pool", "flatten", 10),
        "relu",
        rows=2,
        background=16,
        patch=2,
    ),
)


def torch_network(case: Case) -> Any:
    import torch

    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[case.activation]
    example = torch.zeros(2, *case.row_shape)
    modules: list[Any] = [torch.nn.Unflatten(1, (1, case.row_shape[0]))] if len(case.row_shape) == 2 else []
    for place, layer in enumerate(case.layers):
        shape = torch.nn.Sequential(*modules)(example).shape
        if layer == "pool":
            modules.append(torch.nn.MaxPool2d(2))
        elif layer == "flatten":
            modules.append(torch.nn.Flatten())
        elif isinstance(layer, str):
            modules += [torch.nn.Conv2d(shape[1], int(layer.split()[1]), 3, padding=1), activation()]
        else:
            modules += [torch.nn.Linear(shape[1], layer)] + [activation()] * (place < len(case.layers) - 1)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*modules)

        def forward(self, features: Any) -> Any:
            return self.layers(features)

    torch.manual_seed(0)
    return Network().eval()


def torch_side(case: Case, folder: Path) -> tuple[Any, Callable[[int], Callable[[], Any]]]:
    """Return the loaded model and what makes a forward pass of so many rows."""
    import torch

    from tests import tiny_models
    from workers.frameworks.loading import load_model

    network = torch_network(case)
    path = tiny_models.export(folder / "model.pt2", network, (torch.zeros(2, *case.row_shape),))
    model = load_model(path, framework="pytorch", signature=None, device="cpu", seed=0)

    def forward(count: int) -> Callable[[], Any]:
        rows = torch.randn(count, *case.row_shape)

        def run() -> None:
            with torch.inference_mode():
                network(rows)

        return run

    return model, forward


def keras_side(case: Case, folder: Path) -> tuple[Any, Callable[[int], Callable[[], Any]]]:
    import keras
    import tensorflow as tf

    from workers.frameworks.loading import load_model

    keras.utils.set_random_seed(0)
    layers: list[Any] = [keras.Input(case.row_shape, name="features")]
    if len(case.row_shape) == 2:
        layers.append(keras.layers.Reshape((*case.row_shape, 1)))
    for place, layer in enumerate(case.layers):
        if layer == "pool":
            layers.append(keras.layers.MaxPool2D(2))
        elif layer == "flatten":
            layers.append(keras.layers.Flatten())
        elif isinstance(layer, str):
            layers.append(keras.layers.Conv2D(int(layer.split()[1]), 3, padding="same", activation=case.activation))
        else:
            last = place == len(case.layers) - 1
            layers.append(keras.layers.Dense(layer, activation=None if last else case.activation))
    network = keras.Sequential(layers)
    network.save(folder / "model.keras")
    model = load_model(folder / "model.keras", framework="keras", signature=None, device="cpu", seed=0)
    functions = [tf.function(lambda rows: network(rows, training=False), jit_compile=False)]
    if "flatten" not in case.layers:
        functions.append(tf.function(lambda features: network(features, training=False), jit_compile=True))

    def forward(count: int) -> Callable[[], Any]:
        rows = tf.random.normal((count, *case.row_shape))
        for function in functions:
            function(rows)

        def run(chosen: Any = functions[-1]) -> None:
            chosen(rows)

        return run

    return model, forward


def explain(case: Case, model: Any) -> Callable[[], tuple[int, float]]:
    """Return what explains all rows and tells how many rows it evaluated."""
    from audits.engine.explainers.base import Task
    from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
    from audits.engine.explainers.players import Players

    generator = np.random.default_rng(0)
    name = model.signature.inputs[0].name
    assignment = case.assignment()
    features = int(assignment.max()) + 1
    task = Task(
        model=model,
        rows={name: generator.normal(size=(case.rows, *case.row_shape)).astype("float32")},
        background={name: generator.normal(size=(case.background, *case.row_shape)).astype("float32")},
        players=Players(tuple(map(str, range(features))), {name: assignment}, (features,)),
        outputs=np.tile(np.arange(case.outputs), (case.rows, 1)),
        output_names=tuple(map(str, range(case.outputs))),
        seed=1,
    )
    explainer = PermutationExplainer(PermutationParameters(tolerance=0.0, maximum_sweeps=1))
    return lambda: int(explainer.explain(task).evaluations.sum())


def timed(run: Callable[[], Any], threads: int) -> float:
    """Return seconds: of the processor where there is one thread, which what else runs does not change."""
    clock = time.process_time if threads == 1 else time.perf_counter
    started = clock()
    run()
    return clock() - started


def measured(case: Case, side: Callable[[Case, Path], Any], threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model, forward = side(case, Path(folder))
        run = explain(case, model)
        cold = timed(run, threads)
        evaluations = run()
        floors = {count: forward(count) for count in FLOOR_ROWS}
        for floor in floors.values():
            floor()
        ours, best = cold, dict.fromkeys(FLOOR_ROWS, float("inf"))
        for _ in range(ROUNDS):
            ours = min(ours, timed(run, threads))
            for count, floor in floors.items():
                best[count] = min([best[count], *(timed(floor, threads) for _ in range(3))])
    count = min(best, key=lambda rows: best[rows] / rows)
    floor_seconds = best[count] / count * evaluations
    return {
        "case": case.name,
        "rows": case.rows,
        "evaluations_a_row": evaluations // case.rows,
        "cold_seconds": cold,
        "milliseconds_a_row": 1000 * ours / case.rows,
        "nanoseconds_an_evaluation": 1e9 * ours / evaluations,
        "floor_nanoseconds": 1e9 * floor_seconds / evaluations,
        "floor_batch": count,
        "share_of_the_floor": floor_seconds / ours,
    }


def main(*arguments: str) -> int:
    if arguments:
        framework, threads, *names = arguments
        return run_cases(framework, threads, names)
    threads = os.environ.get("ASSAY_BENCH_THREADS", "1").split(",")
    runs = [(framework, count) for framework in ("pytorch", "keras") for count in threads]
    command = [sys.executable, "-m", "benchmarks.explanations_floor"]
    return max(subprocess.run([*command, *run], check=False).returncode for run in runs)


def run_cases(framework: str, threads: str, names: Sequence[str]) -> int:
    warnings.filterwarnings("ignore")
    os.environ["OMP_NUM_THREADS"] = threads
    if framework == "pytorch":
        import torch

        torch.set_num_threads(int(threads))
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    side = torch_side if framework == "pytorch" else keras_side
    print(f"{framework}, {threads} threads, against the framework's own forward pass at its best batch size\n")
    print(f"{'':22}{'ms a row':>10}{'cold s':>8}{'evaluations':>12}{'ns each':>9}{'floor ns':>9}{'share':>7}")
    table = []
    for case in CASES:
        if names and case.name not in names:
            continue
        found = measured(case, side, int(threads))
        table.append(found)
        print(
            f"{case.name:22}{found['milliseconds_a_row']:>10.2f}{found['cold_seconds']:>8.2f}"
            f"{found['evaluations_a_row']:>12,}{found['nanoseconds_an_evaluation']:>9.0f}"
            f"{found['floor_nanoseconds']:>9.0f}{found['share_of_the_floor']:>7.2f}"
        )
    RESULT.mkdir(exist_ok=True)
    (RESULT / f"explanations_floor_{framework}_{threads}.json").write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
