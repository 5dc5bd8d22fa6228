"""Which rows are explained: samples that go on where the last one ended, named rows, slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from audits.engine.explainers.request import Request
from audits.engine.explainers.rows import chosen_numbers
from workers.datasets.arrays import write_table
from workers.protocol import JobError

SIGNATURE = {
    "inputs": [{"name": "x", "shape": [-1, 1], "dtype": "float32", "columns": ["age"]}],
    "outputs": [{"name": "y", "shape": [-1, 1], "dtype": "float32", "kind": "value"}],
}
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "age": {"role": "feature", "type": "float"},
        "region": {"role": "metadata", "type": "string"},
        "level": {"role": "metadata", "type": "integer"},
        "picture": {"role": "metadata", "type": "image", "shape": [2]},
    },
}
COUNT = 40

Choose = Callable[..., list[int]]


def asked(**parameters: Any) -> Request:
    return Request.from_json(
        {"framework": "numpy", "signature": SIGNATURE, "schema": SCHEMA, "seed": 7, **parameters}, seed=0
    )


@pytest.fixture
def choose(tmp_path: Path) -> Choose:
    pictures = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * COUNT)), 2)
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), (2,)), pictures)
    regions = ["north" if row % 4 == 0 else None if row == 3 else "south" for row in range(COUNT)]
    table = pa.table(
        {"age": np.arange(COUNT, dtype=float), "region": regions, "level": np.arange(COUNT) % 3, "picture": tensor}
    )
    write_table(table, tmp_path / "table.parquet")

    def run(numbers: Any = None, **parameters: Any) -> list[int]:
        part = np.arange(COUNT) if numbers is None else np.asarray(numbers)
        return chosen_numbers(tmp_path / "table.parquet", part, asked(**parameters)).tolist()

    return run


def refusal(choose: Choose, **parameters: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        choose(**parameters)
    return caught.value


def test_a_sample_is_ascending_and_the_seeds_own(choose: Choose) -> None:
    first = choose(rows=10)
    assert first == sorted(set(first))
    assert len(first) == 10
    assert choose(rows=10) == first
    assert choose(rows=10, seed=8) != first


def test_more_rows_go_on_where_the_sample_ended(choose: Choose) -> None:
    first, more = choose(rows=10), choose(rows=12, earlier={"drawn": 10})
    assert not set(first) & set(more)
    assert sorted(first + more) == choose(rows=22)
    assert choose(rows=100, earlier={"drawn": 38}) == sorted(set(range(COUNT)) - set(choose(rows=38)))
    assert refusal(choose, rows=1, earlier={"drawn": 40}).code == "no_rows"


def test_rows_that_were_named_before_are_not_drawn(choose: Choose) -> None:
    named = [0, 5, 11]
    drawn = choose(rows=20, earlier={"named": named})
    assert not set(drawn) & set(named)
    assert not set(choose(rows=17, earlier={"drawn": 20, "named": named})) & set(drawn + named)


def test_named_rows_keep_their_order_and_may_not_come_again(choose: Choose) -> None:
    assert choose(rows=[5, 2, 9]) == [5, 2, 9]
    drawn = choose(rows=10)
    error = refusal(choose, rows=[drawn[3]], earlier={"drawn": 10})
    assert (error.code, error.place) == ("row_explained_before", f"row {drawn[3]}")
    assert refusal(choose, rows=[1, 2], earlier={"named": [2]}).place == "row 2"
    assert refusal(choose, rows=[2, 2]).code == "row_named_twice"
    assert refusal(choose, rows=[COUNT]).code == "row_not_there"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"column": "region", "value": "north"}, list(range(0, COUNT, 4))),
        ({"column": "level", "value": 2}, list(range(2, COUNT, 3))),
        ({"column": "level", "value": "2"}, list(range(2, COUNT, 3))),
        ({"column": "age", "value": 17}, [17]),
    ],
)
def test_a_slice_has_the_rows_with_a_value(choose: Choose, part: dict[str, Any], expected: list[int]) -> None:
    assert choose(rows=100, slice=part) == expected
    assert set(choose(rows=3, slice=part)) <= set(expected)


def test_a_slice_stays_within_the_part_of_the_data_that_is_explained(choose: Choose) -> None:
    assert choose(numbers=[0, 1, 8], rows=100, slice={"column": "region", "value": "north"}) == [0, 8]


def test_named_rows_have_to_lie_in_the_slice(choose: Choose) -> None:
    error = refusal(choose, rows=[4, 5], slice={"column": "region", "value": "north"})
    assert error.place == "row 5"
    assert "the slice region = north, which has 10 rows" in error.detail


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"column": "region", "value": "east"}, "slice_empty"),
        ({"column": "level", "value": "high"}, "slice_value_does_not_fit"),
        ({"column": "picture", "value": 1}, "slice_column_not_sliceable"),
        ({"column": "colour", "value": 1}, "slice_column_missing"),
        ({"column": "region"}, "parameter_out_of_range"),
        ({"column": "region", "value": ["north"]}, "parameter_out_of_range"),
        ({"column": ["region"], "value": "north"}, "parameter_out_of_range"),
        ("region", "parameter_out_of_range"),
    ],
)
def test_slices_that_cannot_be_cut(choose: Choose, part: Any, code: str) -> None:
    error = refusal(choose, slice=part)
    assert (error.code, error.place) == (code, "slice")
    assert error.detail.endswith(".")


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"rows": 100_001}, "rows"),
        ({"background_rows": [1], "background_method": "clusters"}, "background_rows"),
        ({"maximum_coalitions": 0}, "maximum_coalitions"),
        ({"maximum_coalitions": 16_385}, "maximum_coalitions"),
        ({"maximum_coalitions": True}, "maximum_coalitions"),
        ({"maximum_sweeps": "8"}, "maximum_sweeps"),
        ({"maximum_sweeps": 10**9}, "maximum_sweeps"),
        ({"background_rows": 5, "background_method": "rows"}, "background_rows"),
        ({"background_method": "mean"}, "background_method"),
        ({"background_rows": []}, "background_rows"),
        ({"groups": {"a": []}}, "groups"),
        ({"groups": {"a": "age"}}, "groups"),
        ({"groups": ["age"]}, "groups"),
        ({"memory_bytes": 1000}, "memory_bytes"),
        ({"memory_bytes": True}, "memory_bytes"),
        ({"earlier": [3]}, "earlier"),
        ({"earlier": {"drawn": -1}}, "earlier"),
        ({"earlier": {"named": [-1]}}, "earlier"),
        ({"bounds": {"trust": 1}}, "trust"),
    ],
)
def test_what_cannot_be_asked_for_is_named(parameters: dict[str, Any], place: str) -> None:
    with pytest.raises(JobError) as caught:
        asked(**parameters)
    assert caught.value.place == place


def test_a_list_of_background_rows_is_a_choice_by_itself() -> None:
    assert asked(background_rows=[3, 1]).background_method == "rows"
    assert asked().background_method == "sample"
