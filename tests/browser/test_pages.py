"""Every page in a real browser: no complaint, nothing from elsewhere, dark, narrow, in print, by keyboard, live."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from audits.models import Report
from audits.reports.page import build_html
from governance.models import Job, JobState
from governance.services import jobs
from tests import factories, page_factories

DARK = {"color_scheme": "dark"}
NARROW = {"viewport": {"width": 600, "height": 900}}


def everything() -> dict[str, str]:
    """Make one of each thing and return the address of each page."""
    dataset = factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    page_factories.validation(dataset)
    cleaned = page_factories.cleaning(dataset).cleaned_to
    version = factories.ModelVersionFactory(training_data=cleaned)
    factories.TrainingFactory(version=version, dataset=cleaned, job=page_factories.ended_job("training"))
    factories.EvaluationFactory(version=version, dataset=cleaned)
    explanation = page_factories.explanation(version=version, dataset=cleaned)
    audit = page_factories.audit(version=version, dataset=cleaned)
    review = factories.ReviewFactory(version=version)
    factories.EvidenceFactory(review=review, kind="audit", object_id=audit.pk, digest=audit.digest)
    return {
        **{
            name: reverse(name)
            for name in (
                "home",
                "model-list",
                "dataset-list",
                "explanation-list",
                "audit-list",
                "review-list",
                "job-list",
                "event-list",
            )
        },
        "model": reverse("model", args=[version.model.name]),
        "version": reverse("version", args=[version.model.name, version.number]),
        "dataset-version": reverse("dataset-version", args=[cleaned.dataset.name, cleaned.number]),
        "explanation": reverse("explanation", args=[explanation.pk]),
        "audit": reverse("audit", args=[audit.pk]),
        "finding": reverse("finding", args=[audit.findings.first().pk]),
        "review": reverse("review", args=[review.pk]),
        "job": reverse("job", args=[audit.job_id]),
    }


def running_job() -> Job:
    now = timezone.now()
    return factories.JobFactory(
        kind="training",
        state=JobState.RUNNING,
        attempt=1,
        started_at=now - timedelta(minutes=1),
        progress={"done": 3, "total": 4, "unit": "epochs", "message": "loss 0.4"},
        progress_at=now,
    )


@pytest.mark.parametrize("visit", [{}, DARK, NARROW], ids=["light", "dark", "narrow"], indirect=True)
def test_every_page_loads_without_complaint_and_asks_nobody_else(signed_in, live_server) -> None:
    for name, address in everything().items():
        response = signed_in.page.goto(live_server.url + address)
        assert response.status == 200, name
        assert signed_in.page.locator("h1").is_visible(), name

    assert signed_in.problems == []
    assert signed_in.elsewhere == []


@pytest.mark.parametrize("visit", [NARROW], indirect=True)
def test_no_page_scrolls_sideways_on_a_narrow_screen(signed_in, live_server) -> None:
    wider = {}
    for name, address in everything().items():
        signed_in.page.goto(live_server.url + address)
        width = signed_in.page.evaluate("document.documentElement.scrollWidth")
        if width > 600:
            wider[name] = width

    assert wider == {}


@pytest.mark.parametrize("visit", [DARK], indirect=True)
def test_a_drawing_follows_a_dark_screen_and_paper_is_always_light(signed_in, live_server) -> None:
    signed_in.page.goto(live_server.url + everything()["audit"])
    line = signed_in.page.locator('#ROB-01 .drawing path[stroke="#2f5d8a"]').first
    colour = "node => getComputedStyle(node).stroke"

    on_screen = line.evaluate(colour)
    signed_in.page.emulate_media(media="print")
    on_paper = line.evaluate(colour)

    assert on_screen == "rgb(134, 182, 230)"
    assert on_paper == "rgb(47, 93, 138)"
    assert not signed_in.page.locator(".masthead nav").is_visible()
    assert not signed_in.page.locator(".rail").is_visible()


def test_the_first_key_reaches_the_skip_link_and_it_leads_to_the_content(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + everything()["audit"])

    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.textContent")
    in_view = page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")

    assert focused == "Skip to content"
    assert in_view
    assert page.evaluate("document.activeElement.id") == "main"


def test_marks_of_the_strip_are_reached_by_keyboard_and_lead_to_their_check(signed_in, live_server) -> None:
    page = signed_in.page
    page.goto(live_server.url + everything()["audit"])

    page.locator(".strip a").first.focus()
    page.keyboard.press("Enter")

    assert page.url.endswith("#ART-01")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") in ("ART-01 passed", None)


def test_a_job_page_polls_until_the_job_ends_and_then_stops(signed_in, live_server) -> None:
    job = running_job()
    folder = jobs.folder_of(job)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("epoch 3\n")
    page = signed_in.page
    page.goto(live_server.url + reverse("job", args=[job.pk]))
    region = reverse("job-region", args=[job.pk])
    assert page.locator("progress").get_attribute("value") == "3"

    Job.objects.filter(pk=job.pk).update(progress={"done": 4, "total": 4, "unit": "epochs"})
    (folder / "log.txt").write_text("epoch 3\nepoch 4\n")
    page.wait_for_selector('progress[value="4"]', timeout=10_000)
    assert "epoch 4" in page.locator("pre.log").text_content()
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=timezone.now())
    page.wait_for_selector(".word.passed", timeout=10_000)
    asked = sum(region in address for address in signed_in.requests)
    page.wait_for_timeout(3_000)

    assert asked >= 2
    assert sum(region in address for address in signed_in.requests) == asked
    assert page.locator("progress").count() == 0
    assert signed_in.problems == []


def test_a_training_on_the_page_of_its_version_polls_its_own_region_only(signed_in, live_server) -> None:
    job = running_job()
    training = factories.TrainingFactory(job=job)
    page = signed_in.page
    page.goto(live_server.url + reverse("version", args=[training.version.model.name, training.version.number]))

    Job.objects.filter(pk=job.pk).update(progress={"done": 4, "total": 4, "unit": "epochs"})
    page.wait_for_selector('progress[value="4"]', timeout=10_000)
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=timezone.now())
    page.wait_for_selector(f"#job-{job.pk} .st.passed", timeout=10_000)

    assert page.locator("h1").count() == 1
    assert signed_in.problems == []


def test_a_person_signs_in_decides_and_signs_out(visit, live_server, bob) -> None:
    bob.set_password("a long enough one")
    bob.save()
    review = factories.ReviewFactory()
    page = visit.page

    page.goto(live_server.url + reverse("review", args=[review.pk]))
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill("a long enough one")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Reason for the decision, kept with it").fill("No audit has measured it.")
    page.get_by_role("button", name="Reject").click()
    rejected = page.locator(".review > header .st").text_content()
    page.get_by_role("button", name="Log out").click()

    assert "rejected" in rejected
    assert page.url.endswith(reverse("login"))
    assert visit.problems == []
    assert visit.elsewhere == []


# --------------------------------------------------------------------------------------------------- reports
@pytest.mark.parametrize("visit", [{}, DARK], ids=["light", "dark"], indirect=True)
def test_a_report_opens_from_a_folder_and_redraws_its_charts_without_asking_anybody(visit, db, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(build_html(page_factories.audit()), encoding="utf-8")
    page = visit.page

    page.goto(file.as_uri())
    page.wait_for_selector(".drawing.redrawn .live-view svg", timeout=20_000)
    line = page.locator('.live-view path[stroke="#2f5d8a"]').first

    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert line.evaluate("node => getComputedStyle(node).stroke") == (
        "rgb(134, 182, 230)" if dark else "rgb(47, 93, 138)"
    )
    assert not page.locator(".drawing > svg").first.is_visible()
    assert visit.requests == [file.as_uri()]
    assert visit.problems == []


def test_a_report_prints_the_drawing_of_the_server(visit, db, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(build_html(page_factories.audit()), encoding="utf-8")
    visit.page.goto(file.as_uri())
    visit.page.wait_for_selector(".drawing.redrawn .live-view svg", timeout=20_000)

    visit.page.emulate_media(media="print")

    assert visit.page.locator(".drawing > svg").first.is_visible()
    assert not visit.page.locator(".live-view").first.is_visible()
    assert visit.page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_a_report_reads_without_scripts(visit, db, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(build_html(page_factories.audit()), encoding="utf-8")

    visit.page.goto(file.as_uri())

    assert visit.page.locator(".verdict .word").text_content() == "Failed"
    assert visit.page.locator("#ROB-01 .drawing > svg").is_visible()


def test_a_report_that_the_server_sends_redraws_under_an_origin_of_its_own(signed_in, live_server) -> None:
    audit = page_factories.audit()
    Report.objects.create(audit=audit, format="html", file=page_factories.stored(build_html(audit)))

    signed_in.page.goto(live_server.url + reverse("audit-report", args=[audit.pk, "html"]))
    signed_in.page.wait_for_selector(".drawing.redrawn .live-view svg", timeout=20_000)

    assert signed_in.page.evaluate("self.origin") == "null"
    assert signed_in.problems == []
    assert signed_in.elsewhere == []
