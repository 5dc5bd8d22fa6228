"""Uploads that were too large or too odd for a whole table in memory: many batches, late surprises, hostile names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.datasets.test_duck import NAMES
from tests.workers.datasets.uploads import fitted
from tests.workers.job_folders import job, messages
from workers.context import JobContext
from workers.datasets import importing
from workers.datasets.arrays import read_table
from workers.datasets.canonical import content_digest, digest_tree
from workers.datasets.formats import limits, open_upload
from workers.protocol import JobError

ROWS = 1_200_000


def imported(folder: Path, path: Path, schema: Any = None) -> tuple[dict[str, Any], JobContext]:
    context = job(
        folder / f"job-{path.name}",
        kind="dataset_import",
        inputs={"upload": path},
        parameters={"filename": path.name, "schema": schema},
    )
    value = importing.run(context)
    json.dumps(value, allow_nan=False)
    return value, context


@pytest.fixture(scope="module")
def late_surprise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers for more than a million rows, and then a word."""
    path = tmp_path_factory.mktemp("late") / "data.csv"
    cells = np.arange(ROWS).astype(str)
    cells[1_100_000] = "lots"
    path.write_text("n\n" + "\n".join(cells.tolist()) + "\n")
    return path


def test_a_word_after_a_million_numbers_is_told_with_its_row(late_surprise: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError) as refused:
        imported(tmp_path, late_surprise)
    assert (refused.value.code, refused.value.place) == ("mixed_types", "n, row 1100000")
    assert "holds 'lots', while 1,199,999 of its 1,200,000 cells are of the type float" in refused.value.detail


def test_a_stated_type_finds_it_as_well(late_surprise: Path, tmp_path: Path) -> None:
    schema = {"modality": "tabular", "columns": {"n": {"role": "feature", "type": "integer"}}}
    with pytest.raises(JobError) as refused:
        imported(tmp_path, late_surprise, schema)
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_type", "n, row 1100000")
    assert not list((tmp_path / "job-data.csv").glob("outputs/*"))


