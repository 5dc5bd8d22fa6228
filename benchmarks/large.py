"""Tables larger than memory: seconds and peak memory of every step that reads data, each in a process of its own.

Run it with ``python -m benchmarks.large``: 200,000 rows x 30 columns by default, so that ``make bench`` stays short.
``ASSAY_BENCH_LARGE_ROWS=50000000`` is the size that the limit on memory is stated for (some 40 GB of disk, an hour),
and ``ASSAY_BENCH_LARGE_STEPS`` takes some steps only, divided by commas, with those that make what they read. Each step
is the runner of a job as a worker starts it, but for the sandbox; the table of the first import and the clean table go
on to the later steps. The peak is ``VmHWM``: what the process had in memory at most, the pages of files that it had
mapped included. It fails when a step takes more than 2 GiB.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

ROWS = 200_000
LIMIT_MIB = 2048
OUTPUT = Path(__file__).parents[1] / ".bench" / "large.json"
#: The share of values in three columns that lie far out.
_FAULTS = 0.01


@dataclass(frozen=True)
class Step:
    """One job: the name of its runner, its files by the names of its inputs, and what it leaves for later steps.

    Attributes:
        parameters: those of the job but for the schemas, which are those of the table.
        schemas: the names under which the job is given the schema of the table.
        keeps: the output that a later step reads, and what it is called there.
    """

    runner: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schemas: tuple[str, ...] = ("schema",)
    keeps: tuple[str, str] | None = None


def _rule(kind: str, action: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": "critical", "meta": {"clean": {"action": action}}}


SUITE: dict[str, Any] = {
    "name": "large",
    "expectations": [
        _rule("column_values_to_be_unique", "dedupe", column="id"),
        _rule("compound_columns_to_be_unique", "dedupe", column_list=["at", "category 0"]),
        *(
            _rule("column_values_to_be_between", action, column=f"float {number}", min_value=-10, max_value=10)
            for number, action in enumerate(("quarantine", "drop", "clip", "clip"))
        ),
        *(_rule("column_values_to_not_be_null", "impute", column=f"amount {number}") for number in range(3)),
        *(
            _rule("column_values_to_be_in_set", "flag", column=f"category {number}", value_set=WORDS)
            for number, WORDS in enumerate([[f"category {n}" for n in range(19)]] * 3)
        ),
        _rule("column_values_to_match_regex", "quarantine", column="id", regex="^user-[0-9]+$"),
        _rule("column_value_lengths_to_be_between", "flag", column="category 3", min_value=10, max_value=11),
        _rule("column_values_to_be_between", "quarantine", column="integer 0", min_value=0, max_value=990),
    ],
}
_TABLE = {"dataset": "table.parquet"}
_PAIR = {"dataset": "clean.parquet", "against": "table.parquet"}
_SIDES = {"before": "table.parquet", "after": "clean.parquet"}
_IMPORT, _SPLIT = "workers.datasets.importing", "validators.engine.splitting"
_SHARES = {"fractions": {"train": 0.8, "test": 0.2}}

STEPS: dict[str, Step] = {
    "import of Parquet": Step(
        _IMPORT,
        {"upload": "upload.parquet"},
        {"filename": "upload.parquet", "schema": None},
        (),
        ("table.parquet", "table.parquet"),
    ),
    "import of CSV": Step(_IMPORT, {"upload": "upload.csv"}, {"filename": "upload.csv", "schema": None}, ()),
    "validation": Step("validators.engine.validation", _TABLE, {"suite": SUITE}),
    "cleaning": Step(
        "validators.engine.cleaning", _TABLE, {"suite": SUITE, "plan": None}, keeps=("clean.parquet", "clean.parquet")
    ),
    "suggestion": Step("validators.engine.suggestion.job", _TABLE),
    "screening": Step("validators.engine.screening.job", _TABLE, {"detectors": "quality", "ref": "large/1"}),
    "screening for leaks": Step(
        "validators.engine.screening.job",
        _PAIR,
        {"detectors": "evaluation", "ref": "large/2", "against_ref": "large/1"},
        ("schema", "against_schema"),
    ),
    "screening for drift": Step(
        "validators.engine.screening.job",
        _PAIR,
        {"detectors": "drift", "ref": "large/2", "against_ref": "large/1"},
        ("schema", "against_schema"),
    ),
    "split by id": Step(_SPLIT, _TABLE, {"plan": {**_SHARES, "by": "id"}}),
    "split by time": Step(_SPLIT, _TABLE, {"plan": {**_SHARES, "time": "at"}}),
    "split by row": Step(_SPLIT, _TABLE, {"plan": _SHARES}),
    "comparison by id": Step("validators.engine.comparison", _SIDES, {}, ("before_schema", "after_schema")),
    "comparison by row": Step(
        "validators.engine.comparison", _SIDES, {"without_id": True}, ("before_schema", "after_schema")
    ),
}


# ------------------------------------------------------------------------------------------------- in children
def write_uploads(folder: Path, rows: int, kinds: str) -> None:
    """Write the table as a Parquet and as a CSV upload, a piece at a time, with faults in three columns."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    from benchmarks.tables import PIECE_ROWS, piece

    def pieces() -> Iterator[pa.Table]:
        count = -(-rows // PIECE_ROWS)
        for number in range(count):
            table = piece(rows // count, number)
            draw = np.random.default_rng([number, 1])
            for name in ("float 0", "float 1", "float 2"):
                values = table.column(name).to_numpy().copy()
                values[draw.random(len(values)) < _FAULTS] *= 100
                table = table.set_column(table.column_names.index(name), name, pa.array(values))
            yield table

    schema = piece(1, 0).schema
    if "parquet" in kinds:
        with pq.ParquetWriter(folder / "upload.parquet", schema, compression="snappy") as writer:
            for table in pieces():
                writer.write_table(table)
    if "csv" in kinds:
        options = pyarrow.csv.WriteOptions(quoting_style="none")
        with pyarrow.csv.CSVWriter(folder / "upload.csv", schema, write_options=options) as writer:
            for table in pieces():
                writer.write_table(table)


def run_step(name: str, folder: Path) -> dict[str, float]:
    """Run the job of a step in this process; return its seconds and what it had in memory at most."""
    from validators.engine.screening.catalogue import read_request
    from workers.context import JobContext
    from workers.protocol import INPUTS_FOLDER, InputFile, JobSpec

    step = STEPS[name]
    job = folder / "job"
    (job / INPUTS_FOLDER).mkdir(parents=True)
    inputs = {}
    for word, file in step.inputs.items():
        # A hard link, as a worker makes it: DuckDB may read below the folder of the job only.
        (job / INPUTS_FOLDER / file).hardlink_to(folder / file)
        inputs[word] = InputFile(file, "", (folder / file).stat().st_size)
    parameters = dict(step.parameters)
    if step.schemas:
        schema = _schema(folder / "schema.json", with_id=not parameters.pop("without_id", False))
        parameters |= dict.fromkeys(step.schemas, schema)
    if "detectors" in parameters:
        parameters["detectors"] = read_request(parameters["detectors"], None, None)
    spec = JobSpec(kind="benchmark", runner="", job_id=1, attempt=1, parameters=parameters, inputs=inputs)
    began = time.monotonic()
    value = import_module(step.runner).run(JobContext(spec, job))
    seconds = time.monotonic() - began
    if step.runner == _IMPORT:
        (folder / "schema.json").write_text(json.dumps(value["schema"]))
    if step.keeps is not None:
        (job / "outputs" / step.keeps[0]).rename(folder / step.keeps[1])
    status = Path("/proc/self/status").read_text()
    return {
        "seconds": seconds,
        "processor_seconds": time.process_time(),
        "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    }


def _schema(path: Path, *, with_id: bool) -> dict[str, Any]:
    """Return the schema as a person would complete it: what the id is (if it is said), the target, the time."""
    schema: dict[str, Any] = json.loads(path.read_text())
    schema["columns"]["id"]["role"] = "id" if with_id else "feature"
    schema["columns"]["flag"]["role"] = "target"
    schema["columns"]["at"]["role"] = "timestamp"
    return schema


# ---------------------------------------------------------------------------------------------------- in turns
def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.large", *arguments]
    # One thread for what learns, as a worker gives a job: two on a busy machine wait for each other.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def measure(name: str, folder: Path, rows: int) -> dict[str, float]:
    """Measure one step; the CSV, which is the largest file, is there for its own step only."""
    if name == "import of CSV":
        _child("--write", str(folder), str(rows), "csv")
    try:
        measured: dict[str, float] = json.loads(_child("--step", str(folder), name).splitlines()[-1])
    finally:
        shutil.rmtree(folder / "job", ignore_errors=True)
        (folder / "upload.csv").unlink(missing_ok=True)
    return measured


def _with_what_they_read(chosen: list[str]) -> list[str]:
    """Return the steps to run, in order: those chosen and those that make what they read."""
    makers = {step.keeps[1]: name for name, step in STEPS.items() if step.keeps is not None}
    needed = set(chosen)
    for name in reversed(STEPS):
        if name in needed:
            needed.update(makers[file] for file in STEPS[name].inputs.values() if file in makers)
    return [name for name in STEPS if name in needed]


def main() -> int:
    rows = int(os.environ.get("ASSAY_BENCH_LARGE_ROWS", ROWS))
    chosen = [name.strip() for name in os.environ.get("ASSAY_BENCH_LARGE_STEPS", "").split(",") if name.strip()]
    found: dict[str, dict[str, float]] = {}
    print(f"{rows:,} rows x 30 columns\n{'step':<22}{'seconds':>10}{'rows/s':>12}{'processor s':>13}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        _child("--write", str(folder), str(rows), "parquet")
        for step in _with_what_they_read(chosen or list(STEPS)):
            entry = found[step] = measure(step, folder, rows)
            print(
                f"{step:<22}{entry['seconds']:>10.1f}{rows / entry['seconds']:>12,.0f}"
                f"{entry['processor_seconds']:>13.1f}{entry['peak_mib']:>10,.0f}",
                flush=True,
            )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"rows": rows, "columns": 30, "steps": found}, indent=2))
    return 1 if max(entry["peak_mib"] for entry in found.values()) > LIMIT_MIB else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_uploads(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1:2] == ["--step"]:
        print(json.dumps(run_step(sys.argv[3], Path(sys.argv[2]))))
    else:
        sys.exit(main())
