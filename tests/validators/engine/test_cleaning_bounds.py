"""Bounds that are taken from the data: pinned as numbers, the same on every run, refused where there are none."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.engine.engine_jobs import Cleaned, expectation
from validators.engine.plans import check_plan
from workers.protocol import JobError

VALUES = [*range(1, 100), 1_000]
TABLE = pa.table({"x": pa.array(VALUES, pa.float64()), "n": VALUES})
Q1, Q3 = np.quantile(VALUES, (0.25, 0.75))
MIDDLE = float(np.median(VALUES))
SPREAD = 1.482602218505602 * float(np.median(np.abs(np.array(VALUES) - MIDDLE)))
DEVIATION = float(np.std(VALUES, ddof=1))
BOUNDS = [
    ({"method": "iqr"}, (Q1 - 3 * (Q3 - Q1), Q3 + 3 * (Q3 - Q1))),
    ({"method": "iqr", "factor": 1.5}, (Q1 - 1.5 * (Q3 - Q1), Q3 + 1.5 * (Q3 - Q1))),
    ({"method": "mad"}, (MIDDLE - 3.5 * SPREAD, MIDDLE + 3.5 * SPREAD)),
    ({"method": "z_score"}, (np.mean(VALUES) - 3 * DEVIATION, np.mean(VALUES) + 3 * DEVIATION)),
    ({"method": "quantiles", "lower": 0.01, "upper": 0.99}, tuple(np.quantile(VALUES, (0.01, 0.99)))),
    ({"method": "quantiles", "upper": 0.9}, (None, np.quantile(VALUES, 0.9))),
]  # fmt: skip


@pytest.mark.parametrize(("bounds", "expected"), BOUNDS, ids=[str(number) for number in range(len(BOUNDS))])
@pytest.mark.parametrize("action", ["quarantine", "clip"])
def test_bounds_are_numbers_of_the_plan_that_ran(
    tmp_path: Path, bounds: dict[str, Any], expected: tuple[float | None, float], action: str
) -> None:
    first = Cleaned(tmp_path, TABLE, plan=[{"action": action, "column": "x", "bounds": bounds}])
    step = first.value["plan"][0]
    lower, upper = expected
    assert (step["lower"], step["upper"]) == (None if lower is None else pytest.approx(lower), pytest.approx(upper))
    taken = first.quarantine["x"].to_pylist() if action == "quarantine" else first.changes["before"].to_pylist()
    assert len(taken) == sum(not (lower is None or lower <= value) or value > upper for value in VALUES)
    assert first.report["steps"][0]["holds"] in (True, None)

    # The pinned plan does the same again, and judges other data by the numbers of these.
    again = Cleaned(tmp_path, TABLE, plan=first.value["plan"])
    assert (again.value["content_digest"], again.value["plan"]) == (first.value["content_digest"], first.value["plan"])
    other = Cleaned(tmp_path, TABLE.slice(0, 99).append_column("y", [[0] * 99]), plan=first.value["plan"])
    assert [other.value["plan"][0][key] for key in ("lower", "upper")] == [step["lower"], step["upper"]]


def test_a_rule_of_z_scores_is_pinned_and_takes_the_rows_that_it_names(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    values = np.concatenate([generator.normal(size=300), [9.0, -8.0, 7.5]])
    table = pa.table({"x": pa.array(values, mask=generator.random(303) < 0.1)})
    for double_sided in (True, False):
        rule = expectation(
            "column_value_z_scores_to_be_less_than", column="x", threshold=2, double_sided=double_sided, clean={}
        )
        result = Cleaned(tmp_path, table, rule)
        known = table["x"].drop_null().to_numpy()
        scores = (values - known.mean()) / known.std(ddof=1)
        beyond = (np.abs(scores) if double_sided else scores) >= 2
        named = np.flatnonzero(beyond & table["x"].is_valid().to_numpy())
        assert result.quarantine["_row"].to_pylist() == named.tolist()
        assert (result.value["plan"][0].get("lower") is not None) == double_sided
        # What is left has another mean, so the rule is judged anew, and the report says that it does not hold.
        assert result.report["steps"][0]["holds"] is False
        assert "The rule still does not hold" in result.report["steps"][0]["sentence"]
        assert Cleaned(tmp_path, table, plan=result.value["plan"]).clean.equals(result.clean)


def test_without_a_spread_no_value_is_far_away(tmp_path: Path) -> None:
    table = pa.table({"x": [5.0] * 9 + [6.0]})
    mad = Cleaned(tmp_path, table, plan=[{"action": "quarantine", "column": "x", "bounds": {"method": "mad"}}])
    assert (mad.report["rows_out"], mad.value["plan"][0]["upper"]) == (10, 6.0)
    rule = expectation("column_value_z_scores_to_be_less_than", column="c", threshold=3, double_sided=True, clean={})
    assert Cleaned(tmp_path, pa.table({"c": [5.0] * 9}), rule).report["rows_out"] == 9


@pytest.mark.parametrize(
    "column", [pa.array(["a", "b"]), pa.array([None, None], pa.float64()), pa.array([float("inf"), float("nan")])]
)
def test_what_has_no_numbers_has_no_bounds(tmp_path: Path, column: pa.Array) -> None:
    with pytest.raises(JobError) as refused:
        Cleaned(
            tmp_path, pa.table({"v": column}), plan=[{"action": "flag", "column": "v", "bounds": {"method": "iqr"}}]
        )
    assert (refused.value.code, refused.value.place) == ("bounds_not_possible", "v")


def test_numbers_at_the_end_of_what_floats_hold_have_no_bounds(tmp_path: Path) -> None:
    table = pa.table({"v": [-1.7e308, 1.7e308, 0.0, 1.0]})
    with pytest.raises(JobError, match="too large"):
        Cleaned(tmp_path, table, plan=[{"action": "flag", "column": "v", "bounds": {"method": "iqr"}}])


@pytest.mark.parametrize(
    ("lower", "upper", "says"),
    [
        (1.2, 1.8, "No value of the type int64"),
        (2**63, None, "beyond every integer"),
        (None, -(2**70), "beyond every integer"),
    ],
)
def test_bounds_between_which_no_integer_lies_are_refused(
    tmp_path: Path, lower: float | None, upper: float | None, says: str
) -> None:
    with pytest.raises(JobError, match=says) as refused:
        Cleaned(tmp_path, TABLE, plan=[{"action": "clip", "column": "n", "lower": lower, "upper": upper}])
    assert refused.value.code == "clip_not_possible"


def test_bounds_beyond_all_integers_change_nothing(tmp_path: Path) -> None:
    plan = [{"action": "clip", "column": "n", "lower": -(2**70), "upper": 2**70}]
    assert Cleaned(tmp_path, TABLE, plan=plan).clean.equals(TABLE)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([{"action": "clip", "column": "x", "lower": 5, "upper": 1}], "is above `upper`"),
        ([{"action": "clip", "column": "x", "upper": 1}, {"action": "clip", "column": "x", "lower": 2}], "within both"),
        ([{"action": "clip", "column": "x", "upper": float("nan")}], "and finite"),
        ([{"action": "clip", "column": "x", "upper": 10**400}], "and finite"),
        ([{"action": "clip", "column": "x", "bounds": {"method": "guess"}}], "`method` is one of"),
        ([{"action": "clip", "column": "x", "bounds": {"method": "iqr", "factor": 0}}], "above 0"),
        ([{"action": "clip", "column": "x", "bounds": {"method": "iqr", "lower": 0}}], "no key 'lower'"),
        ([{"action": "clip", "column": "x", "bounds": {"method": "quantiles"}}], "shares from 0 to 1"),
        ([{"action": "flag", "column": "x", "bounds": {"method": "quantiles", "lower": 0.9, "upper": 0.1}}], "shares"),
        ([{"action": "quarantine", "bounds": {"method": "iqr"}}], "needs a `column`"),
        ([{"action": "quarantine", "column": "x"}], "or a `column` with `bounds`"),
        ([{"action": "dedupe", "columns": ["x", "x"]}], "names a column twice"),
        ([{"action": "drop", "column": 5, "rule": {"type": "expect_x", "kwargs": {}}}], "`column` is a text"),
        ([{"action": "flag", "column": "x"}] * 10_001, "at most 10,000 steps"),
        ([{"action": "impute", "column": "x", "taken_from": "all"}], "`taken_from` is the number"),
    ],
)
def test_a_plan_that_contradicts_itself_is_told(plan: list[dict[str, Any]], says: str) -> None:
    assert says in check_plan(plan)[0].detail


DAYS = pa.array([date(2019, 12, 30), date(2020, 1, 1), None, date(2020, 6, 1), date(2021, 1, 1)])
MOMENTS = DAYS.cast(pa.timestamp("us"))
CLIPPED = [
    (DAYS, {"lower": "2020-01-01"}, [1, 1, None, 3, 4], ["2020-01-01", None]),
    (DAYS, {"upper": "2020-06-01"}, [0, 1, None, 3, 3], [None, "2020-06-01"]),
    # Within a bound in the middle of a day lies the next day, or the one before.
    (
        DAYS,
        {"lower": "2019-12-31T12:00:00", "upper": "2020-06-01T12:00"},
        [1, 1, None, 3, 3],
        ["2020-01-01", "2020-06-01"],
    ),
    (MOMENTS, {"lower": "2020-01-01"}, [1, 1, None, 3, 4], ["2020-01-01T00:00:00", None]),
    (
        MOMENTS.cast(pa.timestamp("us", "UTC")),
        {"lower": "2020-01-01T01:00:00+01:00", "upper": "2020-06-01"},
        [1, 1, None, 3, 3],
        ["2020-01-01T00:00:00+00:00", "2020-06-01T00:00:00+00:00"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("values", "bounds", "places", "pinned"), CLIPPED, ids=[str(n) for n in range(len(CLIPPED))])
def test_days_and_moments_are_clipped_and_stay_what_they_are(
    tmp_path: Path, values: pa.Array, bounds: dict[str, str], places: list[int | None], pinned: list[str | None]
) -> None:
    table = pa.table({"at": values, "x": range(5)})
    first = Cleaned(tmp_path, table, plan=[{"action": "clip", "column": "at", **bounds}])
    assert first.clean["at"].to_pylist() == [None if place is None else values[place].as_py() for place in places]
    assert first.clean.schema.field("at").type == values.type
    step = first.value["plan"][0]
    assert [step["lower"], step["upper"]] == pinned
    assert len(first.changes) == sum(place not in (None, number) for number, place in enumerate(places))
    again = Cleaned(tmp_path, table, plan=first.value["plan"])
    assert again.value["content_digest"] == first.value["content_digest"]


def test_a_rule_about_days_clips_to_its_bounds(tmp_path: Path) -> None:
    rule = expectation(
        "column_values_to_be_between",
        column="at",
        min_value="2020-01-01",
        max_value="2020-06-01",
        clean={"action": "clip"},
    )
    result = Cleaned(tmp_path, pa.table({"at": DAYS}), rule)
    assert result.clean["at"].to_pylist() == [DAYS[place].as_py() for place in (1, 1, 2, 3, 3)]
    assert result.report["steps"][0]["holds"] is True
    assert result.changes["reason"].to_pylist() == ["Clipped to at least 2020-01-01 and at most 2020-06-01."] * 2


@pytest.mark.parametrize(
    ("column", "bounds", "sentence"),
    [
        ("at", {"lower": 3}, "it is clipped to days or moments, such as 2020-01-31, not to 3"),
        ("n", {"upper": "2020-01-01"}, "it is clipped to numbers, not to '2020-01-01'"),
        ("word", {"upper": "2020-01-01"}, "holds no numbers and no moments"),
        ("at", {"lower": "2020-01-01T12:00", "upper": "2020-01-01T13:00"}, "No value of the type date32"),
    ],
)
def test_a_clip_to_what_a_column_does_not_hold_is_refused(
    tmp_path: Path, column: str, bounds: dict[str, Any], sentence: str
) -> None:
    table = pa.table({"at": DAYS, "n": range(5), "word": list("abcde")})
    with pytest.raises(JobError, match=sentence) as refused:
        Cleaned(tmp_path, table, plan=[{"action": "clip", "column": column, **bounds}])
    assert refused.value.code == "clip_not_possible"


@pytest.mark.parametrize(
    ("clips", "sentence"),
    [
        ([{"lower": "soon"}], "numbers, and finite, or days or moments"),
        ([{"lower": "2020-01-01", "upper": 3}], "both numbers, or both days or moments"),
        ([{"lower": "2020-01-02", "upper": "2020-01-01"}], r"`lower` \(2020-01-02\) is above `upper`"),
        ([{"lower": "2020-01-02"}, {"upper": "2020-01-01"}], "no value is within both"),
        ([{"lower": "2020-01-02"}, {"upper": 5}], "is clipped to numbers and to moments"),
    ],
)
def test_bounds_that_no_clip_can_have_are_told_before_it_runs(clips: list[dict[str, Any]], sentence: str) -> None:
    problems = check_plan([{"action": "clip", "column": "at", **clip} for clip in clips])
    assert len(problems) == 1
    assert re.search(sentence, problems[0].detail)


@pytest.mark.parametrize(("method", "expected"), [("median", "0.14"), ("mean", "0.13")])
def test_a_statistic_of_decimals_is_rounded_to_their_scale_and_says_so(
    tmp_path: Path, method: str, expected: str
) -> None:
    price = pa.array([Decimal("0.07"), Decimal("0.13"), Decimal("0.14"), Decimal("0.18"), None], pa.decimal128(38, 2))
    result = Cleaned(
        tmp_path, pa.table({"price": price}), plan=[{"action": "impute", "column": "price", "method": method}]
    )
    # The median is 0.135, which rounds to the even 0.14; the mean is 0.13.
    assert result.clean["price"][4].as_py() == Decimal(expected)
    assert result.clean.schema.field("price").type == price.type
    assert "rounded to 2 digits after the point (half to even)" in result.changes["reason"][0].as_py()
