"""The pages of explanations in a browser: a table, images and texts, by eye, by keyboard and without a script."""

from __future__ import annotations

import numpy as np
import pytest
from django.urls import reverse

from audits.models import Explanation
from tests import attribution_files, factories
from tests.attribution_files import image, npz, table, three_rows, tokens

NARROW_DARK = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def of_a_table() -> Explanation:
    return attribution_files.explanation(table(80, 12), unit="price")


def of_images() -> Explanation:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    return attribution_files.explanation(
        image(), files={"pictures.npz": npz({"pictures": pictures, "row_numbers": np.arange(3)})}
    )


def of_texts() -> Explanation:
    arrays = table(1, 300)
    return attribution_files.explanation(
        arrays, files={"tokens.json": tokens({0: ["word", "dull", "bright"] * 100})}, unit="logit of good"
    )


def of_branches() -> Explanation:
    linkage = np.array([[0, 1, 0.1, 2], [2, 3, 0.2, 2], [4, 5, 0.9, 4]])
    version = factories.ModelVersionFactory(model__name="breast-cancer-of-one-hospital-pytorch")
    return attribution_files.explanation({**table(80, 4), "hierarchy": linkage}, unit="price", version=version)


def address(explanation: Explanation, asked: str = "") -> str:
    return reverse("explanation", args=[explanation.pk]) + asked


@pytest.mark.parametrize("visit", [{}, NARROW_DARK], ids=["wide", "narrow and dark"], indirect=True)
def test_every_kind_of_explanation_is_shown_without_complaint(signed_in, live_server) -> None:
    dataset = factories.DatasetVersionFactory()
    first, second = (attribution_files.explanation(three_rows(), dataset=dataset) for _ in range(2))
    addresses = [
        address(of_a_table(), "?features=all&errors=1&feature=f2"),
        address(of_images()),
        address(of_texts()),
        address(of_branches()),
        reverse("explanation-request"),
        reverse("explanation-comparison"),
        f"{reverse('explanation-comparison')}?first={first.pk}&second={second.pk}",
    ]
    for place in addresses:
        assert signed_in.page.goto(live_server.url + place).status == 200
        width = signed_in.page.evaluate("document.documentElement.scrollWidth")
        assert width <= signed_in.page.viewport_size["width"], place

    assert signed_in.problems == []
    assert signed_in.elsewhere == []


def test_a_slider_shows_and_hides_what_lies_over_a_picture(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + address(of_images()))
    over = page.locator(".over").first
    slider = page.locator("input[type=range]")

    assert not page.locator(".shade .steps").is_visible()
    slider.focus()
    page.keyboard.press("Home")
    assert over.evaluate("element => getComputedStyle(element).opacity") == "0"
    page.keyboard.press("End")
    assert over.evaluate("element => getComputedStyle(element).opacity") == "1"
    assert page.locator(".shade output").inner_text() == "100 %"
    assert page.locator(".stack img").evaluate_all("images => images.every(image => image.naturalWidth === 8)")
    assert signed_in.problems == []


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], ids=["no script"], indirect=True)
def test_without_a_script_three_steps_do_the_same(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + address(of_images()))

    assert not page.locator("input[type=range]").is_visible()
    page.locator("input[value=none]").check()
    assert page.locator(".over").first.evaluate("element => getComputedStyle(element).opacity") == "0"


def test_a_token_tells_its_number_when_it_is_reached_by_keyboard(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + address(of_texts()))
    token = page.locator(".token").first

    token.focus()

    said = token.evaluate("element => getComputedStyle(element, '::after').content")
    assert said == f'"{token.get_attribute("data-said")}"'
    assert token.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_a_row_and_a_feature_are_chosen_with_the_forms_of_the_page(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + address(of_a_table()))

    page.get_by_label("Row or name").fill("item-5")
    page.locator(".rowpick").filter(has=page.locator("#row-number")).get_by_role("button").click()
    page.get_by_label("Dependence of").select_option("f2")
    page.locator(".beside").get_by_role("button").click()

    assert page.locator("#row h2").inner_text() == "One row: item-5"
    assert "f2" in page.locator("#chart-dependence figcaption").inner_text()
    assert signed_in.problems == []


def test_every_value_of_a_row_has_its_error_in_sight(signed_in, live_server) -> None:
    """Also beside features whose names are as long as those of real tables."""
    names = np.array([f"worst_fractal_dimension_{place}" for place in range(12)])
    explanation = attribution_files.explanation({**table(80, 12), "feature_names": names}, unit="price")
    page = signed_in.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(live_server.url + address(explanation))
    shown, wanted = page.locator("#row .scroll.apart").evaluate("box => [box.clientWidth, box.scrollWidth]")
    assert wanted <= shown
