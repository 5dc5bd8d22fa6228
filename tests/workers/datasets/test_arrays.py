"""From a table to a model's arrays: parts, inputs, targets, and what cannot feed a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from workers.datasets.arrays import model_inputs, read_table, select, targets
from workers.datasets.canonical import tensor_array
from workers.datasets.schema import Schema
from workers.protocol import JobError
from workers.signature import Signature

TABLE = pa.table(
    {
        "age": [30, 40, 50],
        "income": [1.5, 2.5, 3.5],
        "member": [True, False, True],
        "image": tensor_array(np.arange(12, dtype=np.uint8).reshape(3, 2, 2)),
        "label": ["no", "yes", "no"],
        "part": ["train", "test", "train"],
    }
)


def schema(target: str = "label", target_type: str = "category") -> Schema:
    columns: dict[str, Any] = {
        "age": {"role": "feature", "type": "integer"},
        "income": {"role": "feature", "type": "float"},
        "member": {"role": "feature", "type": "boolean"},
        "image": {"role": "feature", "type": "image", "shape": [2, 2]},
        "label": {"role": "feature", "type": "category"},
        "part": {"role": "split", "type": "category"},
    }
    columns[target] = {**columns.get(target, {}), "role": "target", "type": target_type}
    return Schema.from_json({"modality": "tabular", "columns": columns})


def signature(
    *inputs: dict[str, Any], kind: str = "logits", shape: tuple[int, ...] = (-1, 2), classes: tuple[str, ...] = ()
) -> Signature:
    first = {"name": "features", "shape": [-1, 2], "dtype": "float32", "columns": ["age", "income"]}
    output = {"name": "answer", "shape": list(shape), "dtype": "float32", "kind": kind, "classes": list(classes)}
    return Signature.from_json({"inputs": list(inputs) or [first], "outputs": [output]})


def test_rows_of_a_part_keep_their_numbers() -> None:
    part, numbers = select(TABLE, schema(), "train")
    assert numbers.tolist() == [0, 2]
    assert numbers.dtype == np.int64
    assert part["age"].to_pylist() == [30, 50]
    whole, numbers = select(TABLE, schema(), None)
    assert whole is TABLE
    assert numbers.tolist() == [0, 1, 2]


@pytest.mark.parametrize("split", ["validation", "half"])
def test_a_part_that_is_not_there_is_an_error(split: str) -> None:
    with pytest.raises(JobError) as refused:
        select(TABLE, schema(), split)
    assert refused.value.code == "split_unknown"


def test_a_part_of_a_data_set_without_parts_is_an_error() -> None:
    columns = {"age": {"role": "feature", "type": "integer"}}
    with pytest.raises(JobError, match="no column of the data set has the role `split`"):
        select(TABLE, Schema.from_json({"modality": "tabular", "columns": columns}), "train")


def test_columns_feed_an_input_in_the_order_of_the_signature() -> None:
    inputs = model_inputs(
        TABLE,
        schema(),
        signature(
            {"name": "features", "shape": [-1, 3], "dtype": "float32", "columns": ["income", "age", "member"]},
            {"name": "image", "shape": [-1, 2, 2], "dtype": "float64"},
        ),
    )
    assert inputs["features"].dtype == np.float32
    assert inputs["features"].tolist() == [[1.5, 30, 1], [2.5, 40, 0], [3.5, 50, 1]]
    assert inputs["image"].dtype == np.float64
    assert inputs["image"].tolist() == np.arange(12).reshape(3, 2, 2).tolist()


def test_columns_and_arrays_feed_one_input_side_by_side() -> None:
    spec = {"name": "all", "shape": [-1, 5], "dtype": "int64", "columns": ["image", "age"]}
    assert model_inputs(TABLE, schema(), signature(spec))["all"].tolist()[1] == [4, 5, 6, 7, 40]


def test_inputs_that_do_not_fit_are_told_with_names_and_shapes() -> None:
    spec = {"name": "features", "shape": [-1, 3], "dtype": "float32", "columns": ["age", "income"]}
    with pytest.raises(JobError, match=r"'features' has shape \[-1, 3\]") as refused:
        model_inputs(TABLE, schema(), signature(spec))
    assert refused.value.code == "inputs_do_not_fit"


def test_a_missing_value_is_told_with_its_row() -> None:
    table = TABLE.set_column(1, "income", pa.array([1.0, None, float("nan")], from_pandas=False))
    with pytest.raises(JobError, match=r"'income' feeds the input 'features' and has 2 missing values") as refused:
        model_inputs(table, schema(), signature())
    assert (refused.value.code, refused.value.place) == ("missing_value", "income, row 1")


def test_a_missing_pixel_is_told_with_its_row() -> None:
    values = np.zeros((3, 2, 2), dtype=np.float32)
    values[2, 0, 1] = np.nan
    table = TABLE.set_column(3, "image", tensor_array(values))
    with pytest.raises(JobError) as refused:
        model_inputs(table, schema(), signature({"name": "image", "shape": [-1, 2, 2], "dtype": "float32"}))
    assert refused.value.place == "image, row 2"


@pytest.mark.parametrize(
    ("column", "values", "dtype", "row"),
    [
        ("income", [1.0, 2.5, 3.0], "int64", 1),
        ("age", [1, 2, 300], "uint8", 2),
        ("age", [1, 2, -1], "uint8", 2),
        ("age", [0, 2, 1], "bool", 1),
        ("income", [1.0, 2.0, 1e300], "float32", 2),
        ("age", [1, 2, 70_000], "float16", 2),
    ],
)
def test_a_value_that_a_dtype_does_not_hold_is_told(column: str, values: list[Any], dtype: str, row: int) -> None:
    table = TABLE.set_column(TABLE.column_names.index(column), column, pa.array(values))
    spec = {"name": "one", "shape": [-1, 1], "dtype": dtype, "columns": [column]}
    with pytest.raises(JobError) as refused:
        model_inputs(table, schema(), signature(spec))
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_dtype", f"{column}, row {row}")


def test_labels_match_classes_as_texts() -> None:
    assert targets(TABLE, schema(), signature(classes=("yes", "no")), "classification").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ([0, 1, 1], (), [0, 1, 1]),
        ([0, 1, 0], ("malignant", "benign"), [0, 1, 0]),
        ([7, 3, 7], ("3", "7"), [1, 0, 1]),
        ([1.0, 0.0, 1.0], ("0", "1"), [1, 0, 1]),
        ([True, False, True], ("no", "yes"), [1, 0, 1]),
        (["1", "0", "1"], (), [1, 0, 1]),
    ],
)
def test_numbers_are_labels_or_class_numbers(values: list[Any], classes: tuple[str, ...], expected: list[int]) -> None:
    table = TABLE.set_column(4, "label", pa.array(values))
    numbers = targets(table, schema(), signature(classes=classes), "classification")
    assert numbers.dtype == np.int64
    assert numbers.tolist() == expected


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["no", "maybe", "yes"], ("yes", "no")),
        ([0, 2, 1], ("malignant", "benign")),
        ([0, -1, 1], ()),
        ([3, 0, 7], ("3", "7")),
        ([0.0, 0.5, 1.0], ()),
    ],
)
def test_a_label_outside_the_classes_is_told_with_value_and_row(values: list[Any], classes: tuple[str, ...]) -> None:
    table = TABLE.set_column(4, "label", pa.array(values))
    with pytest.raises(JobError) as refused:
        targets(table, schema(), signature(classes=classes), "classification")
    assert (refused.value.code, refused.value.place) == ("label_outside_classes", "label, row 1")
    assert repr(str(values[1])) in refused.value.detail


def test_a_regression_takes_numbers() -> None:
    answer = signature(kind="value", shape=(-1, 1))
    values = targets(TABLE, schema("age", "integer"), answer, "regression")
    assert values.dtype == np.float64
    assert values.tolist() == [30, 40, 50]
    with pytest.raises(JobError, match="'label' holds texts"):
        targets(TABLE, schema(), answer, "regression")


def test_a_target_has_to_be_there_in_every_row() -> None:
    table = TABLE.set_column(4, "label", pa.array(["yes", "no", None]))
    with pytest.raises(JobError) as refused:
        targets(table, schema(), signature(classes=("yes", "no")), "classification")
    assert (refused.value.code, refused.value.place) == ("missing_value", "label, row 2")


def test_a_data_set_without_a_target_says_so() -> None:
    columns = {"age": {"role": "feature", "type": "integer"}}
    with pytest.raises(JobError) as refused:
        targets(TABLE, Schema.from_json({"modality": "tabular", "columns": columns}), signature(), "classification")
    assert refused.value.code == "no_target"


def test_a_damaged_table_is_told(tmp_path: Any) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1 nothing more")
    with pytest.raises(JobError) as refused:
        read_table(tmp_path / "table.parquet")
    assert (refused.value.code, refused.value.place) == ("table_damaged", "table.parquet")
