"""Dates stay days and decimals stay exact, from the file to the digest and the arrays of a model."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.workers.datasets.uploads import fitted
from workers.datasets.arrays import model_inputs, targets
from workers.datasets.canonical import canonical_table, content_digest, digest_of_rows
from workers.datasets.schema import Schema
from workers.protocol import JobError
from workers.signature import Signature

DAY = datetime.date(2024, 2, 29)


def decimals(values: list[str | None], precision: int, scale: int) -> pa.Table:
    cells = [None if value is None else Decimal(value) for value in values]
    kind = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return pa.table({"x": pa.array(cells, kind)})


def stated(data_type: str) -> dict[str, Any]:
    return {"modality": "tabular", "columns": {"x": {"role": "feature", "type": data_type}}}


def cast(values: Any, data_type: str, *, batch_rows: int | None = None) -> pa.ChunkedArray:
    return fitted("csv", pa.table({"x": values}), stated(data_type), batch_rows=batch_rows)[0]["x"]


def refusal(values: Any, data_type: str) -> JobError:
    with pytest.raises(JobError) as refused:
        cast(values, data_type)
    return refused.value


def test_types_of_a_file_that_has_them_stay() -> None:
    table = decimals(["1.50", None], 10, 2).append_column("d", pa.array([DAY, None], pa.date64()))
    found, schema = fitted("parquet", table)
    assert [column.type for column in schema.columns.values()] == ["decimal", "date"]
    assert found.schema.types == [pa.decimal128(38, 2), pa.date32()]
    assert found.to_pylist() == [{"x": Decimal("1.50"), "d": DAY}, {"x": None, "d": None}]


def test_the_digest_knows_the_value_and_the_scale_and_not_the_precision() -> None:
    texts = ["1.50", None, "-79228162514264337593543950336.25"]
    digests = {content_digest(decimals(texts, precision, 2)) for precision in (31, 38, 76)}
    assert len(digests) == 1
    assert content_digest(decimals(texts, 38, 3)) not in digests
    assert content_digest(decimals(["1.50", None, "-79228162514264337593543950336.24"], 38, 2)) not in digests
    # The high half of the 128 bits counts: both differ by 2**64 hundredths.
    assert content_digest(decimals(["184467440737095516.16"], 38, 2)) != content_digest(decimals(["0"], 38, 2))
    assert len(set(digest_of_rows(decimals(["1", "2", "1"], 9, 2)))) == 2


def test_the_digest_sees_nothing_under_a_missing_value_and_no_offset() -> None:
    left = pa.array([Decimal("1.5"), Decimal("7.7"), None], pa.decimal128(38, 1))
    masked = pa.Array.from_buffers(left.type, 3, [pa.py_buffer(b"\x01"), left.buffers()[1]])
    plain = pa.array([Decimal("1.5"), None, None], left.type)
    assert content_digest(pa.table({"x": masked})) == content_digest(pa.table({"x": plain}))
    assert content_digest(pa.table({"x": left.slice(1)})) == content_digest(pa.table({"x": left.slice(1).take([0, 1])}))


def test_a_day_is_not_its_midnight() -> None:
    days = pa.table({"x": pa.array([DAY])})
    midnight = pa.table({"x": pa.array([datetime.datetime(2024, 2, 29)], pa.timestamp("us"))})
    assert content_digest(days) == content_digest(pa.table({"x": pa.array([DAY], pa.date64())}))
    assert content_digest(days) != content_digest(midnight)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (pa.table({"x": pa.array([1, None, 2**63, 2**64 - 1], pa.uint64())}), 2),
        (decimals(["1", "1" + "0" * 39], 76, 0), 1),
        (pa.table({"x": pa.array([0, 1], pa.timestamp("ns"))}), 1),
    ],
)
def test_a_value_beyond_its_canonical_type_is_told_with_its_row(table: pa.Table, row: int) -> None:
    with pytest.raises(JobError) as refused:
        canonical_table(table)
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_type", f"x, row {row}")


def test_more_digits_after_the_point_than_a_decimal_has_are_no_type() -> None:
    with pytest.raises(JobError) as refused:
        canonical_table(pa.table({"x": pa.array([Decimal("1e-40")], pa.decimal256(76, 40))}))
    assert refused.value.code == "type_not_supported"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["0.1", "12.345", "NA", None, "-7"], ["0.100", "12.345", None, None, "-7.000"]),
        ([" +1.5 ", ".5", "3."], ["1.5", "0.5", "3.0"]),
        (["1", "2"], ["1", "2"]),
        (["99999999999999999999999999999999999999"], ["99999999999999999999999999999999999999"]),
        (["0001.50"], ["1.50"]),
        ([f"0.{'1' * 38}"], [f"0.{'1' * 38}"]),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, None])
def test_stated_decimals_are_read_exactly(
    texts: list[str | None], expected: list[str | None], batch_rows: int | None
) -> None:
    read = cast(texts, "decimal", batch_rows=batch_rows)
    assert [None if value is None else str(value) for value in read.to_pylist()] == expected


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (["1.5", "1e3"], 1),
        (["1.5", "x"], 1),
        (["1.5", "inf"], 1),
        (["1.5", "9" * 38], 1),
        ([f"0.{'1' * 39}"], 0),
        (["1,5"], 0),
        ([None, 1.5], 1),
    ],
)
def test_what_is_no_decimal_is_told_with_its_row(values: list[Any], row: int) -> None:
    error = refusal(values, "decimal")
    assert (error.code, error.place) == ("value_does_not_fit_type", f"x, row {row}")


@pytest.mark.parametrize(
    ("values", "data_type", "expected"),
    [
        (pa.array([Decimal("1.50"), None]), "float", [1.5, None]),
        (pa.array([Decimal("12345678901234567.00")]), "integer", [12345678901234567]),
        (pa.array([Decimal("1.50")]), "string", ["1.50"]),
        (pa.array([Decimal("1.0"), Decimal("0.0")]), "boolean", [True, False]),
        (pa.array([1, None]), "decimal", [Decimal(1), None]),
        (pa.array([DAY, None]), "datetime", [datetime.datetime(2024, 2, 29), None]),
        (pa.array([datetime.datetime(2024, 2, 29), None]), "date", [DAY, None]),
        (pa.array([DAY]), "category", ["2024-02-29"]),
        (pa.array([None], pa.date32()), "float", [None]),
        (pa.array([None], pa.float64()), "date", [None]),
        (pa.array(["2024-02-29", "NA"]), "date", [DAY, None]),
        (pa.array(["2024-02-29", None]), "datetime", [datetime.datetime(2024, 2, 29), None]),
    ],
)
def test_a_schema_states_dates_and_decimals_of_other_types(values: pa.Array, data_type: str, expected: Any) -> None:
    column = cast(values, data_type)
    assert column.to_pylist() == expected
    kinds = {"float": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
    assert column.type == kinds.get(data_type, column.type)


@pytest.mark.parametrize(
    ("values", "data_type", "row"),
    [
        (pa.array([datetime.datetime(2024, 2, 29), datetime.datetime(2024, 2, 29, 1)]), "date", 1),
        (pa.array(["2024-02-29", "2024-02-29 00:00"]), "date", 1),
        (pa.array(["2024-02-29", "2023-02-29"]), "date", 1),
        (pa.array([None, DAY]), "float", 1),
        (pa.array([None, DAY]), "decimal", 1),
        (pa.array([20240229]), "date", 0),
        (pa.array([Decimal("1.00"), Decimal("1.50")]), "integer", 1),
        (pa.array([Decimal("2.0")]), "boolean", 0),
    ],
)
def test_a_date_or_decimal_that_does_not_fit_is_told(values: pa.Array, data_type: str, row: int) -> None:
    error = refusal(values, data_type)
    assert (error.code, error.place) == ("value_does_not_fit_type", f"x, row {row}")


def test_models_take_decimals_as_floats_and_no_dates() -> None:
    table = pa.table({"price": pa.array([Decimal("1.25"), Decimal("-3.50")]), "day": [DAY, DAY]})
    signature = Signature.from_json(
        {
            "inputs": [{"name": "x", "shape": [-1, 1], "dtype": "float32", "columns": ["price"]}],
            "outputs": [{"name": "y", "shape": [-1, 1], "dtype": "float32", "kind": "value"}],
        }
    )

    def schema(price: str, day: str) -> Schema:
        columns = {"price": {"role": price, "type": "decimal"}, "day": {"role": day, "type": "date"}}
        return Schema.from_json({"modality": "tabular", "columns": columns})

    inputs = model_inputs(table, schema("feature", "ignore"), signature)
    np.testing.assert_array_equal(inputs["x"], np.array([[1.25], [-3.5]], np.float32))
    values = targets(table, schema("target", "ignore"), signature, "regression")
    np.testing.assert_array_equal(values, [1.25, -3.5])
    with pytest.raises(JobError) as refused:
        targets(table, schema("ignore", "target"), signature, "regression")
    assert refused.value.code == "target_not_a_number"
