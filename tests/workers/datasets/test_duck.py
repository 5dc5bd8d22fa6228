"""DuckDB over a table: names that are no identifiers, nothing but the job's folder, and the job's sandbox."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.child_folders import WAYS, lay, run_dispatched
from workers.datasets.duck import connect, relation_sql

NAMES = (
    "a",
    "A",
    'quote"d',
    "two\nlines",
    "smile 😀",
    "x'); DROP TABLE data; --",
    "row",
    "file_row_number",
    "filename",
    "c0",
    "data",
    "count(*)",
    "caf\u00e9",
    "cafe\u0301",
)


def table_of(path: Path, names: tuple[str, ...] = NAMES, rows: int = 3) -> Path:
    columns = [pa.array(range(number * 100, number * 100 + rows)) for number in range(len(names))]
    pq.write_table(pa.table(columns, names=names), path, row_group_size=2)
    return path


def asked(folder: Path, path: Path, sql: str, names: tuple[str, ...] = NAMES) -> list[tuple[Any, ...]]:
    with connect(folder / "work") as connection:
        return connection.execute(sql.format(table=relation_sql(path, names))).fetchall()


def test_columns_are_numbered_whatever_they_are_named(tmp_path: Path) -> None:
    path = table_of(tmp_path / "table.parquet")
    columns = ", ".join(f"c{number}" for number in range(len(NAMES)))
    rows = asked(tmp_path, path, f"SELECT row, {columns} FROM {{table}} ORDER BY row")
    assert rows == [(row, *(number * 100 + row for number in range(len(NAMES)))) for row in range(3)]


@pytest.mark.parametrize("folder", ["k=v", "it's", "a [b]*?"])
def test_a_folder_is_no_pattern_and_gives_no_column(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    path = table_of(tmp_path / folder / "table.parquet", ("a", "b"))
    rows = asked(tmp_path / folder, path, "SELECT * FROM {table} ORDER BY row", ("a", "b"))
    assert rows == [(0, 100, 0), (1, 101, 1), (2, 102, 2)]


@pytest.mark.parametrize("names", [("a",), ("b", "a"), ("a", "b", "c")])
def test_names_that_are_not_those_of_the_file_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    path = table_of(tmp_path / "table.parquet", ("a", "b"))
    with pytest.raises(ValueError, match="has the columns"):
        relation_sql(path, names)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('{outside}/secret.txt')",
        "COPY (SELECT 1) TO '{outside}/planted.csv'",
        "ATTACH '{outside}/planted.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "INSTALL spatial FROM community",
        "SELECT * FROM 'https://example.org/data.parquet'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
    ],
)
def test_sql_reaches_nothing_outside_and_no_extension(sql: str, tmp_path: Path) -> None:
    outside, job = tmp_path / "outside", tmp_path / "job"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    with connect(job / "work") as connection, pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
        connection.execute(sql.format(outside=outside))
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]
    assert not any((job / "work").iterdir())


def test_what_does_not_fit_into_memory_goes_into_the_folder_and_leaves_it_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with connect(work, memory_bytes=32 * 1024**2, threads=1) as connection:
        connection.execute("CREATE TEMP TABLE large AS SELECT md5(range::VARCHAR) AS text FROM range(1_000_000)")
        spilled = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
        assert spilled > 1024**2
        assert connection.execute("SELECT count(DISTINCT text) FROM large").fetchone() == (1_000_000,)
    assert [path for path in work.rglob("*") if path.is_file()] == []


def test_settings_are_those_that_were_asked_for(tmp_path: Path) -> None:
    settings = "SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('TimeZone')"
    with connect(tmp_path / "one", memory_bytes=256 * 1024**2, threads=1) as connection:
        assert connection.execute(settings).fetchone() == (1, "256.0 MiB", "UTC")
    with connect(tmp_path / "other") as connection:
        assert connection.execute(settings).fetchone() == (len(os.sched_getaffinity(0)), "1.0 GiB", "UTC")


def test_moments_with_a_zone_are_read_without_an_extension_that_is_loaded(tmp_path: Path) -> None:
    moments = pa.array([0, None, 86_400_000_000], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"when": moments}), tmp_path / "table.parquet")
    sql = "SELECT c0::VARCHAR FROM {table} ORDER BY row"
    texts = asked(tmp_path, tmp_path / "table.parquet", sql, ("when",))
    assert texts == [("1970-01-01 00:00:00+00",), (None,), ("1970-01-02 00:00:00+00",)]


@pytest.mark.parametrize("choice", WAYS)
def test_a_job_in_its_sandbox_queries_and_spills(choice: str, tmp_path: Path) -> None:
    numbers = list(range(200_000))
    random.Random(7).shuffle(numbers)
    pq.write_table(pa.table({"n": numbers}), tmp_path / "table.parquet")
    folder = tmp_path / "job"
    content = (tmp_path / "table.parquet").read_bytes()
    limits = {"file_bytes": 1024**3, "memory_bytes": 1024**3}
    spec = lay(folder, runner="tests.faults.data:run", inputs={"dataset": content}, limits=limits)
    result, _ = run_dispatched(spec, folder, choice=choice)
    assert result.value is not None, result.error
    assert result.value["rows"] == len(numbers)
    assert result.value["spilled_bytes"] > 0
    assert result.value["outside"] == "PermissionException"
