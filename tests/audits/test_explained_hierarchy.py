"""How a method joined the features: read, summed over branches, and drawn for one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from audits.attributions import read_attributions
from audits.explained.asked import Asked
from audits.explained.branches import Branches
from audits.explained.figures import Figure
from audits.explained.hierarchy import MAX_LEAVES
from audits.explained.portrait import Portrait, portrait
from governance.exceptions import IntegrityFailure
from tests import attribution_files
from tests.attribution_files import Arrays, image, npz, table, tokens
from workers.charts import draw

pytestmark = pytest.mark.django_db

#: ((0 1) (2 3)), joined at 0.1, 0.2 and 0.9.
FOUR = np.array([[0, 1, 0.1, 2], [2, 3, 0.2, 2], [4, 5, 0.9, 4]])
HOSTILE = "<script>alert(1)</script>"


def chain(count: int) -> np.ndarray:
    """Join each feature to all before it: the deepest tree that there is."""
    rows = [[0 if place == 0 else count + place - 1, place + 1, place + 1, place + 2] for place in range(count - 1)]
    return np.array(rows, dtype=np.float64)


def halves(side: int) -> np.ndarray:
    """Halve a square again and again along its longer side, as the method does."""
    rows: list[list[float]] = []

    def join(numbers: np.ndarray) -> int:
        if numbers.size == 1:
            return int(numbers[0, 0])
        axis = int(np.argmax(numbers.shape))
        first, second = (join(part) for part in np.split(numbers, 2, axis=axis))
        rows.append([first, second, numbers.size / side**2, numbers.size])
        return side**2 + len(rows) - 1

    join(np.arange(side**2).reshape(side, side))
    return np.array(rows)


def page_of(arrays: Arrays, linkage: np.ndarray, *, files: dict[str, bytes] | None = None, **asked: str) -> Portrait:
    made = portrait(attribution_files.explanation({**arrays, "hierarchy": linkage}, files=files), Asked(**asked))
    assert made is not None
    return made


def figure_of(page: Portrait) -> Figure:
    assert page.hierarchy_figure is not None
    draw(page.hierarchy_figure.spec)
    return page.hierarchy_figure


# -------------------------------------------------------------------------------------------------------- branches
def test_the_values_of_a_branch_are_summed() -> None:
    branches = Branches.of(FOUR)

    assert branches.sums(np.array([1.0, 2.0, -4.0, 0.5])).tolist() == [1, 2, -4, 0.5, 3, -3.5, -0.5]
    assert [branches.features(number) for number in (4, 5, 6)] == [[0, 1], [2, 3], [0, 1, 2, 3]]
    assert branches.sizes.tolist() == [1, 1, 1, 1, 2, 2, 4]


def test_the_weightiest_branches_are_parted_first_and_every_feature_is_in_one() -> None:
    branches = Branches.of(FOUR)
    weights = branches.sums(np.array([0.0, 0.1, 5.0, 4.0]))

    assert branches.cut(weights, 3) == [4, 2, 3]
    assert branches.cut(weights, 99) == [0, 1, 2, 3]
    assert branches.cut(weights, 1) == [6]


def test_levels_part_the_whole_and_keep_single_features() -> None:
    branches = Branches.of(chain(4))

    assert branches.level(1) == [5, 3]
    assert branches.level(9) == [0, 1, 2, 3]


def test_the_deepest_tree_needs_no_deep_calls() -> None:
    branches = Branches.of(chain(20_000))

    assert branches.sums(np.ones(20_000))[-1] == 20_000
    assert len(branches.cut(branches.sums(np.ones(20_000)), 30)) == 30


# --------------------------------------------------------------------------------------------------------- figures
def test_a_table_is_a_dendrogram_with_the_sum_of_each_branch() -> None:
    page = page_of(table(40, 4), FOUR, row="item-5")
    values = table(40, 4)["values"][5, :, 0]

    figure = figure_of(page)

    by_name = {name: (count, distance, total) for name, count, distance, total in figure.rows}
    assert by_name["f0, f1"] == (2, 0.1, pytest.approx(values[0] + values[1]))
    assert by_name["f0, f1 and 2 more"] == (4, 0.9, pytest.approx(values.sum()))
    assert len(figure.rows) == 7
    assert figure.caption.startswith("Of ")
    assert "1 less the size of the correlation" in draw(figure.spec)


def test_sign_is_told_by_the_line_and_the_number_and_not_by_colour_alone() -> None:
    drawing = draw(figure_of(page_of(table(40, 4), FOUR, row="item-4")).spec)

    assert "stroke-dasharray" in drawing
    assert "(broken line)" in drawing
    assert "\N{MINUS SIGN}1.0" in drawing


def test_of_many_features_those_that_add_least_stay_together() -> None:
    figure = figure_of(page_of(table(40, 60), chain(60)))

    leaves = figure.spec["layer"][-1]["data"]["values"]
    assert len(leaves) == MAX_LEAVES
    assert "not parted further" in figure.caption
    assert max(count for _, count, _, _ in figure.rows) == 60


def test_a_text_is_named_by_its_words() -> None:
    arrays = table(3, 4)
    page = page_of(arrays, FOUR, files={"tokens.json": tokens({0: ["so", "very", "dull", ""]})}, row="0")

    names = [name for name, *_ in figure_of(page).rows]

    assert set(names) == {
        "“so” (1)", "“very” (2)", "“dull” (3)", "no word (4)", "“so very” (1 to 2)", "“dull” (3 to 4)",
        "“so very dull” (1 to 4)",
    }  # fmt: skip
    assert "share of the text" in draw(figure_of(page).spec)


def test_an_image_is_parted_into_nested_regions() -> None:
    figure = figure_of(page_of(image(), halves(4)))

    levels = figure.spec["vconcat"][1]["concat"]
    assert [panel["title"]["text"] for panel in levels] == ["2 regions", "4 regions", "8 regions", "16 regions"]
    top = {name: total for name, _, _, total in figure.rows}
    # What speaks for the class of the row lies in the upper left corner, what speaks against it in the lower right.
    assert top["rows 1 to 2, columns 1 to 4"] == pytest.approx(1.0)
    assert top["rows 3 to 4, columns 1 to 4"] == pytest.approx(-0.5)
    assert figure.is_wide


def test_branches_of_an_image_that_are_no_rectangles_are_a_dendrogram() -> None:
    assert "layer" in figure_of(page_of(image(), chain(16))).spec


def test_methods_without_a_hierarchy_and_single_features_have_no_such_chart() -> None:
    made = portrait(attribution_files.explanation(table(40)), Asked())
    assert made is not None
    assert made.hierarchy_figure is None
    assert "hierarchy" not in [figure.id for figure in made.figures]

    arrays = table(40)
    one = {name: array[:, :1] if name in ("values", "errors", "data") else array for name, array in arrays.items()}
    assert page_of({**one, "feature_names": np.array(["f0"])}, np.zeros((0, 4))).hierarchy_figure is None


def test_the_page_draws_it_and_it_can_be_saved_and_commented(client: Client, bob) -> None:
    explanation = attribution_files.explanation({**table(40, 4), "hierarchy": FOUR})
    client.force_login(bob)

    page = client.get(reverse("explanation", args=[explanation.pk])).content.decode()
    saved = client.get(reverse("explanation-export", args=[explanation.pk, "svg"]), {"chart": "hierarchy"})

    assert 'id="chart-hierarchy"' in page
    assert 'href="#hierarchy"' in page
    assert '<option value="chart hierarchy">' in page
    assert b"".join(saved.streaming_content).startswith(b"<svg")


# --------------------------------------------------------------------------------------------------------- hostile
def broken(**changes: Any) -> np.ndarray:
    linkage = FOUR.copy()
    for place, value in changes.items():
        row, column = map(int, place.removeprefix("at_").split("_"))
        linkage[row, column] = value
    return linkage


@pytest.mark.parametrize(
    ("linkage", "said"),
    [
        (broken(at_0_0=1), "no tree"),
        (broken(at_0_0=5, at_2_1=0), "no tree"),
        (broken(at_0_0=0.5), "no tree"),
        (broken(at_2_1=6), "no tree"),
        (broken(at_0_0=-1), "no tree"),
        (broken(at_1_2=-0.1), "a distance that is none"),
        (broken(at_1_2=np.nan), "a distance that is none"),
        (broken(at_1_2=np.inf), "a distance that is none"),
        (FOUR[:2], "has the shape"),
        (FOUR[:, :3], "has the shape"),
        (FOUR.astype(np.int64), "is of the type"),
    ],
)
def test_a_hierarchy_that_no_method_writes_is_refused(linkage: np.ndarray, said: str) -> None:
    stored = attribution_files.stored(npz({**table(40, 4), "hierarchy": linkage}))

    with pytest.raises(IntegrityFailure, match=said):
        read_attributions(stored.digest)


def test_hostile_names_stay_text(client: Client, bob) -> None:
    arrays = {**table(40, 4), "feature_names": np.array([HOSTILE, "</text><script>", "b", "c"]), "hierarchy": FOUR}
    explanation = attribution_files.explanation(arrays)
    client.force_login(bob)

    page = client.get(reverse("explanation", args=[explanation.pk]))

    assert page.status_code == 200
    assert "<script>alert" not in page.content.decode()
    assert "</text><script>" not in page.content.decode()
