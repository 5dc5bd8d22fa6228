"""The charts of a page against numbers that are known by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from audits.explained.dependence import interactions
from audits.explained.figures import Figure
from audits.explained.overall import evenly, importance
from audits.explained.portrait import Portrait
from governance.exceptions import NotFound
from tests.attribution_files import table, three_rows
from tests.audits.test_explained_rows import portrait_of
from workers.charts import draw

pytestmark = pytest.mark.django_db


def figure(page: Portrait, id: str) -> Figure:
    return next(figure for figure in page.figures if figure.id == id)


def points(drawn: Figure, layer: int) -> list[dict[str, Any]]:
    return list(drawn.spec["layer"][layer]["data"]["values"])


# ------------------------------------------------------------------------------------------------------ importance
def test_importance_is_the_mean_size_with_an_interval_over_rows_and_error() -> None:
    sizes = np.array([[1.0, 5.0], [3.0, 5.0]])
    errors = np.array([[0.1, 0.3], [0.1, 0.3]])

    second, first = importance(sizes, errors, ["a", "b"])

    assert (second.feature, second.value, second.count) == ("b", 5.0, 2)
    assert second.high == pytest.approx(5 + 1.96 * 0.3)
    assert first.low == pytest.approx(max(0, 2 - 1.96 * math.hypot(math.sqrt(2) / math.sqrt(2), 0.1)))


def test_a_single_row_has_importance_without_an_interval() -> None:
    (only,) = importance(np.ones((1, 1)), np.ones((1, 1)), ["a"])

    assert (only.low, only.high) == (None, None)


def test_the_table_of_importance_has_every_feature_and_the_page_the_leading_ones() -> None:
    arrays = table(30, 25)

    assert len(figure(portrait_of(arrays), "importance").rows) == 25
    assert len(figure(portrait_of(arrays), "importance").shown_rows) == 20
    assert len(figure(portrait_of(arrays, features="all"), "importance").shown_rows) == 25


def test_importance_is_that_of_the_slice() -> None:
    arrays = table(40)
    arrays["values"][:20] *= 3

    whole = portrait_of(arrays).importance[0]
    part = portrait_of(arrays, slice="f0", value="q1").importance[0]

    assert part.count == 10
    assert part.value != pytest.approx(whole.value)


# ------------------------------------------------------------------------------------------------------ dependence
def test_the_strongest_interaction_is_found_and_colours_the_dependence() -> None:
    page = portrait_of(table(300))

    drawn = figure(page, "dependence")

    assert page.dependence_feature == "f0"
    name, share = page.interactions[0]
    assert name == "f1"
    # The sign turns in the middle third of f1, so that thirds of it explain two thirds at most.
    assert 0.4 < share < 0.67
    assert drawn.columns[-1] == "f1"


def test_no_interaction_is_seen_where_there_is_none() -> None:
    arrays = table(300)
    page = portrait_of(arrays, feature="f2")

    assert page.interactions == []
    assert "goes with" not in figure(page, "dependence").caption


def test_too_few_rows_show_no_interaction() -> None:
    arrays = table(40)

    assert interactions(arrays["values"][:, 0, 0], arrays["data"], 0) is None


def test_a_feature_without_change_interacts_with_nothing() -> None:
    assert interactions(np.full(200, 3.0), np.random.default_rng(0).normal(size=(200, 3)), 0).tolist() == [0, 0, 0]


def test_a_feature_of_few_values_is_drawn_by_kinds_with_medians() -> None:
    drawn = figure(portrait_of(table(40), feature="f2", colour="f0"), "dependence")

    medians = {point["x"]: point["y"] for point in points(drawn, -1)}
    assert medians == {"0": -1.0, "1": 1.0}
    assert len({point["group"] for point in points(drawn, 1)}) == 3


def test_points_carry_their_error_where_it_is_asked_for() -> None:
    plain, with_errors = (
        figure(portrait_of(table(80), feature="f0", errors=errors), "dependence") for errors in ("", "1")
    )

    assert len(with_errors.spec["layer"]) == len(plain.spec["layer"]) + 1
    point = points(with_errors, 1)[0]
    assert point["high"] - point["low"] == pytest.approx(2 * 1.96 * 0.01)
    assert "95 % intervals" in with_errors.caption


@pytest.mark.parametrize("asked", [{"feature": "age"}, {"colour": "age"}])
def test_the_dependence_of_no_feature_is_told(asked: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="There is no feature 'age'"):
        _ = portrait_of(table(80), **asked).overall_figures


# ------------------------------------------------------------------------------------------------- rows beside rows
def test_rows_are_ordered_by_score_number_and_likeness() -> None:
    arrays = table(50)
    scores = arrays["scores"][:, 0]

    by_score = [row[1] for row in figure(portrait_of(arrays, order="score"), "rows").rows]
    by_number = [row[0] for row in figure(portrait_of(arrays, order="number"), "rows").rows]
    by_likeness = [row[1] for row in figure(portrait_of(arrays), "rows").rows]

    assert by_score == pytest.approx(sorted(scores))
    assert by_number == arrays["row_numbers"].tolist()
    assert np.corrcoef(by_likeness, np.arange(50))[0, 1] > 0.5


def test_an_order_that_is_not_there_is_told() -> None:
    with pytest.raises(NotFound, match="no order 'size'"):
        _ = portrait_of(table(50), order="size").overall_figures


def test_neighbouring_cells_of_one_colour_are_drawn_as_one() -> None:
    cells = figure(portrait_of(table(50), order="score"), "rows").spec["vconcat"][2]["data"]["values"]

    assert all(cell["right"] > cell["left"] for cell in cells)
    by_feature = [cell for cell in cells if cell["feature"] == "f2"]
    assert sum(cell["right"] - cell["left"] for cell in by_feature) == 50
    assert all(one["step"] != other["step"] for one, other in pairwise(by_feature))


def test_an_even_part_of_rows_begins_with_the_first_and_ends_with_the_last() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(101, 5).tolist() == [0, 25, 50, 75, 100]


# ----------------------------------------------------------------------------------------------------------- a row
def test_the_waterfall_leads_from_the_base_to_the_score_with_the_error_of_each_step() -> None:
    drawn = figure(portrait_of(three_rows(), row="31"), "waterfall")

    steps = points(drawn, 4)
    assert steps[0]["start"] == pytest.approx(0.1)
    assert steps[-1]["end"] == pytest.approx(0.1 - 2.4)
    assert [step["error"] for step in steps] == [0.6, 0.1]
    assert steps[0]["high"] - steps[0]["low"] == pytest.approx(2 * 1.96 * 0.6)


def test_a_single_row_has_importance_and_a_waterfall_only() -> None:
    arrays = {name: array[:1] if len(array) == 3 else array for name, array in three_rows().items()}

    assert [drawn.id for drawn in portrait_of(arrays).figures] == ["importance", "waterfall"]


def test_hostile_names_do_no_harm_in_a_drawing() -> None:
    arrays = table(80)
    arrays["feature_names"] = np.array(["</text><script>alert(1)</script>", "a.b[0]", "x" * 400])

    for drawn in portrait_of(arrays).figures:
        assert "<script" not in draw(drawn.spec)
