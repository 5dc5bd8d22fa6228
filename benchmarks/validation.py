"""Validation against Great Expectations and pandera: seconds and peak memory for the same 15 rules on the same file.

Each contestant reads one Parquet file of 30 columns and tells all rows that fail. Assay writes them with reasons as
Parquet; Great Expectations runs on pandas with COMPLETE results and row numbers; pandera runs on polars, lazily, with
all failure cases. Every run is a child process of its own, so that the peak of its memory is its own; imports are not
counted; contestants take turns, after one run that only warms the file.

How many times Assay is faster depends on the rules: Great Expectations compares numbers in NumPy, and goes value by
value through Python where it parses dates; one of the 15 rules is of that kind.

``ASSAY_BENCH_ROWS=1000000,5000000`` chooses the sizes (default 1,000,000), ``ASSAY_BENCH_ROUNDS=3`` the rounds, and
``ASSAY_BENCH_CURVE=100000,1000000,10000000,50000000`` the sizes at which Assay alone is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

OUTPUT = Path(__file__).resolve().parents[1] / ".bench" / "validation.json"
GROUP_ROWS = 65_536
COLORS = ["red", "green", "blue", "black"]
COLUMNS = 30

E = "expect_column_values_to_"
RULES: list[tuple[str, dict[str, Any]]] = [
    (E + "be_unique", {"column": "id"}),
    (E + "not_be_null", {"column": "age"}),
    (E + "match_strftime_format", {"column": "day", "strftime_format": "%Y-%m-%d"}),
    (E + "be_between", {"column": "age", "min_value": 0, "max_value": 110}),
    (E + "be_between", {"column": "f1", "min_value": -3.2, "max_value": 3.2}),
    (E + "be_between", {"column": "f2", "max_value": 3.0, "strict_max": True}),
    (E + "be_in_set", {"column": "color", "value_set": COLORS}),
    (E + "not_be_in_set", {"column": "i3", "value_set": [17, 999]}),
    (E + "match_regex", {"column": "mail", "regex": r"^u\d+@x\.org$"}),
    ("expect_column_value_lengths_to_be_between", {"column": "name", "min_value": 3, "max_value": 12}),
    (E + "be_increasing", {"column": "i7"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "high", "column_B": "low"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["i1", "f3"]}),
    ("expect_column_mean_to_be_between", {"column": "f4", "min_value": -1, "max_value": 1}),
    ("expect_column_stdev_to_be_between", {"column": "f5", "min_value": 0.5, "max_value": 2}),
]


def suite() -> dict[str, Any]:
    rules = [{"type": kind, "kwargs": kwargs, "id": f"r{number}"} for number, (kind, kwargs) in enumerate(RULES)]
    return {"name": "bench", "expectations": rules}


def write_table(path: Path, rows: int) -> None:
    """Write a table of 30 columns as the canonical Parquet of a data set; about one row in fifteen fails a rule."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _chunk(0, 1).schema, compression="zstd", version="2.6") as writer:
        for start in range(0, rows, GROUP_ROWS):
            writer.write_table(_chunk(start, min(GROUP_ROWS, rows - start)))


def _chunk(start: int, count: int) -> Any:
    import numpy as np
    import pyarrow as pa

    draw = np.random.default_rng(start)
    numbers = np.arange(start, start + count)
    faulty = draw.random((6, count)) < 0.01
    low = draw.normal(0, 1, count)
    words = np.array(["anna", "boris", "chloe", "dmitri", "élodie"])
    columns: dict[str, Any] = {
        "id": pa.array(
            [
                f"c{number - 1 if fault else number}"
                for number, fault in zip(numbers.tolist(), faulty[0].tolist(), strict=True)
            ]
        ),
        "age": pa.array(np.where(faulty[1], 200, draw.integers(18, 90, count)), mask=faulty[2]),
        "low": low,
        "high": np.where(faulty[3], low - 1, low + draw.random(count) + 0.01),
        "color": np.where(faulty[4], "mauve", np.array(COLORS)[draw.integers(0, 4, count)]),
        "mail": np.where(faulty[5], "nobody", np.char.add(np.char.add("u", numbers.astype("U10")), "@x.org")),
        "name": words[draw.integers(0, 5, count)],
        "since": pa.array(numbers * 1_000_000, pa.timestamp("us")),
        "day": np.datetime_as_string(np.datetime64("2020-01-01") + draw.integers(0, 1500, count)),
        "member": draw.random(count) < 0.5,
    }
    for number in range(1, 7):
        columns[f"i{number}"] = pa.array(draw.integers(1000, 100_000, count))
    columns["i7"] = numbers + 3 * faulty[4]
    for number in range(1, COLUMNS - len(columns) + 1):
        columns[f"f{number}"] = pa.array(draw.normal(0, 1, count), mask=draw.random(count) < 0.01)
    return pa.table(columns)


# ----------------------------------------------------------------------------------------------------- contestants
def assay(path: Path, folder: Path) -> Callable[[], int]:
    from validators.engine.validation import validate

    def run() -> int:
        value = validate(
            path, suite(), folder / "rows.parquet", work=path.parent / "work", results_file=folder / "results.json"
        )
        return sum(result["unexpected_count"] or 0 for result in value["results"])

    return run


def great_expectations(path: Path, folder: Path) -> Callable[[], int]:  # noqa: ARG001 - called as the others are
    import great_expectations
    import pandas as pd
    from great_expectations.core import ExpectationSuite
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("data")
    definition = asset.add_batch_definition_whole_dataframe("data")

    def run() -> int:
        batch = definition.get_batch({"dataframe": pd.read_parquet(path)})
        wanted = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
        outcome = batch.validate(ExpectationSuite(**suite()), result_format=wanted)
        return sum(len(result.result.get("unexpected_index_list") or []) for result in outcome.results)

    return run


