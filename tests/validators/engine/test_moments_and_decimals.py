"""Dates, moments and decimals in rules: a date alone means its beginning, and a decimal is the number that it says."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validators.engine.engine_jobs import expectation
from validators.engine.compiled.columns import Table
from validators.engine.compiled.registry import compile_expectation
from validators.engine.expectations import Evaluator, Outcome
from validators.engine.moment_texts import with_times
from validators.engine.through_gx import GreatExpectationsOnFile
from workers.datasets.arrays import write_table

DAYS = pa.array([date(2020, 1, 1), date(2020, 6, 1), None, date(2019, 12, 31)])
COLUMNS = {
    "day": DAYS,
    "moment": DAYS.cast(pa.timestamp("us")),
    "zoned": DAYS.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
}
DECIMAL = pa.decimal128(38, 2)


def written(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "table.parquet"
    write_table(pa.table(columns), path)
    return path


def evaluated(path: Path, *entries: dict[str, Any]) -> list[Outcome]:
    return Evaluator(path, work=path.parent / "work").evaluate_all(entries)


def through_great_expectations(path: Path, entry: dict[str, Any]) -> Outcome:
    table = Table.of(path)
    types = dict(zip(table.names, pq.read_schema(path).types, strict=True))
    return GreatExpectationsOnFile(path).evaluate(with_times(entry, types))


RULES: list[tuple[str, dict[str, Any]]] = [
    ("column_values_to_be_between", {"min_value": "2020-01-01"}),
    ("column_values_to_be_between", {"min_value": "2020-01-01", "strict_min": True, "max_value": "2020-06-01"}),
    ("column_min_to_be_between", {"min_value": "2020-01-01"}),
    ("column_max_to_be_between", {"max_value": "2020-06-01"}),
    ("column_distinct_values_to_contain_set", {"value_set": ["2020-01-01"]}),
]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(("kind", "kwargs"), RULES, ids=[str(number) for number in range(len(RULES))])
def test_a_date_alone_is_the_moment_at_which_it_begins(
    tmp_path: Path, name: str, kind: str, kwargs: dict[str, Any]
) -> None:
    path = written(tmp_path, COLUMNS)

    def at_midnight(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(at_midnight, value))
        return f"{value}T00:00:00" if isinstance(value, str) else value

    alone = expectation(kind, column=name, **kwargs)
    with_time = expectation(kind, column=name, **{key: at_midnight(value) for key, value in kwargs.items()})
    one, other = evaluated(path, alone, with_time)
    oracle = through_great_expectations(path, alone)
    assert one.status == other.status == oracle.status != "error", one.error
    assert one.rows.tolist() == other.rows.tolist() == oracle.rows.tolist()
    assert one.observed == other.observed == oracle.observed
    assert one.expectation == alone, "a result shows what was asked, not what was made of it"


def test_the_rows_are_those_before_the_date(tmp_path: Path) -> None:
    path = written(tmp_path, COLUMNS)
    rules = [expectation("column_values_to_be_between", column=name, min_value="2020-01-01") for name in COLUMNS]
    assert [outcome.rows.tolist() for outcome in evaluated(path, *rules)] == [[3], [3], [3]]
    types = {name: column.type for name, column in COLUMNS.items()}
    assert all(compile_expectation(with_times(rule, types), Table.of(path)) is not None for rule in rules)
    (latest,) = evaluated(path, expectation("column_max_to_be_between", column="zoned", max_value="2020-06-01"))
    assert (latest.status, latest.observed) == ("passed", "2020-06-01T00:00:00+00:00")


def test_a_condition_compares_a_zoned_column_with_a_date(tmp_path: Path) -> None:
    path = written(tmp_path, {**COLUMNS, "x": [1, 2, 3, None]})
    since = {"type": "comparison", "column": {"name": "zoned"}, "operator": "<", "parameter": "2020-01-01"}
    both = {"type": "and", "conditions": [since, {"type": "nullity", "column": {"name": "day"}, "is_null": False}]}
    outcomes = evaluated(
        path,
        expectation("column_values_to_not_be_null", column="x", row_condition=since),
        expectation("column_values_to_not_be_null", column="x", row_condition=both),
    )
    assert [outcome.rows.tolist() for outcome in outcomes] == [[3], [3]]


@pytest.mark.parametrize("value", ["2020-13-45", "2020-01", "soon", "2020-01-01T00:00:00+99:99", ["2020-01-01"]])
def test_what_is_no_date_is_an_error_of_its_own_rule(tmp_path: Path, value: Any) -> None:
    path = written(tmp_path, COLUMNS)
    wrong, right = evaluated(
        path,
        expectation("column_values_to_be_between", column="day", min_value=value),
        expectation("column_values_to_be_between", column="day", min_value="2019-01-01"),
    )
    assert (wrong.status, right.status) == ("error", "passed")
    assert wrong.error


def test_a_text_that_looks_like_a_date_stays_a_text(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["2020-01-01", "2020-01-01T00:00:00"]})
    (outcome,) = evaluated(path, expectation("column_values_to_be_in_set", column="text", value_set=["2020-01-01"]))
    assert outcome.rows.tolist() == [1]


def test_decimals_are_the_numbers_that_they_say(tmp_path: Path) -> None:
    """Arrow makes 0.2900…4 of the decimal 0.29; every cent from 0 to 20 has to be found in a set of floats."""
    cents = [Decimal(number) / 100 for number in range(2_001)]
    path = written(tmp_path, {"price": pa.array([*cents, None], DECIMAL)})
    rules = [
        expectation("column_values_to_be_in_set", column="price", value_set=[float(cent) for cent in cents[:900]]),
        expectation("column_values_to_be_between", column="price", min_value=0.07, max_value=8.99),
        expectation("column_sum_to_be_between", column="price", min_value=20_010.0, max_value=20_010.0),
        expectation("column_max_to_be_between", column="price", min_value=19.99, max_value=20),
        expectation("column_min_to_be_between", column="price", max_value=0),
    ]
    outcomes = evaluated(path, *rules)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "passed", "passed", "passed"]
    assert outcomes[0].rows.tolist() == list(range(900, 2_001))
    assert outcomes[1].rows.tolist() == [*range(7), *range(900, 2_001)]
    for rule, outcome in zip(rules, outcomes, strict=True):
        assert compile_expectation(rule, Table.of(path)) is not None
        oracle = through_great_expectations(path, rule)
        assert (oracle.status, oracle.rows.tolist()) == (outcome.status, outcome.rows.tolist())
