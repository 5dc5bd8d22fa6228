"""The file of failing rows: every row with every reason, in order, whatever the columns hold."""

from __future__ import annotations

import datetime
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.validators.engine.engine_jobs import expectation
from validators.engine.cell_texts import text_of, texts_of
from validators.engine.expectations import Evaluator
from validators.engine.failing_rows import EXAMPLES, ROWS_SCHEMA, write_failing_rows
from workers.datasets.arrays import write_table
from workers.datasets.canonical import tensor_array

GROUP = 65_536


def written(base: Path, table: pa.Table, *rules: dict[str, Any]) -> tuple[pa.Table, Any]:
    path = base / "table.parquet"
    write_table(table, path)
    named = [{"id": f"r{number}", **rule} for number, rule in enumerate(rules)]
    outcomes = Evaluator(path, work=base / "work").evaluate_all(named)
    result = write_failing_rows(path, outcomes, base / "rows.parquet")
    return pq.read_table(base / "rows.parquet"), result


def test_rows_of_all_groups_come_in_order_with_the_reasons_in_the_order_of_the_suite(tmp_path: Path) -> None:
    count = 2 * GROUP + 10
    numbers = np.arange(count)
    rows, result = written(
        tmp_path,
        pa.table({"n": numbers, "m": numbers % 7}),
        expectation("column_values_to_be_between", column="n", max_value=GROUP + 5),
        expectation("column_values_to_be_in_set", column="m", value_set=[0, 1, 2, 3, 4, 5]),
    )
    expected = [
        (row, rule) for row in range(count) for rule, fails in (("r0", row > GROUP + 5), ("r1", row % 7 == 6)) if fails
    ]
    assert list(zip(rows["row"].to_pylist(), rows["expectation_id"].to_pylist(), strict=True)) == expected
    assert rows.schema.names == ROWS_SCHEMA.names
    assert result.row_count == len({row for row, _ in expected})
    assert [example.row for example in result.examples[0]] == list(range(GROUP + 6, GROUP + 6 + EXAMPLES))


def test_values_of_all_types_are_shown_as_people_write_them(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, 0, 250_000)
    columns: dict[str, Any] = {
        "whole": pa.array([3.0, 0.1]),
        "integer": pa.array([2**60, -1]),
        "flag": pa.array([True, False]),
        "text": pa.array(["a, b", ""]),
        "moment": pa.array([moment, datetime.datetime(2024, 1, 1)], pa.timestamp("us")),
        "utc": pa.array([moment, datetime.datetime(2024, 1, 1)], pa.timestamp("us", "UTC")),
        "image": tensor_array(np.zeros((2, 2, 2))),
    }
    rows, _ = written(
        tmp_path,
        pa.table(columns),
        *(expectation("column_values_to_be_null", column=name) for name in columns),
    )
    shown = {row["column"]: row["value"] for row in rows.to_pylist() if row["row"] == 0}
    assert shown == {
        "whole": "3",
        "integer": str(2**60),
        "flag": "True",
        "text": "a, b",
        "moment": "2024-02-29T12:30:00.250000",
        "utc": "2024-02-29T12:30:00.250000+00:00",
        "image": "array",
    }
    for name in ("whole", "integer", "flag", "text", "moment", "utc"):
        values = columns[name]
        assert texts_of(values).to_pylist() == [text_of(value) for value in values.to_pylist()], name


def test_missing_values_and_nan_are_missing_in_the_reason(tmp_path: Path) -> None:
    rows, _ = written(
        tmp_path,
        pa.table({"n": pa.array([float("nan"), None, 1.0])}),
        expectation("column_values_to_not_be_null", column="n"),
    )
    assert rows["value"].to_pylist() == [None, None]
    assert set(rows["reason"].to_pylist()) == {"Expected: n is never missing. Found: missing."}


def test_no_failing_row_is_a_file_without_lines(tmp_path: Path) -> None:
    rows, result = written(tmp_path, pa.table({"n": [1]}), expectation("column_values_to_be_unique", column="n"))
    assert (rows.num_rows, rows.schema.names, result.row_count) == (0, ROWS_SCHEMA.names, 0)


def test_python_holds_no_more_than_a_part_of_the_lines_at_once(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(pa.table({"n": np.arange(6 * GROUP)}), path)
    rule = {**expectation("column_values_to_be_null", column="n"), "id": "r"}
    outcomes = Evaluator(path, work=tmp_path / "work").evaluate_all([rule] * 3)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    peaks: list[int] = []
    result = write_failing_rows(
        path, outcomes, tmp_path / "rows.parquet", lambda done: peaks.append(pa.total_allocated_bytes() - before)
    )
    _, python_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    lines = pq.read_metadata(tmp_path / "rows.parquet")
    assert (result.row_count, lines.num_rows) == (6 * GROUP, 18 * GROUP)
    assert lines.row_group(0).num_rows <= GROUP
    # A line takes about 100 bytes in memory, and one group of the data has three groups of lines.
    assert max(peaks) < 4 * 3 * GROUP * 100
    assert python_peak < 64 * 2**20
