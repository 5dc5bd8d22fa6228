"""What a side needs to reach an error: the smallest budget, then time and memory in alternated rounds."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.explaining.sides import Game, Side

#: Relative errors to reach: root mean square error over root mean square of the truth, whole table.
TARGETS = (0.05, 0.02, 0.01)
ROUNDS = 3
#: A run that takes more processor time is the last of its side; what it has not reached then, it reaches later.
CEILING_SECONDS = float(os.environ.get("ASSAY_BENCH_PEER_SECONDS", "6"))
#: A run that takes more processor time than this is not repeated in rounds: the one that reached the error counts.
LONG_SECONDS = 12.0


@dataclass
class Reached:
    """How a side fared at one budget.

    Attributes:
        error: over the whole table; ``worst`` the same of the worst row.
        is_reached: whether the error is at most the target; where not, ``seconds`` is a lower bound.
    """

    side: str
    target: float
    budget: int
    unit: str
    error: float
    worst: float
    is_reached: bool
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    cold_seconds: float = 0.0
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        """Seconds of processor time, which a busy machine does not lengthen."""
        return statistics.median(self.cpu_seconds)


def error_of(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the relative error of a table, and that of its worst row."""
    squares, sizes = ((values - truth) ** 2).mean(axis=(1, 2)), (truth**2).mean(axis=(1, 2))
    return float(np.sqrt(squares.mean() / sizes.mean())), float(np.sqrt(squares / sizes).max())


def climb(side: Side, game: Game, truth: np.ndarray) -> list[Reached]:
    """Climb a side's ladder until the smallest target is reached or the runs take too long; one answer a target."""
    found: list[Reached] = []
    waiting = list(TARGETS)
    started = time.perf_counter()
    side.explain(game, side.ladder[0])
    cold = time.perf_counter() - started
    for budget in side.ladder:
        started, started_cpu = time.perf_counter(), time.process_time()
        values = side.explain(game, budget)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
        error, worst = error_of(values, truth)
        while waiting and error <= waiting[0]:
            reached = Reached(side.name, waiting.pop(0), budget, side.unit, error, worst, True, cold_seconds=cold)
            reached.seconds, reached.cpu_seconds = [seconds], [cpu_seconds]
            found.append(reached)
        if not waiting:
            return found
        if cpu_seconds > CEILING_SECONDS:
            break
    missed = [Reached(side.name, target, budget, side.unit, error, worst, False) for target in waiting]
    for entry in missed:
        entry.cold_seconds = cold
        entry.seconds, entry.cpu_seconds = [seconds], [cpu_seconds]
    return found + missed


def time_all(entries: list[Reached], named: dict[str, Side], game: Game) -> None:
    """Run all sides at their budgets in turn; each run once a round, however many targets it serves.

    The runs that take long keep the time of the climb.
    """
    repeated = [entry for entry in entries if entry.is_reached and entry.cpu_seconds[0] <= LONG_SECONDS]
    runs = sorted({(entry.side, entry.budget) for entry in repeated})
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {run: [] for run in runs}
    for _ in range(ROUNDS):
        for run in runs:
            started, started_cpu = time.perf_counter(), time.process_time()
            named[run[0]].explain(game, run[1])
            taken[run].append((time.perf_counter() - started, time.process_time() - started_cpu))
    for entry in repeated:
        pairs = taken[entry.side, entry.budget]
        entry.seconds, entry.cpu_seconds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for entry in entries:
        if entry.target == TARGETS[1]:
            entry.peak_mib = peak_of(named[entry.side], game, entry.budget)


def peak_of(side: Side, game: Game, budget: int) -> float:
    """Return by how much the resident memory of this process grows at its peak while a side explains, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = _status("VmRSS")
    side.explain(game, budget)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


def floor_seconds(game: Game, evaluations: int) -> float:
    """Return the processor time of the framework's own forward pass over so many rows, at its best chunk size."""
    rows = np.resize(game.background, (min(evaluations, 16_384), *game.background.shape[1:])).astype("float32")
    best = min(_forward_seconds(game, rows, chunk) for chunk in (256, 1024, 2048, 4096) if chunk <= len(rows))
    return best * evaluations / len(rows)


def _forward_seconds(game: Game, rows: np.ndarray, chunk: int) -> float:
    if game.network.framework == "pytorch":
        import torch

        parts = list(torch.from_numpy(rows).split(chunk))

        def run() -> None:
            with torch.inference_mode():
                for part in parts:
                    game.network.own(part)
    else:
        import tensorflow as tf

        pieces = [tf.constant(rows[start : start + chunk]) for start in range(0, len(rows) - chunk + 1, chunk)]
        is_compiled = game.network.name in ("mlp", "wide")
        shape = tf.TensorSpec((chunk, *rows.shape[1:]), tf.float32)
        forward = tf.function(
            lambda part: game.network.own(part, training=False), input_signature=[shape], jit_compile=is_compiled
        )

        def run() -> None:
            for piece in pieces:
                forward(piece)

    run()
    taken = []
    for _ in range(5):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return statistics.median(taken)
