"""What changed between two explanations, saved from the page and from REST."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image
from rest_framework.test import APIClient

from audits.explained.exports import FORMATS
from audits.models import Explanation
from tests import attribution_files, factories
from tests.attribution_files import Arrays, table, three_rows

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"
REST = "/api/v1/explanations/compare/export/"
Pair = tuple[Explanation, Explanation]


@pytest.fixture
def browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def pair(before: Arrays, after: Arrays) -> Pair:
    dataset = factories.DatasetVersionFactory()
    return (
        attribution_files.explanation(before, dataset=dataset),
        attribution_files.explanation(after, dataset=dataset),
    )


def moved_pair(rows: int = 20) -> Pair:
    """Return two explanations between which the third feature of the third row moved by 0.5."""
    after = table(rows)
    after["values"][2, 2, 0] += 0.5
    return pair(table(rows), after)


def save(browser: Client, both: Pair, format: str, status: int = 200, **asked: Any) -> Any:
    response = browser.get(
        reverse("explanation-comparison-export", args=[format]), {"first": both[0].pk, "second": both[1].pk, **asked}
    )
    assert response.status_code == status
    return response


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_a_file_and_rest_gives_the_same_bytes(browser: Client, bob, format: str) -> None:
    first, second = pair(three_rows(), three_rows())
    api_client = APIClient()
    api_client.force_authenticate(bob)

    response = save(browser, (first, second), format, output="no")
    from_rest = api_client.get(REST, {"first": first.pk, "second": second.pk, "output": "no", "format": format})

    begin = f'attachment; filename="explanations-{first.pk}-and-{second.pk}'
    assert response["Content-Disposition"].startswith(begin)
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Content-Type"] == FORMATS[format]
    assert content(response) == content(from_rest) != b""


def test_csv_has_every_pair_of_values_with_the_error_of_the_change(browser: Client) -> None:
    lines = list(csv.DictReader(io.StringIO(content(save(browser, moved_pair(), "csv")).decode())))

    assert len(lines) == 20
    line = lines[2]
    assert (line["row"], line["id"]) == ("4", "item-2")
    assert float(line["change of f2"]) == pytest.approx(0.5)
    assert float(line["f2 now"]) - float(line["f2 before"]) == pytest.approx(0.5)
    assert float(line["standard error of the change of f2"]) == pytest.approx(np.hypot(0.01, 0.01))
    assert float(line["score now"]) - float(line["score before"]) == pytest.approx(0.5)


def test_npz_has_both_sides_and_the_same_bytes_each_time(browser: Client) -> None:
    both = moved_pair()
    first, again = (content(save(browser, both, "npz")) for _ in range(2))

    arrays = np.load(io.BytesIO(first), allow_pickle=False)
    assert (arrays["values_now"] - arrays["values_before"])[2] == pytest.approx([0, 0, 0.5])
    assert arrays["row_numbers"].tolist() == list(range(0, 40, 2))
    assert arrays["feature_names"].tolist() == ["f0", "f1", "f2"]
    assert first == again


def test_json_names_both_explanations_and_tells_what_changed(browser: Client) -> None:
    first, second = moved_pair()

    document = json.loads(content(save(browser, (first, second), "json")))

    assert [document[side]["digest"] for side in ("first", "second")] == [first.digest, second.digest]
    assert (
        document["largest_rows"][0] | {"row": 4, "feature": "f2", "is_beyond_error": True}
        == (document["largest_rows"][0])
    )
    assert [chart["id"] for chart in document["charts"]] == ["paired"]


def test_the_chart_is_saved_as_a_picture(browser: Client) -> None:
    both = moved_pair()

    assert Image.open(io.BytesIO(content(save(browser, both, "png", chart="paired")))).width > 600
    assert json.loads(content(save(browser, both, "vega")))["$schema"].startswith("https://vega.github.io/")


def test_the_html_file_fetches_nothing_and_leads_nowhere(browser: Client) -> None:
    after = table(20)
    after["feature_names"] = np.array(["f0", "f1", HOSTILE])
    before = {**table(20), "feature_names": after["feature_names"]}

    document = content(save(browser, pair(before, after), "html")).decode()

    assert "<script" not in document
    assert set(re.findall(r'(?:href|src|action)="([^"#][^"]*)"', document)) == set()
    assert "default-src &#x27;none&#x27;" in document
    assert "Not shown to differ" in document


def test_the_page_leads_to_every_format_with_its_output(browser: Client) -> None:
    first, second = pair(three_rows(), three_rows())

    page = browser.get(
        reverse("explanation-comparison"), {"first": first.pk, "second": second.pk, "output": "no"}
    ).content.decode()

    addresses = re.findall(r'href="([^"]*/explanations/compare/export\.[^"]+)"', page)
    assert {address.partition("?")[0].rpartition(".")[2] for address in addresses} == set(FORMATS)
    for address in addresses:
        assert "output=no" in address
        assert browser.get(address.replace("&amp;", "&")).status_code == 200


@pytest.mark.parametrize(
    ("format", "asked", "status"),
    [
        ("pdf", {}, 422),
        ("svg", {"chart": "../x"}, 422),
        ("csv", {"output": "perhaps"}, 404),
        ("csv", {"second": ""}, 422),
        ("csv", {"second": "0"}, 404),
        ("csv", {"second": "99999"}, 404),
        ("csv", {"second": "-1"}, 404),
        ("csv", {"second": HOSTILE}, 404),
    ],
)
def test_what_is_not_there_is_told_before_a_file_begins(
    browser: Client, format: str, asked: dict[str, str], status: int
) -> None:
    response = save(browser, moved_pair(), format, status, **asked)

    assert "Content-Disposition" not in response
    assert HOSTILE not in response.content.decode()


@pytest.mark.parametrize("asked", [{"format": "exe"}, {"second": "x"}, {"frist": 1}, {"second": 2**63}])
def test_rest_refuses_a_query_that_is_wrong(bob, asked: dict[str, Any]) -> None:
    first, second = moved_pair()
    api_client = APIClient()
    api_client.force_authenticate(bob)

    response = api_client.get(REST, {"first": first.pk, "second": second.pk, **asked})

    assert response.status_code in (400, 404, 422)
    assert response["Content-Type"] == "application/problem+json"


def test_explanations_that_cannot_be_compared_are_not_saved_either(browser: Client) -> None:
    one, other = attribution_files.explanation(table(9)), attribution_files.explanation(table(9))

    page = save(browser, (one, other), "csv", 409).content.decode()

    assert "other data" in page


def test_who_may_see_nothing_is_not_told_what_there_is(client: Client, carol) -> None:
    both = moved_pair()
    there = reverse("explanation-comparison-export", args=["csv"])
    assert client.get(there, {"first": both[0].pk, "second": both[1].pk}).status_code == 302
    client.force_login(carol)

    known = client.get(there, {"first": both[0].pk, "second": both[1].pk})
    unknown = client.get(there, {"first": 99_999, "second": 99_998})

    assert known.status_code == unknown.status_code == 404
