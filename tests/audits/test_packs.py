"""Evidence packs of real audits: signed on the way, the same each time, and verified with nothing but the pack."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from audits.engine import catalogue
from audits.models import Audit
from audits.services import audits, packs
from governance.exceptions import StateConflict
from governance.models import DatasetVersion, InstallationKey, Job, SignedStatement, StatementKind, StoredFile
from governance.services import provenance, signing_keys, statements
from tests import factories
from workers.provenance.dsse import Envelope
from workers.provenance.keys import PublicKey
from workers.provenance.pack import Pack, with_manifest
from workers.provenance.statement import EVAL_RESULT, REPORT, Statement
from workers.provenance.verification import Finding, verify

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


def dataset() -> DatasetVersion:
    made = factories.DatasetVersionFactory()
    with transaction.atomic():
        provenance.sign_dataset(made, by=None)
    return made


def ended_audit(by: User) -> Audit:
    """Ask for an audit of one check on things that are signed where there is a key, and end it with a pass."""
    version = factories.ModelVersionFactory(training_data=dataset())
    with transaction.atomic():
        provenance.sign_upload(version, by=None)
    factories.EvaluationFactory(version=version, dataset=dataset(), job__finished_at=timezone.now())
    document = {"name": "one", "tier": "medium", "checks": {"ART-01": {}}, "blocks": ["critical"]}
    policy = factories.PolicyFactory(name="one", document=document)
    audit = audits.request_audit(version=version, dataset=dataset(), policy=policy, by=by)
    entry = catalogue.ENTRIES["ART-01"]
    result: dict[str, Any] = {
        "id": "ART-01",
        "title": entry.title,
        "status": "passed",
        "severity": "",
        "reason": "No code was found.",
        "metrics": [{"name": "findings", "value": 0, "low": None, "high": None, "n": 3, "unit": "", "note": ""}],
        "condition": dict(entry.default_condition),
        "parameters": entry.default_parameters,
        "findings": [],
        "charts": [],
        "detail": {},
        "limits": "",
        "seed": 0,
        "seconds": 0.1,
    }
    Job.objects.filter(pk=audit.job_id).update(finished_at=timezone.now())
    with transaction.atomic():
        audits.record_audit(audit.job, {"checks": [result]}, {})
    return Audit.objects.get(pk=audit.pk)


def read(content: bytes) -> Pack:
    return Pack.read(io.BytesIO(content))


def failing(pack: Pack, *trusted: PublicKey) -> set[str]:
    return {outcome.check for outcome in verify(pack, trusted) if outcome.finding is Finding.FAILS}


def test_an_audit_and_its_reports_get_statements(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)

    signed = statements.of(StatementKind.AUDIT, str(audit.pk))
    assert signed is not None
    statement = Statement.parse(Envelope.from_json(signed.envelope).payload)
    assert statement.predicate_type == EVAL_RESULT
    assert statement.has_subject(audit.version_digest)
    assert statement.has_subject(audit.digest)
    assert statement.predicate["verdict"] == "passed"
    assert statement.predicate["checks"][0]["id"] == "ART-01"
    for report in audit.reports.all():
        frozen = statements.of(StatementKind.REPORT, f"{audit.pk}.{report.format}")
        assert frozen is not None
        assert frozen.predicate_type == REPORT
        assert [subject.digest for subject in frozen.subjects.all()] == [report.digest]
    assert {statements.problem_of(entry) for entry in SignedStatement.objects.all()} == {None}


def test_a_statement_about_a_report_that_was_replaced_does_not_hold(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)
    audit.reports.filter(format="html").update(file=factories.StoredFileFactory())
    Audit.objects.update(digest="sha256:" + "0" * 64)

    problems = {
        str(entry.kind): statements.problem_of(entry)
        for entry in SignedStatement.objects.filter(
            kind__in=[StatementKind.AUDIT, StatementKind.REPORT], name__in=[str(audit.pk), f"{audit.pk}.html"]
        )
    }

    assert all("does not name" in str(problem) for problem in problems.values())
    assert set(problems) == {"audit", "report"}


def test_a_pack_holds_with_the_key_of_the_installation(dave: User, signing_key: InstallationKey) -> None:
    pack = read(packs.evidence_pack(ended_audit(dave)))

    assert failing(pack) == set()
    assert failing(pack, PublicKey.read(signing_key.public_key)) == set()
    assert len(json.loads(pack.files["bom.json"])["components"]) == 2
    assert json.loads(pack.files["events.json"])[-1]["name"] == "statement.signed"


def test_a_pack_of_two_keys_holds(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)
    signing_keys.create_key(rotate=True)
    later = audits.request_audit(version=audit.version, dataset=dataset(), policy=audit.policy, by=dave)
    with transaction.atomic():
        audits.record_audit(later.job, {"checks": []}, {})

    pack = read(packs.evidence_pack(Audit.objects.get(pk=later.pk)))

    assert len(pack.under("keys")) == 2
    assert failing(pack) == set()


def test_the_same_record_gives_the_same_bytes(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)

    first = packs.evidence_pack(audit)

    assert packs.evidence_pack(Audit.objects.get(pk=audit.pk)) == first
    # What was measured after the audit is not in its pack.
    factories.EvaluationFactory(version=audit.version, dataset=audit.dataset, job__finished_at=timezone.now())
    assert packs.evidence_pack(Audit.objects.get(pk=audit.pk)) == first


def test_reports_of_two_audits_do_not_pass_for_one(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)
    other = audits.request_audit(version=audit.version, dataset=dataset(), policy=audit.policy, by=dave)
    with transaction.atomic():
        audits.record_audit(other.job, {"checks": []}, {})
    ours = dict(read(packs.evidence_pack(audit)).files)
    theirs = read(packs.evidence_pack(Audit.objects.get(pk=other.pk))).files
    name = f"statements/report-{other.pk}.html.json"
    ours |= {"report.html": theirs["report.html"], name: theirs[name]}
    del ours["manifest.json"]

    assert failing(with_manifest(ours, audit=audit.pk)) == {"report"}


def test_without_a_key_a_pack_says_that_nobody_vouches_for_it(dave: User) -> None:
    pack = read(packs.evidence_pack(ended_audit(dave)))

    assert failing(pack) >= {"statements", "report", "model", "dataset", "audit"}


def test_an_audit_that_has_not_ended_has_no_pack(dave: User) -> None:
    version = factories.ModelVersionFactory()
    audit = audits.request_audit(version=version, dataset=factories.DatasetVersionFactory(), by=dave)

    with pytest.raises(StateConflict, match="no report to pack"):
        packs.evidence_pack(audit)


def test_a_pack_is_downloaded_from_the_api_and_linked_from_the_page(
    dave: User, signing_key: InstallationKey, dave_api: APIClient, client: Client
) -> None:
    audit = ended_audit(dave)
    client.force_login(dave)

    answer = dave_api.get(f"/api/v1/audits/{audit.pk}/pack/")

    assert answer["Content-Type"] == "application/zip"
    assert failing(read(answer.content)) == set()
    page = client.get(reverse("audit", args=[audit.pk])).content.decode()
    assert f'href="/api/v1/audits/{audit.pk}/pack/"' in page
    assert signing_key.id[:12] in page


def test_pages_link_the_statement_and_the_bill_of_materials(
    dave: User, signing_key: InstallationKey, client: Client
) -> None:
    audit = ended_audit(dave)
    client.force_login(dave)
    for kind, thing, name in (
        (StatementKind.VERSION, audit.version, "version"),
        (StatementKind.DATASET, audit.dataset, "dataset-version"),
    ):
        logical = thing.model.name if kind == StatementKind.VERSION else thing.dataset.name
        page = client.get(reverse(name, args=[logical, thing.number])).content.decode()
        signed = statements.of(kind, thing.ref)
        assert signed is not None
        assert f'href="/api/v1/statements/{signed.pk}/envelope/"' in page
        assert (f"/versions/{thing.number}/bom/" in page) == (kind == StatementKind.VERSION)
    assert client.get(f"/api/v1/statements/{signed.pk}/envelope/").status_code == 200


def test_a_file_of_the_store_that_was_changed_is_no_longer_the_report(dave: User, signing_key: InstallationKey) -> None:
    audit = ended_audit(dave)
    report = audit.reports.get(format="html")
    path = packs.store().path(StoredFile.objects.get(pk=report.digest).digest)
    path.chmod(0o640)
    path.write_bytes(b"<html>passed</html>")

    assert failing(read(packs.evidence_pack(audit))) == {"report"}
