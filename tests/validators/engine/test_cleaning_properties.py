"""What holds for every table and every plan: the equation, the types, the replay, and that nothing is lost.

Plans here judge rows by bounds, sets and missing values, so that what a rule names can be told without an engine.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.validators.engine.engine_jobs import expectation, schema_of
from tests.workers.job_folders import job
from validators.engine import cleaning
from workers.datasets.arrays import write_table
from workers.datasets.canonical import content_digest
from workers.protocol import JobError

NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, 1e6, math.nan, math.inf, -math.inf]))
INTEGERS = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([2**53 + 1, -(2**62)]))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "", "é\n", "🙂"]))
COLUMNS = {"x": (NUMBERS, pa.float64()), 'n "q"': (INTEGERS, pa.int64()), "t": (TEXTS, pa.string())}
BOUNDED = st.sampled_from([("x", -1.0, 2.0), ("x", 0.0, 0.0), ('n "q"', -2, 3), ('n "q"', 0, 2**54)])


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(1, 12))
    return pa.table(
        {
            name: pa.array(draw(st.lists(cells, min_size=count, max_size=count)), kind)
            for name, (cells, kind) in COLUMNS.items()
        }
    )


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from(["quarantine", "drop", "dedupe", "clip", "impute", "flag"]))
    name, lower, upper = draw(BOUNDED)
    if action == "dedupe":
        return {
            "action": action,
            "columns": draw(st.sampled_from([["t"], ["x"], ["x", "t"], list(COLUMNS)])),
            "max_fraction": 1,
        }
    if action == "clip":
        return {"action": action, "column": name, "lower": lower, "upper": upper}
    if action == "impute":
        column, method = draw(
            st.sampled_from([("x", "constant"), ('n "q"', "constant"), ("t", "most_frequent"), ("x", "median")])
        )
        value = {"value": 1} if method == "constant" else {}
        return {"action": action, "column": column, "method": method, **value}
    rule = draw(
        st.sampled_from(
            [
                expectation("column_values_to_be_between", column=name, min_value=lower, max_value=upper),
                expectation("column_values_to_not_be_null", column="t"),
                expectation("column_values_to_be_in_set", column="t", value_set=["a", "b"]),
            ]
        )
    )
    return {"action": action, "rule": rule, "max_fraction": 1}


class Run:
    """A cleaning that succeeded, with its files."""

    def __init__(self, folder: Path, table: pa.Table, plan: list[dict[str, Any]]) -> None:
        path = folder.with_suffix(".parquet")
        write_table(table, path)
        context = job(
            folder,
            kind="cleaning",
            inputs={"dataset": path},
            parameters={"suite": None, "plan": plan, "schema": schema_of(table)},
        )
        self.value = cleaning.run(context)
        self.clean, self.quarantine, self.changes, self.flags = (
            pq.read_table(context.folder / "outputs" / f"{name}.parquet")
            for name in ("clean", "quarantine", "changes", "flags")
        )


def ran(base: Path, table: pa.Table, plan: list[dict[str, Any]]) -> Run | None:
    """Run a plan; None where it takes too many rows or finds no value to impute, and nothing else may stop it."""
    try:
        return Run(base / f"run{len(list(base.iterdir()))}", table, plan)
    except JobError as refused:
        if refused.code not in ("too_many_rows", "imputation_not_possible"):
            raise
        return None


def meets(rule: dict[str, Any], cells: dict[str, Any]) -> bool:
    """Say whether a row meets a rule; a missing value meets every rule but the one that it be there."""
    kwargs = rule["kwargs"]
    cell = cells[kwargs["column"]]
    is_missing = cell is None or cell != cell
    if rule["type"] == "expect_column_values_to_not_be_null":
        return not is_missing
    if rule["type"] == "expect_column_values_to_be_in_set":
        return is_missing or cell in kwargs["value_set"]
    return is_missing or kwargs["min_value"] <= cell <= kwargs["max_value"]


def put_back(run: Run, row_count: int) -> pa.Table:
    """Make the table that came in out of what the cleaning left, knowing nothing else."""
    removed = run.quarantine.column(0).to_numpy()
    stays = np.setdiff1d(np.arange(row_count), removed)
    columns = {}
    for name in run.clean.column_names:
        kind = run.clean.schema.field(name).type
        cells: list[Any] = [None] * row_count
        for row, value in zip(stays.tolist(), run.clean.column(name).to_pylist(), strict=True):
            cells[row] = value
        for row, value in zip(removed.tolist(), run.quarantine.column(name).to_pylist(), strict=True):
            cells[row] = value
        for change in run.changes.to_pylist():
            if change["column"] == name:
                assert pa.scalar(cells[change["row"]], kind).cast(pa.string()).as_py() == change["after"]
                cells[change["row"]] = pa.scalar(change["before"], pa.string()).cast(kind).as_py()
        columns[name] = pa.array(cells, kind)
    return pa.table(columns)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cleanings")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(table=tables(), plan=st.lists(steps(), min_size=1, max_size=5))
def test_nothing_is_lost_and_a_replay_agrees(base: Path, table: pa.Table, plan: list[dict[str, Any]]) -> None:
    run = ran(base, table, plan)
    if run is None:
        return
    report = run.value["report"]

    # The equation, and the types.
    assert report["rows_in"] == table.num_rows == report["rows_out"] + report["rows_quarantined"]
    assert (run.clean.num_rows, run.quarantine.num_rows) == (report["rows_out"], report["rows_quarantined"])
    assert sum(report["rows_by_action"].values()) == report["rows_quarantined"]
    assert run.clean.schema.types == table.schema.types
    assert report["cells_changed"] == run.changes.num_rows == sum(report["columns"].values())

    # A cell changes once, and never in a row that left: quarantine beats edits.
    cells = list(zip(run.changes["row"].to_pylist(), run.changes["column"].to_pylist(), strict=True))
    removed = set(run.quarantine["_row"].to_pylist())
    assert len(set(cells)) == len(cells)
    assert not removed & {row for row, _ in cells}
    assert not removed & set(run.flags["row"].to_pylist())

    # Each row that a quarantining or dropping rule names has left, and every such rule is among its reasons.
    named = dict(zip(run.quarantine["_row"].to_pylist(), run.quarantine["_steps"].to_pylist(), strict=True))
    for number, step in enumerate(run.value["plan"]):
        if step["action"] in ("quarantine", "drop"):
            failing = {row for row, cells in enumerate(table.to_pylist()) if not meets(step["rule"], cells)}
            assert failing == {row for row, numbers in named.items() if number in numbers}
    assert all(reason.endswith(".") for reason in run.quarantine["_reason"].to_pylist())

    # Nothing is lost.
    assert content_digest(put_back(run, table.num_rows)) == content_digest(table)

    # The digest is that of the rows, and the pinned plan gives it again and does not change any more.
    assert run.value["content_digest"] == content_digest(run.clean)
    again = ran(base, table, run.value["plan"])
    assert again is not None
    assert again.value["plan"] == run.value["plan"]
    assert again.value["report"] == report


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(table=tables(), keys=st.sampled_from([["t"], ["x"], ["x", "t"], list(COLUMNS)]))
def test_dedupe_keeps_the_first_of_equal_keys(base: Path, table: pa.Table, keys: list[str]) -> None:
    seen: set[Any] = set()
    stays = []
    for row in table.select(keys).to_pylist():
        key = tuple("nan" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row.values())
        stays.append(all(cell in (None, "nan") for cell in key) or key not in seen)
        seen.add(key)
    expected = table.filter(pa.array(stays))
    run = ran(base, table, [{"action": "dedupe", "columns": keys, "max_fraction": 1}])
    if run is None:
        assert len(stays) - sum(stays) > len(stays) / 2
    else:
        assert content_digest(run.clean) == content_digest(expected)
