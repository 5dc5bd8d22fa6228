"""What a page shows, saved from the page and from REST."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from audits.explained.exports import FORMATS
from audits.models import Explanation
from tests import attribution_files
from tests.attribution_files import image, npz, table, three_rows, tokens

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def save(browser: Client, explanation: Explanation, format: str, status: int = 200, **asked: Any) -> Any:
    response = browser.get(reverse("explanation-export", args=[explanation.pk, format]), asked)
    assert response.status_code == status
    return response


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_a_file_that_is_kept_and_not_opened(browser: Client, format: str) -> None:
    response = save(browser, attribution_files.explanation(three_rows()), format)

    assert response["Content-Disposition"].startswith('attachment; filename="explanation-')
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Content-Type"] == FORMATS[format]
    assert content(response)


@pytest.mark.parametrize("format", FORMATS)
def test_rest_gives_the_same_bytes(browser: Client, api_client, format: str) -> None:
    explanation = attribution_files.explanation(three_rows())

    response = api_client.get(f"/api/v1/explanations/{explanation.pk}/export/", {"format": format, "output": "0"})

    assert response.status_code == 200
    assert content(response) == content(save(browser, explanation, format, output="0"))


@pytest.fixture
def api_client(bob):
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(bob)
    return client


def test_csv_has_a_line_a_row_of_what_is_shown(browser: Client) -> None:
    response = save(
        browser, attribution_files.explanation(three_rows()), "csv", slice="target", value="yes", output="0"
    )

    lines = list(csv.DictReader(io.StringIO(content(response).decode())))
    assert [line["row"] for line in lines] == ["7", "31"]
    assert lines[1]["predicted"] == "no"
    assert (lines[0]["output"], lines[0]["target"]) == ("no", "yes")
    assert float(lines[0]["attribution of age"]) == pytest.approx(-1.33)
    assert float(lines[1]["standard error of age"]) == pytest.approx(0.6)
    assert float(lines[0]["value of income"]) == 31_200


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_text_of_a_csv_is_a_formula(browser: Client, start: str) -> None:
    arrays = three_rows()
    arrays["ids"] = np.array([f"{start}cmd()", "b", "c"])

    line = next(
        csv.DictReader(io.StringIO(content(save(browser, attribution_files.explanation(arrays), "csv")).decode()))
    )

    assert line["id"] == f"'{start}cmd()"


def test_npz_has_the_arrays_of_what_is_shown_and_the_same_bytes_each_time(browser: Client) -> None:
    explanation = attribution_files.explanation(three_rows())
    first, again = (content(save(browser, explanation, "npz", slice="target", value="yes")) for _ in range(2))

    arrays = np.load(io.BytesIO(first), allow_pickle=False)
    assert arrays["values"].shape == (2, 2)
    assert arrays["row_numbers"].tolist() == [7, 31]
    assert arrays["output_numbers"].tolist() == [1, 1]
    assert arrays["values"].sum(axis=1) + arrays["base_values"] == pytest.approx([2.0, -2.3])
    assert first == again


def test_npz_of_images_keeps_the_grid(browser: Client) -> None:
    arrays = np.load(io.BytesIO(content(save(browser, attribution_files.explanation(image()), "npz"))))

    assert arrays["values"].shape == (3, 4, 4)


def test_json_tells_verdict_choice_row_and_every_chart(browser: Client) -> None:
    explanation = attribution_files.explanation(table(80), unit="price")

    document = json.loads(content(save(browser, explanation, "json", row="6")))

    assert document["digest"] == explanation.digest
    assert document["admitted"] is True
    assert document["asked"] == {"row": "6"}
    assert (document["row"]["row"], document["row"]["id"]) == (6, "item-3")
    assert [chart["id"] for chart in document["charts"]] == [
        "importance",
        "beeswarm",
        "dependence",
        "rows",
        "waterfall",
    ]
    assert document["importance"][0]["feature"] == "f0"


def test_a_chart_is_saved_by_its_name(browser: Client) -> None:
    explanation = attribution_files.explanation(table(80), unit="price")

    spec = json.loads(content(save(browser, explanation, "vega", chart="dependence", feature="f2")))
    picture = Image.open(io.BytesIO(content(save(browser, explanation, "png", chart="rows"))))
    drawing = content(save(browser, explanation, "svg", chart="waterfall")).decode()

    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert "Attribution of f2" in spec["description"]
    assert picture.width > 1000
    assert drawing.startswith("<svg")
    assert "base" in drawing


@pytest.mark.parametrize(("format", "asked"), [("pdf", {}), ("svg", {"chart": "pie"}), ("svg", {"chart": "../x"})])
def test_a_format_or_chart_that_is_not_there_is_told(browser: Client, format: str, asked: dict[str, str]) -> None:
    save(browser, attribution_files.explanation(three_rows()), format, 422, **asked)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_not_there_is_told_before_a_file_begins(browser: Client, format: str) -> None:
    explanation = attribution_files.explanation(three_rows())

    save(browser, explanation, format, 404, output="9")
    save(browser, explanation, format, 404, slice="target", value="perhaps")


def test_an_explanation_without_values_cannot_be_saved(browser: Client, api_client) -> None:
    explanation = attribution_files.explanation(three_rows())
    Explanation.objects.update(files={})

    save(browser, explanation, "json", 409)
    assert api_client.get(f"/api/v1/explanations/{explanation.pk}/export/").status_code == 409


# ------------------------------------------------------------------------------------------------------------ HTML
class Addresses(HTMLParser):
    """Everything that a document would fetch, run or send."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "style")
        ]


