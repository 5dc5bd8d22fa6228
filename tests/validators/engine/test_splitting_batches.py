"""Splits of more rows than one batch: its border moves no row, parts no group and changes nothing that is written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validators.engine.engine_jobs import schema_of
from tests.workers.job_folders import job
from validators.engine import splitting
from workers.datasets.arrays import write_table
from workers.datasets.canonical import CHUNK_ROWS
from workers.protocol import JobError

ROWS = 2 * CHUNK_ROWS + 1_000
HALVES = {"train": 0.5, "test": 0.5}


def visits() -> pa.Table:
    """Return three batches; patients and moments come in every one of them."""
    numbers = np.arange(ROWS)
    return pa.table(
        {
            "visit": numbers,
            "patient": numbers % 5_000,
            "at": pa.array(numbers * 7_919 % ROWS * 60_000_000, pa.timestamp("us")),
            "ill": numbers % 5 == 0,
        }
    )


def split(base: Path, table: pa.Table, **document: Any) -> tuple[dict[str, Any], pa.Table, list[str]]:
    """Return the value of a split job, the table that it wrote and the part of each row."""
    write_table(table, base / "table.parquet")
    schema = schema_of(table)
    if "ill" in schema["columns"]:
        schema["columns"]["ill"]["role"] = "target"
    context = job(
        base / "job",
        kind="split",
        inputs={"dataset": base / "table.parquet"},
        parameters={"plan": {"fractions": HALVES, **document}, "schema": schema},
    )
    value = splitting.run(context)
    written = pq.read_table(context.folder / "outputs" / "split.parquet")
    return value, written, written["split"].to_pylist()


def test_rows_keep_their_order_and_the_report_counts_all_batches(tmp_path: Path) -> None:
    table = visits()

    value, written, parts = split(tmp_path, table, by="visit")

    assert written.drop_columns("split").equals(table)
    by_part = {part["part"]: part["rows"] for part in value["report"]["parts"]}
    assert by_part == {part: parts.count(part) for part in HALVES}
    is_train, is_ill = np.asarray(parts) == "train", table["ill"].to_numpy()
    classes = {entry["value"]: entry["shares"]["train"] for entry in value["report"]["target"]["classes"]}
    assert classes["True"] == pytest.approx(is_ill[is_train].mean())


def test_the_part_of_a_row_is_what_the_hash_of_its_value_says(tmp_path: Path) -> None:
    _, _, parts = split(tmp_path, visits(), by="visit", salt="s")

    for row in (0, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS, ROWS - 1):
        digest = hashlib.sha256(b"assay-split-1\0s\0" + f"int\0{row}".encode()).digest()
        share = (int.from_bytes(digest[:8], "big") >> 12) / 2**52
        assert parts[row] == ("train" if share < 0.5 else "test"), row


def test_a_group_that_comes_in_every_batch_stays_in_one_part(tmp_path: Path) -> None:
    table = visits()

    _, _, parts = split(tmp_path, table, by="visit", group="patient")

    pairs = set(zip(table["patient"].to_pylist(), parts, strict=True))
    assert len(pairs) == 5_000


def test_equal_rows_of_different_batches_go_the_same_way(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(ROWS) % 1_000, "y": np.arange(ROWS) % 7})

    _, written, parts = split(tmp_path, table)

    rows = zip(written["x"].to_pylist(), written["y"].to_pylist(), parts, strict=True)
    assert len(set(rows)) == 7_000


def test_by_time_the_cut_is_that_of_all_batches(tmp_path: Path) -> None:
    table = visits()

    _, _, parts = split(tmp_path, table, time="at")

    moments, is_train = table["at"].to_numpy(), np.asarray(parts) == "train"
    assert moments[is_train].max() < moments[~is_train].min()
    assert abs(is_train.mean() - 0.5) < 1e-4


def test_a_group_whose_rows_lie_in_two_batches_is_seen_to_span_a_cut(tmp_path: Path) -> None:
    numbers = np.arange(ROWS)
    patient = numbers.copy()
    patient[[5, ROWS - 5]] = -3
    table = pa.table({"patient": patient, "at": pa.array(numbers * 60_000_000, pa.timestamp("us"))})

    with pytest.raises(JobError, match=r"^1 groups of 'patient' .* the first is -3"):
        split(tmp_path, table, time="at", group="patient")


def test_a_value_that_is_missing_in_a_later_batch_is_named_by_its_row(tmp_path: Path) -> None:
    visit = pa.array([None if row == CHUNK_ROWS + 3 else row for row in range(ROWS)])

    with pytest.raises(JobError, match=f"the first is row {CHUNK_ROWS + 3}; clean"):
        split(tmp_path, pa.table({"visit": visit}), by="visit")
