"""Which output and rows a page shows, and which row it picks."""

from __future__ import annotations

import numpy as np
import pytest

from audits.explained import shown as showing
from audits.explained.asked import Asked
from audits.explained.one_row import NEIGHBOUR_FEATURES
from audits.explained.portrait import Portrait, portrait
from governance.exceptions import IntegrityFailure, NotFound
from tests import attribution_files, factories
from tests.attribution_files import Arrays, image, npz, table, three_rows

pytestmark = pytest.mark.django_db


def portrait_of(
    arrays: Arrays, *, files: dict[str, bytes] | None = None, unit: str = "logit of yes", **asked: str
) -> Portrait:
    made = portrait(attribution_files.explanation(arrays, files=files, unit=unit), Asked(**asked))
    assert made is not None
    return made


# -------------------------------------------------------------------------------------------------------- outputs
def test_of_two_outputs_the_second_is_shown_first() -> None:
    page = portrait_of(three_rows())

    assert page.outputs() == [("1", "yes", True), ("0", "no", False), ("predicted", "predicted class", False)]
    assert page.shown.values[0].tolist() == pytest.approx([1.33, 0.57])
    assert page.unit == "logit of yes"


def test_the_predicted_class_of_each_row_is_another_column() -> None:
    page = portrait_of(three_rows(), output="predicted")

    assert page.shown.columns.tolist() == [1, 0, 0]
    assert page.shown.values[1].tolist() == pytest.approx([0.07, 0.03])
    assert page.shown.base.tolist() == pytest.approx([0.1, -0.1, -0.1])


def test_of_many_outputs_the_one_that_most_rows_are_given_is_shown_first() -> None:
    arrays = three_rows()
    for name in ("values", "errors"):
        arrays[name] = np.concatenate([arrays[name], arrays[name][:, :, :1]], axis=2)
    arrays["base_values"] = np.zeros((3, 3))
    arrays["output_numbers"] = np.tile([0, 1, 2], (3, 1))
    arrays["output_names"] = np.array(["a", "b", "c"])
    arrays["scores"], arrays["predicted"] = np.eye(3), np.array([2, 2, 0])

    assert portrait_of(arrays).shown.output.name == "c"


def test_of_images_each_row_is_shown_for_its_predicted_class() -> None:
    assert portrait_of(image()).shown.output.key == "predicted"


def test_an_output_that_was_not_explained_is_told() -> None:
    with pytest.raises(NotFound, match=r"no explained output '7'; there are 1 \(yes\), 0 \(no\)"):
        _ = portrait_of(three_rows(), output="7").shown


# --------------------------------------------------------------------------------------------------------- slices
def test_rows_are_sliced_by_what_the_data_say() -> None:
    page = portrait_of(three_rows(), slice="target", value="yes")

    assert page.shown.attributions.row_numbers[page.shown.places].tolist() == [7, 31]


def test_rows_are_sliced_by_what_the_model_says() -> None:
    assert portrait_of(three_rows(), slice="predicted", value="0").shown.places.tolist() == [1, 2]


def test_rows_are_sliced_by_a_feature_of_few_values() -> None:
    page = portrait_of(table(40), slice="f2", value="1")

    assert page.shown.available == 20
    assert (page.shown.data[:, 2] == 1).all()


def test_quarters_of_a_feature_of_many_values_hold_every_row_once() -> None:
    arrays = table(101)
    places = [portrait_of(arrays, slice="f0", value=f"q{part}").shown.places for part in (1, 2, 3, 4)]

    assert sorted(np.concatenate(places).tolist()) == list(range(101))
    assert arrays["data"][places[0], 0].max() < arrays["data"][places[3], 0].min()


def test_the_slices_that_are_offered_can_all_be_asked_for() -> None:
    page = portrait_of(table(40))
    asked = [(name, key) for name, kinds in page.slices() for key, _, _ in kinds]

    assert {name for name, _ in asked} == {"f0", "f1", "f2"}
    assert all(portrait_of(table(40), slice=name, value=key).shown.row_count for name, key in asked)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("nothing", "1", "cannot be sliced by 'nothing'"),
        ("f2", "7", "has no value '7'; it has 0, 1"),
        ("f0", "q9", "has no value 'q9'"),
        ("target", "x", "it has none"),
    ],
)
def test_a_slice_that_is_not_there_is_told(name: str, value: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        _ = portrait_of(table(40), slice=name, value=value).shown


def test_of_more_than_a_page_holds_an_even_part_is_shown_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "MAX_VALUES", 60)

    page = portrait_of(table(100))

    assert page.shown.row_count == 20
    assert page.shown.available == 100
    assert page.shown.places[[0, -1]].tolist() == [0, 99]
    assert "20 rows of 100, evenly taken" in page.overall_figures[2].caption


