"""Comments on an explanation, on its rows and charts, and more rows, from the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Explanation, ExplanationComment
from tests import attribution_files, factories
from tests.attribution_files import three_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def explanation(db) -> Explanation:
    dataset = factories.DatasetVersionFactory(row_count=40)
    return attribution_files.explanation(three_rows(), dataset=dataset)


@pytest.fixture
def auditor(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def page_of(client: Client, explanation: Explanation) -> str:
    return client.get(reverse("explanation", args=[explanation.pk])).content.decode()


def say(client: Client, explanation: Explanation, text: str, about: str = "") -> str:
    form = {"text": text, "about": about, "next": reverse("explanation", args=[explanation.pk])}
    response = client.post(reverse("explanation-comment", args=[explanation.pk]), form, follow=True)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(
    ("about", "topic", "address"),
    [
        ("row 7", "on row 7", "?row=7#row"),
        ("chart rows", "on the heat map over rows", "#chart-rows"),
        ("chart importance", "on the importance", "#chart-importance"),
    ],
)
def test_a_comment_leads_to_the_row_or_chart_that_it_is_about(
    auditor: Client, explanation: Explanation, about: str, topic: str, address: str
) -> None:
    page = say(auditor, explanation, "Look at <this>.", about)

    assert "Look at &lt;this&gt;." in page
    assert f'<a href="{address}">{topic}</a>' in page


def test_a_comment_may_be_about_the_whole(auditor: Client, explanation: Explanation) -> None:
    say(auditor, explanation, "Good.")

    comment = ExplanationComment.objects.get()
    assert (comment.row, comment.chart, comment.by.username) == (None, "", "dave")


@pytest.mark.parametrize(
    ("text", "about", "said"),
    [
        ("", "", "A comment says something."),
        ("x", "row 40", "has no row 40"),
        ("x", "row -1", "about a row or a chart, not about &#x27;row&#x27;"),
        ("x", "chart pie", "has no chart &#x27;pie&#x27;"),
        ("x", "page 3", "not about &#x27;page&#x27;"),
    ],
)
def test_a_comment_about_nothing_is_told(
    auditor: Client, explanation: Explanation, text: str, about: str, said: str
) -> None:
    assert said in say(auditor, explanation, text, about)
    assert not ExplanationComment.objects.exists()


def test_the_form_offers_the_row_and_the_charts_that_are_shown(auditor: Client, explanation: Explanation) -> None:
    page = page_of(auditor, explanation)

    assert '<option value="row 18">row 18</option>' in page
    for chart in ("importance", "beeswarm", "dependence", "rows", "waterfall"):
        assert f'<option value="chart {chart}">' in page


def test_who_may_not_comment_or_ask_sees_closed_buttons_with_the_reason(
    client: Client, erin, explanation: Explanation
) -> None:
    client.force_login(erin)

    page = page_of(client, explanation)

    assert 'aria-describedby="comment-refusal">Comment</button>' in page
    assert 'aria-describedby="more-refusal">Explain them</button>' in page
    say(client, explanation, "x")
    assert not ExplanationComment.objects.exists()


def more(client: Client, explanation: Explanation, rows: str) -> Any:
    form = {"rows": rows, "next": reverse("explanation", args=[explanation.pk])}
    return client.post(reverse("explanation-more", args=[explanation.pk]), form, follow=True)


@pytest.mark.parametrize(("written", "rows"), [("20", 20), ("3, 5", [3, 5])])
def test_more_rows_are_an_explanation_that_leads_back(
    auditor: Client, explanation: Explanation, written: str, rows: Any
) -> None:
    page = more(auditor, explanation, written).content.decode()

    made = Explanation.objects.get(extends=explanation)
    assert made.parameters["rows"] == rows
    assert f"Explanation {made.pk} explains more rows" in page
    assert reverse("explanation", args=[made.pk]) in page_of(auditor, explanation)
    Explanation.objects.filter(pk=made.pk).update(admitted=True)
    assert "These are more rows of" in page_of(auditor, made)


@pytest.mark.parametrize("written", ["", "many", "0", "1.5"])
def test_more_rows_of_no_number_are_told(auditor: Client, explanation: Explanation, written: str) -> None:
    assert "rows: " in more(auditor, explanation, written).content.decode()
    assert not Explanation.objects.filter(extends=explanation).exists()
