"""Expected gradients and DeepLIFT against shap's and captum's, at the same error: `python -m benchmarks.gradients`.

One process and one thread a framework, the same trained networks, rows and background, all outputs. The truth of
expected gradients is a long run of Assay's with another seed. Assay runs at its default tolerance; each peer then gets
the smallest of a ladder of sample counts at which its error (root mean square over rows, features and outputs,
relative to the values) is no larger. A peer that does not get there with its largest budget is timed there, and its
ratio is a lower bound. DeepLIFT has one answer: what differs from Assay's is told as the error, and times are compared
as they are. All run warmed, in turn; medians of the processor's time are compared, over three rounds at least.

``ASSAY_BENCH_CASES=cnn28`` runs some networks only, and ``ASSAY_BENCH_PEER_SECONDS=90`` gives each peer so many seconds
an answer (default 4), so that it reaches the error where that takes long.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.explaining.networks import Framework, Network, NetworkName, network

ROWS = 4
BACKGROUND = 100
#: Each side runs so many times, more often where all sides together take less than this: short times are noisy.
ROUNDS = 3
MOST_ROUNDS = 101
SECONDS_OF_ROUNDS = 1.0
NETWORKS: tuple[NetworkName, ...] = ("mlp", "cnn8", "cnn28")
#: Names of networks, divided by commas, or `all`.
CASES = os.environ.get("ASSAY_BENCH_CASES", ",".join(NETWORKS)).split(",")
LADDER = (100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200)
#: No peer is given more time than this for one answer.
MOST_SECONDS = float(os.environ.get("ASSAY_BENCH_PEER_SECONDS", "4"))
RESULT = Path(__file__).resolve().parents[1] / ".bench"

Explain = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Line:
    """One measurement of one method on one case."""

    framework: str
    case: str
    method: str
    budget: str
    relative_error: float
    reaches_the_error: bool
    seconds_a_row: float
    ratio: float


@dataclass(frozen=True)
class Measured:
    """A network on one framework, with the rows that are explained and those they are compared with."""

    network: Network
    rows: np.ndarray
    background: np.ndarray

    @classmethod
    def load(cls, framework: Framework, name: NetworkName, folder: Path) -> Measured:
        import torch

        found = network(name, framework, folder)
        # The adapter asks torch for determinism, under which shap's rule of max-pooling does not run.
        torch.use_deterministic_algorithms(False)
        return cls(found, found.rows[:ROWS], found.rows[-BACKGROUND:])

    @property
    def framework(self) -> Framework:
        return self.network.framework


def assay_side(measured: Measured, method: str, *, seed: int, **settings: Any) -> Explain:
    """Return Assay's method as a call."""
    from audits.engine.explainers import BUILT_IN
    from audits.engine.explainers.base import Task
    from audits.engine.explainers.players import Players

    name = measured.network.assay.signature.inputs[0].name
    shape, outputs = measured.rows.shape[1:], measured.network.outputs
    count = int(np.prod(shape))
    players = Players(
        names=tuple(map(str, range(count))), assignment={name: np.arange(count).reshape(shape)}, grid=shape
    )
    task = Task(
        model=measured.network.assay,
        rows={name: measured.rows},
        background={name: measured.background},
        players=players,
        outputs=np.tile(np.arange(outputs), (len(measured.rows), 1)),
        output_names=tuple(map(str, range(outputs))),
        seed=seed,
    )
    explainer = BUILT_IN[method].from_json(settings)
    return lambda: explainer.explain(task).values


def shap_gradient_side(measured: Measured, samples: int) -> Explain:
    import shap

    explainer = shap.GradientExplainer(measured.network.own, _theirs(measured, measured.background))
    rows = _theirs(measured, measured.rows)
    return lambda: np.asarray(explainer.shap_values(rows, nsamples=samples, rseed=1))


def shap_deep_side(measured: Measured, _samples: int) -> Explain:
    import shap

    explainer = shap.DeepExplainer(measured.network.own, _theirs(measured, measured.background))
    rows = _theirs(measured, measured.rows)
    return lambda: np.asarray(explainer.shap_values(rows, check_additivity=False))


def captum_side(measured: Measured, method: str, samples: int) -> Explain:
    """Return a method of captum, output by output, as it explains one at a time."""
    import torch
    from captum import attr

    rows, background = torch.from_numpy(measured.rows), torch.from_numpy(measured.background)

    def gradient_shap(output: int) -> Any:
        torch.manual_seed(1)
        np.random.seed(1)
        return attr.GradientShap(measured.network.own).attribute(rows, background, n_samples=samples, target=output)

    def integrated_gradients(output: int) -> Any:
        explainer = attr.IntegratedGradients(measured.network.own)
        steps = max(1, samples // len(background))
        found = [explainer.attribute(rows, one[None], target=output, n_steps=steps) for one in background]
        return torch.stack(found).mean(0)

    def deep_lift(output: int) -> Any:
        return attr.DeepLiftShap(measured.network.own).attribute(rows, background, target=output)

    explain = {"GradientShap": gradient_shap, "IntegratedGradients": integrated_gradients, "DeepLiftShap": deep_lift}
    return lambda: np.stack(
        [explain[method](output).detach().numpy() for output in range(measured.network.outputs)], axis=-1
    )


def peers(measured: Measured, family: str) -> dict[str, Callable[[int], Explain]]:
    """Return the peers of a family of methods, each as a function of its number of samples."""
    found: dict[str, Callable[[int], Explain]] = {}
    if family == "expected_gradients":
        found["shap GradientExplainer"] = lambda samples: shap_gradient_side(measured, samples)
        if measured.framework == "pytorch":
            found["captum GradientShap"] = lambda samples: captum_side(measured, "GradientShap", samples)
            found["captum IntegratedGradients"] = lambda samples: captum_side(measured, "IntegratedGradients", samples)
    else:
        found["shap DeepExplainer"] = lambda samples: shap_deep_side(measured, samples)
        if measured.framework == "pytorch":
            found["captum DeepLiftShap"] = lambda samples: captum_side(measured, "DeepLiftShap", samples)
    return found


def error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((values.reshape(truth.shape) - truth) ** 2).mean() / (truth**2).mean()))


