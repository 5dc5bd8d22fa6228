"""Proposals of suites: what may be decided, by whom, and what the page shows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import Event, JobState
from tests import factories, page_factories
from tests.factories import person
from validators.models import ExpectationSuite, SuiteProposal
from validators.services import proposals

pytestmark = pytest.mark.django_db

AGE = {"id": "b-age", "decision": "edit"}


def test_a_proposal_is_asked_for_by_engineers_and_auditors(alice: User, dave: User) -> None:
    version = factories.DatasetVersionFactory()

    asked = proposals.request_proposal(dataset=version, by=dave)

    assert asked.job.kind == "suggestion"
    assert asked.job.spec["parameters"] == {"schema": version.schema}
    assert asked.dataset_digest == version.content_digest
    assert Event.objects.get(name="proposal.requested").detail == {"proposal": asked.pk}
    with pytest.raises(NotAllowed):
        proposals.request_proposal(dataset=version, by=person("bob", "approvers"))
    assert not asked.is_ready
    with pytest.raises(StateConflict, match="has no suggestions"):
        proposals.accept_proposal(proposal=asked, name="ages", by=alice)


def test_what_is_kept_becomes_a_suite_once(alice: User) -> None:
    found = page_factories.proposal()
    proposals.decide_on_suggestions(proposal=found, decisions=[{"id": "a-columns", "decision": "drop"}], by=alice)
    edit = {**AGE, "kwargs": {"column": "age", "min_value": 16, "max_value": 99}, "severity": "critical", "mostly": 0.9}

    suite = proposals.accept_proposal(proposal=found, name="ages", decisions=[edit], by=alice)

    (rule,) = suite.document["expectations"]
    assert rule["kwargs"] == {"column": "age", "min_value": 16, "max_value": 99, "mostly": 0.9}
    assert rule["severity"] == "critical"
    assert rule["meta"] == {"clean": {"action": "quarantine"}}
    assert rule["id"] != "b-age"
    assert suite.document["meta"]["digest"] == found.dataset_digest
    found.refresh_from_db()
    assert (found.suite, found.accepted_by) == (suite, alice)
    names = set(Event.objects.filter(name__startswith="proposal.").values_list("name", flat=True))
    assert names == {"proposal.decided", "proposal.accepted"}
    with pytest.raises(StateConflict, match="was accepted as ages/1"):
        proposals.accept_proposal(proposal=found, name="ages", by=alice)
    with pytest.raises(StateConflict, match="was accepted as ages/1"):
        proposals.decide_on_suggestions(proposal=found, decisions=[], by=alice)


def test_what_nobody_decided_is_accepted_or_dropped_as_asked(alice: User) -> None:
    keep = {"id": "b-age", "decision": "accept"}

    whole = proposals.accept_proposal(proposal=page_factories.proposal(), name="all", by=alice)
    part = proposals.accept_proposal(
        proposal=page_factories.proposal(), name="part", decisions=[keep], others="drop", by=alice
    )

    assert [entry["id"] for entry in whole.document["expectations"]] == ["a-columns", "b-age"]
    assert [entry["id"] for entry in part.document["expectations"]] == ["b-age"]
    with pytest.raises(InvalidInput, match="Every suggestion was dropped"):
        proposals.accept_proposal(proposal=page_factories.proposal(), name="none", others="drop", by=alice)
    assert ExpectationSuite.objects.count() == 2


@pytest.mark.parametrize(
    ("decision", "sentence"),
    [
        ("drop", "object with the `id`"),
        ({"id": "nobody", "decision": "drop"}, "no suggestion 'nobody'"),
        ({"id": "b-age", "decision": "maybe"}, "one of accept, drop, edit"),
        ({"id": "b-age", "decision": "accept", "mostly": 0.5}, "goes with the decision edit"),
        ({**AGE, "kwargs": {"column": "income", "min_value": 1}}, "not the columns"),
        ({**AGE, "kwargs": {"column": "age", "min_value": 9, "max_value": 1}}, "is above"),
        ({**AGE, "kwargs": [1]}, "is an object"),
        ({**AGE, "severity": "grave"}, "one of critical, warning, info"),
        ({**AGE, "mostly": 0}, "above 0"),
        ({**AGE, "mostly": True}, "above 0"),
        ({**AGE, "kwarg": {}}, "no key 'kwarg'"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:20],
)
def test_a_decision_that_cannot_be_kept_says_why(alice: User, decision: object, sentence: str) -> None:
    found = page_factories.proposal()

    with pytest.raises(InvalidInput, match=sentence) as caught:
        proposals.decide_on_suggestions(
            proposal=found, decisions=[{"id": "a-columns", "decision": "drop"}, decision], by=alice
        )

    assert [error["place"] for error in caught.value.errors] == ["decisions[1]"]
    assert SuiteProposal.objects.get(pk=found.pk).decisions == {}


@pytest.fixture
def browser(client: Client, dave: User) -> Client:
    client.force_login(dave)
    return client


def test_the_page_shows_each_rule_with_its_evidence_and_what_may_be_done(browser: Client) -> None:
    found = page_factories.proposal()

    page = browser.get(reverse("proposal", args=[found.pk])).content.decode()

    assert "To be decided" in page
    assert "age lies between 18 and 90" in page
    assert "None of 8 other rows failed it" in page
    assert page.count('type="checkbox"') == page.count(" checked") == 2
    assert 'name="b-age.max_value" value="90"' in page
    assert 'name="b-age.mostly" value="1"' in page
    assert 'stroke="#a8391a"' in page
    assert "Accept 2\N{NO-BREAK SPACE}rules" in page


def test_a_form_without_script_keeps_drops_and_edits(browser: Client) -> None:
    found = page_factories.proposal()
    form = {"column": "1", "b-age.keep": "on", "b-age.min_value": "18", "b-age.max_value": "100",
            "b-age.mostly": "0.95", "b-age.severity": "info"}  # fmt: skip

    browser.post(reverse("proposal-decide", args=[found.pk]), form)
    browser.post(reverse("proposal-decide", args=[found.pk]), {"column": "0"})
    page = browser.get(reverse("proposal", args=[found.pk])).content.decode()
    browser.post(reverse("proposal-accept", args=[found.pk]), {"name": "ages"})
    after = browser.get(reverse("proposal", args=[found.pk])).content.decode()

    found.refresh_from_db()
    assert found.decisions["a-columns"] == {"decision": "drop"}
    assert found.decisions["b-age"]["severity"] == "info"
    assert found.suite is not None
    assert found.suite.document["expectations"][0]["kwargs"] == {
        "column": "age", "min_value": 18, "max_value": 100, "mostly": 0.95,
    }  # fmt: skip
    assert "age lies between 18 and 100, for at least 95 % of the values" in page
    assert "suggested was: age lies between 18 and 90" in page
    assert "Accept 1\N{NO-BREAK SPACE}rule<" in page
    assert "made suite ages/1 of it" in after
    assert "Keep these decisions" not in after


def test_what_cannot_be_read_stands_above_the_form_and_changes_nothing(browser: Client) -> None:
    found = page_factories.proposal()
    address = reverse("proposal", args=[found.pk])
    form = {"column": "1", "b-age.keep": "on", "b-age.max_value": "ninety", "next": address}

    page = browser.post(reverse("proposal-decide", args=[found.pk]), form, follow=True).content.decode()
    nowhere = browser.post(reverse("proposal-decide", args=[found.pk]), {"column": "7", "next": address}, follow=True)

    assert "`max_value` cannot be read" in page
    assert "names no column" in nowhere.content.decode()
    found.refresh_from_db()
    assert found.decisions == {}


def test_hostile_names_and_values_are_escaped(browser: Client) -> None:
    name = "<img src=x onerror=alert(1)>"
    entry = {**page_factories.SUGGESTIONS[1], "column": name, "sentence": name, "why": name,
             "kwargs": {"column": name, "value_set": [name, '"><b>']}, "type": "expect_column_values_to_be_in_set",
             "evidence": {"values": {name: 3}}}  # fmt: skip
    found = page_factories.proposal(suggestions=[entry])

    page = browser.get(reverse("proposal", args=[found.pk])).content.decode()

    assert "<img" not in page
    assert "<b>&quot;" not in page
    assert "&lt;img" in page


def test_of_many_columns_one_is_open(browser: Client) -> None:
    entries = [
        {**page_factories.SUGGESTIONS[1], "id": f"id-{place}", "column": f"column {place}"} for place in range(1_000)
    ]
    found = page_factories.proposal(suggestions=entries)

    page = browser.get(reverse("proposal", args=[found.pk]) + "?column=700").content.decode()

    assert page.count('type="checkbox"') == 1
    assert 'name="id-700.keep"' in page
    assert page.count("<tr>") == 1_001
    assert len(page) < 500_000


def test_who_may_not_decide_reads_and_sees_why(client: Client) -> None:
    client.force_login(person("bob", "approvers"))
    found = page_factories.proposal()

    page = client.get(reverse("proposal", args=[found.pk])).content.decode()
    client.post(reverse("proposal-accept", args=[found.pk]), {"name": "ages"})

    assert "This takes a member of engineers or auditors." in page
    assert "Keep these decisions" not in page
    assert not ExpectationSuite.objects.exists()


def test_the_page_of_the_data_offers_a_suggestion_and_shows_those_that_were_made(browser: Client) -> None:
    found = page_factories.proposal()
    address = reverse("dataset-version", args=[found.dataset.dataset.name, found.dataset.number])

    page = browser.get(address).content.decode()
    asked = browser.post(reverse("version-suggest", args=[found.dataset.dataset.name, found.dataset.number]))
    running = browser.get(asked.headers["Location"]).content.decode()

    assert reverse("proposal", args=[found.pk]) in page
    assert "Suggest a suite" in page
    assert SuiteProposal.objects.count() == 2
    assert "Queued" in running
    assert "hx-get" in running
    assert "Accept" not in running


def test_a_suggestion_that_broke_says_so(browser: Client) -> None:
    found = page_factories.proposal(suggestions=[])
    error = {"code": "broken", "detail": "It broke.", "place": "", "errored": True}
    found.job.state, found.job.error = JobState.FAILED, error
    found.job.save()

    page = browser.get(reverse("proposal", args=[found.pk])).content.decode()

    assert "It broke." in page
    assert "hx-get" not in page


def test_rules_of_one_severity_are_shown_and_the_others_stay_as_they_are(browser: Client) -> None:
    third = {**page_factories.SUGGESTIONS[1], "id": "c-age", "severity": "info", "sentence": "age is whole"}
    found = page_factories.proposal(suggestions=[*page_factories.SUGGESTIONS, third])
    address = reverse("proposal", args=[found.pk])

    everything = browser.get(address).content.decode()
    warnings = browser.get(f"{address}?severity=warning").content.decode()
    hostile = browser.get(f'{address}?severity="><script>').content.decode()
    answer = browser.post(
        reverse("proposal-decide", args=[found.pk]), {"column": "1", "severity": "warning", "shown": "b-age"}
    )

    assert everything.count('type="checkbox"') == hostile.count('type="checkbox"') == 3
    assert "<script>" not in hostile
    assert 'href="?severity=warning">warning (1)' in everything
    assert warnings.count('type="checkbox"') == 1
    assert 'name="shown" value="b-age"' in warnings
    assert "Accept 3" in warnings, "the filter accepts nothing less"
    assert answer["Location"].endswith("?column=1&severity=warning#column-1")
    found.refresh_from_db()
    assert found.decisions == {"b-age": {"decision": "drop"}}, "c-age was not on the page, and not unticked"
