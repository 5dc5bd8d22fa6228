"""The cleaning on the page of a version: before and after, what left and what changed by rule, rows put back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from governance.presentation.small import compared_histograms
from tests import factories, page_factories
from validators.models import Cleaning, Restoration
from validators.views.columns import figure

REASON = "The birth date was checked against the register."


@pytest.fixture
def cleaning(alice: User) -> Cleaning:
    return page_factories.cleaning(factories.DatasetVersionFactory(profile=page_factories.PROFILE))


def page_of(user: User, cleaning: Cleaning, query: str = "", *, version: Any = None) -> str:
    client = Client()
    client.force_login(user)
    version = version or cleaning.cleaned_to
    response = client.get(reverse("dataset-version", args=[version.dataset.name, version.number]) + query)
    assert response.status_code == 200
    return response.content.decode()


def part(page: str, name: str) -> str:
    """Return what stands under a heading of the section, up to the next one."""
    return re.split(r"<h3", page[page.index(f'<h3 class="apart" id="{name}"') + 3 :])[0]


def test_rows_that_left_and_cells_that_changed_stand_there_with_their_reasons(cleaning: Cleaning, dave: User) -> None:
    page = page_of(dave, cleaning)

    assert "2 by quarantine, 1 by drop)" in page
    removed, changed = part(page, "removed"), part(page, "changed")
    assert re.findall(r'class="num">(\d+)</th>', removed) == ["4", "9", "31"]
    assert "Not met: age is there; age lies between 18 and 100." in removed
    assert "&lt;b&gt;no&lt;/b&gt;" in removed
    assert changed.count("<tr>") == 4
    assert '<td class="num">130</td><td class="num">100</td><td>Clipped to at most 100.</td>' in changed
    assert '<td class="num">missing</td><td class="num">38400</td>' in changed


def test_a_step_and_a_column_filter_both(cleaning: Cleaning, dave: User) -> None:
    by_step, by_column = page_of(dave, cleaning, "?step=1"), page_of(dave, cleaning, "?column=income")

    assert re.findall(r'class="num">(\d+)</th>', part(by_step, "removed")) == ["31"]
    assert "No cell that was asked for was changed." in by_step
    assert "only what step 1 named" in by_step
    assert re.findall(r'class="num">(\d+)</th>', part(by_column, "changed")) == ["2", "7"]


def test_parts_lead_to_each_other_and_nonsense_counts_as_not_given(
    cleaning: Cleaning, dave: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validators.views.cleaning.LINES_ON_PAGE", 2)

    first = page_of(dave, cleaning, "?removed=x&step=-1&changed=%00")
    second = page_of(dave, cleaning, "?removed=2&column=income")

    assert re.findall(r'class="num">(\d+)</th>', part(first, "removed")) == ["4", "9"]
    assert 'removed=2&amp;changed=%00#removed" rel="next"' in first
    assert re.findall(r'class="num">(\d+)</th>', part(second, "removed")) == ["31"]
    assert 'href="?column=income&amp;removed=0#removed" rel="prev"' in second


def test_columns_that_changed_are_drawn_on_one_scale(cleaning: Cleaning, dave: User) -> None:
    before = {**page_factories.PROFILE, "age": {**page_factories.PROFILE["age"], "missing": 8, "median": 40}}
    type(cleaning.dataset).objects.filter(pk=cleaning.dataset_id).update(profile=before)

    page = page_of(dave, cleaning)
    table = page[page.index("Columns before and after") :].split("</table>")[0]

    assert re.findall(r"<code>(\w+)</code>", table) == ["income", "age"]
    assert '40 <span class="arrow" role="img" aria-label="to">→</span> 42' in table
    assert table.count("<svg") == 2


def test_the_owner_puts_rows_back_by_the_form_and_the_new_version_says_why(cleaning: Cleaning, alice: User) -> None:
    client = Client()
    client.force_login(alice)

    answer = client.post(
        reverse("cleaning-restore", args=[cleaning.pk]), {"rows": ["4", "31"], "reason": REASON, "next": "/"}
    )

    assert answer["Location"].endswith("#cleaning")
    restoration = Restoration.objects.get()
    assert (restoration.rows, restoration.reason, restoration.created_by) == ([4, 31], REASON, alice)
    restoration.job.state = "failed"
    restoration.job.save()
    made = page_factories.restoration(cleaning, rows=[9])
    assert "is back" in part(page_of(alice, cleaning), "removed")
    page = page_of(alice, cleaning, version=made.restored_to)
    assert f"Restoration {made.pk} put 1\N{NO-BREAK SPACE}row back" in page
    assert REASON in page


@pytest.mark.parametrize("rows", [[], ["5"], ["four"]])
def test_a_form_that_asks_for_nothing_or_for_what_did_not_leave_is_refused(
    cleaning: Cleaning, alice: User, rows: list[str]
) -> None:
    client = Client()
    client.force_login(alice)

    answer = client.post(
        reverse("cleaning-restore", args=[cleaning.pk]), {"rows": rows, "reason": REASON, "next": "/x"}
    )

    assert answer["Location"] == "/x"
    assert [message.level_tag for message in get_messages(answer.wsgi_request)] == ["error"]
    assert not Restoration.objects.exists()


def test_an_approver_sees_why_the_form_is_closed(cleaning: Cleaning, bob: User) -> None:
    page = page_of(bob, cleaning)
    client = Client()
    client.force_login(bob)

    assert "This takes a member of engineers, auditors or administrators." in page
    refused = client.post(reverse("cleaning-restore", args=[cleaning.pk]), {"rows": ["4"], "reason": REASON})
    assert refused["Location"] == "/"
    assert not Restoration.objects.exists()


def test_an_auditor_may_run_the_plan_again(cleaning: Cleaning, dave: User) -> None:
    client = Client()
    client.force_login(dave)

    client.post(reverse("cleaning-replay", args=[cleaning.pk]))
    replay = cleaning.replays.get()
    assert replay.created_by == dave
    type(replay).objects.filter(pk=replay.pk).update(agrees=False)
    assert "another" in page_of(dave, cleaning)


def test_distributions_on_one_scale_keep_their_places() -> None:
    narrow = {"histogram": [{"low": 0, "high": 1, "count": 10}]}
    wide = {"histogram": [{"low": 0, "high": 5, "count": 1}, {"low": 5, "high": 10, "count": 9}]}

    before, after = (
        re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg) for svg in compared_histograms(wide, narrow)
    )

    assert [float(x) for x, _ in before] == [0, pytest.approx(63.5, abs=1)]
    assert [(float(x), float(width)) for x, width in after] == [(0, pytest.approx(12.3, abs=0.1))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"histogram": []}, {"histogram": [{"low": 0, "high": 1, "count": 1}]}),
        ({"histogram": [{"low": None, "high": 1, "count": 1}]}, {"histogram": "x"}),
        ({"values": [{"value": "a", "count": 0}]}, {"values": [{"value": "a", "count": 0}]}),
    ],
)
def test_what_has_no_distribution_is_not_drawn(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert compared_histograms(before, after) == ("", "")


def test_the_largest_floats_and_single_values_are_drawn() -> None:
    huge = {"histogram": [{"low": -1.7e308, "high": 1.7e308, "count": 3}]}
    single = {"histogram": [{"low": 7, "high": 7, "count": 3}]}

    assert all("<rect" in svg for svg in compared_histograms(huge, huge))
    assert all("<rect" in svg for svg in compared_histograms(single, single))
    names = {"values": [{"value": "a", "count": 3}, {"value": "b", "count": 1}]}
    assert [svg.count("<rect") for svg in compared_histograms(names, {"values": [{"value": "b", "count": 1}]})] == [
        2,
        1,
    ]


def test_a_day_stands_in_the_table_of_before_and_after_without_its_midnight(alice: User, dave: User) -> None:
    profile = {"born": {"missing": 0, "lowest": "1901-01-01T00:00:00", "highest": "2020-02-29T00:00:00"}}
    made = page_factories.cleaning(factories.DatasetVersionFactory(profile=profile))
    after = {"born": {**profile["born"], "lowest": "1921-05-04T00:00:00"}}
    type(made.cleaned_to).objects.filter(pk=made.cleaned_to.pk).update(profile=after)

    page = page_of(dave, made)

    assert "1901-01-01" in page
    assert "1921-05-04" in page
    assert "T00:00:00" not in page
    assert figure("2020-02-29T12:30:00") == "2020-02-29T12:30:00"
