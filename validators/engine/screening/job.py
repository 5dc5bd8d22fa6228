"""Run the detectors of a screening, each on its own: one that breaks is a result, and the others keep theirs."""

from __future__ import annotations

import logging
import tempfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from validators.engine.screening.base import Detection, ScreeningContext
from validators.engine.screening.catalogue import ENTRIES, Entry
from validators.engine.screening.registry import DETECTORS
from validators.engine.screening.rows import DetectorRows, RowsFile
from validators.engine.screening.screened import Screened
from workers.charts import plain_json
from workers.context import JobContext
from workers.datasets.duck import connect
from workers.datasets.schema import Schema
from workers.parameters import read
from workers.protocol import JobError

ROWS_FILE = "rows.parquet"
#: When DuckDB begins to spill to the folder of the job.
MEMORY_BYTES = 1024**3

logger = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Screen a data set version, alone or against another one.

    Inputs: ``dataset``, and ``against`` where the purpose compares two. Parameters: ``detectors`` (name -> its
    parameters), ``schema``, ``ref``, and ``against_schema``, ``against_ref``. Outputs: ``rows.parquet`` with every row
    that a detector names (``row`` counted from 0, ``detector``, ``column``, ``score``, ``reason``), and charts.

    Returns:
        ``detections``, one a detector in the order asked, and ``row_count``, the number of rows that any names.

    Raises:
        JobError: code ``table_damaged``; a detector that breaks is a detection of the status ``error``.
    """
    parameters = context.parameters
    asked: Mapping[str, Mapping[str, Any]] = parameters["detectors"]
    with tempfile.TemporaryDirectory(prefix="spill-", dir=context.folder) as spill:
        duck = connect(Path(spill), memory_bytes=MEMORY_BYTES)
        try:
            data = _open(context, duck, "dataset", parameters["schema"], parameters["ref"])
            against = None
            if context.has_input("against"):
                against = _open(context, duck, "against", parameters["against_schema"], parameters["against_ref"])
            with RowsFile(context.output(ROWS_FILE), data.count) as rows:
                detections = [
                    _detect(context, ENTRIES[name], asked[name], data, against, rows, place / len(asked))
                    for place, name in enumerate(asked)
                ]
        finally:
            duck.close()
    context.progress(data.count, data.count, "rows", "screened")
    return {"detections": detections, "row_count": rows.named_count}


def _open(context: JobContext, duck: Any, name: str, schema: Mapping[str, Any], ref: str) -> Screened:
    import pyarrow as pa

    path = context.input(name)
    try:
        return Screened(path, Schema.from_json(schema), duck, ref=ref)
    except (pa.ArrowException, OSError) as error:
        raise JobError("table_damaged", f"The table of {ref} cannot be read: {error}.", place=path.name) from error


def _detect(
    context: JobContext,
    entry: Entry,
    values: Mapping[str, Any],
    data: Screened,
    against: Screened | None,
    file: RowsFile,
    done: float,
) -> dict[str, Any]:
    """Run one detector and return its detection as the record keeps it."""
    part = 1 / len(context.parameters["detectors"])

    def tell(share: float) -> None:
        context.progress(round((done + part * share) * data.count), data.count, "rows", entry.title.lower())

    tell(0.0)
    rows = DetectorRows(file, entry.name, data.count)
    # Each detector draws from a stream of its own, so that asking for another one changes no result.
    seed = zlib.crc32(f"{context.spec.seed}:{entry.name}".encode())
    detector = DETECTORS[entry.name]()
    began = time.perf_counter()
    try:
        detection = detector.run(
            ScreeningContext(
                entry=entry,
                parameters=read(entry.parameters, values, owner=entry.name),
                data=data,
                against=against,
                rows=rows,
                job=context,
                seed=seed,
                generator=np.random.default_rng(seed),
                tell=tell,
            )
        )
    except Exception as error:
        logger.exception("The detector %s broke.", entry.name)
        sentence = f"The detector broke, so nothing is known: {type(error).__name__}: {_one_line(error)}"
        detection = Detection("error", sentence)
    return {
        "detector": entry.name,
        "title": entry.title,
        "action": entry.action,
        "parameters": dict(values),
        **plain_json(detection.to_json()),
        "rows": plain_json(rows.top()),
        "limits": detector.limits(),
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 3),
    }


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "without a message."
