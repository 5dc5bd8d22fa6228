"""Tables that are written a batch at a time: the same file, digest and tree as of the whole table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workers.datasets.arrays import read_table, write_table
from workers.datasets.canonical import CHUNK_ROWS, canonical_schema, content_digest, digest_tree, tensor_array
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch
from workers.datasets.writing import MAX_TREE_ENTRIES, TableWriter
from workers.protocol import JobError


def table_of(rows: int) -> pa.Table:
    random = np.random.default_rng(3)
    texts = pa.array(random.integers(0, 9, rows)).cast(pa.string())
    return pa.table(
        {
            "n": pa.array(random.integers(0, 100, rows), mask=random.random(rows) < 0.1),
            "text": pa.array(texts.to_pylist(), mask=random.random(rows) < 0.1),
            "vector": tensor_array(random.normal(size=(rows, 2)).astype(np.float32)),
        }
    )


def written(path: Path, table: pa.Table, batch_rows: int) -> TableWriter:
    with TableWriter(path, canonical_schema(table.schema)) as writer:
        for batch in table.to_batches(batch_rows):
            writer.write(batch)
    return writer


@pytest.mark.parametrize("rows", [1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS])
@pytest.mark.parametrize("batch_rows", [10_007, CHUNK_ROWS, 10**9])
def test_the_file_does_not_show_how_its_rows_came(rows: int, batch_rows: int, tmp_path: Path) -> None:
    table = table_of(rows)
    writer = written(tmp_path / "batches.parquet", table, batch_rows)
    write_table(table, tmp_path / "whole.parquet")
    assert (tmp_path / "batches.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert writer.row_count == rows
    assert writer.tree == digest_tree(table)
    assert writer.content_digest == content_digest(table) == content_digest(read_table(tmp_path / "whole.parquet"))
    metadata = pq.read_metadata(tmp_path / "whole.parquet")
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert sizes == [min(CHUNK_ROWS, rows - start) for start in range(0, rows, CHUNK_ROWS)]


def test_a_table_without_rows_has_a_file_and_a_digest(tmp_path: Path) -> None:
    table = table_of(0)
    writer = written(tmp_path / "empty.parquet", table, 1)
    assert read_table(tmp_path / "empty.parquet").num_rows == 0
    assert writer.tree == digest_tree(table)


def test_batches_of_other_types_are_cast_and_one_that_does_not_fit_names_its_row(tmp_path: Path) -> None:
    schema = canonical_schema(pa.schema([("n", pa.uint64())]))
    with TableWriter(tmp_path / "table.parquet", schema) as writer:
        writer.write(pa.table({"n": pa.array([1, 2], pa.uint8())}))
        writer.write(pa.table({"n": pa.array([3], pa.uint64())}))
    assert read_table(tmp_path / "table.parquet")["n"].to_pylist() == [1, 2, 3]
    rows = [1] * 70_000 + [2, 2**63, 2**64 - 1]
    with pytest.raises(JobError) as refused:
        written(tmp_path / "other.parquet", pa.table({"n": pa.array(rows, pa.uint64())}), 1_000)
    assert refused.value.place == "n, row 70001"
    assert f"holds {2**63}" in refused.value.detail


def test_what_is_no_canonical_schema_and_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not canonical"):
        TableWriter(tmp_path / "table.parquet", pa.schema([("n", pa.int32())]))
    with (
        pytest.raises(ValueError, match="have the columns"),
        TableWriter(tmp_path / "table.parquet", pa.schema([("n", pa.int64())])) as writer,
    ):
        writer.write(pa.table({"m": [1]}))
    with pytest.raises(JobError) as refused:
        canonical_schema(pa.schema([("n", pa.int64()), ("n", pa.int64())]))
    assert refused.value.code == "duplicate_columns"


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"

    def write_and_stop() -> None:
        with TableWriter(path, canonical_schema(table_of(1).schema)) as writer:
            writer.write(table_of(3 * CHUNK_ROWS))
            assert path.exists()
            raise KeyError

    with pytest.raises(KeyError):
        write_and_stop()
    assert not path.exists()


def test_an_error_of_a_thread_is_the_error_of_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with (
        pytest.raises(OSError, match="No space left"),
        TableWriter(tmp_path / "t.parquet", canonical_schema(table_of(1).schema)) as writer,
    ):
        writer.write(table_of(1))
    assert not (tmp_path / "t.parquet").exists()


def test_the_tree_is_kept_as_json_unless_a_job_may_not_leave_so_much(tmp_path: Path) -> None:
    writer = written(tmp_path / "table.parquet", table_of(CHUNK_ROWS + 1), CHUNK_ROWS)
    writer.write_tree(tmp_path / "tree.json")
    assert json.loads((tmp_path / "tree.json").read_text()) == writer.tree
    writer.tree["n"] += ["0" * 64] * MAX_TREE_ENTRIES
    writer.write_tree(tmp_path / "large.json")
    assert not (tmp_path / "large.json").exists()


def test_a_table_is_read_back_in_batches(tmp_path: Path) -> None:
    table = table_of(CHUNK_ROWS + 10)
    write_table(table, tmp_path / "table.parquet")
    batches = list(read_batches(tmp_path / "table.parquet"))
    assert [batch.num_rows for batch in batches] == [CHUNK_ROWS, 10]
    assert content_digest(pa.Table.from_batches(batches)) == content_digest(table)
    small = list(read_batches(tmp_path / "table.parquet", columns=["text", "n"], batch_rows=50_000))
    assert [batch.num_rows for batch in small] == [50_000, CHUNK_ROWS + 10 - 50_000]
    assert {tuple(batch.schema.names) for batch in small} == {("text", "n")}


def test_a_column_is_read_alone_though_others_begin_with_its_name(tmp_path: Path) -> None:
    names = ["image.width", "image", "Image", "image.width.x"]
    write_table(pa.table([[1], [2], [3], [4]], names=names), tmp_path / "table.parquet")
    for place, name in enumerate(names, start=1):
        batch = next(read_batches(tmp_path / "table.parquet", columns=[name]))
        assert batch.to_pydict() == {name: [place]}


def test_batches_are_smaller_where_rows_are_large() -> None:
    narrow = pa.schema([("n", pa.int64()), ("text", pa.string())])
    wide = pa.schema([(f"c{number}", pa.float64()) for number in range(1_000)])
    pictures = pa.schema([("picture", pa.fixed_shape_tensor(pa.uint8(), [1024, 1024]))])
    assert [rows_of_batch(row_bytes(schema)) for schema in (narrow, wide, pictures)] == [CHUNK_ROWS, 8_388, 64]


@pytest.mark.parametrize(("columns", "code"), [(["m"], "column_missing"), (None, "table_damaged")])
def test_what_cannot_be_read_is_told(columns: list[str] | None, code: str, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(pa.table({"n": [1]}), path)
    if columns is None:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(JobError) as refused:
        list(read_batches(path, columns=columns))
    assert refused.value.code == code
