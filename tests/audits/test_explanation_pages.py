"""The page of an explanation for each kind of data, its pictures, and the form that asks for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from audits.explained.asked import Asked
from audits.models import Explanation
from governance.models import Job
from tests import attribution_files, factories
from tests.attribution_files import image, npz, stored, table, three_rows, tokens

pytestmark = pytest.mark.django_db

PICTURES = npz({"pictures": np.zeros((3, 8, 8, 3), dtype=np.uint8), "row_numbers": np.arange(3)})


@pytest.fixture
def browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def get(browser: Client, explanation: Explanation, status: int = 200, **asked: Any) -> str:
    response = browser.get(reverse("explanation", args=[explanation.pk]), asked)
    assert response.status_code == status
    return response.content.decode()


# ---------------------------------------------------------------------------------------------------------- choices
def test_an_address_keeps_the_other_choices_of_the_page() -> None:
    asked = Asked.from_query({"output": "1", "row": " 7 ", "feature": "a&b", "next": "/x"})

    assert asked.query(row="", choose="error") == "?output=1&feature=a%26b&choose=error"
    assert Asked.from_query({"row": "9" * 1000}).row == "9" * 500


def test_the_page_of_a_table_has_every_chart_with_its_numbers(browser: Client) -> None:
    page = get(browser, attribution_files.explanation(table(80), unit="price"))

    for id in ("importance", "beeswarm", "dependence", "rows", "waterfall"):
        assert f'id="chart-{id}"' in page
        assert f"chart={id}" in page
    assert page.count("The numbers of this chart</summary>") == 5
    assert page.count('role="img"') == 5


def test_links_and_forms_of_the_page_keep_what_was_chosen(browser: Client) -> None:
    page = get(browser, attribution_files.explanation(three_rows()), output="0", slice="target", value="yes")

    assert "Rows where target is yes: 2 of 3" in page
    assert "?output=0&amp;slice=target&amp;value=yes&amp;choose=error#row" in page
    assert '<input type="hidden" name="slice" value="target">' in page
    assert 'aria-current="true">no</a>' in page


def test_many_outputs_are_chosen_from_a_list(browser: Client) -> None:
    arrays = three_rows()
    for name in ("values", "errors"):
        arrays[name] = np.tile(arrays[name], (1, 1, 6))
    arrays["base_values"] = np.zeros((3, 12))
    arrays["output_numbers"] = np.tile(np.arange(12), (3, 1))
    arrays["output_names"] = np.array([f"class {place}" for place in range(12)])
    arrays["scores"] = np.tile(np.arange(12.0), (3, 1))

    page = get(browser, attribution_files.explanation(arrays))

    assert '<select id="output" name="output">' in page
    assert '<option value="5">class 5</option>' in page


@pytest.mark.parametrize(
    "asked",
    [{"output": "9"}, {"slice": "x", "value": "y"}, {"feature": "x"}, {"order": "x"}, {"choose": "nicest"}],
    ids=["output", "slice", "feature", "order", "choice"],
)
def test_what_is_not_there_is_a_page_that_says_so(browser: Client, asked: dict[str, str]) -> None:
    assert "problem" in get(browser, attribution_files.explanation(table(80)), 404, **asked)


def test_a_damaged_file_is_a_page_that_says_what_is_wrong(browser: Client) -> None:
    explanation = attribution_files.explanation(three_rows())
    Explanation.objects.update(files={"attributions.npz": stored(b"no zip").digest})

    assert "The attributions of this explanation cannot be read" in get(browser, explanation, 500)


def test_an_explanation_whose_values_are_gone_still_shows_its_verdict(browser: Client) -> None:
    explanation = attribution_files.explanation(three_rows())
    Explanation.objects.update(files={})

    page = get(browser, explanation)

    assert "Admitted</p>" in page
    assert "no values that a page could show" in page


# ----------------------------------------------------------------------------------------------- pictures and words
def test_the_page_of_an_image_lays_its_values_over_the_picture(browser: Client) -> None:
    explanation = attribution_files.explanation(image(), files={"pictures.npz": PICTURES})

    page = get(browser, explanation, output="1", row="2")

    address = reverse("explanation-picture", args=[explanation.pk, 2, "over"])
    assert f'<img class="over" src="{address}?output=1"' in page
    assert page.count('type="radio" name="shade"') == 3
    assert 'type="range"' in page
    assert "overlays.js" in page
    assert "+1 in all that speaks for it" in page


@pytest.mark.parametrize("kind", ["picture", "over"])
def test_pictures_are_sent_as_png(browser: Client, kind: str) -> None:
    explanation = attribution_files.explanation(image(), files={"pictures.npz": PICTURES})

    response = browser.get(reverse("explanation-picture", args=[explanation.pk, 1, kind]))

    assert response["Content-Type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    assert "immutable" in response["Cache-Control"]


def test_the_picture_of_a_class_is_that_class(browser: Client) -> None:
    explanation = attribution_files.explanation(image(), files={"pictures.npz": PICTURES})
    address = reverse("explanation-picture", args=[explanation.pk, 1, "over"])

    assert browser.get(address, {"output": "0"}).content != browser.get(address, {"output": "1"}).content


@pytest.mark.parametrize(("row", "kind"), [(99, "picture"), (1, "under")])
def test_a_picture_that_is_not_there_is_not_found(browser: Client, row: int, kind: str) -> None:
    explanation = attribution_files.explanation(image(), files={"pictures.npz": PICTURES})

    assert browser.get(reverse("explanation-picture", args=[explanation.pk, row, kind])).status_code == 404


def test_the_words_of_a_text_can_be_read_without_colour_and_without_sight(browser: Client) -> None:
    arrays = table(1)
    arrays["values"] = np.array([[[0.9], [-1.0], [0.0]]])
    files = {"tokens.json": tokens({0: ["bright", "dull", "and"]})}

    page = get(browser, attribution_files.explanation(arrays, files=files, unit="logit of good"))

    assert 'class="token tm3" tabindex="0" data-said="−1.00, standard error 0.01"' in page
    assert '<span class="hidden"> +0.90, standard error 0.01</span>' in page
    assert 'aria-label="Legend"' in page


# -------------------------------------------------------------------------------------------------------- asking
@pytest.fixture
def things(db) -> tuple[Any, Any]:
    dataset = factories.DatasetVersionFactory()
    return factories.ModelVersionFactory(training_data=dataset), dataset


def test_the_form_proposes_versions_data_and_methods(client: Client, dave, things) -> None:
    version, dataset = things
    client.force_login(dave)

    page = client.get(reverse("explanation-request"), {"model": version.ref}).content.decode()

    assert f'name="model" list="ask-models" value="{version.ref}"' in page
    assert f"<option>{dataset.ref}</option>" in page
    assert '<option value="permutation" selected>' in page
    assert 'name="maximum_coalitions" value="" min="2" max="16384"' in page
    assert "<button>Ask for it</button>" in page


def ask(client: Client, **form: str) -> Any:
    return client.post(reverse("explanation-ask"), {"next": reverse("explanation-request"), **form}, follow=True)


def test_the_form_starts_what_it_asks_for(client: Client, dave, things) -> None:
    version, dataset = things
    client.force_login(dave)

    response = ask(
        client,
        model=version.ref,
        dataset=dataset.ref,
        rows="3, 5 8",
        outputs="predicted",
        tolerance="0.1",
        maximum_sweeps="8",
        maximum_coalitions="",
        background="",
    )

    made = Explanation.objects.get()
    assert response.redirect_chain[0][0] == reverse("explanation", args=[made.pk])
    assert made.parameters["rows"] == [3, 5, 8]
    assert made.parameters["outputs"] == "predicted"
    assert made.parameters["tolerance"] == 0.1
    assert made.parameters["maximum_sweeps"] == 8
    assert "maximum_coalitions" not in made.parameters
    assert made.background == dataset
    assert "is asked for" in response.content.decode()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"dataset": "nothing/9"}, "dataset: "),
        ({"method": "guess"}, "method: "),
        ({"rows": "many"}, "rows: "),
        ({"tolerance": "7"}, "tolerance: "),
        ({"background_rows": "0"}, "background rows: "),
        ({"maximum_sweeps": "0"}, "maximum sweeps: "),
        ({"maximum_sweeps": "all"}, "maximum sweeps: "),
    ],
)
def test_what_cannot_be_asked_for_is_told_on_the_form(
    client: Client, dave, things, form: dict[str, str], said: str
) -> None:
    version, dataset = things
    client.force_login(dave)

    response = ask(client, **{"model": version.ref, "dataset": dataset.ref, **form})

    page = response.content.decode()
    assert "The explanation was not asked for." in page
    assert said in page
    assert not Job.objects.filter(kind="explanation").exists()


def test_who_may_not_ask_sees_why_and_is_refused(browser: Client, things) -> None:
    version, dataset = things

    page = browser.get(reverse("explanation-request")).content.decode()
    refused = ask(browser, model=version.ref, dataset=dataset.ref)

    assert 'aria-disabled="true" aria-describedby="ask-refusal"' in page
    assert not Explanation.objects.exists()
    assert 'class="error"' in refused.content.decode()
