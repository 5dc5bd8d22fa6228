"""Profiles against NumPy, over several batches, spilling, and on any number of threads."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.datasets.uploads import profile_of_table
from workers.datasets import profile as profiles
from workers.datasets.arrays import write_table
from workers.datasets.canonical import CHUNK_ROWS, tensor_array
from workers.datasets.profile import profile_of
from workers.datasets.profile.values import BINS, MOST_FREQUENT, QUANTILES

ROWS = 2 * CHUNK_ROWS + 1_000


def expect_numbers(found: dict[str, Any], values: np.ndarray[Any, Any]) -> None:
    """Hold a profile against NumPy's own numbers about all values, none of them missing."""
    finite = values[np.isfinite(values)]
    different, counts = np.unique(values, return_counts=True)
    assert (found["missing"], found["distinct"], found["infinite"]) == (0, len(different), len(values) - len(finite))
    assert (found["lowest"], found["highest"]) == (finite.min(), finite.max())
    assert found["zeros"] == int((finite == 0).sum())
    assert found["unique"] == (len(different) == len(values))
    assert found["mean"] == pytest.approx(finite.astype(np.float64).mean(), rel=1e-12, abs=1e-12)
    expected = np.quantile(finite, QUANTILES)
    np.testing.assert_allclose([entry["value"] for entry in found["quantiles"]], expected, rtol=1e-12, atol=1e-300)
    assert found["median"] == found["quantiles"][QUANTILES.index(0.5)]["value"]
    edges = [entry["low"] for entry in found["histogram"]] + [found["histogram"][-1]["high"]]
    if len(edges) == BINS + 1:
        np.testing.assert_array_equal(
            [entry["count"] for entry in found["histogram"]], np.histogram(finite.astype(np.float64), edges)[0]
        )
    assert found["most_frequent_share"] == counts.max() / len(values)
    most = different[counts == counts.max()].min()
    assert found["most_frequent"] == (most if np.isfinite(most) else str(most))


COLUMNS: dict[str, np.ndarray[Any, Any]] = {
    "few": np.random.default_rng(1).integers(-5, 5, ROWS),
    "many": np.random.default_rng(2).normal(size=ROWS),
    "ids": np.arange(ROWS),
    "huge": np.random.default_rng(3).integers(-(2**62), 2**62, ROWS),
    "few first": np.concatenate([np.zeros(CHUNK_ROWS), np.random.default_rng(4).normal(size=ROWS - CHUNK_ROWS)]),
    "many first": np.concatenate([np.arange(CHUNK_ROWS), np.full(ROWS - CHUNK_ROWS, 7)]),
    "infinite": np.where(np.arange(ROWS) % 3 == 0, np.inf, np.arange(ROWS) / 7),
    "rounded": np.round(np.random.default_rng(5).gamma(2, 10, ROWS), 1),
}


@pytest.fixture(scope="module")
def profiled() -> dict[str, dict[str, Any]]:
    found = profile_of_table(pa.table(COLUMNS))
    json.dumps(found, allow_nan=False)
    return found


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_are_those_of_numpy(name: str, profiled: dict[str, dict[str, Any]]) -> None:
    expect_numbers(profiled[name], COLUMNS[name])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=40))
def test_any_floats_have_the_profile_of_numpy(values: list[float]) -> None:
    found = profile_of_table(pa.table({"x": pa.array(values, pa.float64())}))["x"]
    json.dumps(found, allow_nan=False)
    array = np.asarray(values)
    finite = array[np.isfinite(array)]
    assert found["distinct"] == len(np.unique(array))
    assert sum(entry["count"] for entry in found["histogram"]) == len(finite)
    if len(finite):
        assert (found["lowest"], found["highest"]) == (finite.min(), finite.max())
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.quantile(finite, QUANTILES)
        told = np.array([entry["value"] for entry in found["quantiles"]])
        sound = np.isfinite(expected)
        np.testing.assert_allclose(told[sound], expected[sound], rtol=1e-9, atol=1e-300)


