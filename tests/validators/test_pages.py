"""The pages about data."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import DatasetState, JobState
from tests import factories, page_factories
from validators.models import Waiver


@pytest.fixture
def browser(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def page_of(browser: Client, version) -> str:
    response = browser.get(reverse("dataset-version", args=[version.dataset.name, version.number]))
    assert response.status_code == 200
    return response.content.decode()


def test_a_version_that_passed_says_so_first_and_that_training_is_open(browser: Client) -> None:
    version = factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    validation = page_factories.validation(version)

    page = page_of(browser, version)

    assert page.index("Passed, with 1 warning") < page.index("<h2>Columns</h2>") < page.index("<h2>Rows that fail")
    assert f"Validation {validation.pk} ran suite applicants-suite/3 on every row of this digest." in page
    assert "Training on it is open." in page
    assert "Values of age are between 18 and 100." in page
    assert "92.5\N{NO-BREAK SPACE}%" in page
    assert reverse("file", args=[validation.rows_id, "rows.parquet"]) in page


def test_a_version_that_failed_says_that_the_gate_is_closed_and_shows_errors_as_errors(browser: Client) -> None:
    version = factories.DatasetVersionFactory()
    broken = {
        **page_factories.SUITE_RESULTS[0],
        "status": "error",
        "unexpected_count": None,
        "unexpected_percent": None,
        "message": "The regex cannot be read: unterminated set at 4.",
    }
    page_factories.validation(version, results=[broken, page_factories.SUITE_RESULTS[1]], success=False)

    page = page_of(browser, version)

    assert "Failed</p>" in page
    assert "Training is closed." in page
    assert "The regex cannot be read: unterminated set at 4." in page
    assert '<span class="st failed"><svg aria-hidden="true"><use href="#m-failed"/></svg>closed</span>' in page
    assert '<use href="#m-error"/></svg>error</span>' in page


def test_a_waiver_is_shown_with_its_reason_and_its_end(browser: Client, bob) -> None:
    from datetime import timedelta

    from django.utils import timezone

    version = factories.DatasetVersionFactory()
    failed = {**page_factories.SUITE_RESULTS[1], "severity": "critical"}
    validation = page_factories.validation(version, results=[failed], success=False)
    Waiver.objects.create(
        validation=validation, reason="known & agreed", expires_at=timezone.now() + timedelta(days=3), granted_by=bob
    )

    page = page_of(browser, version)

    assert "Failed, waived" in page
    assert "Training is open by a waiver." in page
    assert "known &amp; agreed" in page


def test_a_version_without_a_validation_says_what_closes_training(browser: Client) -> None:
    page = page_of(browser, factories.DatasetVersionFactory())

    assert "Not validated" in page
    assert "Training is closed." in page


def test_an_import_shows_its_progress_and_a_rejected_upload_what_and_where(browser: Client) -> None:
    job = factories.JobFactory(
        kind="dataset_import", state=JobState.RUNNING, progress={"done": 1, "total": 4, "unit": "columns"}
    )
    importing = factories.DatasetVersionFactory(
        state=DatasetState.IMPORTING, schema=None, row_count=None, table=None, content_digest="", job=job
    )
    failed = page_factories.ended_job(
        "dataset_import",
        state=JobState.FAILED,
        error={
            "code": "ragged",
            "detail": "Line 7 has 4 cells; the header has 3.",
            "place": "line 7",
            "errored": False,
        },
    )
    rejected = factories.DatasetVersionFactory(
        state=DatasetState.REJECTED,
        state_reason="Line 7 has 4 cells; the header has 3.",
        schema=None,
        row_count=None,
        table=None,
        content_digest="",
        job=failed,
    )

    running, refused = page_of(browser, importing), page_of(browser, rejected)

    assert 'hx-get="' in running
    assert '<progress value="1" max="4"' in running
    assert "Rejected</p>" in refused
    assert "Where: <code>line 7</code>" in refused
    assert "hx-get" not in refused


def test_columns_are_parted_into_features_and_others_with_their_distribution(browser: Client) -> None:
    version = factories.DatasetVersionFactory(profile=page_factories.PROFILE)

    page = page_of(browser, version)

    features, others = page.index(">features<"), page.index(">not features<")
    assert features < page.index("<code>age</code>") < page.index("<code>income</code>") < others
    assert others < page.index("<code>repaid</code>")
    assert page.count("<rect") == 8 + 2
    assert "5.0\N{NO-BREAK SPACE}%" in page
    assert "312,000" in page
    assert "yes, 80.0\N{NO-BREAK SPACE}%" in page


def test_a_column_whose_name_is_hostile_is_escaped(browser: Client) -> None:
    name = "<img src=x onerror=alert(1)>"
    schema = {"modality": "tabular", "columns": {name: {"role": "feature", "type": "float"}}}
    version = factories.DatasetVersionFactory(
        schema=schema, filename='"><script>.csv', profile={name: {"most_frequent": name}}
    )

    page = page_of(browser, version)

    assert "<img" not in page
    assert "<script>.csv" not in page
    assert "&lt;img" in page


def test_a_cleaned_version_shows_what_left_and_what_is_left_to_do(browser: Client) -> None:
    before = factories.DatasetVersionFactory()
    page_factories.validation(before, success=False)
    cleaning = page_factories.cleaning(before)
    page_factories.validation(cleaning.cleaned_to, results=page_factories.SUITE_RESULTS[:1])

    page = page_of(browser, cleaning.cleaned_to)
    origin = page_of(browser, before)

    assert "40 = 37 + 3" in page
    assert '1 <span class="arrow" role="img" aria-label="to">→</span> 0' in page
    assert "Rows whose age is outside 18 to 100 were put aside." in page
    assert "Not met: age lies between 18 and 100." in page
    assert reverse("file", args=[cleaning.quarantine_id, "quarantine.parquet"]) in page
    assert reverse("dataset-version", args=[before.dataset.name, before.number]) in page
    assert f"{cleaning.cleaned_to.ref}</a>" in origin


def test_the_list_shows_the_newest_version_and_the_required_suite(browser: Client) -> None:
    version = factories.DatasetVersionFactory()
    page_factories.validation(version)

    page = browser.get(reverse("dataset-list")).content.decode()

    assert version.ref in page
    assert "applicants-suite/3" in page


def test_numbers_of_queries_do_not_grow(browser: Client, django_assert_max_num_queries) -> None:
    version = factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    addresses = [reverse("dataset-list"), reverse("dataset-version", args=[version.dataset.name, version.number])]

    def counts() -> list[int]:
        found = []
        for address in addresses:
            with django_assert_max_num_queries(40) as captured:
                browser.get(address)
            found.append(len(captured))
        return found

    page_factories.validation(version)
    page_factories.cleaning(version)
    factories.ModelVersionFactory(training_data=version)
    few = counts()
    for _ in range(4):
        page_factories.validation(version)
        page_factories.cleaning(version)
        factories.ModelVersionFactory(training_data=version)
        factories.DatasetVersionFactory()

    assert counts() == few


def test_a_version_that_is_not_there_is_not_found(browser: Client) -> None:
    response = browser.get(reverse("dataset-version", args=["nothing", 1]))

    assert response.status_code == 404
    assert b"There is no data set version nothing/1." in response.content
