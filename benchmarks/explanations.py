"""Attributions at the same error: Assay's estimator against shap's KernelExplainer and PermutationExplainer.

One process, one thread, the same trained network behind the same function, the same rows and background. The truth is
a long run of Assay's estimator with another seed, itself checked against a long run of shap's. Assay runs at its
default settings; each of shap's explainers then gets the smallest of a ladder of budgets at which its error (root mean
square over rows, features and outputs, relative to the values) is no larger. Then all run in turn, and the medians of
their times are compared. A peer that does not reach the error with its largest budget is timed there, and its ratio
is a lower bound.
"""

from __future__ import annotations

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

ROWS = 4
BACKGROUND = 50
ROUNDS = 3
KERNEL_LADDER = (512, 1024, 2048, 4096, 6144, 8192, 12288)
PERMUTATION_LADDER = (4, 16, 32, 64, 96, 128)
RESULT = Path(__file__).resolve().parents[1] / ".bench" / "explanations.json"

Explain = Callable[[], np.ndarray]


def trained_model(folder: Path) -> tuple[Any, np.ndarray]:
    """Return a network of 30 inputs and 2 logits, trained on the breast cancer table, and the table's rows."""
    import torch
    from sklearn.datasets import load_breast_cancer

    from tests import tiny_models
    from workers.frameworks.loading import load_model
    from workers.signature import Signature

    data = load_breast_cancer()
    rows = ((data.data - data.data.mean(axis=0)) / data.data.std(axis=0)).astype("float32")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(30, 64), torch.nn.Tanh(), torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2)
    )
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    inputs, targets = torch.from_numpy(rows), torch.from_numpy(data.target)
    for _ in range(120):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs), targets).backward()
        optimizer.step()

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = module

        def forward(self, features: Any) -> Any:
            return self.layers(features)

    path = tiny_models.export(folder / "model.pt2", Named(), (torch.zeros(2, 30),))
    signature = Signature.from_json(tiny_models.signature(inputs=30, outputs=2))
    return load_model(path, framework="pytorch", signature=signature, device="cpu", seed=0), rows


def assay_side(model: Any, rows: np.ndarray, background: np.ndarray, *, seed: int, **settings: Any) -> Explain:
    from audits.engine.explainers.base import Task
    from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
    from audits.engine.explainers.players import Players

    players = Players(
        names=tuple(f"f{place}" for place in range(rows.shape[1])),
        assignment={"features": np.arange(rows.shape[1])},
        grid=(rows.shape[1],),
    )
    explainer = PermutationExplainer(PermutationParameters(**settings))

    def explain() -> np.ndarray:
        return explainer.explain(
            Task(
                model=model,
                rows={"features": rows},
                background={"features": background},
                players=players,
                outputs=np.tile(np.arange(2), (len(rows), 1)),
                output_names=("0", "1"),
                seed=seed,
            )
        ).values

    return explain


def kernel_side(model: Any, rows: np.ndarray, background: np.ndarray, samples: int) -> Explain:
    import shap

    def explain() -> np.ndarray:
        np.random.seed(1)
        explainer = shap.KernelExplainer(lambda values: model.logits({"features": values}), background)
        return np.asarray(explainer.shap_values(rows, nsamples=samples, l1_reg=0, silent=True))

    return explain


def permutation_side(model: Any, rows: np.ndarray, background: np.ndarray, permutations: int) -> Explain:
    import shap

    def explain() -> np.ndarray:
        masker = shap.maskers.Independent(background, max_samples=len(background))
        explainer = shap.explainers.PermutationExplainer(
            lambda values: model.logits({"features": values}), masker, seed=1
        )
        evaluations = permutations * (2 * rows.shape[1] + 1)
        return np.asarray(explainer(rows, max_evals=evaluations, silent=True).values)

    return explain


def error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((values - truth) ** 2).mean() / (truth**2).mean()))


def smallest_budget(
    make: Callable[[int], Explain], ladder: tuple[int, ...], truth: np.ndarray, wanted: float
) -> tuple[int, float, bool]:
    """Return the first budget of the ladder that reaches the error, its error, and whether it does."""
    found = float("inf")
    for budget in ladder:
        found = error(make(budget)(), truth)
        if found <= wanted:
            return budget, found, True
    return ladder[-1], found, False


def main() -> int:
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model, everything = trained_model(Path(folder))
        generator = np.random.default_rng(0)
        order = generator.permutation(len(everything))
        rows, background = everything[order[:ROWS]], everything[order[ROWS : ROWS + BACKGROUND]]

        truth = assay_side(model, rows, background, seed=99, tolerance=0.0, maximum_sweeps=60)()
        other_truth = permutation_side(model, rows, background, 300)()
        ours = assay_side(model, rows, background, seed=1)
        wanted = error(ours(), truth)
        kernel = smallest_budget(lambda n: kernel_side(model, rows, background, n), KERNEL_LADDER, truth, wanted)
        permutation = smallest_budget(
            lambda n: permutation_side(model, rows, background, n), PERMUTATION_LADDER, truth, wanted
        )
        sides = {
            "assay": (ours, wanted, "tolerance 5 %", True),
            "shap KernelExplainer": (
                kernel_side(model, rows, background, kernel[0]),
                kernel[1],
                f"{kernel[0]:,} samples",
                kernel[2],
            ),
            "shap PermutationExplainer": (
                permutation_side(model, rows, background, permutation[0]),
                permutation[1],
                f"{permutation[0]} permutations",
                permutation[2],
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, (explain, *_rest) in sides.items():
                started = time.perf_counter()
                explain()
                seconds[name].append(time.perf_counter() - started)

    fastest = statistics.median(seconds["assay"])
    print(f"{ROWS} rows x 30 features x 2 logits, {BACKGROUND} background rows, one thread, median of {ROUNDS} rounds")
    print(f"long run of shap against the truth: relative error {error(other_truth, truth):.4f}\n")
    print(f"{'':28}{'budget':>26}{'relative error':>16}{'ms a row':>12}{'times Assay':>14}")
    table = []
    for name, (_, found, budget, is_reached) in sides.items():
        median = statistics.median(seconds[name])
        sign = "" if is_reached else "at least "
        ratio = median / fastest
        print(f"{name:28}{budget:>26}{found:>16.4f}{1000 * median / ROWS:>12.2f}{f'{sign}{ratio:.1f}':>14}")
        table.append(
            {
                "name": name,
                "budget": budget,
                "relative_error": found,
                "reaches_the_error": is_reached,
                "seconds_a_row": median / ROWS,
                "ratio": ratio,
                "rounds": seconds[name],
            }
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": ROWS, "background": BACKGROUND, "table": table}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
