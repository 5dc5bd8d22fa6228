"""The pages about models and their evidence."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Audit, Explanation, Report
from governance.models import Alias, JobState, ModelVersionState, Review, ReviewState
from governance.presentation.numbers import NO_BREAK
from tests import factories, page_factories
from workers.protocol import digest_of_json


@pytest.fixture
def browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def get(browser: Client, name: str, *args, **query: str) -> str:
    response = browser.get(reverse(name, args=args), query)
    assert response.status_code == 200, response.content
    return response.content.decode()


def version_page(browser: Client, version) -> str:
    return get(browser, "version", version.model.name, version.number)


# ---------------------------------------------------------------------------------------------------- audits
def test_an_audit_page_has_the_order_of_a_report(browser: Client) -> None:
    audit = page_factories.audit()

    page = get(browser, "audit", audit.pk)

    order = [
        "Failed</p>",
        "<b>4 of 6</b> applicable checks gave a result",
        'class="strip',
        "What blocks the approval",
        "Changed since the last audit",
        "<h2>Findings</h2>",
        "<h2>All 7",
        "<h2>Each check</h2>",
        "<h2>Method</h2>",
        "<h2>Digests</h2>",
        "How to perform this again",
    ]
    places = [page.index(piece) for piece in order]
    assert places == sorted(places)


def test_what_blocks_comes_first_with_the_first_thing_to_do(browser: Client) -> None:
    page = get(browser, "audit", page_factories.audit().pk)

    blocks = page[page.index('id="blocks"') : page.index('id="changed"')]
    assert blocks.index("ROB-01") < blocks.index("EXP-01")
    assert "Train with adversarial examples" in blocks
    assert "PRI-01" in blocks
    assert "Failed without blocking" in blocks
    assert blocks.index("Failed without blocking") < blocks.index("DAT-03")
    entries = [page.index(f'<article class="check" id="{id}"') for id in ("ROB-01", "DAT-03", "PER-01", "FAIR-01")]
    assert entries == sorted(entries)


def test_a_check_shows_number_interval_n_chart_limits_and_evidence(browser: Client) -> None:
    audit = page_factories.audit()
    chart = audit.checks.get(check_id="ROB-01").charts[0]

    page = get(browser, "audit", audit.pk)
    check = page[page.index('id="ROB-01"') : page.index("</article>", page.index('id="ROB-01"'))]

    order = [
        ">0.18<",
        "95 % interval 0.12 to 0.25",
        "≥\N{NO-BREAK SPACE}0.50; high below 0.25",
        "20261120",
        "<figure",
        'class="drawing"><svg',
    ]
    order += [
        "The numbers of this chart",
        "What this does not show.",
        "Attacks that change several",
        "Evidence",
        "finding F-",
    ]
    places = [check.index(piece) for piece in order]
    assert places == sorted(places)
    assert reverse("file", args=[chart["svg_digest"], "curve.svg"]) in check
    assert "AML.T0015*" in check


def test_what_gave_no_result_says_so_and_why(browser: Client) -> None:
    page = get(browser, "audit", page_factories.audit().pk)

    assert "<b>An error is not a pass.</b> The losses of 3 rows are not finite (rows 18, 40, 77)." in page
    assert "<b>Not run is a result.</b>" in page
    assert "<b>Does not apply.</b> The data set has no column of role protected." in page


def test_every_mark_of_the_strip_is_a_link_with_a_name(browser: Client) -> None:
    page = get(browser, "audit", page_factories.audit().pk)

    for id, word in (("ART-01", "passed"), ("PRI-01", "error"), ("FAIR-01", "not applicable"), ("EXP-01", "skipped")):
        assert f'href="#{id}"' in page
        assert f'aria-label="{id} {word}"' in page


def test_what_changed_is_told_against_the_audit_before_of_the_same_model_and_policy(browser: Client) -> None:
    from datetime import timedelta

    first = factories.ModelVersionFactory()
    second = factories.ModelVersionFactory(model=first.model)
    before = page_factories.check_results()
    before[1] |= {
        "status": "passed",
        "severity": "",
        "metrics": [page_factories.metric("share of rows", 0.0, 0.0, 0.02, 171)],
    }
    page_factories.audit(ago=timedelta(days=3))  # of another model
    old = page_factories.audit(version=first, checks=before, ago=timedelta(days=2))
    new = page_factories.audit(version=second)

    page = get(browser, "audit", new.pk)
    changed = page[page.index('id="changed"') : page.index('id="findings"')]

    assert f"Changed since audit {old.pk}" in changed
    assert "0 to 0.006" in changed
    assert changed.count("<tr>") == 2
    assert "6\N{NO-BREAK SPACE}others keep their status" in changed
    assert first.ref in changed


def test_an_audit_that_runs_shows_its_criteria_and_polls_and_one_that_broke_does_not(browser: Client) -> None:
    running = page_factories.audit(verdict="")
    running.checks.all().delete()
    Audit.objects.filter(pk=running.pk).update(verdict_reason="")
    running.job.state = JobState.RUNNING
    running.job.finished_at = None
    running.job.save()

    page = get(browser, "audit", running.pk)
    running.job.state = JobState.LOST
    running.job.save()
    broken = get(browser, "audit", running.pk)

    assert "hx-get" in page
    assert "The criteria are locked." in page
    assert "ROB-01" in page
    assert "No verdict" in broken
    assert "a gate takes it as a no" in broken
    assert "hx-get" not in broken


def test_names_from_checks_are_escaped(browser: Client) -> None:
    hostile = "<script>alert(1)</script>"
    results = page_factories.check_results()
    for result in results:
        result["title"] = result["reason"] = hostile
        result["detail"] = {"limits": hostile, "seed": hostile, hostile: hostile}
        result["parameters"] = {hostile: hostile}
        result["condition"] = {hostile: hostile}
        for metric in result.get("metrics", []):
            metric |= {"name": hostile, "note": hostile, "unit": hostile}
        for chart in result.get("charts", []):
            chart |= {"caption": hostile, "table": {"columns": [hostile], "rows": [[hostile]]}}
    audit = page_factories.audit(checks=results)

    page = get(browser, "audit", audit.pk)

    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") > 30


def test_a_frozen_report_is_sent_under_an_origin_of_its_own(browser: Client, client: Client, carol) -> None:
    audit = page_factories.audit()
    file = page_factories.stored("<!doctype html><p>frozen</p>")
    Report.objects.create(audit=audit, format="html", file=file)
    address = reverse("audit-report", args=[audit.pk, "html"])

    response = browser.get(address)

    assert b"".join(response.streaming_content) == b"<!doctype html><p>frozen</p>"
    assert response["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in response["Content-Security-Policy"]
    assert address in get(browser, "audit", audit.pk)
    assert browser.get(reverse("audit-report", args=[audit.pk, "json"])).status_code == 404
    client.force_login(carol)
    assert client.get(address).status_code == 404


# -------------------------------------------------------------------------------------------------- versions
def test_a_version_says_in_one_word_where_it_stands(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    new = version_page(browser, version)
    audit = page_factories.audit(version=version)
    audited = version_page(browser, version)
    review = factories.ReviewFactory(version=version)
    factories.EvidenceFactory(review=review, kind="audit", object_id=audit.pk, digest=audit.digest)
    asked = version_page(browser, version)
    Review.objects.update(state=ReviewState.VOID, voided_because="A new high finding came up.")
    void = version_page(browser, version)
    Review.objects.update(state=ReviewState.APPROVED)
    review.evidence.all().delete()
    Alias.objects.create(model=version.model, name="champion", version=version, review=review)
    champion = version_page(browser, version)

    assert "Not audited</p>" in new
    assert "Audit failed</p>" in audited
    assert "Awaiting a decision</p>" in asked
    assert "Approval is closed: 4\N{NO-BREAK SPACE}reasons against it." in asked
    assert "Approval void</p>" in void
    assert "A new high finding came up." in void
    assert "Champion</p>" in champion


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (ModelVersionState.QUARANTINED, "", "Quarantined"),
        (ModelVersionState.REJECTED, "The layer 'lambda_1' holds code.", "Rejected"),
    ],
)
def test_a_version_that_is_not_registered_says_why(browser: Client, state: str, reason: str, word: str) -> None:
    version = factories.ModelVersionFactory(
        state=state, state_reason=reason, signature=None, rewritten=None, inspection={}, framework="", format=""
    )

    page = version_page(browser, version)

    assert f"{word}</p>" in page
    assert (reason.replace("'", "&#x27;") or "Its inspection has not ended") in page


def test_the_lineage_goes_from_raw_data_to_the_report(browser: Client) -> None:
    raw = factories.DatasetVersionFactory()
    page_factories.validation(raw, success=False)
    cleaned = page_factories.cleaning(raw).cleaned_to
    page_factories.validation(cleaned)
    first = factories.ModelVersionFactory()
    second = factories.ModelVersionFactory(model=first.model, training_data=cleaned, retrained_from=first)
    training = factories.TrainingFactory(version=first, dataset=cleaned, produced=second, summary={"rows": 29})
    explanation = page_factories.explanation(version=second, dataset=cleaned)
    audit = page_factories.audit(version=second, dataset=cleaned)

    page = version_page(browser, second)
    lineage = page[page.index('class="lineage"') : page.index("</ol>", page.index('class="lineage"'))]

    order = ["applicants.csv", "upload", raw.ref, "validation", "cleaning", "3\N{NO-BREAK SPACE}rows out", cleaned.ref]
    order += [
        f"training {training.pk}",
        "29\N{NO-BREAK SPACE}rows",
        second.ref,
        f"explanation {explanation.pk}",
        f"from {first.ref}",
    ]
    order += [f"audit {audit.pk}"]
    places = [lineage.index(piece) for piece in order]
    assert places == sorted(places)
    assert lineage.count('class="thing') == 5


def test_the_lineage_counts_the_rows_that_the_audit_measured(browser: Client) -> None:
    schema = {
        **factories.SCHEMA,
        "columns": {**factories.SCHEMA["columns"], "part": {"role": "split", "type": "category"}},
    }
    profile = {"part": {"values": [{"value": "train", "count": 29}, {"value": "test", "count": 11}]}}
    audit = page_factories.audit(dataset=factories.DatasetVersionFactory(schema=schema, profile=profile))

    assert f"<span>40{NO_BREAK}rows</span>" in version_page(browser, audit.version), "no split: the whole"
    audit.job.spec = {"parameters": {"split": "test"}}
    audit.job.save()

    assert f"<span>11{NO_BREAK}test rows</span>" in version_page(browser, audit.version)


def test_a_long_chain_of_cleanings_is_folded(browser: Client) -> None:
    step = factories.DatasetVersionFactory()
    for _ in range(4):
        step = page_factories.cleaning(step).cleaned_to
    version = factories.ModelVersionFactory(training_data=step)

    page = version_page(browser, version)

    assert "2\N{NO-BREAK SPACE}more steps" in page
    assert page.count('class="thing') == 5


def test_an_uploaded_version_without_known_data_begins_with_its_file(browser: Client) -> None:
    page = version_page(browser, factories.ModelVersionFactory(filename="<b>.pt2"))

    assert "raw artefact" in page
    assert "&lt;b&gt;.pt2" in page


def test_evaluations_stand_with_intervals_and_a_comparison_that_shows_nothing_says_so(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    other = factories.ModelVersionFactory(model=version.model)
    difference = {"name": "accuracy", "slice": "", "difference": -0.006, "low": -0.012, "high": 0.001, "n": 40}
    factories.EvaluationFactory(
        version=version,
        compare_with=other,
        comparison={"metrics": [{**difference, "significant": False}], "sentence": ""},
    )

    page = version_page(browser, version)

    assert "accuracy 0.90 (0.77 to 0.96), n = 40" in page
    assert "accuracy −0.006 (−0.012 to 0.001), paired: not shown to differ" in page


def test_a_running_training_is_live_on_the_page_of_its_version(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    job = factories.JobFactory(
        kind="training", state=JobState.RUNNING, progress={"done": 3, "total": 4, "unit": "epochs"}, attempt=1
    )
    factories.TrainingFactory(version=version, job=job)

    page = version_page(browser, version)

    assert f'hx-get="{reverse("job-region", args=[job.pk])}?brief=1"' in page
    assert '<progress value="3" max="4"' in page


def test_a_failed_training_says_what_broke(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    job = page_factories.ended_job(
        "training",
        state=JobState.FAILED,
        error={"code": "loss_not_finite", "detail": "The loss became NaN in epoch 6."},
    )
    factories.TrainingFactory(version=version, job=job)

    assert "The loss became NaN in epoch 6." in version_page(browser, version)


def test_the_page_of_a_model_lists_its_versions_with_alias_and_audit(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    audit = page_factories.audit(version=version)
    review = factories.ReviewFactory(version=version, state=ReviewState.APPROVED)
    Alias.objects.create(model=version.model, name="champion", version=version, review=review)

    page = get(browser, "model", version.model.name)

    assert f"Champion: {version.ref}" in page
    assert f'href="{reverse("audit", args=[audit.pk])}"' in page


# --------------------------------------------------------------------------------------------------- reviews
def test_a_closed_button_stays_and_says_what_opens_it(browser: Client, client: Client, alice) -> None:
    review = factories.ReviewFactory()

    of_bob = get(browser, "review", review.pk)
    client.force_login(alice)
    of_alice = get(client, "review", review.pk)

    assert '<button type="button" aria-disabled="true" aria-describedby="closed">Approve</button>' in of_bob
    assert "Approve opens when nothing stands against it." in of_bob
    assert '<button name="decision" value="reject">Reject</button>' in of_bob
    assert "The review cites no audit of" in of_bob
    assert of_alice.count('aria-disabled="true"') == 3


def test_a_decision_is_kept_with_its_reason(browser: Client) -> None:
    review = factories.ReviewFactory()
    address = reverse("review-decide", args=[review.pk])

    without = browser.post(address, {"decision": "reject", "comment": " ", "next": "/reviews/"}, follow=True)
    unknown = browser.post(address, {"decision": "applaud", "comment": "x", "next": "/reviews/"}, follow=True)
    still = Review.objects.get(pk=review.pk).state
    kept = browser.post(address, {"decision": "reject", "comment": "No audit <b>yet</b>."}, follow=True)

    assert b"A decision says why." in without.content
    assert b"A decision is one of" in unknown.content
    assert still == ReviewState.OPEN
    assert Review.objects.get(pk=review.pk).state == ReviewState.REJECTED
    assert b"No audit &lt;b&gt;yet&lt;/b&gt;." in kept.content


def test_an_approval_that_a_gate_closes_is_not_kept_even_when_it_is_posted(browser: Client) -> None:
    review = factories.ReviewFactory()

    page = browser.post(
        reverse("review-decide", args=[review.pk]),
        {"decision": "approve", "comment": "fine", "next": "/reviews/"},
        follow=True,
    )

    assert b"may not become" in page.content
    assert Review.objects.get(pk=review.pk).state == ReviewState.OPEN
    assert not review.decisions.exists()


def test_evidence_that_no_longer_holds_is_shown_as_such(browser: Client) -> None:
    review = factories.ReviewFactory()
    evaluation = factories.EvaluationFactory(version=review.version)
    factories.EvidenceFactory(review=review, object_id=evaluation.pk, digest=digest_of_json("another result"))

    page = get(browser, "review", review.pk)

    assert "is no longer what was cited" in page
    assert '<use href="#m-failed"/></svg>no</span>' in page


def test_an_approval_whose_evidence_was_lost_is_shown_void_before_anybody_rechecks(browser: Client) -> None:
    version = factories.ModelVersionFactory()
    review = factories.ReviewFactory(version=version, state=ReviewState.APPROVED)
    evaluation = factories.EvaluationFactory(version=version)
    factories.EvidenceFactory(review=review, object_id=evaluation.pk, digest=digest_of_json("another result"))
    Alias.objects.create(model=version.model, name="champion", version=version, review=review)

    page = version_page(browser, version)

    assert "Approval void</p>" in page
    assert "The approval no longer holds." in page


# ---------------------------------------------------------------------------------------------- explanations
def test_an_explanation_says_whether_it_is_admitted_and_what_its_values_do_not_mean(browser: Client) -> None:
    explanation = page_factories.explanation()

    page = get(browser, "explanation", explanation.pk)

    order = [
        "Admitted</p>",
        "do not say what causes",
        f"One feature, age, carries 70{NO_BREAK}%",
        "One row:",
        "<h2>Quality measures</h2>",
        "attributions.npz",
    ]
    places = [page.index(piece) for piece in order]
    assert places == sorted(places)
    assert "3.1\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻⁶" in page
    assert "within</span>" in page


def test_an_explanation_that_is_not_admitted_gives_its_reasons(browser: Client) -> None:
    explanation = page_factories.explanation()
    Explanation.objects.update(admitted=False, reasons=["Agreement: 0.31, above the bound of 0.15."])

    page = get(browser, "explanation", explanation.pk)

    assert "Not admitted</p>" in page
    assert "Agreement: 0.31, above the bound of 0.15." in page


def test_a_row_is_chosen_by_number_by_error_and_by_boundary(browser: Client) -> None:
    explanation = page_factories.explanation()

    default = get(browser, "explanation", explanation.pk)
    by_error = get(browser, "explanation", explanation.pk, choose="error")
    by_number = get(browser, "explanation", explanation.pk, row="7")
    wrong = get(browser, "explanation", explanation.pk, choose="wrong")
    absent = get(browser, "explanation", explanation.pk, row="8")

    assert "One row: 18" in default
    assert "One row: 31" in by_error
    assert "One row: 7" in by_number
    assert "+1.33" in by_number
    assert "One row: 31" in wrong
    assert "Row 8 is not among the 3 rows shown." in absent
    assert browser.get(reverse("explanation", args=[explanation.pk]), {"choose": "nicest"}).status_code == 404


def test_numbers_of_queries_do_not_grow(browser: Client, django_assert_max_num_queries) -> None:
    dataset = factories.DatasetVersionFactory()
    version = factories.ModelVersionFactory(training_data=dataset)

    def add() -> None:
        factories.EvaluationFactory(version=version, dataset=dataset)
        factories.TrainingFactory(version=version, dataset=dataset)
        page_factories.explanation(version=version, dataset=dataset)
        page_factories.audit(version=version, dataset=dataset)
        factories.ReviewFactory(version=version, state=ReviewState.REJECTED)

    def counts() -> dict[str, int]:
        audit, explanation = Audit.objects.latest("pk"), Explanation.objects.latest("pk")
        addresses = {
            "home": reverse("home"),
            "model": reverse("model", args=[version.model.name]),
            "version": reverse("version", args=[version.model.name, version.number]),
            "audit": reverse("audit", args=[audit.pk]),
            "audit-list": reverse("audit-list"),
            "explanation": reverse("explanation", args=[explanation.pk]),
            "explanation-list": reverse("explanation-list"),
            "review-list": reverse("review-list"),
        }
        found = {}
        for name, address in addresses.items():
            with django_assert_max_num_queries(60) as captured:
                assert browser.get(address).status_code == 200
            found[name] = len(captured)
        return found

    add()
    add()
    few = counts()
    for _ in range(3):
        add()

    assert counts() == few


def test_a_finding_is_shown_with_its_comments(browser: Client, dave) -> None:
    finding = page_factories.audit().findings.get(check_id="ROB-01")
    finding.comments.create(text="Known <since> spring.", by=dave)

    page = get(browser, "finding", finding.pk)

    assert "Accuracy under white-box attack" in page
    assert "Known &lt;since&gt; spring." in page
    assert "ATLAS AML.T0015*" in page
