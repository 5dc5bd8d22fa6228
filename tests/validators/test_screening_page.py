"""The section about screenings on the page of a data set version."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories, page_factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def page_of(browser: Client, version) -> str:
    response = browser.get(reverse("dataset-version", args=[version.dataset.name, version.number]))
    assert response.status_code == 200
    return response.content.decode()


def test_a_version_that_was_not_screened_says_how_it_would_be(browser: Client) -> None:
    page = page_of(browser, factories.DatasetVersionFactory())

    assert "Not screened yet." in page
    assert "POST /api/v1/screenings/" in page


def test_what_was_found_stands_in_one_table_with_what_is_recommended(browser: Client) -> None:
    version = factories.DatasetVersionFactory()
    screening = page_factories.screening(version)

    page = page_of(browser, version)

    assert f"Screening {screening.pk}, quality" in page
    assert "1 of 40 rows" in page
    assert "quarantine" in page
    assert '<use href="#m-queued"/></svg>found</span>' in page
    assert '<use href="#m-passed"/></svg>not found</span>' in page
    assert "999 lies 12.5 interquartile ranges above 110." in page
    assert reverse("file", args=[screening.rows_id, "rows.parquet"]) in page
    assert reverse("api:screening-plan", args=[screening.pk]) in page
    assert "in 1\N{NO-BREAK SPACE}step with these bounds" in page


def test_an_error_of_a_detector_is_shown_as_one(browser: Client) -> None:
    version = factories.DatasetVersionFactory()
    sentence = "The detector broke, so nothing is known: ValueError: no."
    page_factories.screening(version, detections=[page_factories.detection("mad", "error", sentence=sentence)])

    page = page_of(browser, version)

    assert sentence in page
    assert '<use href="#m-error"/></svg>error</span>' in page
    assert "A plan for cleaning" not in page


def test_names_and_reasons_of_the_data_are_text_and_are_cut(browser: Client) -> None:
    version = factories.DatasetVersionFactory()
    name = "<script>alert(1)</script>" + "x" * 500
    columns = [{"column": name, "score": 1.0, "reason": "<b>always</b> 1."}] * 30
    page_factories.screening(
        version,
        detections=[
            page_factories.detection("constant_columns", unit="columns", count=30, columns=columns, column_count=30)
        ],
    )

    page = page_of(browser, version)

    assert "<script>alert" not in page
    assert "&lt;b&gt;always&lt;/b&gt; 1." in page
    assert "x" * 100 not in page
    assert page.count("&lt;b&gt;always") == 8
    assert "and 22 more columns" in page


def test_the_newest_of_each_purpose_is_shown_and_the_others_are_listed(browser: Client) -> None:
    version, other = factories.DatasetVersionFactory(), factories.DatasetVersionFactory()
    old, new = page_factories.screening(version), page_factories.screening(version)
    drift = page_factories.screening(
        version,
        purpose="drift",
        against=other,
        detections=[page_factories.detection("table_drift", unit="tables", share=None)],
    )

    page = page_of(browser, version)

    assert f"Screening {new.pk}, quality" in page
    assert f"Screening {drift.pk}, drift against {other.ref}" in page
    assert f"Screening {old.pk}, quality" not in page
    assert "All 3\N{NO-BREAK SPACE}screenings of this version" in page


def test_screenings_take_the_same_number_of_queries_however_many(browser: Client, django_assert_num_queries) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    version = factories.DatasetVersionFactory()
    page_factories.screening(version)
    with CaptureQueriesContext(connection) as few:
        page_of(browser, version)
    for _ in range(8):
        page_factories.screening(version)

    with django_assert_num_queries(len(few)):
        page_of(browser, version)
