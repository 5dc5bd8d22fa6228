"""A validation runs whole inside of the sandbox of a job: DuckDB, its spilling, its files, and the limit of time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validators.engine.engine_jobs import expectation, suite_of
from tests.workers.child_folders import WAYS, lay, run_dispatched
from workers.datasets.arrays import write_table

RUNNER = "tests.faults.validations:run"


@pytest.mark.parametrize("choice", WAYS)
def test_a_validation_with_a_pattern_that_never_ends_ends(tmp_path: Path, choice: str) -> None:
    write_table(pa.table({"t": ["a" * 60 + "b", "c", None], "n": [1, 1, 2]}), tmp_path / "table.parquet")
    suite = suite_of(
        expectation("column_values_to_match_regex", column="t", regex="^(?=a)(a+)+$", id="bomb"),
        expectation("column_values_to_be_unique", column="n", id="unique"),
        expectation("column_values_to_be_between", column="n", max_value=1, id="between"),
    )
    folder = tmp_path / "job"
    content = (tmp_path / "table.parquet").read_bytes()
    spec = lay(folder, runner=RUNNER, inputs={"dataset": content}, suite=suite, schema=None)

    result, _ = run_dispatched(spec, folder, choice=choice)

    assert result.status == "succeeded", result.error
    assert result.value is not None
    assert [entry["status"] for entry in result.value["results"]] == ["error", "failed", "failed"]
    assert sorted(result.files) == ["results.json", "rows.parquet"]
    rows = pq.read_table(folder / "outputs" / "rows.parquet").to_pylist()
    assert [(row["row"], row["expectation_id"]) for row in rows] == [(0, "unique"), (1, "unique"), (2, "between")]
    assert not (folder / "work").exists()
