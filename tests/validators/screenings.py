"""Run screenings on planted data, and count what they found of what was planted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sklearn.ensemble  # noqa: F401 - a limit of threads holds for libraries that are loaded
from threadpoolctl import threadpool_limits

from tests.validators.planted import Case, Planted, as_arrow
from tests.workers.job_folders import job
from validators.engine.screening import job as screening
from validators.engine.screening.catalogue import read_request
from workers.datasets.arrays import write_table
from workers.statistics import Interval, wilson


@dataclass(frozen=True)
class Screened:
    """What a screening job left: its detections by name, and every row that they name."""

    value: dict[str, Any]
    rows: list[dict[str, Any]]
    folder: Path

    def __getitem__(self, detector: str) -> dict[str, Any]:
        return next(entry for entry in self.value["detections"] if entry["detector"] == detector)

    def rows_of(self, detector: str) -> set[int]:
        return {row["row"] for row in self.rows if row["detector"] == detector}


def screen(
    base: Path,
    data: Planted,
    detectors: Sequence[str] | None = None,
    *,
    purpose: str = "quality",
    parameters: dict[str, Any] | None = None,
    against: Planted | None = None,
    seed: int = 0,
) -> Screened:
    """Run a screening job on data; ``against`` stands for ``data.against`` where the other version differs in kind."""
    base.mkdir(parents=True, exist_ok=True)
    place = base / f"screening-{len(list(base.iterdir()))}"
    place.mkdir()
    if against is None and data.against is not None:
        against = Planted(data.against, data.roles, modality=data.modality)
    inputs, given = {"dataset": _file(place / "dataset.parquet", data)}, {"schema": data.schema(), "ref": "ours/1"}
    if against is not None:
        inputs["against"] = _file(place / "against.parquet", against)
        given |= {"against_schema": against.schema(), "against_ref": "theirs/1"}
    asked = read_request(purpose, detectors, parameters)
    context = job(place / "job", kind="screening", inputs=inputs, parameters={"detectors": asked, **given}, seed=seed)
    # One thread, as a job has by default: two on a busy machine wait for each other.
    with threadpool_limits(1):
        value = screening.run(context)
    json.dumps(value, allow_nan=False)
    return Screened(value, pq.read_table(context.folder / "outputs" / "rows.parquet").to_pylist(), context.folder)


def _file(path: Path, data: Planted) -> Path:
    write_table(pa.table({name: as_arrow(values) for name, values in data.columns.items()}), path)
    return path


@dataclass(frozen=True)
class Measured:
    """How much of what was planted a detector found, and how much it called a fault where nothing was planted."""

    recall: Interval
    false_positives: Interval
    unit: str


def measure(case: Case, base: Path, seeds: Sequence[int]) -> Measured:
    """Run a case with several seeds on faulty and on clean data, and count over all of them."""
    found = planted = wrong = clean = 0
    unit = "rows"
    for seed in seeds:
        faulty, twin = case.faulty(seed), case.clean(seed)
        on_faulty = screen(base, faulty, [case.detector], purpose=case.purpose, seed=seed)
        on_clean = screen(base, twin, [case.detector], purpose=case.purpose, seed=seed)
        unit = on_faulty[case.detector]["unit"]
        found += len(_named(on_faulty, case.detector) & faulty.faults)
        planted += len(faulty.faults)
        wrong += len(_named(on_clean, case.detector))
        clean += _things(twin, unit)
    return Measured(wilson(found, planted), wilson(wrong, clean), unit)


def _named(screened: Screened, detector: str) -> set[Any]:
    """Return what a detector calls a fault: rows, columns, classes, or the table."""
    detection = screened[detector]
    assert detection["status"] != "error", detection["sentence"]
    if detection["unit"] == "rows":
        return screened.rows_of(detector)
    if detection["unit"] == "tables":
        return {"table"} if detection["status"] == "found" else set()
    return {entry["column"] for entry in detection["columns"]} if detection["status"] == "found" else set()


def _things(data: Planted, unit: str) -> int:
    """Return how many things of a unit clean data have, each of which could be called a fault."""
    return {"rows": data.count, "columns": len(data.columns), "tables": 1}.get(
        unit, len(set(map(str, data.columns["label"])))
    )
