"""The runner of suggestion jobs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from validators.engine.suggestion.proposing import suggest
from workers.context import JobContext
from workers.datasets.schema import Schema

#: When DuckDB starts to write what it groups into the job's folder.
MEMORY_BYTES = 1024 * 2**20


def run(context: JobContext) -> dict[str, Any]:
    """Suggest a suite for a data set.

    Inputs: ``dataset``. Parameters: ``schema``. No output files.

    Returns:
        See ``validators.engine.suggestion.proposing.suggest``.
    """
    with tempfile.TemporaryDirectory(dir=context.folder) as work:
        return suggest(
            context.input("dataset"),
            Schema.from_json(context.parameters["schema"]),
            work=Path(work),
            memory_bytes=MEMORY_BYTES,
            progress=lambda done, total, message: context.progress(done, total, "%", message),
        )
