"""Job folders for tests of runners: a table and models in, the messages and outputs back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.context import JobContext
from workers.protocol import INPUTS_FOLDER, InputFile, JobSpec, digest_of_file


def write_table(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns (lists, arrays or Arrow arrays) as the Parquet of a data set."""
    pq.write_table(pa.table(dict(columns)), path)
    return path


def job(
    folder: Path, *, kind: str, inputs: Mapping[str, Path], parameters: Mapping[str, Any], seed: int = 0
) -> JobContext:
    """Lay a job folder with copies of the inputs; what it tells goes to ``messages`` in it."""
    (folder / INPUTS_FOLDER).mkdir(parents=True)
    files = {}
    for name, path in inputs.items():
        filename = f"{name}-{path.name}"
        target = folder / INPUTS_FOLDER / filename
        target.write_bytes(path.read_bytes())
        files[name] = InputFile(filename, digest_of_file(target), target.stat().st_size)
    spec = JobSpec(
        kind=kind,
        runner="",
        job_id=1,
        attempt=1,
        parameters=dict(parameters),
        inputs=files,
        devices=("cpu",),
        seed=seed,
    )
    descriptor = os.open(folder / "messages", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return JobContext(spec, folder, message_descriptor=descriptor)


def messages(context: JobContext) -> list[dict[str, Any]]:
    """Return the progress that a runner told."""
    return [json.loads(line) for line in (context.folder / "messages").read_text().splitlines()]