def html(browser: Client, explanation: Explanation, **asked: Any) -> str:
    return content(save(browser, explanation, "html", **asked)).decode()


def test_the_html_file_fetches_and_runs_nothing(browser: Client) -> None:
    pictures = npz({"pictures": np.zeros((3, 8, 8, 1), dtype=np.uint8), "row_numbers": np.arange(3)})
    for explanation in (
        attribution_files.explanation(table(80), unit="price"),
        attribution_files.explanation(image(), files={"pictures.npz": pictures}),
        attribution_files.explanation(three_rows(), files={"tokens.json": tokens({7: ["so", "dull"]})}),
    ):
        document = Addresses(html(browser, explanation))

        assert not {"script", "form", "link", "iframe"} & set(document.tags)
        assert {address[:22] for address in document.fetched if not address.startswith("#")} <= {
            "data:image/png;base64,"
        }


def test_the_html_file_lets_in_its_own_style_only(browser: Client) -> None:
    document = html(browser, attribution_files.explanation(three_rows()))

    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', document)
    assert policy is not None
    assert "script-src" not in policy[1]
    assert policy[1].startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")


def test_the_html_file_says_which_slice_it_shows(browser: Client) -> None:
    document = html(browser, attribution_files.explanation(three_rows()), slice="target", value="yes")

    assert "Only rows where target is yes: 2 of 3." in document


def test_names_from_a_child_are_escaped_in_page_and_file(browser: Client) -> None:
    arrays = three_rows()
    arrays["feature_names"] = np.array([HOSTILE, "</style><b>"])
    arrays["ids"] = arrays["targets"] = np.array([HOSTILE] * 3)
    arrays["output_names"] = np.array([HOSTILE, "</text><script>"])
    explanation = attribution_files.explanation(arrays, files={"tokens.json": tokens({7: [HOSTILE, "x"]})})
    table_of_it = attribution_files.explanation(arrays)

    for found in (explanation, table_of_it):
        page = browser.get(reverse("explanation", args=[found.pk]), {"row": "7"}).content.decode()
        for document in (page, html(browser, found, row="7")):
            assert "<script>alert" not in document
            assert "</text><script>" not in document
            assert "<b>" not in document.replace("<figcaption><b>", "").replace("<b>What", "")
