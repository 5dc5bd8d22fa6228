"""Rows go back to their places, as they were, whatever left before, between and behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validators.engine.engine_jobs import Cleaned, schema_of
from tests.workers.job_folders import job
from validators.engine import restoring
from workers.datasets.arrays import write_table
from workers.datasets.canonical import content_digest, tensor_array
from workers.protocol import JobError

TABLE = pa.table(
    {
        "id": list(range(12)),
        "age": [-1, 30, -2, -3, 40, 50, None, 60, -4, 70, 80, -5],
        "_row": [f"own {number}" for number in range(12)],
        "image": tensor_array(np.arange(48, dtype=np.uint8).reshape(12, 2, 2)),
    }
)
PLAN = [
    {"action": "quarantine", "rule": {"type": "expect_column_values_to_be_between",
                                      "kwargs": {"column": "age", "min_value": 0}}, "max_fraction": 0.5},
    {"action": "impute", "column": "age"},
]  # fmt: skip
REMOVED = [0, 2, 3, 8, 11]


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    return Cleaned(tmp_path_factory.mktemp("cleaned"), TABLE, plan=PLAN)


def restore(
    folder: Path, cleaned: Cleaned, rows: list[int], *, base: pa.Table | None = None, restored: list[int] | None = None
) -> tuple[dict[str, Any], pa.Table]:
    """Return the value and the table of a restoration job."""
    folder.mkdir()
    write_table(cleaned.clean if base is None else base, folder / "base.parquet")
    pq.write_table(cleaned.quarantine, folder / "quarantine.parquet", row_group_size=2)
    context = job(
        folder / "job",
        kind="restoration",
        inputs={name: folder / f"{name}.parquet" for name in ("base", "quarantine")},
        parameters={"rows": rows, "restored": restored or [], "schema": schema_of(TABLE)},
    )
    return restoring.run(context), pq.read_table(context.folder / "outputs" / "table.parquet")


@pytest.mark.parametrize("rows", [[0], [11], [2, 3], [3, 8], REMOVED])
@pytest.mark.parametrize("batch_rows", [1, 2, 3, 65_536])
def test_rows_go_back_to_their_places(
    tmp_path: Path, cleaned: Cleaned, rows: list[int], batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "rows_of_batch", lambda _: batch_rows)
    value, table = restore(tmp_path / "one", cleaned, rows)

    kept = [row for row in range(12) if row not in REMOVED or row in rows]
    expected = TABLE.take(kept)
    imputed = [55 if row == 6 else age for row, age in zip(kept, expected["age"].to_pylist(), strict=True)]
    expected = expected.set_column(1, "age", pa.array(imputed))
    assert table["id"].to_pylist() == kept
    assert value["content_digest"] == content_digest(table) == content_digest(expected)
    assert (value["row_count"], value["schema"]) == (len(kept), schema_of(TABLE))
    assert value["profile"]["id"]["distinct"] == len(kept)


def test_a_second_restoration_builds_on_the_first(tmp_path: Path, cleaned: Cleaned) -> None:
    _, first = restore(tmp_path / "first", cleaned, [3, 11])
    _, second = restore(tmp_path / "second", cleaned, [0, 8], base=first, restored=[3, 11])
    _, at_once = restore(tmp_path / "both", cleaned, [0, 3, 8, 11])

    assert content_digest(second) == content_digest(at_once)


@pytest.mark.parametrize(("rows", "restored"), [([1], []), ([12], []), ([3], [3]), ([3, 99], [])])
def test_a_row_that_cannot_go_back_is_named(
    tmp_path: Path, cleaned: Cleaned, rows: list[int], restored: list[int]
) -> None:
    with pytest.raises(JobError) as refused:
        restore(tmp_path / "one", cleaned, rows, restored=restored)
    assert refused.value.code == "rows_unknown"
    assert str(rows[-1]) in refused.value.detail
