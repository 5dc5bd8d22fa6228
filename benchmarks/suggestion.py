"""How good suggested suites are: false alarms on a second clean sample, faults found, and what a suggestion costs.

Run it with ``python -m benchmarks.suggestion``. Each trial draws a sample of a source, suggests a suite, draws a second
sample from another seed and runs the suite on it as it is (any rule that fails is a false alarm) and with one fault of
each kind planted (found, when a rule fails). Shares come with n and Wilson's 95 % interval.
``SUGGESTION_TRIALS=100`` makes so many trials in all; ``SUGGESTION_ROWS`` sets the rows of a sample;
``SUGGESTION_LARGEST=50000000`` measures time and peak memory of a suggestion up to so many rows of 30 columns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.validators.suggestion_trials import Trial

TRIALS = int(os.environ.get("SUGGESTION_TRIALS", "8"))
ROWS = int(os.environ.get("SUGGESTION_ROWS", "2000"))
LARGEST = int(os.environ.get("SUGGESTION_LARGEST", "1000000"))
COLUMNS = 30
OUTPUT = Path(__file__).parents[1] / ".bench" / "suggestion.json"

#: Suggests for one file in a process of its own and prints seconds, peak bytes and the number of rules.
_COST = """
import json, resource, sys, time
from pathlib import Path
from validators.engine.suggestion.job import MEMORY_BYTES
from validators.engine.suggestion.proposing import suggest
from workers.datasets.schema import Schema
path = Path(sys.argv[1])
schema = Schema.from_json(json.loads(path.with_suffix(".json").read_text()))
start = time.perf_counter()
value = suggest(path, schema, work=path.parent / "work", memory_bytes=MEMORY_BYTES)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "peak_bytes": peak, "rules": len(value["suggestions"])}))
"""


def main() -> int:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        trials = list(_trials(Path(folder)))
        costs = [_cost(Path(folder), rows) for rows in _sizes()]
    _print_quality(trials)
    print(f"\n{'rows x ' + str(COLUMNS):>16}  {'seconds':>8}  {'rows/s':>10}  {'peak MiB':>8}  {'rules':>5}")
    for cost in costs:
        rate = cost["rows"] / cost["seconds"]
        print(f"{cost['rows']:>16,}  {cost['seconds']:>8.2f}  {rate:>10,.0f}  {cost['peak_bytes'] / 2**20:>8,.0f}"
              f"  {cost['rules']:>5}")  # fmt: skip
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"rows": ROWS, "trials": [vars(trial) for trial in trials], "costs": costs}, indent=1))
    return 0


def _trials(folder: Path) -> list[Trial]:
    from tests.validators.sources import SOURCES
    from tests.validators.suggestion_trials import run_trial

    names = list(SOURCES)
    return [
        run_trial(names[number % len(names)], 10_000 + number, rows=ROWS, folder=folder) for number in range(TRIALS)
    ]


def _print_quality(trials: list[Trial]) -> None:
    from workers.statistics import wilson

    def share(count: int, total: int) -> str:
        found = wilson(count, total)
        return f"{count:>5} of {total:>5}  {found.value:>7.1%}  ({found.low:.1%} to {found.high:.1%})"

    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for trial in trials:
        planted.update(trial.found.keys())
        found.update(name for name, was_found in trial.found.items() if was_found)
        for sentence in trial.false_alarms:
            print(f"  false alarm, {trial.source}: {sentence[:160]}")
        for missed in trial.missed:
            print(f"  missed, {trial.source}: {missed}")
    print(f"\n{len(trials)} trials of {ROWS:,} rows, {sum(trial.rules for trial in trials):,} rules")
    print(f"{'no false alarm':<20}{share(sum(not trial.false_alarms for trial in trials), len(trials))}")
    print(f"{'faults found':<20}{share(found.total(), planted.total())}")
    for name in sorted(planted):
        print(f"  {name:<18}{share(found[name], planted[name])}")


def _sizes() -> list[int]:
    sizes = [100_000]
    while sizes[-1] * 10 <= LARGEST:
        sizes.append(sizes[-1] * 10)
    return sizes if sizes[-1] == LARGEST else [*sizes, LARGEST]


def _cost(folder: Path, rows: int) -> dict[str, Any]:
    path = folder / f"{rows}.parquet"
    _write(path, rows)
    started = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", _COST, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    path.unlink()
    return {"rows": rows, "with_start_seconds": time.perf_counter() - started, **json.loads(answer.stdout)}


def _write(path: Path, rows: int) -> None:
    """Write numbers, whole numbers, categories, texts and moments, a piece at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(rows)
    words = np.array(["paid", "open", "refunded", "lost"])
    schema: dict[str, Any] = {}
    writer = None
    for start in range(0, rows, 500_000):
        count = min(500_000, rows - start)
        cells: dict[str, Any] = {"id": np.arange(start, start + count)}
        for place in range(1, COLUMNS):
            name, kind = f"column_{place:02d}", place % 5
            if kind == 0:
                cells[name] = words[rng.integers(0, 4, count)]
            elif kind == 1:
                cells[name] = rng.integers(0, 1_000_000, count)
            elif kind == 2:
                cells[name] = np.char.add("C-", rng.integers(100_000, 999_999, count).astype(str))
            elif kind == 3:
                cells[name] = rng.normal(50, 9, count)
            else:
                cells[name] = rng.lognormal(3, 1, count)
        table = pa.table(cells)
        if writer is None:
            schema = {
                name: {"role": "id" if name == "id" else "feature", "type": "float"} for name in table.column_names
            }
            writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=65_536)
    if writer is not None:
        writer.close()
    path.with_suffix(".json").write_text(json.dumps({"modality": "tabular", "columns": schema}))


if __name__ == "__main__":
    sys.exit(main())