def test_progress_is_told_in_rows_from_the_first_pass_to_the_last(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": range(200_000)}), tmp_path / "data.parquet")
    value, context = imported(tmp_path, tmp_path / "data.parquet")
    told = [message for message in messages(context) if message["unit"] == "rows"]
    assert value["row_count"] == 200_000
    assert {message["message"] for message in told} == {"casting and writing", "counting"}
    assert all(0 < message["done"] <= message["total"] == 200_000 for message in told)
    assert len(told) > 4


def test_the_tree_beside_the_table_is_that_of_its_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": range(70_000), "text": ["a", "b"] * 35_000}), tmp_path / "data.parquet")
    value, context = imported(tmp_path, tmp_path / "data.parquet")
    table = read_table(context.folder / "outputs" / "table.parquet")
    assert json.loads((context.folder / "outputs" / "tree.json").read_text()) == digest_tree(table)
    assert value["content_digest"] == content_digest(table)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_any_name_of_a_column_is_kept_and_none_is_taken_for_another(kind: str, tmp_path: Path) -> None:
    names = [name for name in NAMES if kind != "npz" or "/" not in name]
    columns = {name: np.arange(number, number + 3) for number, name in enumerate(names)}
    path = tmp_path / f"data.{kind}"
    if kind == "csv":
        quoted = ",".join('"' + name.replace('"', '""') + '"' for name in names)
        rows = [",".join(str(values[row]) for values in columns.values()) for row in range(3)]
        path.write_text("\n".join([quoted, *rows, ""]))
    elif kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        np.savez(path, **columns)
    value, context = imported(tmp_path, path)
    assert list(value["schema"]["columns"]) == list(value["profile"]) == names
    for number, name in enumerate(names):
        entry = value["profile"][name]
        assert (entry["lowest"], entry["highest"], entry["distinct"]) == (number, number + 2, 3)
    assert read_table(context.folder / "outputs" / "table.parquet").column_names == names


def test_a_column_that_has_numbers_first_and_words_mostly_is_text() -> None:
    words = ["1", "2"] * 10 + [f"word {number}" for number in range(100)]
    table, schema = fitted("csv", pa.table({"x": words}), batch_rows=7)
    assert (schema.columns["x"].type, table["x"].to_pylist()) == ("string", words)


def test_codes_in_the_last_batch_make_texts_of_all(tmp_path: Path) -> None:
    table, _ = fitted("csv", pa.table({"x": ["12"] * 50 + ["007"]}), batch_rows=10)
    assert table["x"].to_pylist()[-2:] == ["12", "007"]


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_where_batches_begin_changes_no_type(batch_rows: int) -> None:
    columns = {
        "whole": ["1", None, "NA", "4"] * 5,
        "number": ["1", "2", "3", "4.5"] * 5,
        "yes": ["true", None, "False", "NA"] * 5,
        "day": ["2024-01-01", None, "2024-01-02", "NA"] * 5,
        "moment": ["2024-01-01", "2024-01-01 10:00", None, "2024-01-02"] * 5,
        "zoned": ["2024-01-01 10:00Z", None, "2024-01-01 10:00+01:00", "NA"] * 5,
        "kind": ["a", "b", None, "a"] * 5,
        "split": ["train", "test", "train", "validation"] * 5,
        "missing": ["NA", None, "NaN", "null"] * 5,
    }
    table, schema = fitted("csv", pa.table(columns), batch_rows=batch_rows)
    assert {name: column.type for name, column in schema.columns.items()} == {
        "whole": "integer",
        "number": "float",
        "yes": "boolean",
        "day": "date",
        "moment": "datetime",
        "zoned": "datetime",
        "kind": "category",
        "split": "category",
        "missing": "category",
    }
    assert schema.split == "split"
    assert content_digest(table) == content_digest(fitted("csv", pa.table(columns))[0])


def test_a_row_group_of_a_whole_file_and_an_npz_in_fortran_order_are_read_in_batches(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(150_000, 3)).astype(np.float32)
    labels = np.array(["yes", "no"] * 75_000)
    np.savez_compressed(tmp_path / "c.npz", x=values, label=labels)
    np.savez(tmp_path / "fortran.npz", x=np.asfortranarray(values), label=labels)
    digests = {imported(tmp_path, tmp_path / f"{name}.npz")[0]["content_digest"] for name in ("c", "fortran")}
    assert len(digests) == 1
    batches = list(open_upload(tmp_path / "c.npz", filename="c.npz").batches())
    assert [batch.num_rows for batch in batches] == [65_536, 65_536, 18_928]


def test_an_array_that_would_have_to_be_read_as_a_whole_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.datasets.formats.npz.MAX_WHOLE_ARRAY_BYTES", 1_000)
    np.savez(tmp_path / "data.npz", x=np.asfortranarray(np.zeros((100, 2))))
    with pytest.raises(JobError, match="in Fortran order"):
        open_upload(tmp_path / "data.npz", filename="data.npz")


def test_values_that_come_to_more_than_they_may_are_refused_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"text": ["x" * 1_000] * 10_000}), tmp_path / "data.parquet")
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 1_000_000)
    upload = open_upload(tmp_path / "data.parquet", filename="data.parquet")  # its footer says 1 kB
    with pytest.raises(JobError) as refused:
        list(upload.batches())
    assert refused.value.code == "too_large"


def peak_bytes(path: Path, work: Path) -> int:
    """Import a file in a process of its own; return the most memory that it took."""
    work.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests.workers.datasets import test_large_and_odd_uploads as t;"
        "t.imported(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(work), str(path)], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * 1024


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    peaks = []
    for rows in (200_000, 1_600_000):
        path = tmp_path / f"{rows}.parquet"
        pq.write_table(pa.table({f"c{number}": random.integers(0, 50, rows) for number in range(8)}), path)
        peaks.append(peak_bytes(path, tmp_path / f"work-{rows}"))
    table_bytes = 1_600_000 * 8 * 8
    assert peaks[1] - peaks[0] < table_bytes / 2


def test_a_strict_reader_of_quotes_tells_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "upload.csv").write_text("name,x\n" + '"a, b",1\n' * 50_000)
    told: list[tuple[float, float, str, str]] = []

    open_upload(tmp_path / "upload.csv", filename="upload.csv", progress=lambda *words: told.append(words))

    size = (tmp_path / "upload.csv").stat().st_size
    assert len(told) == 2, "every 20,000 lines"
    assert {(total, unit, message) for _, total, unit, message in told} == {(size, "bytes", "checking the quotes")}
    assert 0 < told[0][0] < told[1][0] < size
