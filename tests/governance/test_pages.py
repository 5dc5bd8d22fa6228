"""The frame of the pages, and the pages that need the record alone."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import Job, JobState, RegisteredModel
from governance.services import jobs
from governance.views.jobs import standing_of
from tests import factories
from tests.page_factories import ended_job, stored

PLAIN_PAGES = [
    "home",
    "model-list",
    "dataset-list",
    "explanation-list",
    "audit-list",
    "review-list",
    "job-list",
    "event-list",
]


@pytest.fixture
def bob_browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def running_job(**fields) -> Job:
    now = timezone.now()
    defaults = {
        "kind": "training",
        "state": JobState.RUNNING,
        "subject": "credit-scorer/3",
        "attempt": 1,
        "worker": "gpu-a",
        "devices": ["cuda:0"],
        "started_at": now - timedelta(minutes=9),
        "progress": {"done": 27, "total": 40, "unit": "epochs", "message": "batch 142 of 735"},
        "progress_at": now,
    }
    return factories.JobFactory(**{**defaults, **fields})


@pytest.mark.django_db
@pytest.mark.parametrize("name", PLAIN_PAGES)
def test_who_is_not_signed_in_goes_to_the_sign_in_page_and_back(client: Client, name: str) -> None:
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response["Location"] == f"{reverse('login')}?next={reverse(name)}"


@pytest.mark.parametrize("name", PLAIN_PAGES)
def test_an_empty_installation_says_on_each_page_what_would_be_there(bob_browser: Client, name: str) -> None:
    response = bob_browser.get(reverse(name))

    assert response.status_code == 200
    assert b'class="empty"' in response.content


@pytest.mark.parametrize("name", PLAIN_PAGES)
def test_who_is_in_no_group_sees_nothing_and_learns_why(client: Client, carol, name: str) -> None:
    factories.ModelVersionFactory(model__name="secret-model")
    client.force_login(carol)

    response = client.get(reverse(name))

    assert response.status_code == 403
    assert b"An administrator puts people into groups" in response.content
    assert b"secret-model" not in response.content


def test_a_thing_that_one_may_not_see_answers_like_one_that_is_not_there(client: Client, carol) -> None:
    client.force_login(carol)
    job = running_job()

    there = client.get(reverse("job", args=[job.pk]))
    not_there = client.get(reverse("job", args=[job.pk + 1]))

    assert there.status_code == not_there.status_code == 404
    assert b"There is no such thing, or you may not see it." in there.content


def test_each_page_has_a_skip_link_a_main_part_and_marks_its_section(bob_browser: Client) -> None:
    page = bob_browser.get(reverse("model-list")).content.decode()

    assert page.index('<a class="skip" href="#main">') < page.index("<header")
    assert '<main id="main"' in page
    assert re.search(r'<a href="/models/" aria-current="page">Models</a>', page)
    assert page.count("aria-current") == 1


def test_pages_carry_a_strict_policy_and_hold_no_inline_script_or_style(bob_browser: Client) -> None:
    job = running_job()

    response = bob_browser.get(reverse("job", args=[job.pk]))

    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    page = response.content.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"\son[a-z]+=", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_signing_in_and_out_goes_by_form(client: Client, bob) -> None:
    bob.set_password("a long enough one")
    bob.save()

    wrong = client.post(reverse("login"), {"username": "bob", "password": "not it"})
    right = client.post(reverse("login"), {"username": "bob", "password": "a long enough one", "next": "/jobs/"})

    assert b'role="alert"' in wrong.content
    assert right["Location"] == "/jobs/"
    assert b"bob, approver" in client.get("/jobs/").content
    assert client.post(reverse("logout"))["Location"] == reverse("login")
    assert client.get("/jobs/").status_code == 302


def test_signing_in_never_leads_to_another_site(client: Client, bob) -> None:
    bob.set_password("a long enough one")
    bob.save()

    response = client.post(
        reverse("login"), {"username": "bob", "password": "a long enough one", "next": "https://evil.example/"}
    )

    assert response["Location"] == reverse("home")


def test_names_that_people_write_are_escaped_everywhere(bob_browser: Client) -> None:
    hostile = '<script>alert("1")</script>'
    factories.RegisteredModelFactory(intended_use=hostile)
    job = running_job(
        subject=hostile, progress={"done": 1, "total": 2, "unit": hostile, "message": hostile}, worker=hostile
    )

    for address in (reverse("model-list"), reverse("job-list"), reverse("job", args=[job.pk]), reverse("home")):
        page = bob_browser.get(address).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page


# ------------------------------------------------------------------------------------------------------ jobs
def test_a_running_job_shows_how_far_it_is_and_polls(bob_browser: Client) -> None:
    job = running_job()

    page = bob_browser.get(reverse("job", args=[job.pk])).content.decode()

    assert '<progress value="27" max="40"' in page
    assert "epoch 27 of 40, 68 %" in page
    assert "about 4\N{NO-BREAK SPACE}min" in page
    assert "9\N{NO-BREAK SPACE}min so far" in page
    assert "updated" in page
    assert f'hx-get="{reverse("job-region", args=[job.pk])}"' in page
    assert 'role="status"' in page
    assert "htmx-2.min.js" in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("done", "seconds", "says"),
    [(1_500_000, 120, "12,500 rows a second"), (27, 540, ""), (0, 10, ""), (5, 0, "")],
    ids=["many rows", "less than one a second", "nothing yet", "this moment"],
)
def test_a_running_job_says_how_many_a_second(done: int, seconds: int, says: str) -> None:
    job = running_job(progress={"done": done, "total": 2_000_000, "unit": "rows", "message": ""})

    assert standing_of(job, now=job.started_at + timedelta(seconds=seconds)).rate == says


@pytest.mark.parametrize(
    "state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT, JobState.LOST]
)
def test_the_region_of_an_ended_job_no_longer_polls(bob_browser: Client, state: str) -> None:
    job = ended_job("training", state=state)

    region = bob_browser.get(reverse("job-region", args=[job.pk])).content.decode()
    brief = bob_browser.get(reverse("job-region", args=[job.pk]), {"brief": "1"}).content.decode()

    assert "hx-get" not in region
    assert "hx-get" not in brief
    assert "<html" not in region
    assert "<progress" not in region


def test_a_failed_job_says_what_where_and_the_first_thing_to_try(bob_browser: Client) -> None:
    error = {
        "code": "loss_not_finite",
        "detail": "The loss became NaN in epoch 6, batch 311.",
        "place": "epoch 6, batch 311",
        "errored": False,
    }
    job = ended_job("training", state=JobState.FAILED, error=error)

    page = bob_browser.get(reverse("job", args=[job.pk])).content.decode()

    assert "The loss became NaN in epoch 6, batch 311." in page
    assert "Where: <code>epoch 6, batch 311</code>" in page
    assert "A smaller learning rate" in page


def test_the_log_of_a_running_job_is_shown_escaped_with_its_end_first_to_be_kept(bob_browser: Client) -> None:
    job = running_job()
    folder = jobs.folder_of(job)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("the beginning\n" + "x" * 20_000 + "\n<b>the end</b>\n")

    page = bob_browser.get(reverse("job-region", args=[job.pk])).content.decode()

    assert "&lt;b&gt;the end&lt;/b&gt;" in page
    assert "the beginning" not in page


def test_who_started_a_job_cancels_it_and_nobody_else_can(client: Client, alice, bob) -> None:
    job = running_job(state=JobState.QUEUED, created_by=alice)
    page_of_job = reverse("job", args=[job.pk])

    client.force_login(bob)
    refused = client.post(reverse("job-cancel", args=[job.pk]), {"next": page_of_job}, follow=True)
    still = Job.objects.get(pk=job.pk).state
    client.force_login(alice)
    done = client.post(reverse("job-cancel", args=[job.pk]), {"next": page_of_job}, follow=True)

    assert still == JobState.QUEUED
    assert b"Only alice" in refused.content
    assert b'aria-disabled="true"' in refused.content
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert b"is cancelled" in done.content


def test_cancelling_needs_the_token_of_the_form(alice) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    job = running_job(state=JobState.QUEUED, created_by=alice)

    assert browser.post(reverse("job-cancel", args=[job.pk])).status_code == 403
    assert Job.objects.get(pk=job.pk).state == JobState.QUEUED


def test_a_form_never_sends_its_person_to_another_site(client: Client, bob, alice) -> None:
    client.force_login(bob)
    job = running_job(created_by=alice)

    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example/"):
        response = client.post(reverse("job-cancel", args=[job.pk]), {"next": elsewhere})
        assert response["Location"] == "/"


def test_the_list_of_jobs_keeps_to_one_state(bob_browser: Client) -> None:
    running_job(subject="runs-now/1")
    ended_job("training", subject="has-ended/1")

    page = bob_browser.get(reverse("job-list"), {"state": "running"}).content.decode()

    assert "runs-now/1" in page
    assert "has-ended/1" not in page


def test_the_length_of_a_list_does_not_change_the_number_of_queries(
    bob_browser: Client, django_assert_max_num_queries
) -> None:
    def make(count: int) -> None:
        for number in range(count):
            running_job(subject=f"some/{number}")
            factories.ModelVersionFactory()

    counts = {}
    for size in (1, 6):
        make(size)
        for name in ("job-list", "model-list", "home"):
            with django_assert_max_num_queries(40) as captured:
                bob_browser.get(reverse(name))
            counts.setdefault(name, []).append(len(captured))

    assert all(few == many for few, many in counts.values()), counts
    assert RegisteredModel.objects.count() == 7


# ----------------------------------------------------------------------------------------------------- files
def test_a_stored_file_is_sent_as_an_attachment_that_can_do_nothing(bob_browser: Client) -> None:
    file = stored("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")

    response = bob_browser.get(reverse("file", args=[file.digest, "curve.svg"]))

    assert b"".join(response.streaming_content).startswith(b"<svg")
    assert response["Content-Disposition"] == 'attachment; filename="curve.svg"'
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_a_file_is_only_for_who_may_see_the_record(client: Client, carol) -> None:
    file = stored("evidence")
    address = reverse("file", args=[file.digest, "evidence.json"])

    assert client.get(address).status_code == 302
    client.force_login(carol)
    assert client.get(address).status_code == 404


def test_a_file_that_the_store_lacks_is_not_found(bob_browser: Client) -> None:
    assert bob_browser.get(reverse("file", args=["sha256:" + "0" * 64, "a.json"])).status_code == 404
    assert bob_browser.get("/files/../settings.py").status_code == 404


def test_the_stylesheet_refers_to_nothing_outside_itself() -> None:
    style = Path("governance/static/governance/assay.css").read_text()

    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


# ---------------------------------------------------------------------------------------------------- events
def test_events_are_listed_newest_first_and_by_subject(bob_browser: Client, alice) -> None:
    from django.db import transaction

    from governance.services import events

    with transaction.atomic():
        events.record(name="model.registered", subject="credit-scorer", by=alice, detail={"tier": "high"})
        events.record(name="model.registered", subject="other-model", by=alice)

    everything = bob_browser.get(reverse("event-list")).content.decode()
    one = bob_browser.get(reverse("event-list"), {"subject": "credit-scorer"}).content.decode()

    assert everything.index("other-model") < everything.index("credit-scorer")
    assert "tier: high" in one
    assert "other-model" not in one


def test_a_job_leads_to_what_it_has_made(bob_browser: Client) -> None:
    made = factories.ModelVersionFactory()
    training = factories.TrainingFactory(produced=made)

    page = bob_browser.get(reverse("job", args=[training.job_id])).content.decode()

    assert f'href="{reverse("version", args=[made.model.name, made.number])}">{made.ref}</a>' in page
