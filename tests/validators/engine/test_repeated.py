"""Values that are repeated are found by their hashes and proved by themselves, a part of the hashes at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import expectation
from validators.engine.compiled import passes, texts
from validators.engine.compiled.columns import Column
from validators.engine.expectations import Evaluator
from workers.datasets.arrays import write_table

TABLE = pa.table(
    {
        "name": ["a", "b", None, "a", "", None, "c", ""],
        "number": [0.0, -0.0, float("nan"), 1.0, 2.0, None, 0.5, 2.0],
    }
)
UNIQUE_NAME = expectation("column_values_to_be_unique", column="name")
UNIQUE_NUMBER = expectation("column_values_to_be_unique", column="number")
UNIQUE_PAIR = expectation("compound_columns_to_be_unique", column_list=["name", "number"], ignore_row_if="never")


def failing(base: Path, table: pa.Table, *entries: dict[str, Any]) -> list[list[int]]:
    path = base / "table.parquet"
    write_table(table, path)
    return [outcome.rows.tolist() for outcome in Evaluator(path, work=base / "work").evaluate_all(entries)]


def test_all_rows_of_a_repeated_value_fail_and_missing_ones_are_equal_in_pairs_only(tmp_path: Path) -> None:
    found = failing(tmp_path, TABLE, UNIQUE_NAME, UNIQUE_NUMBER, UNIQUE_PAIR)
    assert found == [[0, 3, 4, 7], [0, 1, 4, 7], [2, 4, 5, 7]]


def test_values_that_share_a_hash_are_not_taken_for_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = failing(tmp_path, TABLE, UNIQUE_NAME, UNIQUE_NUMBER, UNIQUE_PAIR)

    def every_hash(self: passes.Passes, statement: str) -> Any:
        (hashes,) = self._connection.sql(statement).fetchnumpy().values()
        return np.unique(hashes)

    monkeypatch.setattr(passes.Passes, "_repeated_hashes", every_hash)
    assert failing(tmp_path, TABLE, UNIQUE_NAME, UNIQUE_NUMBER, UNIQUE_PAIR) == expected


@pytest.mark.parametrize("at_a_time", [1, 3, 1_000])
def test_hashes_that_are_sorted_in_parts_tell_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    values = [f"v{number % 60}" for number in range(64)]
    monkeypatch.setattr(passes, "_HASHES_A_PART", at_a_time)
    assert failing(tmp_path, pa.table({"name": values}), UNIQUE_NAME) == [[0, 1, 2, 3, 60, 61, 62, 63]]


def test_a_table_in_which_all_is_the_same_and_one_without_rows(tmp_path: Path) -> None:
    same = pa.table({"name": ["x"] * 5_000})
    assert failing(tmp_path, same, UNIQUE_NAME) == [list(range(5_000))]
    assert failing(tmp_path, same.slice(0, 0), UNIQUE_NAME) == [[]]


def test_a_text_is_judged_again_only_where_the_batch_before_did_not_have_it() -> None:
    judged: list[str] = []

    def fails(text: str) -> bool:
        judged.append(text)
        return text.startswith("bad")

    find = texts.scan_of_texts(Column("name", 0, "string"), fails).start()
    found = [find([pa.array(batch)]).tolist() for batch in (["bad", "good", "bad"], ["good", "bad"], ["new"], ["bad"])]
    assert found == [[True, False, True], [False, True], [False], [True]]
    assert judged == ["bad", "good", "new", "bad"]
