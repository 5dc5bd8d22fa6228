"""Eight times the rows do not take eight times the memory: importing, validating, cleaning, screening, splitting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validators.engine.engine_jobs import expectation, suite_of
from tests.workers.peak_memory import extra_bytes
from validators.engine.screening.catalogue import read_request

COLUMNS = 20
ROWS, TIMES = 262_144, 8
#: What the values of the additional rows take in memory.
MORE_BYTES = (TIMES - 1) * ROWS * COLUMNS * 8
BETWEEN = [
    expectation("column_values_to_be_between", column=f"x{place}", min_value=-3, max_value=3, clean={"action": action})
    for place, action in enumerate(("quarantine", "drop", "clip", "flag"))
]
#: What is held by design, made smaller than the rows of this test: samples of a fixed size.
SAMPLES = {
    "mahalanobis": {"fit_rows": 5_000},
    "near_duplicates": {"rows": 20_000},
    "duplicate_columns": {"rows": 5_000},
}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "import": ("workers.datasets.importing", {"filename": "table.parquet", "schema": None}),
    "validation": ("validators.engine.validation", {"suite": suite_of(*BETWEEN)}),
    "cleaning": ("validators.engine.cleaning", {"suite": suite_of(*BETWEEN), "plan": None}),
    "screening": (
        "validators.engine.screening.job",
        {
            "detectors": read_request("quality", ["mahalanobis", "near_duplicates", "duplicate_columns"], SAMPLES),
            "ref": "t/1",
        },
    ),
    "split": ("validators.engine.splitting", {"plan": {"fractions": {"train": 0.8, "test": 0.2}, "by": "x0"}}),
}


def write(path: Path, rows: int) -> Path:
    generator = np.random.default_rng(0)
    columns = {f"x{place}": np.round(generator.normal(size=rows), 2) for place in range(COLUMNS)}
    pq.write_table(pa.table(columns), path, row_group_size=65_536)
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("tables")
    return write(base / "few.parquet", ROWS), write(base / "many.parquet", TIMES * ROWS)


@pytest.mark.parametrize("name", JOBS)
def test_more_rows_take_less_memory_than_half_of_their_values(
    name: str, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    runner, parameters = JOBS[name]
    schema = {"columns": {f"x{place}": {"role": "feature", "type": "float"} for place in range(COLUMNS)}}
    parameters = {"schema": {"modality": "tabular", **schema}, **parameters}
    word = "upload" if name == "import" else "dataset"

    few, many = (extra_bytes(tmp_path / path.stem, runner, {word: path}, parameters) for path in tables)

    assert many - few < MORE_BYTES / 2, f"{few / 2**20:.0f} and {many / 2**20:.0f} MiB"
