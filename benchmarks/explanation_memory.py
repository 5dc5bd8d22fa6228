"""What an explanation job takes in memory, whatever the rows, features and outputs.

Run it with ``python -m benchmarks.explanation_memory``. Every job is a child of its own (``python -m workers``), as a
worker starts it. Peak memory is the largest resident set (VmHWM), file pages that the child has mapped and touched
included. "Above the import" is above a process that imports the framework and nothing else; "above two rows" is above
a job that explains two rows of the same data with the same model: what the number of rows adds.

``EXPLANATION_MEMORY_ROWS`` sets the rows of the table, ``EXPLANATION_MEMORY_FRAMEWORKS`` the frameworks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests import tiny_models
from workers.protocol import InputFile, JobSpec, digest_of_file

ROWS = int(os.environ.get("EXPLANATION_MEMORY_ROWS", "10000"))
FRAMEWORKS = os.environ.get("EXPLANATION_MEMORY_FRAMEWORKS", "pytorch,keras").split(",")
RESULT = Path(__file__).resolve().parents[1] / ".bench" / "explanation_memory.json"
SUFFIXES = {"pytorch": ".pt2", "keras": ".keras"}
IMPORTS = {"pytorch": "import torch", "keras": "import keras"}
MIB = 1024 * 1024
SIDE, PATCH = 224, 32
FEATURES = (SIDE // PATCH) ** 2


@dataclass(frozen=True)
class Case:
    """One explanation: what is explained, how much of it, and what its job may use."""

    name: str
    rows: int
    outputs: int
    write: Callable[[Path, int], Path]
    table: Callable[[int], pa.Table]
    described: Callable[[int], dict[str, Any]]
    memory_mib: int = 256


def main() -> int:
    cases = [
        Case(f"{ROWS:,} rows x 30 x 2", ROWS, 2, _write_mlp, _numbers, _of_numbers),
        Case(f"{ROWS:,} rows x 30 x 2", ROWS, 2, _write_mlp, _numbers, _of_numbers, memory_mib=32),
        Case("500 rows x 30 x 1,000", 500, 1000, _write_mlp, _numbers, _of_numbers),
        Case(f"10 images {SIDE} x {SIDE} x 3 x 10", 10, 10, _write_cnn, _images, _of_images),
    ]
    results = []
    print(
        "| framework | explained | setting | values and errors | peak | above the import | above two rows | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for framework in FRAMEWORKS:
        imported = _peak_of([sys.executable, "-c", f"{IMPORTS[framework]}\n{_TELL_PEAK}"])
        for case in cases:
            least, _ = _job(framework, case, rows=2)
            peak, seconds = _job(framework, case, rows=case.rows)
            written = 2 * 8 * case.rows * (FEATURES if case.write is _write_cnn else 30) * case.outputs
            print(
                f"| {framework} | {case.name} | {case.memory_mib} MiB | {written / MIB:,.0f} MiB "
                f"| {peak / MIB:,.0f} MiB | {(peak - imported) / MIB:,.0f} MiB | {(peak - least) / MIB:,.0f} MiB "
                f"| {seconds:,.0f} |",
                flush=True,
            )
            results.append(
                {
                    "framework": framework,
                    "case": case.name,
                    "memory_bytes": case.memory_mib * MIB,
                    "values_bytes": written,
                    "peak_bytes": peak,
                    "import_bytes": imported,
                    "two_rows_bytes": least,
                    "seconds": seconds,
                }
            )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    return 0


#: Prints the largest resident set of a process.
_TELL_PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def _peak_of(command: list[str]) -> int:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
    return int(done.stdout.split()[-1]) * 1024


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


def _job(framework: str, case: Case, *, rows: int) -> tuple[int, float]:
    """Run a job in a child; return its peak memory and its seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = folder / "inputs"
        inputs.mkdir()
        model = case.write(inputs / f"model{SUFFIXES[framework]}", case.outputs)
        pq.write_table(case.table(rows), inputs / "table.parquet")
        files = {"model": model.name, "dataset": "table.parquet", "background": "table.parquet"}
        spec = JobSpec(
            kind="explanation",
            runner="audits.engine.explanation:run",
            job_id=1,
            attempt=1,
            parameters={
                "framework": framework,
                "rows": rows,
                "background_rows": 16,
                "tolerance": 10.0,
                "bounds": {},
                "memory_bytes": case.memory_mib * MIB,
                **case.described(case.outputs),
            },
            inputs={
                key: InputFile(file, digest_of_file(inputs / file), (inputs / file).stat().st_size)
                for key, file in files.items()
            },
        )
        spec.write(folder)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "workers", str(folder)], check=False, capture_output=True, env=_environment()
        )
        seconds = time.perf_counter() - started
        result = json.loads((folder / "result.json").read_text())
        if result["error"] is not None:
            raise RuntimeError(result["error"]["detail"] + result["error"]["traceback"])
        return int(result["peak_memory_bytes"]), seconds


# ------------------------------------------------------------------------------------------------- the table
COLUMNS = [f"column {place}" for place in range(30)]


def _numbers(rows: int) -> pa.Table:
    generator = np.random.default_rng(0)
    return pa.table({name: generator.normal(size=rows).astype("float32") for name in COLUMNS})


def _of_numbers(outputs: int) -> dict[str, Any]:
    columns = {name: {"role": "feature", "type": "float"} for name in COLUMNS}
    classes = [f"class {number}" for number in range(outputs)]
    return {
        "signature": tiny_models.signature(inputs=30, outputs=outputs, columns=COLUMNS, classes=classes),
        "schema": {"modality": "tabular", "columns": columns},
    }


def _write_mlp(path: Path, outputs: int) -> Path:
    return tiny_models.mlp(path, inputs=30, hidden=16, classes=outputs)


# ------------------------------------------------------------------------------------------------ the images
def _images(rows: int) -> pa.Table:
    from workers.datasets.canonical import tensor_array

    pixels = np.random.default_rng(0).integers(0, 256, (rows, SIDE, SIDE, 3)).astype("uint8")
    return pa.table({"image": tensor_array(pixels)})


def _of_images(outputs: int) -> dict[str, Any]:
    document = tiny_models.signature(outputs=outputs, classes=[str(number) for number in range(outputs)])
    shape = [-1, SIDE, SIDE, 3]
    document["inputs"] = [{"name": "image", "shape": shape, "dtype": "float32", "columns": ["image"]}]
    column = {"role": "feature", "type": "image", "shape": [SIDE, SIDE, 3]}
    schema = {"modality": "image", "columns": {"image": column}}
    return {"signature": document, "schema": schema, "patch": PATCH}


def _write_cnn(path: Path, outputs: int) -> Path:
    """Write a network of one convolution of 16 x 16 pixels and a dense layer."""
    if path.suffix == ".keras":
        keras = tiny_models.keras_module()
        image = keras.Input((SIDE, SIDE, 3), name="image")
        hidden = keras.layers.Conv2D(8, 16, strides=16, activation="tanh")(image)
        answer = keras.layers.Dense(outputs, name="answer")(keras.layers.GlobalAveragePooling2D()(hidden))
        keras.Model(image, answer).save(path)
        return path
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 8, 16, stride=16)
            self.answer = torch.nn.Linear(8, outputs)

        def forward(self, image: Any) -> Any:
            hidden = torch.tanh(self.convolution(image.permute(0, 3, 1, 2) / 255))
            return self.answer(hidden.mean((2, 3)))

    return tiny_models.export(path, Network(), (torch.zeros(2, SIDE, SIDE, 3),))


if __name__ == "__main__":
    sys.exit(main())