def pandera(path: Path, folder: Path) -> Callable[[], int]:  # noqa: ARG001 - called as the others are
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    def far(name: str, low: float, high: float, aggregate: str) -> pa.Check:
        expression = getattr(pl.col(name), aggregate)()
        return pa.Check(lambda data: data.lazyframe.select(expression.is_between(low, high)))

    def is_day(data: Any) -> Any:
        return data.lazyframe.select(pl.col("day").str.to_date("%Y-%m-%d", strict=False).is_not_null())

    schema = pa.DataFrameSchema(
        {
            "id": pa.Column(pl.String, unique=True, nullable=False),
            "age": pa.Column(pl.Int64, pa.Check.in_range(0, 110), nullable=False),
            "f1": pa.Column(pl.Float64, pa.Check.in_range(-3.2, 3.2), nullable=True),
            "f2": pa.Column(pl.Float64, pa.Check.less_than(3.0), nullable=True),
            "color": pa.Column(pl.String, pa.Check.isin(COLORS)),
            "i7": pa.Column(
                pl.Int64, pa.Check(lambda data: data.lazyframe.select(pl.col("i7").diff().fill_null(0) >= 0))
            ),
            "i3": pa.Column(pl.Int64, pa.Check.notin([17, 999])),
            "mail": pa.Column(pl.String, pa.Check.str_matches(r"^u[0-9]+@x\.org$")),
            "name": pa.Column(pl.String, pa.Check.str_length(3, 12)),
            "day": pa.Column(pl.String, pa.Check(is_day)),
            "f4": pa.Column(pl.Float64, far("f4", -1, 1, "mean"), nullable=True),
            "f5": pa.Column(pl.Float64, far("f5", 0.5, 2, "std"), nullable=True),
        },
        checks=[pa.Check(lambda data: data.lazyframe.select(pl.col("high") > pl.col("low")))],
        unique=["i1", "f3"],
    )

    def run() -> int:
        try:
            schema.validate(pl.read_parquet(path), lazy=True)
        except SchemaErrors as errors:
            return len(errors.failure_cases)
        return 0

    return run


CONTESTANTS = {"assay": assay, "great_expectations": great_expectations, "pandera": pandera}


def contestant(name: str, path: Path) -> None:
    """Run one contestant in this process and print what it took."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        run = CONTESTANTS[name](path, Path(folder))
        began = time.perf_counter()
        failing = run()
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes(), "failing": failing}))


def _peak_bytes() -> int:
    # Not ``ru_maxrss``, which begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _measure(name: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.validation", name, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{name} did not run to its end:\n{run.stderr}")
    answer: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return answer


def _table_of(folder: Path, rows: int) -> Path:
    path = folder / f"{rows}.parquet"
    if not path.exists():
        # In a process of its own: the peak of this one is inherited by no contestant.
        subprocess.run([sys.executable, "-m", "benchmarks.validation", "write", str(path), str(rows)], check=True)
    return path


def compare(path: Path, rows: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Measure all contestants in turn, and yield a line for each."""
    _measure("assay", path)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds):
        for name in list(CONTESTANTS) if number % 2 else reversed(list(CONTESTANTS)):
            # Great Expectations takes most of the time; two runs of it say enough.
            if name != "great_expectations" or number < 2:
                taken[name].append(_measure(name, path))
    for name, runs in taken.items():
        yield {
            "rows": rows,
            "contestant": name,
            "seconds": statistics.median(run["seconds"] for run in runs),
            "peak_bytes": max(run["peak_bytes"] for run in runs),
            "failing": runs[0]["failing"],
            "runs": len(runs),
        }


def _sizes(name: str, default: str) -> list[int]:
    return [int(size) for size in os.environ.get(name, default).split(",") if size]


def main() -> int:
    lines: list[dict[str, Any]] = []
    rounds = int(os.environ.get("ASSAY_BENCH_ROUNDS", "3"))
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as base:
        folder = Path(base)
        print(f"{'rows':>12}  {'contestant':<20}{'seconds':>9}{'peak MiB':>10}{'failing':>12}{'Assay is':>12}")
        for rows in _sizes("ASSAY_BENCH_ROWS", "1000000"):
            found = list(compare(_table_of(folder, rows), rows, rounds))
            for line in found:
                times = line["seconds"] / found[0]["seconds"]
                print(
                    f"{rows:>12,}  {line['contestant']:<20}{line['seconds']:>9.2f}{line['peak_bytes'] / 2**20:>10.0f}"
                    f"{line['failing']:>12,}{times:>11.1f}x",
                    flush=True,
                )
            lines += found
        for rows in _sizes("ASSAY_BENCH_CURVE", ""):
            path = _table_of(folder, rows)
            answer = {"rows": rows, "contestant": "assay", "runs": 1, **_measure("assay", path)}
            lines.append(answer)
            print(
                f"{rows:>12,}  assay alone         {answer['seconds']:>9.2f}{answer['peak_bytes'] / 2**20:>10.0f}"
                f"{answer['failing']:>12,}   {answer['seconds'] / rows * 1e6:.2f} s a million rows",
                flush=True,
            )
            path.unlink()
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"columns": COLUMNS, "rules": len(RULES), "lines": lines}, indent=2))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_table(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:]:
        contestant(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main())
