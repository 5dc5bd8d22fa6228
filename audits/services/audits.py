"""Ask for an audit with its criteria locked, and keep what its checks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from audits.engine import catalogue
from audits.models import Audit, CheckResult, CheckStatus, Finding, Severity
from audits.services import admission, provenance, reports
from audits.services.verdict import JudgedCheck, coverage, judge
from governance import gates, permissions
from governance.exceptions import InvalidInput
from governance.models import DatasetVersion, Job, ModelVersion, Policy, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, policies
from governance.services.subjects import (
    charts_with_digests,
    dataset_input,
    demand_fit,
    demand_target,
    model_input,
    split_or_all,
)
from validators.gates import validation_state
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def request_audit(
    *,
    version: ModelVersion,
    dataset: DatasetVersion,
    by: User,
    training_data: DatasetVersion | None = None,
    policy: Policy | None = None,
    checks: Sequence[str] | None = None,
) -> Audit:
    """Lock the criteria and start a job that measures a version against them.

    The policy defaults to the newest one of the model's tier, the training data to what the version was trained on.
    Checks of the policy that are not selected stay in the criteria and end as skipped: a partial audit cannot pass.

    Raises:
        InvalidInput: when the data set cannot feed the model, or a check does not take what the policy says.
        StateConflict: when the version is not registered or the data set not ready.
        GateClosed: with the reasons of the gate ``audit``: what is measured on bad data says nothing.
    """
    permissions.require(by, Action.REQUEST_AUDIT, version)
    policy = policy or policies.newest_for_tier(version.model.tier)
    training_data = training_data or version.training_data
    signature, schema = demand_fit(version, dataset)
    demand_target(dataset, schema)
    training_schema = None if training_data is None else demand_fit(version, training_data)[1]
    criteria = lock_criteria(policy, selected=checks)
    facts = {
        "inspection": version.inspection or None,
        "artifact_digest": version.digest,
        "validation": None if training_data is None else validation_state(training_data),
        "training_dataset_digest": None if training_data is None else training_data.digest,
    }
    inputs = {"model": model_input(version), "dataset": dataset_input(dataset)}
    if training_data is not None:
        inputs["training_data"] = ("training.parquet", dataset_input(training_data)[1])
    with transaction.atomic():
        refusal = f"{dataset.ref} may not be used to audit {version.ref}"
        gates.demand("audit", refusal, version=version, dataset=dataset)
        job = jobs.submit(
            kind="audit",
            parameters={
                "framework": version.framework,
                "signature": signature.to_json(),
                "schema": schema.to_json(),
                "training_schema": None if training_schema is None else training_schema.to_json(),
                "task": version.model.task,
                "split": split_or_all(schema, "test"),
                "training_split": None if training_schema is None else split_or_all(training_schema, "train"),
                "criteria": {**criteria, "checks": {k: v for k, v in criteria["checks"].items() if v["selected"]}},
                "facts": facts,
            },
            inputs=inputs,
            subject=f"{version.ref} on {dataset.ref}",
            by=by,
        )
        audit = Audit.objects.create(
            version=version,
            dataset=dataset,
            training_data=training_data,
            policy=policy,
            criteria=criteria,
            criteria_digest=digest_of_json(criteria),
            version_digest=version.digest,
            dataset_digest=dataset.digest,
            job=job,
            created_by=by,
        )
        events.record(
            name="audit.requested",
            subject=version.ref,
            by=by,
            detail={"audit": audit.pk, "dataset": dataset.ref, "policy": policy.ref, "criteria": audit.criteria_digest},
        )
    return audit


def lock_criteria(policy: Policy, *, selected: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what an audit under a policy will be judged by: each check with its parameters and condition filled in.

    Raises:
        InvalidInput: when a selected check is not one of the policy's, or a check does not take what the policy says.
    """
    document = policy.document
    unknown = sorted(set(selected or ()) - set(document["checks"]))
    if unknown:
        raise InvalidInput(
            f"The policy {policy.ref} has no check {unknown[0]!r}.",
            errors=[{"place": "checks", "detail": f"It has {', '.join(sorted(document['checks']))}."}],
        )
    checks = {
        check_id: {**_criterion(check_id, asked, policy), "selected": selected is None or check_id in selected}
        for check_id, asked in sorted(document["checks"].items())
    }
    return {
        "policy": policy.ref,
        "policy_digest": policy.digest,
        "tier": policy.tier,
        "blocks": list(document.get("blocks", ["critical", "high"])),
        "checks": checks,
    }


