"""Pictures under their attributions, and the words of texts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from audits.explained.overlays import AGAINST, FOR, overlay_of, overlay_png, png
from governance.exceptions import NotFound
from tests.attribution_files import Arrays, image, npz, table, three_rows, tokens
from tests.audits.test_explained_rows import portrait_of

pytestmark = pytest.mark.django_db

PICTURES = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
PICTURES_FILE = npz({"pictures": PICTURES, "row_numbers": np.array([0, 1, 2])})


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


# -------------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_holds_the_pixels_it_was_made_of(channels: int) -> None:
    given = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)

    assert (pixels(png(given)).reshape(5, 7, channels) == given).all()


def test_the_overlay_tells_the_sign_by_colour_and_the_size_by_opacity() -> None:
    page = portrait_of(image(), files={"pictures.npz": PICTURES_FILE}, output="1", row="0")

    over = pixels(page.picture(page.overlays[0], is_over=True))

    assert over.shape == (8, 8, 4)
    assert (*over[0, 0][:3], over[0, 0, 3]) == (*FOR, 255)
    assert (*over[7, 7][:3], over[7, 7, 3]) == (*AGAINST, 128)
    assert over[3, 3, 3] == 0


def test_patches_that_do_not_divide_a_side_keep_their_place() -> None:
    row = portrait_of(image(side=4), output="1", row="0").found.row

    over = pixels(overlay_png(row, (4, 4), (10, 10), 3))

    assert over[2, 2, 3] == 255
    assert over[3, 3, 3] == 0
    assert over[8, 8, 3] == 0
    assert over[9, 9, 3] == 128


def test_an_explanation_of_nothing_is_transparent() -> None:
    arrays = image()
    arrays["values"][:] = 0
    row = portrait_of(arrays, output="1").found.row

    assert pixels(overlay_png(row, (4, 4), (8, 8), 2))[..., 3].max() == 0


def test_the_picture_beneath_is_the_one_of_the_row() -> None:
    page = portrait_of(image(), files={"pictures.npz": PICTURES_FILE}, row="2")

    assert page.overlays[0].row.number == 2
    assert (pixels(page.picture(page.overlays[0], is_over=False)) == PICTURES[2]).all()


def test_the_chosen_row_comes_first_and_rows_without_a_picture_are_left_out() -> None:
    two = npz({"pictures": PICTURES[:2], "row_numbers": np.array([0, 1])})
    with_picture = portrait_of(image(), files={"pictures.npz": two}, row="1")
    without = portrait_of(image(), files={"pictures.npz": two}, row="2")

    assert [overlay.row.number for overlay in with_picture.overlays] == [1, 0]
    assert [overlay.row.number for overlay in without.overlays] == [0, 1]
    with pytest.raises(NotFound, match="Row 2 has no picture"):
        overlay_of(without.shown, without.words, without.pictures, 2)


def test_the_sentence_of_an_overlay_tells_what_speaks_for_and_against() -> None:
    page = portrait_of(image(), files={"pictures.npz": PICTURES_FILE}, output="1", row="0")

    assert page.overlays[0].label.endswith("+1 in all that speaks for it, -0.5 against it.")


def test_an_image_without_pictures_is_a_heat_map() -> None:
    page = portrait_of(image())

    assert page.overlays == []
    assert page.row_figure.id == "heatmap"
    assert [figure.id for figure in page.figures] == ["classes", "heatmap"]
    with pytest.raises(NotFound, match="has no picture"):
        overlay_of(page.shown, page.words, page.pictures, 0)


def test_the_mean_of_each_class_is_over_the_rows_that_are_given_it_within_the_slice() -> None:
    arrays = image()
    arrays["predicted"] = np.array([0, 1, 1])
    arrays["values"][2] *= 3

    (whole,) = portrait_of(arrays).overall_figures
    (part,) = portrait_of(arrays, slice="target", value="0").overall_figures

    assert whole.rows == (("no", 1, "patch 0, 0", -1.0), ("yes", 2, "patch 0, 0", 2.0))
    assert part.rows == (("yes", 1, "patch 0, 0", 1.0),)
    assert "Half of the attribution lies on 1 of 16 patches." in part.caption


def test_images_without_classes_have_one_mean_of_all_rows() -> None:
    arrays = image()
    arrays["predicted"] = np.full(3, -1)

    (drawn,) = portrait_of(arrays, unit="brightness").overall_figures

    assert [row[:2] for row in drawn.rows] == [("no", 3), ("yes", 3)]


def test_one_score_for_two_classes_has_one_mean_of_all_rows() -> None:
    arrays = image()
    for name in ("values", "errors"):
        arrays[name] = arrays[name][..., 1:]
    arrays["base_values"], arrays["scores"] = np.zeros((3, 1)), np.ones((3, 1))
    arrays["output_numbers"], arrays["output_names"] = np.zeros((3, 1), dtype=np.int64), np.array(["yes"])

    (drawn,) = portrait_of(arrays, unit="log-odds of yes").overall_figures

    assert [row[:2] for row in drawn.rows] == [("yes", 3)]


# ----------------------------------------------------------------------------------------------------------- texts
def text(words: list[list[str]], values: list[list[float]]) -> tuple[Arrays, dict[str, bytes]]:
    """Return an explanation of one output of texts, each as long as the others with its padding."""
    arrays = table(len(words), len(words[0]))
    arrays["values"] = np.array(values)[:, :, None]
    file = tokens({int(number): row for number, row in zip(arrays["row_numbers"], words, strict=True)})
    return arrays, {"tokens.json": file}


def test_words_are_marked_by_sign_and_size_and_padding_is_left_out() -> None:
    arrays, files = text([["so", "very", "dull", "a", ""]], [[0.5, 1.0, -0.2, 0.01, 9.0]])

    shown = portrait_of(arrays, files=files).text

    assert shown is not None
    assert [(token.text, token.css) for token in shown.tokens] == [
        ("so", "tp2"),
        ("very", "tp3"),
        ("dull", "tm1"),
        ("a", ""),
    ]
    assert shown.tokens[2].said == "−0.20, standard error 0.01"
    assert [token.text for token in shown.largest_first(2)] == ["very", "so"]


def test_a_long_text_is_folded() -> None:
    arrays, files = text([["word"] * 400], [[1.0] * 400])

    shown = portrait_of(arrays, files=files).text

    assert shown is not None
    assert (len(shown.tokens), len(shown.folded)) == (150, 250)


def test_importance_of_words_is_over_their_occurrences() -> None:
    words = [["good", "bad", "once"], ["bad", "good", ""]]
    arrays, files = text(words, [[1.0, -3.0, 9.0], [-1.0, 2.0, 0.0]])
    page = portrait_of(arrays, files=files)

    assert [(entry.feature, entry.value, entry.count) for entry in page.importance] == [
        ("bad", 2.0, 2),
        ("good", 1.5, 2),
    ]
    assert page.text_words is not None
    assert [(word.text, word.mean) for word in page.text_words.towards] == [("good", 1.5)]
    assert [(word.text, word.mean) for word in page.text_words.against] == [("bad", -2.0)]
    assert page.overall_figures[0].columns[0] == "word"
    assert [figure.id for figure in page.overall_figures] == ["importance"]


def test_where_every_word_is_seen_once_they_are_all_kept() -> None:
    arrays, files = text([["good", "bad", "a"]], [[1.0, -3.0, 0.5]])

    entries = portrait_of(arrays, files=files).importance

    assert [entry.feature for entry in entries] == ["bad", "good", "a"]
    assert entries[0].low is None


def test_a_row_whose_words_were_not_kept_is_a_waterfall() -> None:
    page = portrait_of(three_rows(), files={"tokens.json": tokens({7: ["a", "b"]})}, row="18")

    assert page.text is None
    assert page.row_figure.id == "waterfall"
