"""Types from content, types from a schema, and the cell that fits neither."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.workers.datasets.uploads import fitted
from workers.datasets.canonical import tensor_array
from workers.protocol import JobError


def inferred(values: list[Any], *, kind: str = "csv", name: str = "x") -> tuple[list[Any], dict[str, Any]]:
    table, schema = fitted(kind, pa.table({name: values}))
    return table[name].to_pylist(), schema.to_json()["columns"][name]


@pytest.mark.parametrize(
    ("texts", "data_type", "values"),
    [
        (["1", " -2 ", "+3", None], "integer", [1, -2, 3, None]),
        (["1", "NA", "", "null"], "integer", [1, None, None, None]),
        (["1", "2.5", "1e3", ".5", "NaN", "-inf"], "float", [1, 2.5, 1000, 0.5, None, float("-inf")]),
        (["1.0", "2.0"], "float", [1, 2]),
        (["true", "False", None], "boolean", [True, False, None]),
        (["2024-02-29", None], "date", [datetime.date(2024, 2, 29), None]),
        (["2024-02-29", "2024-02-29 12:00"], "datetime", [datetime.datetime(2024, 2, 29, h) for h in (0, 12)]),
        (
            ["2024-02-29T12:00:00+02:00", "2024-02-29 12:00Z"],
            "datetime",
            [
                datetime.datetime(2024, 2, 29, 10, tzinfo=datetime.UTC),
                datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC),
            ],
        ),
        (["007", "123"], "string", ["007", "123"]),
        (["18446744073709551615", "1"], "string", ["18446744073709551615", "1"]),
        (["9223372036854775807", "-9223372036854775808"], "integer", [2**63 - 1, -(2**63)]),
        (["a", "b", "a", "b"], "category", ["a", "b", "a", "b"]),
        (["a", "b", "c"], "string", ["a", "b", "c"]),
        (["None", "null", "x"], "string", ["None", "null", "x"]),
        ([None, None], "float", [None, None]),
    ],
)
def test_types_of_a_csv_come_from_its_cells(texts: list[str | None], data_type: str, values: list[Any]) -> None:
    assert inferred(texts) == (values, {"role": "feature", "type": data_type})


@pytest.mark.parametrize(
    ("texts", "row", "kind"),
    [
        (["1", "2", "x", "3"], 2, "float"),
        (["1.5", None, "?", "2"], 2, "float"),
        (["true", "false", "no"], 2, "boolean"),
        (["2024-01-01", "2024-02-30", "2024-03-01"], 1, "datetime"),
        (["1", "2", "true"], 2, "float"),
    ],
)
def test_a_mixed_column_is_told_with_column_row_and_value(texts: list[str | None], row: int, kind: str) -> None:
    with pytest.raises(JobError) as refused:
        inferred(texts)
    error = refused.value
    assert (error.code, error.place) == ("mixed_types", f"x, row {row}")
    assert f"Row {row} (counted from 0) of the column 'x' holds {texts[row]!r}" in error.detail
    assert f"of the type {kind}" in error.detail


def test_only_a_column_named_split_with_nothing_but_parts_is_guessed_to_be_one() -> None:
    parts = ["train", "test", "validation", "train"]
    assert inferred(parts, name="split")[1] == {"role": "split", "type": "category"}
    assert inferred(parts, name="part")[1]["role"] == "feature"
    assert inferred([*parts, "other"], name="split")[1]["role"] == "feature"
    assert inferred([*parts, None], name="split")[1]["role"] == "feature"
    for name in ("id", "target", "label"):
        assert inferred(["1", "2"], name=name)[1]["role"] == "feature"


def test_types_of_a_parquet_stay_and_texts_are_not_read_as_numbers() -> None:
    assert inferred(["1", "2"], kind="parquet") == (["1", "2"], {"role": "feature", "type": "string"})
    assert inferred([1.0, float("nan")], kind="parquet") == ([1.0, None], {"role": "feature", "type": "float"})


def test_arrays_are_pictures_or_vectors() -> None:
    columns = {"picture": tensor_array(np.zeros((1, 2, 2))), "vector": tensor_array(np.zeros((1, 3), dtype=np.int32))}
    schema = fitted("npz", pa.table(columns))[1].to_json()
    assert schema == {
        "modality": "image",
        "columns": {
            "picture": {"role": "feature", "type": "image", "shape": [2, 2]},
            "vector": {"role": "feature", "type": "integer", "shape": [3]},
        },
    }


def cast(values: Any, data_type: str, *, kind: str = "csv", shape: list[int] | None = None) -> list[Any]:
    entry: dict[str, Any] = {"role": "feature", "type": data_type}
    if shape is not None:
        entry["shape"] = shape
    table, _ = fitted(kind, pa.table({"x": values}), {"modality": "tabular", "columns": {"x": entry}})
    return list(table["x"].to_pylist())


@pytest.mark.parametrize(
    ("values", "data_type", "expected"),
    [
        (["3.0", "4", "NA"], "integer", [3, 4, None]),
        (["1", "0", "TRUE"], "boolean", [True, False, True]),
        (["1", "2"], "float", [1.0, 2.0]),
        (["1", "x"], "category", ["1", "x"]),
        ([1, None], "string", ["1", None]),
        ([1.0, 2.5], "string", ["1", "2.5"]),
        ([True, False], "category", ["true", "false"]),
        ([1.0, float("nan"), 3.0], "integer", [1, None, 3]),
        ([1, 0, None], "boolean", [True, False, None]),
        ([2**63 - 1], "integer", [2**63 - 1]),
        ([True, False], "integer", [1, 0]),
        ([1, 2], "float", [1.0, 2.0]),
    ],
)
def test_a_schema_states_the_types(values: list[Any], data_type: str, expected: list[Any]) -> None:
    assert cast(values, data_type) == expected


@pytest.mark.parametrize(
    ("values", "data_type", "row"),
    [
        (["1", "2.5"], "integer", 1),
        (["1", "99999999999999999999"], "integer", 1),
        (["1", "1e400"], "float", 1),
        (["true", "2"], "boolean", 1),
        (["x"], "datetime", 0),
        ([1.0, 2.5], "integer", 1),
        ([1.0, float("inf")], "integer", 1),
        ([1, 2], "boolean", 1),
        ([None, 20240101], "datetime", 1),
        ([datetime.datetime(2024, 1, 1)], "float", 0),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_told(values: list[Any], data_type: str, row: int) -> None:
    with pytest.raises(JobError) as refused:
        cast(values, data_type)
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_type", f"x, row {row}")
    assert f"Row {row} (counted from 0)" in refused.value.detail


@pytest.mark.parametrize(
    ("data_type", "shape", "code"),
    [
        ("image", [2, 3], "array_shape"),
        ("category", None, "array_shape"),
        ("tokens", None, "value_does_not_fit_type"),
    ],
)
def test_an_array_that_does_not_fit_is_told(data_type: str, shape: list[int] | None, code: str) -> None:
    with pytest.raises(JobError) as refused:
        cast(tensor_array(np.full((2, 2, 2), 0.5)), data_type, kind="npz", shape=shape)
    assert refused.value.code == code


def test_single_values_are_no_arrays() -> None:
    for data_type, shape in (("image", None), ("float", [3])):
        with pytest.raises(JobError) as refused:
            cast([1, 2], data_type, shape=shape)
        assert refused.value.code == "array_shape"


def test_the_schema_that_comes_back_is_in_the_order_of_the_file_with_shapes() -> None:
    table = pa.table({"b": tensor_array(np.zeros((1, 2, 2))), "a": ["1"]})
    stated = {
        "modality": "image",
        "columns": {"a": {"role": "target", "type": "integer"}, "b": {"role": "feature", "type": "image"}},
    }
    table, schema = fitted("npz", table, stated)
    assert list(schema.columns) == table.column_names == ["b", "a"]
    assert schema.columns["b"].shape == (2, 2)


@pytest.mark.parametrize(
    ("columns", "code", "place"),
    [
        ({"x": {"role": "feature", "type": "float"}, "y": {"role": "target", "type": "float"}}, "column_missing", "y"),
        ({"z": {"role": "feature", "type": "float"}}, "column_missing", "z"),
        ({}, "schema_not_valid", "schema"),
        ({"x": {"role": "king", "type": "float"}}, "schema_not_valid", "schema"),
    ],
)
def test_a_schema_that_does_not_fit_the_file_is_told(columns: dict[str, Any], code: str, place: str) -> None:
    with pytest.raises(JobError) as refused:
        fitted("csv", pa.table({"x": ["1"]}), {"modality": "tabular", "columns": columns})
    assert (refused.value.code, refused.value.place) == (code, place)


def test_a_column_that_the_schema_does_not_name_is_told() -> None:
    stated = {"modality": "tabular", "columns": {"x": {"role": "feature", "type": "integer"}}}
    with pytest.raises(JobError) as refused:
        fitted("csv", pa.table({"x": ["1"], "extra": ["2"]}), stated)
    assert (refused.value.code, refused.value.place) == ("column_not_in_schema", "extra")