def _criterion(check_id: str, asked: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """Fill in parameters and condition of one check; those of a plug-in stay as the policy has them.

    Explanations within an audit keep to the same bounds as others, unless the check's own parameters say otherwise.
    """
    parameters, condition = asked.get("parameters", {}), asked.get("condition", {})
    if check_id == admission.ADMISSION_CHECK:
        parameters = {**admission.parameters_of_check(policy), **parameters}
    entry = catalogue.ENTRIES.get(check_id)
    if entry is None:
        return {"parameters": parameters, "condition": condition}
    try:
        entry.read_parameters(parameters)
        return {
            "parameters": {**entry.default_parameters, **parameters},
            "condition": entry.read_condition(condition),
        }
    except catalogue.CriteriaError as error:
        raise InvalidInput(f"The policy cannot be audited against: {error}") from error


def record_audit(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep the results of the checks, raise their findings, give the verdict, freeze the reports.

    Runs in the transaction that ends the job.
    """
    audit = Audit.objects.select_related("version__model__owner", "dataset__dataset", "policy").get(job=job)
    results = {result["id"]: result for result in value["checks"]}
    rows = [
        _check_result(audit, check_id, criterion, results.get(check_id), files)
        for check_id, criterion in audit.criteria["checks"].items()
    ]
    CheckResult.objects.bulk_create(rows)
    Finding.objects.bulk_create(
        _finding(audit, check_id, draft, job) for check_id, result in results.items() for draft in result["findings"]
    )
    judged = [JudgedCheck(id=row.check_id, status=row.status, severity=row.severity) for row in rows]
    judgement = judge(judged, required=audit.criteria["checks"], blocks=audit.criteria["blocks"])
    audit.verdict = judgement.verdict
    audit.verdict_reason = judgement.reason
    audit.coverage = coverage(judged)
    audit.digest = digest_of_json(
        {
            "criteria": audit.criteria_digest,
            "version": audit.version_digest,
            "dataset": audit.dataset_digest,
            "value": value,
            "files": {name: file.digest for name, file in files.items()},
        }
    )
    audit.save()
    frozen = reports.freeze(audit)
    events.record(
        name="audit.ended",
        subject=audit.version.ref,
        by=job.created_by,
        detail={
            "audit": audit.pk,
            "verdict": audit.verdict,
            "digest": audit.digest,
            "reports": {report.format: report.digest for report in frozen},
        },
    )
    provenance.sign_audit(audit, rows, by=job.created_by)
    for report in frozen:
        provenance.sign_report(report, by=job.created_by)


def _check_result(
    audit: Audit,
    check_id: str,
    criterion: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    files: Mapping[str, StoredFile],
) -> CheckResult:
    entry = catalogue.ENTRIES.get(check_id)
    if result is None:
        reason = (
            "The job gave no result for this check."
            if criterion["selected"]
            else "The check was not selected for this audit; its policy asks for it."
        )
        return CheckResult(
            audit=audit,
            check_id=check_id,
            title=entry.title if entry else check_id,
            status=CheckStatus.SKIPPED,
            reason=reason,
            condition=criterion["condition"],
            parameters=criterion["parameters"],
        )
    return CheckResult(
        audit=audit,
        check_id=check_id,
        title=result["title"],
        status=result["status"],
        severity=_worst(result),
        reason=result["reason"],
        metrics=result["metrics"],
        condition=result["condition"],
        parameters=result["parameters"],
        charts=charts_with_digests(result["charts"], files),
        detail={**result["detail"], "limits": result["limits"], "seed": result["seed"]},
        seconds=result["seconds"],
    )


def _worst(result: Mapping[str, Any]) -> str:
    """Return the severity that a failed check counts with: its own, or the worst of its findings."""
    if result["status"] != CheckStatus.FAILED:
        return ""
    named = {finding["severity"] for finding in result["findings"]} | {result["severity"]}
    ranked = [severity for severity in Severity.values if severity in named]
    return ranked[0] if ranked else Severity.HIGH


def _finding(audit: Audit, check_id: str, draft: Mapping[str, Any], job: Job) -> Finding:
    return Finding(
        audit=audit,
        version=audit.version,
        dataset_digest=audit.dataset_digest,
        check_id=check_id,
        severity=draft["severity"],
        title=draft["title"][:300],
        detail=draft["detail"],
        evidence=draft["evidence"],
        references=draft["references"],
        remedy=draft["remedy"],
        owner=audit.version.model.owner,
        raised_by=job.created_by,
    )
