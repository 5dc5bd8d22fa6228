"""The report of an audit: one file that opens anywhere, and JSON after a published schema."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import jsonschema
import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Audit, Disposition
from audits.reports import page
from audits.reports.document import build_json, schema
from audits.reports.page import build_html
from governance.exceptions import IntegrityFailure
from tests import factories, page_factories

HOSTILE = '"></title></style></script><script>alert("1")</script><!-- <script>'


class Elements(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style") and self.cdata_elem == self.found[-1][0]:
            self.raw.append((*self.found[-1], data))


def whole(audit: Audit) -> Audit:
    """Read an audit as a service hands it over."""
    return Audit.objects.get(pk=audit.pk)


@pytest.fixture
def report(db) -> str:
    return build_html(whole(page_factories.audit()))


def policy_of(text: str) -> str:
    elements = Elements(text)
    return str(
        next(attrs["content"] for tag, attrs in elements.found if attrs.get("http-equiv") == "Content-Security-Policy")
    )


def source_hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_the_file_refers_to_nothing_outside_itself(report: str) -> None:
    for tag, attrs in Elements(report).found:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            value = attrs.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
    style = report[report.index("<style>") : report.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style


def test_the_policy_lets_in_exactly_the_style_and_the_script_of_the_file(report: str) -> None:
    policy = policy_of(report)
    style = re.search(r"<style>(.*?)</style>", report, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", report, re.DOTALL)

    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    assert style is not None
    assert len(scripts) == 1
    assert source_hash(style[1]) in policy
    assert source_hash(scripts[0]) in policy
    assert policy.count("sha256-") == 2


def test_it_reads_without_scripts(report: str) -> None:
    before_scripts = report[: report.index('<script type="application/json"')]

    for words in (
        "Failed</p>",
        "<b>4 of 6</b> applicable checks gave a result",
        "What blocks the approval",
        "All 7",
        "95 % interval 0.12 to 0.25",
        'class="chart" role="img" aria-label="Accuracy halves near eps 0.09.',
        "The numbers of this chart",
        "What this does not show.",
        "<h2>Digests</h2>",
    ):
        assert words in before_scripts


def test_every_mark_and_reference_inside_the_file_leads_somewhere(report: str) -> None:
    elements = Elements(report).found
    ids = [attrs["id"] for _, attrs in elements if attrs.get("id")]
    targets = {str(attrs["href"])[1:] for _, attrs in elements if attrs.get("href")}

    assert targets <= set(ids)
    assert len(ids) == len(set(ids))


def test_each_chart_has_its_specification_for_the_live_drawing(report: str) -> None:
    written = re.search(r'<script type="application/json" id="assay-specs">(.*?)</script>', report, re.DOTALL)
    assert written is not None
    specs = json.loads(written[1])

    assert list(specs) == ["ROB-01-curve"]
    assert specs["ROB-01-curve"]["data"]["values"][0] == {"x": 0.0, "y": 0.93}
    assert 'data-spec="ROB-01-curve"' in report
    assert "not-redrawn" in report


def test_a_specification_that_is_too_large_is_left_out_and_its_drawing_stays(
    db, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = whole(page_factories.audit())
    monkeypatch.setattr(page, "MAX_SPEC_BYTES", 100)

    report = build_html(audit)

    assert 'id="assay-specs">{}</script>' in report
    assert 'aria-label="Accuracy halves' in report


def test_the_same_audit_gives_the_same_bytes(db) -> None:
    audit = page_factories.audit()

    assert build_html(whole(audit)) == build_html(whole(audit))
    assert json.dumps(build_json(whole(audit))) == json.dumps(build_json(whole(audit)))


def test_later_audits_do_not_change_what_a_report_says(db) -> None:
    version = factories.ModelVersionFactory()
    page_factories.audit(version=version, ago=timedelta(days=2))
    audit = page_factories.audit(version=version, ago=timedelta(days=1))
    before = build_json(whole(audit))

    page_factories.audit(version=version)

    assert build_json(whole(audit)) == before
    assert before["changes"] is not None


def hostile_audit() -> Audit:
    owner = factories.owner()
    version = factories.ModelVersionFactory(model__intended_use=HOSTILE, model__limitations=HOSTILE, filename=HOSTILE)
    results = page_factories.check_results()
    for result in results:
        result["title"] = HOSTILE[:200]
        result["reason"] = HOSTILE
        result["detail"] = {"limits": HOSTILE, HOSTILE: HOSTILE, "seed": HOSTILE}
        result["parameters"] = {HOSTILE: HOSTILE}
        for metric in result.get("metrics", []):
            metric |= {"name": HOSTILE, "note": HOSTILE, "unit": HOSTILE}
    results[3]["charts"] = [
        page_factories.chart("curve", HOSTILE, [{"x": 1, "y": 2}, {"x": 2, "y": 3}], x=HOSTILE, y=HOSTILE)
    ]
    audit = page_factories.audit(version=version, checks=results)
    audit.findings.update(title=HOSTILE, detail=HOSTILE, remedy=HOSTILE, references=[HOSTILE], owner=owner)
    audit.job.environment = {HOSTILE: {HOSTILE: HOSTILE}}
    audit.job.save()
    Audit.objects.filter(pk=audit.pk).update(verdict_reason=HOSTILE)
    return whole(audit)


def test_hostile_names_change_nothing_about_the_structure_of_the_file(db) -> None:
    report = build_html(hostile_audit())

    elements = Elements(report).found
    assert [tag for tag, _ in elements].count("script") == 2
    assert [tag for tag, _ in elements].count("style") == 1
    assert [tag for tag, _ in elements].count("title") == 1
    assert "<script>alert" not in report
    assert report.count("&lt;script&gt;alert") > 20
    written = re.search(r'<script type="application/json" id="assay-specs">(.*?)</script>', report, re.DOTALL)
    assert written is not None
    assert "<" not in written[1]
    assert json.loads(written[1])["ROB-01-curve"]["encoding"]["x"]["title"] == HOSTILE


def test_a_name_cannot_leave_the_text_at_the_foot_of_a_page(db) -> None:
    audit = whole(page_factories.audit())
    audit.version.model.name = 'x"; } body { display: none } /* </style>'

    style = page.stylesheet(audit)

    foot = style[style.rindex("@page") :]
    assert "body {" not in foot
    assert "</style" not in foot
    assert foot.count('"') == 2


def test_text_that_would_end_its_tag_is_refused() -> None:
    for text in ("a</script >", "a</SCRIPT", "<!-- a"):
        with pytest.raises(IntegrityFailure):
            page._inside_tag(text, "script")


# ------------------------------------------------------------------------------------------------------ JSON
def test_the_json_follows_its_published_schema(db, client: Client, bob) -> None:
    client.force_login(bob)
    published = client.get(reverse("report-schema"))

    document = json.loads(json.dumps(build_json(whole(page_factories.audit())), allow_nan=False))

    jsonschema.Draft202012Validator.check_schema(published.json())
    jsonschema.Draft202012Validator(published.json()).validate(document)
    assert published["Content-Type"] == "application/schema+json"


def test_a_hostile_audit_follows_the_schema_too(db) -> None:
    jsonschema.Draft202012Validator(schema()).validate(build_json(hostile_audit()))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("coverage"),
        lambda document: document.update(score=0.9),
        lambda document: document["audit"].update(verdict="safe"),
        lambda document: document["checks"][0].update(status="ok"),
        lambda document: document["model"].update(digest="sha256:short"),
        lambda document: document["checks"][0]["metrics"][0].update(value="0.9"),
    ],
)
def test_the_schema_refuses_what_is_no_report(db, change) -> None:
    document = build_json(whole(page_factories.audit()))
    change(document)

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(document)


def test_the_json_says_what_the_page_says(db) -> None:
    audit = page_factories.audit()
    audit.findings.filter(check_id="DAT-03").update(disposition=Disposition.REMEDIATED)

    document = build_json(whole(audit))

    assert document["audit"]["verdict"] == "failed"
    assert document["blocking"] == ["ROB-01", "PRI-01", "EXP-01"]
    assert document["coverage"] == {
        "selected": 7,
        "applicable": 6,
        "with_result": 4,
        "by_status": {"passed": 2, "failed": 2, "error": 1, "skipped": 1, "not_applicable": 1},
    }
    assert [check["id"] for check in document["checks"]][:2] == ["ART-01", "DAT-03"]
    assert [finding["disposition"] for finding in document["findings"]] == ["open", "remediated"]
    assert document["changes"] is None
    chart = next(check for check in document["checks"] if check["id"] == "ROB-01")["charts"][0]
    assert chart["svg_digest"].startswith("sha256:")
    assert chart["table"]["columns"] == ["eps", "accuracy"]


def test_a_report_is_built_with_a_constant_number_of_queries(db, django_assert_max_num_queries) -> None:
    few = whole(page_factories.audit(checks=page_factories.check_results()[:2]))
    many = whole(page_factories.audit())
    counts = []
    for audit in (few, many):
        with django_assert_max_num_queries(20) as captured:
            build_json(audit)
        counts.append(len(captured))

    assert counts[0] == counts[1]