def smallest_budget(
    make: Callable[[int], Explain], ladder: tuple[int, ...], truth: np.ndarray, wanted: float
) -> tuple[int, float, bool]:
    """Return the first budget of the ladder that reaches the error, its error, and whether it does."""
    found, used = float("inf"), ladder[0]
    for budget in ladder:
        explain, started = make(budget), time.process_time()
        found, used = error(explain(), truth), budget
        if found <= wanted:
            return used, found, True
        if 2 * (time.process_time() - started) > MOST_SECONDS:
            break
    return used, found, False


def measure(measured: Measured, family: str) -> list[Line]:
    """Measure one family of methods on one case."""
    ours = assay_side(measured, family, seed=1)
    if family == "expected_gradients":
        truth = assay_side(measured, family, seed=99, tolerance=0.0, maximum_sweeps=128)()
        wanted, ladder, words = error(ours(), truth), LADDER, "tolerance 5 %"
    else:
        truth = ours()
        wanted, ladder, words = 1e-3, (0,), "one answer"
    sides: dict[str, tuple[Explain, float, str, bool]] = {"assay": (ours, error(ours(), truth), words, True)}
    for name, make in peers(measured, family).items():
        budget, found, is_reached = smallest_budget(make, ladder, truth, wanted)
        told = f"{budget:,} samples" if budget else "one answer"
        sides[name] = (make(budget), found, told, is_reached)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    began = time.process_time()
    while len(seconds["assay"]) < ROUNDS or (
        len(seconds["assay"]) < MOST_ROUNDS and time.process_time() - began < SECONDS_OF_ROUNDS
    ):
        for name, (explain, *_rest) in sides.items():
            started = time.process_time()
            explain()
            seconds[name].append(time.process_time() - started)
    fastest = statistics.median(seconds["assay"])
    return [
        Line(
            framework=measured.framework,
            case=measured.network.name,
            method=f"{family}: {name}",
            budget=budget,
            relative_error=found,
            reaches_the_error=is_reached,
            seconds_a_row=statistics.median(seconds[name]) / len(measured.rows),
            ratio=statistics.median(seconds[name]) / fastest,
        )
        for name, (_, found, budget, is_reached) in sides.items()
    ]


def measure_framework(framework: Framework) -> list[Line]:
    """Measure all cases on one framework, in this process."""
    import torch

    torch.set_num_threads(1)
    if framework == "keras":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    lines = []
    for name in (name for name in NETWORKS if name in CASES or CASES == ["all"]):
        with tempfile.TemporaryDirectory() as folder:
            measured = Measured.load(framework, name, Path(folder))
            for family in ("expected_gradients", "deeplift"):
                lines += measure(measured, family)
                _tell(lines[-len(peers(measured, family)) - 1 :])
    return lines


def _theirs(measured: Measured, rows: np.ndarray) -> Any:
    if measured.framework == "keras":
        return rows
    import torch

    return torch.from_numpy(rows)


def _tell(lines: list[Line]) -> None:
    for line in lines:
        sign = "" if line.reaches_the_error else "at least "
        print(
            f"{line.framework:8} {line.case:16} {line.method:48} {line.budget:>16} {line.relative_error:>9.4f} "
            f"{1000 * line.seconds_a_row:>10.2f} {f'{sign}{line.ratio:.1f}':>14}",
            flush=True,
        )


def main() -> int:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=["pytorch", "keras"])
    framework = parser.parse_args().framework
    RESULT.mkdir(exist_ok=True)
    if framework is None:
        print(
            f"{ROWS} rows, {BACKGROUND} background rows, all outputs, one thread, median of {ROUNDS} rounds or more\n"
        )
        print(f"{'':8} {'':16} {'':48} {'budget':>16} {'error':>9} {'ms a row':>10} {'times Assay':>14}", flush=True)
        return max(
            subprocess.call([sys.executable, "-m", "benchmarks.gradients", "--framework", name])
            for name in ("pytorch", "keras")
        )
    lines = [asdict(line) for line in measure_framework(framework)]
    document = {"rows": ROWS, "background": BACKGROUND, "rounds": ROUNDS, "table": lines}
    (RESULT / f"gradients-{framework}.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
