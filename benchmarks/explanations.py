"""Shapley values at equal error: Assay's estimators against shap, captum and lightshap, on both frameworks.

Each case runs in a process of its own with a fixed number of threads: the same trained network behind the same
function, the same rows, background and features for all. The truth is a long run of Assay's permutations with another
seed, held against a long run of shap's; Owen values are counted out. Each side then climbs its ladder of budgets to
relative errors (root mean square error over root mean square of the truth) of 5, 2 and 1 %; all run in turn at the
budgets found, and medians of processor time are compared. A side that does not reach an error within its ceiling of
time is told as a lower bound.

``python -m benchmarks.explanations`` runs the cases that take minutes, on one thread. ``ASSAY_BENCH_CASES=all`` runs
all, or those named (``mlp,wide``); ``ASSAY_BENCH_THREADS=1,0`` runs each on one thread and on all;
``ASSAY_BENCH_PEER_SECONDS=60`` gives a run of a side more than 6 seconds before it is the last.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULT = Path(__file__).resolve().parents[1] / ".bench" / "explanations.json"
FRAMEWORKS = ("pytorch", "keras")
#: The cases that are run unless others are asked for.
SHORT = "mlp,owen"


@dataclass(frozen=True)
class Case:
    """What is explained: so many rows of a network against so many background rows."""

    network: str
    rows: int
    background: int
    patch: int = 1
    truth_sweeps: int = 60
    is_owen: bool = False


CASES = {
    "mlp": Case("mlp", rows=8, background=100, truth_sweeps=100),
    "mlp, 10 background rows": Case("mlp", rows=8, background=10, truth_sweeps=1500),
    "cnn8": Case("cnn8", rows=4, background=100),
    "cnn28, patches of 4": Case("cnn28", rows=2, background=100, patch=4, truth_sweeps=40),
    "wide": Case("wide", rows=2, background=100, truth_sweeps=12),
    "lstm, one row": Case("lstm", rows=1, background=100, truth_sweeps=400),
    "transformer, one row": Case("transformer", rows=1, background=100, truth_sweeps=400),
    "owen": Case("mlp", rows=8, background=100, is_owen=True),
    "owen-cnn8": Case("cnn8", rows=2, background=100, is_owen=True),
}


def main() -> int:
    if len(sys.argv) == 4:
        print(json.dumps(_run(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
        return 0
    asked = os.environ.get("ASSAY_BENCH_CASES", SHORT).split(",")
    names = [name for name in CASES if asked == ["all"] or name.split(",")[0] in asked]
    threads = [int(count) for count in os.environ.get("ASSAY_BENCH_THREADS", "1").split(",")]
    found = []
    for name in names:
        for framework in FRAMEWORKS:
            for count in threads:
                answer = _child(name, framework, count)
                _print(answer)
                found.append(answer)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _child(name: str, framework: str, threads: int) -> dict[str, Any]:
    """Run one case in a process of its own; 0 threads are all."""
    count = threads or len(os.sched_getaffinity(0))
    limits = {key: str(count) for key in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.explanations", name, framework, str(count)],
        env=os.environ | limits | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return answer


def _run(name: str, framework: Any, threads: int) -> dict[str, Any]:
    warnings.filterwarnings("ignore")
    import torch

    from benchmarks.explaining import owen
    from benchmarks.explaining.networks import network
    from benchmarks.explaining.reaching import climb, error_of, floor_seconds, time_all
    from benchmarks.explaining.sides import Game, assay, sides, truth

    torch.set_num_threads(threads)
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        built = network(case.network, framework, Path(folder))  # type: ignore[arg-type]
    game = Game(built, built.rows[: case.rows], built.rows[-case.background :], case.patch)
    expected = owen.truth(game) if case.is_owen else truth(game, case.truth_sweeps)
    players = owen.sides() if case.is_owen else sides(game)
    entries = [entry for side in players for entry in climb(side, game, expected)]
    named = {side.name: side for side in players}
    time_all(entries, named, game)
    one_sweep = assay(game, "permutation", 1, tolerance=0.0, maximum_sweeps=1)
    evaluations = int(one_sweep.evaluations.sum())
    other = named["shap Partition, tuned" if case.is_owen else "shap Permutation, tuned"]
    return {
        "case": name,
        "framework": framework,
        "threads": threads,
        "rows": case.rows,
        "features": game.players.count,
        "outputs": game.outputs,
        "background": case.background,
        "truth_against_shap": error_of(other.explain(game, other.ladder[-1]), expected)[0],
        "floor": _floor(game, evaluations, floor_seconds),
        "evaluations_of_a_sweep": evaluations,
        "entries": [asdict(entry) | {"median": entry.median} for entry in entries],
    }


def _floor(game: Any, evaluations: int, floor_seconds: Any) -> dict[str, float]:
    """Return the processor time of Assay's sweep and of the raw forward pass over as many rows, alternated."""
    import time

    from benchmarks.explaining.sides import assay

    ours, raw = [], []
    for _ in range(5):
        raw.append(floor_seconds(game, evaluations))
        started = time.process_time()
        assay(game, "permutation", 1, tolerance=0.0, maximum_sweeps=1)
        ours.append(time.process_time() - started)
    floor, taken = statistics.median(raw), statistics.median(ours)
    return {"raw_seconds": floor, "seconds": taken, "share": floor / taken}


def _print(answer: dict[str, Any]) -> None:
    rows, entries = answer["rows"], answer["entries"]
    print(
        f"\n{answer['case']}, {answer['framework']}, {answer['threads']} thread(s): {rows} rows x {answer['features']} "
        f"features x {answer['outputs']} outputs, {answer['background']} background rows.\n"
        f"Raw forward of a sweep's rows over the sweep: {answer['floor']['share']:.2f}. "
        f"Truth against a long run of shap: {answer['truth_against_shap']:.4f}."
    )
    print(
        f"{'':28}{'target':>7}{'budget':>8} {'of':30}{'error':>8}{'worst':>8}{'ms a row':>11}{'CPU ms':>10}"
        f"{'cold ms':>9}{'MiB':>6}{'x Assay':>10}"
    )
    best = {
        target: min(_ours(entries, target, is_reached=True) or _ours(entries, target, is_reached=False))
        for target in {entry["target"] for entry in entries}
    }
    for entry in sorted(entries, key=lambda entry: -entry["target"]):
        sign = "" if entry["is_reached"] else ">"
        taken = f"{sign}{1000 * statistics.median(entry['seconds']) / rows:.2f}"
        ratio = f"{sign}{entry['median'] / best[entry['target']]:.1f}"
        print(
            f"{entry['side']:28}{entry['target']:>7.0%}{entry['budget']:>8,} {entry['unit']:30}{entry['error']:>8.4f}"
            f"{entry['worst']:>8.4f}{taken:>11}{1000 * statistics.median(entry['cpu_seconds']) / rows:>10.2f}"
            f"{1000 * entry['cold_seconds']:>9.0f}{entry['peak_mib']:>6.0f}{ratio:>10}"
        )


def _ours(entries: list[dict[str, Any]], target: float, *, is_reached: bool) -> list[float]:
    return [
        entry["median"]
        for entry in entries
        if entry["target"] == target and entry["is_reached"] is is_reached and entry["side"].startswith("Assay")
    ]


if __name__ == "__main__":
    sys.exit(main())