def test_the_same_content_has_one_profile_however_little_memory_and_however_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profiled: dict[str, dict[str, Any]]
) -> None:
    path = tmp_path / "table.parquet"
    write_table(pa.table(COLUMNS), path)
    connect = profiles.connect
    for threads, memory in ((1, 64), (4, 512)):
        monkeypatch.setattr(
            profiles,
            "connect",
            lambda work, memory_bytes, threads=threads, memory=memory: connect(
                work, memory_bytes=min(memory_bytes, memory * 1024**2), threads=threads
            ),
        )
        assert profile_of(path, work=tmp_path / "work") == profiled
    assert not [file for file in (tmp_path / "work").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ([1, 2, 2, None, 3], "increasing"),
        ([None, 1, 2, 4], "strictly increasing"),
        ([3.0, 2.0, 2.0], "decreasing"),
        (["c", "b", "a"], "strictly decreasing"),
        ([1, 2, 1], None),
        ([1, 1, 1], None),
        ([1], None),
        ([None, None], None),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], "strictly increasing"),
        ([Decimal("1.1"), Decimal("1.2")], "strictly increasing"),
    ],
)
def test_the_order_of_the_rows_is_told(values: list[Any], order: str | None) -> None:
    assert profile_of_table(pa.table({"x": values}))["x"]["order"] == order


@pytest.mark.parametrize(
    ("first", "order"), [(CHUNK_ROWS, "strictly increasing"), (CHUNK_ROWS - 1, "increasing"), (0, None)]
)
def test_the_order_is_told_across_batches(first: int, order: str | None) -> None:
    values = np.arange(CHUNK_ROWS + 2)
    values[CHUNK_ROWS] = first
    assert profile_of_table(pa.table({"x": values}))["x"]["order"] == order


def test_a_value_that_goes_on_in_the_next_batch_is_one_value() -> None:
    values = np.sort(np.concatenate([np.arange(CHUNK_ROWS - 5), np.full(20, CHUNK_ROWS // 2), [10**9] * 15]))
    expect_numbers(profile_of_table(pa.table({"x": values}))["x"], values)


def test_texts_have_lengths_in_characters_and_long_ones_are_cut() -> None:
    texts = pa.array(["é" * 100, "é" * 100, "a", "", None])
    found = profile_of_table(pa.table({"x": texts}))["x"]
    assert found["lengths"] == {"lowest": 0, "highest": 100, "mean": 201 / 4}
    assert (found["distinct"], found["unique"], found["missing"]) == (3, False, 1)
    assert found["values"][0] == {"value": "é" * 79 + "…", "count": 2}
    assert [entry["value"] for entry in found["values"]][1:] == ["", "a"]


def test_the_most_frequent_texts_are_exact_among_many() -> None:
    texts = [f"word {number}" for number in range(100_000)] + ["often"] * 3 + ["also"] * 3
    found = profile_of_table(pa.table({"x": texts}))["x"]
    assert found["distinct"] == 100_002
    assert found["values"][:3] == [
        {"value": "also", "count": 3},
        {"value": "often", "count": 3},
        {"value": "word 0", "count": 1},
    ]
    assert len(found["values"]) == MOST_FREQUENT


def test_decimals_that_are_one_float_are_two_values() -> None:
    cells = [Decimal("12345678901234567.01"), Decimal("12345678901234567.02"), Decimal("12345678901234567.02"), None]
    found = profile_of_table(pa.table({"x": pa.array(cells)}))["x"]
    assert (found["distinct"], found["missing"], found["infinite"]) == (2, 1, 0)
    assert found["most_frequent_share"] == 2 / 3
    assert [entry["count"] for entry in found["histogram"]] == [3]
    json.dumps(found, allow_nan=False)


def test_dates_have_a_range_and_values() -> None:
    days = [datetime.date(2024, 1, 2), datetime.date(2023, 1, 1), datetime.date(2023, 1, 1)]
    found = profile_of_table(pa.table({"x": days}))["x"]
    assert (found["lowest"], found["highest"], found["most_frequent"]) == ("2023-01-01", "2024-01-02", "2023-01-01")
    assert found["values"] == [{"value": "2023-01-01", "count": 2}, {"value": "2024-01-02", "count": 1}]


def test_token_ids_are_bounded_by_the_profile() -> None:
    ids = np.array([[0, 31_999, 5], [7, 7, 7]], np.int32)
    found = profile_of_table(pa.table({"ids": tensor_array(ids)}))["ids"]
    assert (found["lowest"], found["highest"], found["shape"]) == (0, 31_999, [3])


def test_an_empty_column_has_a_profile() -> None:
    for data_type in (pa.int64(), pa.float64(), pa.string(), pa.date32(), pa.bool_(), pa.decimal128(5, 2)):
        found = profile_of_table(pa.table({"x": pa.nulls(3, data_type)}))["x"]
        assert (found["missing"], found["distinct"], found["unique"]) == (3, 0, False)
        assert found["lowest"] is found["most_frequent"] is found["mean"] is None
