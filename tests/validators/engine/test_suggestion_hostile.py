"""Tables that are made to break a profiler."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.suggestion_tables import of_kind, one, suggestions_for
from tests.validators.suggestion_trials import statuses
from tests.workers.job_folders import job, messages
from validators.engine.suggestion import job as suggestion_job
from validators.engine.suites import check_suite
from workers.datasets.arrays import write_table

HOSTILE_NAMES = (
    'quote"s', "apostrophe's", "new\nline", "☃ 🐍", "x; DROP TABLE t", "row", "fit", "c0", "A", "a", "{relation}", "?",
)  # fmt: skip


def test_the_same_table_gives_the_same_suggestions(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    columns = {"x": rng.normal(size=3_000), "y": rng.choice(["a", "b", "c"], 3_000), "z": rng.integers(0, 99, 3_000)}

    first, second = (json.dumps(suggestions_for(tmp_path, columns)) for _ in range(2))

    assert first == second


def test_names_of_columns_never_meet_sql(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = pa.table({name: rng.normal(size=300) for name in HOSTILE_NAMES})

    found = suggestions_for(tmp_path, table)

    assert {entry["column"] for entry in found} == {"", *HOSTILE_NAMES}
    assert one(found, "table_columns_to_match_set")["kwargs"]["column_set"] == list(HOSTILE_NAMES)
    assert not check_suite({"name": "hostile", "expectations": [_rule(entry) for entry in found]})


@pytest.mark.parametrize("rows", [0, 1, 2, 19, 40])
def test_a_few_rows_say_little_and_break_nothing(tmp_path: Path, rows: int) -> None:
    table = pa.table({"x": pa.array(np.arange(rows), pa.int64()), "y": pa.array(["a"] * rows, pa.string())})

    found = suggestions_for(tmp_path, table)

    assert of_kind(found, "table_columns_to_match_set")
    assert not of_kind(found, "column_values_to_be_between")
    assert bool(of_kind(found, "column_values_to_not_be_null")) == (rows == 40)


def test_columns_without_values_or_without_variance(tmp_path: Path) -> None:
    table = pa.table(
        {
            "nothing": pa.nulls(200, pa.float64()),
            "no_text": pa.nulls(200, pa.string()),
            "nan": np.full(200, np.nan),
            "same": np.full(200, 7.5),
            "same_text": ["x"] * 200,
        }
    )

    found = suggestions_for(tmp_path, table)

    always_missing = {entry["column"] for entry in of_kind(found, "column_values_to_be_null")}
    assert always_missing == {"nothing", "no_text", "nan"}
    assert one(found, "column_values_to_be_in_set", "same")["kwargs"]["value_set"] == [7.5]
    assert "The same value stands in all" in one(found, "column_values_to_be_in_set", "same_text")["why"]
    assert set(statuses(table, [_rule(entry) for entry in found])) <= {"passed"}


def test_numbers_at_the_ends_of_what_can_be_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    huge = rng.integers(-(2**63), 2**63 - 1, 400)
    floats = rng.uniform(-1, 1, 400) * 1.7e308
    infinite = rng.normal(size=400)
    infinite[:40] = np.inf
    infinite[40:50] = -np.inf
    table = pa.table({"huge": huge, "floats": floats, "infinite": infinite, "tiny": rng.normal(size=400) * 5e-324})

    found = suggestions_for(tmp_path, table)

    json.dumps(found, allow_nan=False)
    assert set(statuses(table, [_rule(entry) for entry in found])) <= {"passed"}
    assert of_kind(found, "column_values_to_be_unique", "huge")
    (usual,) = of_kind(found, "column_values_to_be_between", "infinite")
    assert usual["kwargs"]["mostly"] < 0.9


def test_texts_that_are_hostile_to_json_and_to_expressions(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    table = pa.table(
        {
            "nul": [f"a\0{n % 3}" for n in range(200)],
            "long": ["x" * 5_000 + str(n % 2) for n in range(200)],
            "expression": [f"(.*)+[{n % 10}]{{9}}$" for n in range(200)],
            "lines": [f"a\nb{n}" for n in range(200)],
            "unique": [f"{rng.integers(2**60):x} {n}" for n in range(200)],
        }
    )

    found = suggestions_for(tmp_path, table)

    assert "\\u0000" not in json.dumps(found)
    assert not of_kind(found, "column_values_to_be_in_set", "long")
    assert not of_kind(found, "column_values_to_match_regex", "lines")
    assert set(statuses(table, [_rule(entry) for entry in found])) <= {"passed"}


def test_dates_and_decimals_meet_what_is_suggested_for_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    days = [date(2020, 1, 1) + timedelta(days=int(day)) for day in rng.integers(0, 900, 800)]
    prices = [Decimal(int(cents)) / 100 for cents in rng.integers(0, 90_000, 800)]
    tenths = [Decimal(int(tenth)) / 10 for tenth in rng.integers(0, 4, 800)]
    table = pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "price": pa.array(prices, pa.decimal128(12, 2)),
            "rate": pa.array(tenths, pa.decimal128(5, 1)),
        }
    )

    found = suggestions_for(tmp_path, table)

    assert {entry["column"] for entry in of_kind(found, "column_values_to_be_between")} == {"day", "price", "rate"}
    assert set(statuses(table, [_rule(entry) for entry in found])) <= {"passed"}


def test_arrays_are_asked_only_whether_they_are_there(tmp_path: Path) -> None:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(400)), 4)
    table = pa.table({"image": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), [4]), values)})

    found = suggestions_for(tmp_path, table)

    assert [entry["type"] for entry in found if entry["column"]] == ["expect_column_values_to_not_be_null"]


def test_a_thousand_columns_have_rules_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    table = pa.table({f"column {place}": rng.normal(size=200) for place in range(1_000)})

    found = suggestions_for(tmp_path, table)

    assert len({entry["column"] for entry in found}) == 1_001
    assert len({entry["id"] for entry in found}) == len(found) < 10_000


def test_the_runner_tells_how_far_it_is_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(pa.table({"x": np.arange(100)}), path)
    schema = {"modality": "tabular", "columns": {"x": {"role": "feature", "type": "integer"}}}
    context = job(tmp_path / "job", kind="suggestion", inputs={"dataset": path}, parameters={"schema": schema})

    value = suggestion_job.run(context)

    assert value["rows"] == 100
    assert value["fit_rows"] + value["holdout_rows"] == 100
    told = messages(context)
    assert [entry["done"] for entry in told] == sorted(entry["done"] for entry in told)
    assert {entry["total"] for entry in told} == {100}
    assert sorted(entry.name for entry in context.folder.iterdir()) == ["inputs", "messages"]


def _rule(suggestion: dict[str, object]) -> dict[str, object]:
    return {name: suggestion[name] for name in ("id", "type", "kwargs", "severity", "meta")}