def test_values_that_are_no_numbers_are_refused() -> None:
    arrays = three_rows()
    arrays["values"][0, 0, 1] = np.inf

    with pytest.raises(IntegrityFailure):
        _ = portrait_of(arrays).shown


# -------------------------------------------------------------------------------------------------------- one row
def test_a_row_is_found_by_its_number_and_by_its_name() -> None:
    assert portrait_of(table(40), row="6").found.row.place == 3
    assert portrait_of(table(40), row="item-3").found.row.place == 3
    assert portrait_of(table(2_000), row="3,998").found.row.place == 1_999


@pytest.mark.parametrize("row", ["7", "-1", "1e3", "٣", "item-99", "9" * 15])
def test_a_row_that_is_not_there_is_told(row: str) -> None:
    found = portrait_of(table(40), row=row).found

    assert found.problem.startswith(f"Row {row} is not among the 40 rows shown. The first are 0, 2, 4")


@pytest.mark.parametrize(("choose", "number"), [("boundary", 18), ("wrong", 31), ("error", 31)])
def test_a_row_is_chosen_by_what_it_is(choose: str, number: int) -> None:
    found = portrait_of(three_rows(), choose=choose).found

    assert (found.row.number, found.chosen) == (number, choose)


def test_only_choices_that_lead_somewhere_are_offered() -> None:
    assert [name for name, _ in portrait_of(table(40), unit="price").found.offered] == ["error"]
    assert [name for name, _ in portrait_of(three_rows()).found.offered] == ["boundary", "wrong", "error"]


def test_nearest_to_the_boundary_of_one_probability_is_near_a_half() -> None:
    arrays = table(3)
    arrays["scores"], arrays["predicted"] = np.array([[0.02], [0.55], [0.9]]), np.array([0, 1, 1])

    assert portrait_of(arrays, choose="boundary").found.row.place == 1


def test_what_the_data_say_is_written_as_a_class() -> None:
    arrays = three_rows()
    arrays["targets"] = np.array(["1", "no", ""])
    rows = [portrait_of(arrays, row=number).found.row for number in ("7", "18", "31")]

    assert [row.target for row in rows] == ["yes, as 1", "no", ""]
    assert [row.is_wrong for row in rows] == [False, False, False]


def test_the_predicted_class_of_a_job_is_named_for_each_row() -> None:
    arrays = three_rows()
    for name in ("values", "errors"):
        arrays[name] = arrays[name][:, :, 1:]
    arrays["base_values"] = arrays["base_values"][:, 1:]
    arrays["output_numbers"], arrays["output_names"] = np.array([[1], [0], [0]]), np.array(["predicted class"])

    row = portrait_of(arrays, unit="logit of the predicted class", row="18").found.row

    assert (row.output_name, row.unit) == ("no", "logit of no")


# -------------------------------------------------------------------------------------------------- nearest rows
def test_the_nearest_rows_stand_beside_the_row_in_its_leading_features() -> None:
    arrays = table(4, 12)
    near = {
        "row_numbers": np.array([[5, 6, -1]] * 4),
        "distances": np.array([[0.5, 0.75, np.nan]] * 4),
        "data": np.stack([np.full((3, 12), place) for place in range(4)]).astype(float),
    }
    near["data"][:, 2] = np.nan

    beside = portrait_of(arrays, files={"neighbours.npz": npz(near)}, row="item-2").neighbours_table()

    assert beside is not None
    assert beside["features"][:2] == sorted(("f0", "f2"), key=lambda name: -abs(arrays["values"][2, int(name[1]), 0]))
    assert len(beside["features"]) == NEIGHBOUR_FEATURES
    assert [line["name"] for line in beside["lines"]] == ["this row, item-2", "row 5", "row 6"]
    assert beside["lines"][2]["distance"] == 0.75
    assert beside["lines"][2]["values"] == [2.0] * NEIGHBOUR_FEATURES


def test_without_nearest_rows_there_is_no_table() -> None:
    assert portrait_of(three_rows()).neighbours_table() is None


def test_an_explanation_without_values_has_nothing_to_show() -> None:
    made = attribution_files.explanation(three_rows(), version=factories.ModelVersionFactory())
    made.files = {}

    assert portrait(made, Asked()) is None
