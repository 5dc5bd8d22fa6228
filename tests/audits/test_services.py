"""Audits, explanations and findings as services: criteria locked first, results kept whole, reports frozen."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audits import results
from audits.engine import catalogue
from audits.models import Audit, CheckStatus, Disposition, Explanation, Finding, Report, Verdict
from audits.services import audits, explanations, findings
from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import DatasetVersion, Event, Job, ModelVersion, ModelVersionState, Policy, StoredFile
from governance.storage import store
from tests.audits.explanation_results import admitted_result
from tests.factories import (
    SCHEMA,
    DatasetVersionFactory,
    ModelVersionFactory,
    PolicyFactory,
    StoredFileFactory,
)
from workers.protocol import digest_of_json

pytestmark = pytest.mark.usefixtures("open_gates")

CHART = {
    "id": "rob-01-curve",
    "caption": "Accuracy falls with the size of the change.",
    "label": "A falling curve.",
    "svg": "rob-01-curve.svg",
    "spec": "rob-01-curve.vl.json",
    "table": {"columns": ["eps", "accuracy"], "rows": [[0.1, 0.4]]},
}


@pytest.fixture
def version(alice: User) -> ModelVersion:
    return ModelVersionFactory(training_data=DatasetVersionFactory())


@pytest.fixture
def dataset(alice: User) -> DatasetVersion:
    return DatasetVersionFactory()


@pytest.fixture
def policy(db: None) -> Policy:
    document = {
        "name": "strict",
        "tier": "medium",
        "checks": {"ART-01": {}, "ROB-01": {}},
        "blocks": ["critical", "high"],
    }
    return PolicyFactory(name="strict", document=document)


def check(check_id: str, status: str = "passed", **fields: Any) -> dict[str, Any]:
    entry = catalogue.ENTRIES[check_id]
    return {
        "id": check_id,
        "title": entry.title,
        "status": status,
        "severity": "",
        "reason": "So it was measured.",
        "metrics": [{"name": "ratio", "value": 0.7, "low": 0.6, "high": 0.8, "n": 40, "unit": "", "note": ""}],
        "condition": dict(entry.default_condition),
        "parameters": entry.default_parameters,
        "findings": [],
        "charts": [],
        "detail": {},
        "limits": "It does not show other attacks.",
        "seed": 1,
        "seconds": 0.5,
        **fields,
    }


def stored(content: bytes) -> StoredFile:
    return store().put([content])


def test_criteria_are_locked_before_the_job_with_every_default_filled_in(
    version: ModelVersion, dataset: DatasetVersion, policy: Policy, dave: User
) -> None:
    audit = audits.request_audit(version=version, dataset=dataset, policy=policy, by=dave)

    assert audit.criteria["checks"]["ROB-01"]["parameters"] == catalogue.ENTRIES["ROB-01"].default_parameters
    assert audit.criteria_digest == digest_of_json(audit.criteria)
    assert audit.job.spec["parameters"]["criteria"]["checks"].keys() == {"ART-01", "ROB-01"}
    assert audit.training_data == version.training_data
    assert audit.verdict == ""
    assert Event.objects.filter(name="audit.requested").get().detail["criteria"] == audit.criteria_digest


def test_a_check_that_the_policy_lacks_cannot_be_selected(
    version: ModelVersion, dataset: DatasetVersion, policy: Policy, dave: User
) -> None:
    with pytest.raises(InvalidInput, match="FAIR-01"):
        audits.request_audit(version=version, dataset=dataset, policy=policy, checks=["FAIR-01"], by=dave)

    assert not Job.objects.exists()


def test_a_parameter_that_a_check_does_not_take_is_named(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    odd = PolicyFactory(document={"name": "odd", "tier": "medium", "checks": {"ROB-01": {"parameters": {"size": 3}}}})

    with pytest.raises(InvalidInput, match="'size'"):
        audits.request_audit(version=version, dataset=dataset, policy=odd, by=dave)


def test_data_without_a_target_cannot_be_audited(version: ModelVersion, policy: Policy, dave: User) -> None:
    columns = {**SCHEMA["columns"], "repaid": {"role": "ignore", "type": "category"}}
    dataset = DatasetVersionFactory(schema={**SCHEMA, "columns": columns})

    with pytest.raises(InvalidInput, match="target"):
        audits.request_audit(version=version, dataset=dataset, policy=policy, by=dave)


def test_a_rejected_version_cannot_be_audited_or_explained(
    version: ModelVersion, dataset: DatasetVersion, policy: Policy, dave: User
) -> None:
    version.state = ModelVersionState.REJECTED
    version.save()

    with pytest.raises(StateConflict, match="rejected"):
        audits.request_audit(version=version, dataset=dataset, policy=policy, by=dave)
    with pytest.raises(StateConflict, match="rejected"):
        explanations.request_explanation(version=version, dataset=dataset, by=dave)


def test_bob_requests_no_audits(version: ModelVersion, dataset: DatasetVersion, policy: Policy, bob: User) -> None:
    with pytest.raises(NotAllowed):
        audits.request_audit(version=version, dataset=dataset, policy=policy, by=bob)


def test_a_failed_audit_is_kept_with_findings_charts_and_reports(
    version: ModelVersion, dataset: DatasetVersion, policy: Policy, dave: User
) -> None:
    audit = audits.request_audit(version=version, dataset=dataset, policy=policy, by=dave)
    draft = {
        "severity": "high",
        "title": "Small changes turn the decision",
        "detail": "Accuracy fell to 0.1.",
        "remedy": "Train on attacked rows.",
        "references": [],
        "evidence": [],
    }
    value = {
        "checks": [
            check("ART-01"),
            check("ROB-01", "failed", severity="high", findings=[draft], charts=[CHART]),
        ]
    }
    jsonschema.validate(value, results.AUDIT)
    files = {
        "rob-01-curve.svg": stored(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        "rob-01-curve.vl.json": stored(b"{}"),
    }

    audits.record_audit(audit.job, value, files)

    kept = Audit.objects.get(pk=audit.pk)
    assert kept.verdict == Verdict.FAILED
    assert kept.coverage["with_result"] == 2
    (finding,) = Finding.objects.all()
    assert (finding.check_id, finding.owner, finding.audit) == ("ROB-01", version.model.owner, kept)
    assert kept.checks.get(check_id="ROB-01").charts[0]["svg_digest"] == files["rob-01-curve.svg"].digest
    reports = {report.format: report for report in kept.reports.all()}
    assert set(reports) == set(Report.Format.values)
    with store().open(reports["json"].digest) as stream:
        assert json.load(stream)["audit"]["verdict"] == "failed"
    assert Event.objects.filter(name="audit.ended").get().detail["reports"]["html"] == reports["html"].digest


def test_a_partial_audit_cannot_pass(
    version: ModelVersion, dataset: DatasetVersion, policy: Policy, dave: User
) -> None:
    audit = audits.request_audit(version=version, dataset=dataset, policy=policy, checks=["ART-01"], by=dave)
    assert audit.job.spec["parameters"]["criteria"]["checks"].keys() == {"ART-01"}

    audits.record_audit(audit.job, {"checks": [check("ART-01")]}, {})

    kept = Audit.objects.get(pk=audit.pk)
    assert kept.verdict == Verdict.INCONCLUSIVE
    left_out = kept.checks.get(check_id="ROB-01")
    assert left_out.status == CheckStatus.SKIPPED
    assert "not selected" in left_out.reason


@pytest.mark.parametrize(("asked", "given"), [(None, 77 * 1024**2), (64 * 1024**2, 64 * 1024**2)])
def test_an_explanation_has_the_memory_that_is_asked_for_or_that_of_the_setting(
    asked: int | None, given: int, version: ModelVersion, dataset: DatasetVersion, dave: User, settings: Any
) -> None:
    settings.ASSAY_EXPLANATION_MEMORY_BYTES = 77 * 1024**2
    explanation = explanations.request_explanation(version=version, dataset=dataset, memory_bytes=asked, by=dave)
    assert explanation.job.spec["parameters"]["memory_bytes"] == given


def test_an_explanation_defaults_to_the_training_data_as_background(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, rows=[0, 3], by=dave)

    assert explanation.background == version.training_data
    assert explanation.parameters["rows"] == [0, 3]
    assert explanation.job.spec["inputs"]["background"]["digest"] == version.training_data.table_id


def test_a_recorded_explanation_has_its_files_by_digest(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, by=dave)
    files = {"attributions.npz": StoredFileFactory(), "neighbours.npz": StoredFileFactory()}
    value = admitted_result()
    jsonschema.validate(value, results.EXPLANATION)

    explanations.record_explanation(explanation.job, value, files)

    kept = Explanation.objects.get(pk=explanation.pk)
    assert kept.admitted is True
    assert kept.files == {name: file.digest for name, file in files.items()}
    assert kept.digest.startswith("sha256:")


def test_alice_does_not_settle_findings_on_her_own_model(version: ModelVersion, alice: User, dave: User) -> None:
    finding = findings.raise_finding(version=version, severity="high", title="Leak", detail="Seen.", by=dave)

    with pytest.raises(NotAllowed):
        findings.deal_with_finding(finding=finding, disposition=Disposition.FALSE_POSITIVE, by=alice)
    findings.comment_on_finding(finding=finding, text="We look into it.", by=alice)

    assert Finding.objects.get().disposition == Disposition.OPEN
    assert Finding.objects.get().comments.get().by == alice


@pytest.mark.parametrize("days", [None, -1])
def test_an_acceptance_needs_an_end_ahead(version: ModelVersion, dave: User, days: int | None) -> None:
    finding = findings.raise_finding(version=version, severity="high", title="Leak", detail="Seen.", by=dave)
    until = None if days is None else timezone.now() + timedelta(days=days)

    with pytest.raises(InvalidInput, match="accepted_until"):
        findings.deal_with_finding(finding=finding, disposition=Disposition.ACCEPTED, accepted_until=until, by=dave)

    assert Finding.objects.get().disposition == Disposition.OPEN


def test_an_empty_comment_is_none(version: ModelVersion, dave: User) -> None:
    finding = findings.raise_finding(version=version, severity="low", title="Slow", detail="Seen.", by=dave)

    with pytest.raises(InvalidInput):
        findings.comment_on_finding(finding=finding, text=" \n", by=dave)
