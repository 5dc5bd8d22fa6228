"""Validate, clean, validate again and digest a table, against the validation alone of Great Expectations.

Run it with ``python -m benchmarks.cleaning`` (``--rows 5000000`` for a larger table). Each side is a process of its
own that reads the same Parquet file: 30 columns, 15 expectations, one row in a hundred with a fault. Assay runs the
cleaning job as a worker does, with the plan that the suite asks for: both validations with every failing row, the
removals, the edits, five files, and the digest tree. Great Expectations validates a pandas frame with ``COMPLETE``
results. Sides alternate; a small run warms each first; medians, processor time (of all threads) and peak memory are
printed. Imports are left out on both sides, and so is the profile of the new version, which is named beside. It fails
when all of it takes 1.5 times the processor time of the one validation, or more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 1_000_000
ROUNDS = 2
WARM_ROWS = 2_000
FAULTS = 0.01
LIMIT = 1.5
OUTPUT = Path(__file__).parents[1] / ".bench" / "cleaning.json"


def write_data(path: Path, rows: int) -> None:
    """Write 30 columns (18 floats, 6 integers, 4 texts, a date-time, an id) with planted faults, in row groups."""
    import pyarrow as pa

    from workers.datasets.canonical import canonical_schema
    from workers.datasets.writing import TableWriter

    generator = np.random.default_rng(20)
    words = np.array(["north", "east", "south", "west", "unknown"])
    writer: TableWriter | None = None
    for start in range(0, rows, 65_536):
        count = min(65_536, rows - start)
        faulty = generator.random(count) < FAULTS
        columns: dict[str, Any] = {"id": np.arange(start, start + count)}
        columns["id"][faulty & (np.arange(count) > 0)] -= 1
        for number in range(18):
            values = generator.normal(50, 10, count)
            values[generator.random(count) < FAULTS / 18] = 1e6
            columns[f"x{number}"] = pa.array(values, mask=generator.random(count) < FAULTS / 4)
        for number in range(6):
            columns[f"n{number}"] = pa.array(
                generator.integers(0, 100, count), mask=generator.random(count) < FAULTS / 4
            )
        for number in range(4):
            columns[f"t{number}"] = pa.array(
                words[np.where(generator.random(count) < FAULTS / 4, 4, generator.integers(0, 4, count))]
            )
        columns["at"] = pa.array(np.arange(start, start + count).astype("datetime64[us]"))
        table = pa.table(columns)
        writer = writer or TableWriter(path, canonical_schema(table.schema)).__enter__()
        writer.write(table)
    if writer is not None:
        writer.__exit__(None, None, None)


def suite() -> dict[str, Any]:
    """Return 15 expectations, each with what is to become of the rows that fail it."""

    def rule(kind: str, clean: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": "critical", "meta": {"clean": clean}}

    rules = [rule("column_values_to_be_unique", {"action": "dedupe"}, column="id")]
    rules += [
        rule("column_values_to_be_between", {"action": action}, column=f"x{number}", min_value=-100, max_value=200)
        for number, action in enumerate(["quarantine", "quarantine", "clip", "clip", "drop"])
    ]
    rules += [rule("column_values_to_not_be_null", {"action": "impute"}, column=f"x{number}") for number in (6, 7, 8)]
    rules += [
        rule(
            "column_values_to_be_in_set",
            {"action": "quarantine"},
            column=f"t{number}",
            value_set=["north", "east", "south", "west"],
        )
        for number in range(3)
    ]
    rules += [
        rule("column_values_to_match_regex", {"action": "quarantine"}, column="t3", regex="^(north|east|south|west)$"),
        rule("column_value_lengths_to_be_between", {"action": "flag"}, column="t0", min_value=1, max_value=5),
        rule("column_values_to_be_between", {"action": "quarantine"}, column="n0", min_value=0, max_value=100),
    ]
    return {"name": "bench", "expectations": rules}


def assay_side(path: Path) -> dict[str, Any]:
    from tests.workers.job_folders import job
    from validators.engine import cleaning
    from validators.engine.expectations import Evaluator  # noqa: F401 - imports are no part of what is timed
    from workers.datasets.fitting import fit
    from workers.datasets.formats import open_upload

    schema = fit(open_upload(path, filename="data.parquet", stated_columns=frozenset()), None, lambda _: None).schema()
    context = job(
        path.parent / f"job-{os.getpid()}",
        kind="cleaning",
        inputs={"dataset": path},
        parameters={"suite": suite(), "plan": None, "schema": schema.to_json()},
    )
    profiled = profiled_processor = 0.0
    profile_of = cleaning.profile_of

    def timed_profile(*args: Any, **kwargs: Any) -> Any:
        nonlocal profiled, profiled_processor
        began, spent = time.monotonic(), time.process_time()
        profile = profile_of(*args, **kwargs)
        profiled, profiled_processor = time.monotonic() - began, time.process_time() - spent
        return profile

    cleaning.profile_of = timed_profile
    began, spent = time.monotonic(), time.process_time()
    value = cleaning.run(context)
    took, processor = time.monotonic() - began, time.process_time() - spent
    report = value["report"]
    return {
        "seconds": took - profiled,
        "processor_seconds": processor - profiled_processor,
        "profile_seconds": profiled,
        "not_met": report["rules_not_met"],
        "rows": [report["rows_in"], report["rows_out"], report["rows_quarantined"], report["cells_changed"]],
    }


def great_expectations_side(path: Path) -> dict[str, Any]:
    import great_expectations
    import pandas
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    expected = great_expectations.ExpectationSuite(**suite())
    began, spent = time.monotonic(), time.process_time()
    frame = pandas.read_parquet(path)
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    result = batch.validate(
        expected, result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False}
    )
    took, processor = time.monotonic() - began, time.process_time() - spent
    return {
        "seconds": took,
        "processor_seconds": processor,
        "not_met": {"before": sum(not one.success for one in result.results)},
    }


SIDES = {
    "Assay: validate, clean, validate, digest": assay_side,
    "Great Expectations: validate": great_expectations_side,
}


def run_side(name: str, path: Path) -> dict[str, Any]:
    """Run one side in a process of its own and return what it measured, with its peak memory."""
    command = [sys.executable, "-m", "benchmarks.cleaning", "--side", name, "--data", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if child.stdout is None:
        raise AssertionError("the output of the child is read")
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} ended with {child.returncode}.")
    return {**json.loads(output.splitlines()[-1]), "peak_mib": usage.ru_maxrss / 1024}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ASSAY_BENCH_CLEANING_ROWS", ROWS)))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.data)))
        return 0
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        small, data = Path(folder) / "small.parquet", Path(folder) / "data.parquet"
        write_data(small, WARM_ROWS)
        write_data(data, options.rows)
        for name in SIDES:
            run_side(name, small)
        for _ in range(options.rounds):
            for name, runs in measured.items():
                runs.append(run_side(name, data))
    return report(measured, options.rows)


def report(measured: dict[str, list[dict[str, Any]]], rows: int) -> int:
    medians = {name: statistics.median(run["seconds"] for run in runs) for name, runs in measured.items()}
    ours, theirs = medians.values()
    print(f"{rows:,} rows x 30 columns, 15 expectations; medians of {len(next(iter(measured.values())))} rounds:")
    print(f"{'':<44}{'seconds':>9}{'processor s':>13}{'rows/s':>12}{'peak memory':>14}")
    spent = []
    for name, runs in measured.items():
        peak = max(run["peak_mib"] for run in runs)
        processor = statistics.median(run["processor_seconds"] for run in runs)
        spent.append(processor)
        print(f"{name:<44}{medians[name]:>9.2f}{processor:>13.2f}{rows / medians[name]:>12,.0f}{peak:>10,.0f} MiB")
    first = next(iter(measured.values()))[0]
    profile = statistics.median(run["profile_seconds"] for run in next(iter(measured.values())))
    came, left, aside, cells = first["rows"]
    print(f"All of it takes {ours / theirs:.2f} of what Great Expectations takes to validate once.")
    print(f"The profile of the new version, {profile:.2f} s, comes on top.")
    print(f"{came:,} rows = {left:,} + {aside:,} put aside, {cells:,} cells changed; rules not met {first['not_met']}.")
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"rows": rows, "sides": measured}, indent=2))
    return 1 if rows >= ROWS and spent[0] > LIMIT * spent[1] else 0


if __name__ == "__main__":
    sys.exit(main())
