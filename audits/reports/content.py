"""What the report of an audit says, in its order: the same for the page, the HTML file and the JSON.

Nothing here is drawn, and nothing depends on when or by whom it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from audits.engine.references import references_of
from audits.models import Audit, CheckResult, CheckStatus, Disposition, Finding, Severity, Verdict
from audits.services.verdict import JudgedCheck, judge
from governance.presentation.numbers import is_number, value_of_metric

#: The families of the catalogue, in its order.
FAMILIES = ("ART", "DAT", "PER", "CAL", "OOD", "ROB", "PRI", "BKD", "FAIR", "EXP", "REP", "LOG")
#: What stands in a check's ``detail`` for the report itself and not among its facts.
_OWN_FACTS = ("limits", "seed")

_CONSEQUENCE = {
    Verdict.PASSED: "An approval may rest on this audit.",
    Verdict.FAILED: "On this evidence the version cannot become champion.",
    Verdict.INCONCLUSIVE: "A gate takes what gave no result as a no.",
}


@dataclass(frozen=True)
class Check:
    """One check as the report shows it."""

    result: CheckResult
    findings: tuple[Finding, ...]
    blocks: bool

    @property
    def id(self) -> str:
        return self.result.check_id

    @property
    def family(self) -> str:
        return self.id.partition("-")[0]

    @property
    def has_result(self) -> bool:
        return self.result.status in (CheckStatus.PASSED, CheckStatus.FAILED)

    @property
    def headline(self) -> dict[str, Any] | None:
        """The metric that the condition is about: the first."""
        metrics: list[dict[str, Any]] = self.result.metrics
        return metrics[0] if metrics else None

    @property
    def other_metrics(self) -> list[dict[str, Any]]:
        others: list[dict[str, Any]] = self.result.metrics[1:]
        return others

    @property
    def limits(self) -> str:
        return str(self.result.detail.get("limits") or "")

    @property
    def seed(self) -> Any:
        return self.result.detail.get("seed")

    @property
    def facts(self) -> list[tuple[str, Any]]:
        """What the check was told and what it noted, as far as it is one value or a short list."""
        noted = {key: value for key, value in self.result.detail.items() if key not in _OWN_FACTS}
        return [(key, value) for key, value in {**self.result.parameters, **noted}.items() if _is_short(value)]

    @property
    def references(self) -> list[str]:
        """What the check is evidence towards, by the data of the catalogue and by its findings, each once."""
        of_check = [reference.to_json() for reference in references_of(self.id)]
        every = [*of_check, *(entry for finding in self.findings for entry in finding.references)]
        return list(dict.fromkeys(reference_words(entry) for entry in every))

    @property
    def what_to_do(self) -> str:
        """The first thing that would take the check out of the way."""
        remedies = [finding.remedy for finding in self.findings if finding.remedy]
        if remedies:
            return remedies[0]
        if self.result.status == CheckStatus.ERROR:
            return "Run the audit again; a check that breaks is not a pass."
        if self.result.status == CheckStatus.SKIPPED:
            return "Run an audit in which this check runs."
        return "Remedy, or a waiver by a second person with an end date."


@dataclass(frozen=True)
class Change:
    """A check that stands otherwise than in the audit before."""

    check: Check
    before: CheckResult
    what: str


@dataclass(frozen=True)
class Content:
    """The whole report."""

    audit: Audit
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    blocking: tuple[Check, ...]
    previous: Audit | None
    changes: tuple[Change, ...]
    unchanged_count: int
    environment: tuple[tuple[str, str], ...] = field(default=())

    @property
    def lead(self) -> str:
        """Why this verdict, and what follows from it."""
        consequence = _CONSEQUENCE.get(Verdict(self.audit.verdict), "") if self.audit.verdict else ""
        return f"{self.audit.verdict_reason} {consequence}".strip()

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many checks of each status, in the order of the states; those that none has are left out."""
        found = [(status, sum(check.result.status == status for check in self.checks)) for status in CheckStatus.values]
        return [(status, count) for status, count in found if count]

    @property
    def applicable_count(self) -> int:
        return sum(check.result.status != CheckStatus.NOT_APPLICABLE for check in self.checks)

    @property
    def with_result_count(self) -> int:
        return sum(check.has_result for check in self.checks)

    @property
    def families(self) -> list[tuple[str, list[Check]]]:
        return [(family, list(checks)) for family, checks in groupby(self.checks, key=lambda check: check.family)]

    @property
    def failed_without_blocking(self) -> list[Check]:
        return [check for check in self.checks if check.result.status == CheckStatus.FAILED and not check.blocks]

    @property
    def entries(self) -> list[Check]:
        """Every check in the order to be read: what blocks, what failed, what passed, what does not apply."""
        order = {CheckStatus.FAILED: 1, CheckStatus.PASSED: 2, CheckStatus.NOT_APPLICABLE: 3}
        rest = sorted(
            (check for check in self.checks if not check.blocks),
            key=lambda check: order.get(CheckStatus(check.result.status), 0),
        )
        return [*self.blocking, *rest]

    @property
    def open_findings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.disposition == Disposition.OPEN]

    @property
    def settled_findings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.disposition != Disposition.OPEN]

    @property
    def check_seconds(self) -> float:
        return sum(check.result.seconds for check in self.checks)

    @property
    def digests(self) -> list[tuple[str, str, str]]:
        """What the report is bound to: what, its name, its digest."""
        audit = self.audit
        rows = [
            ("model", audit.version.ref, audit.version_digest),
            ("data", audit.dataset.ref, audit.dataset_digest),
            ("policy", audit.policy.ref, audit.policy.digest),
            ("criteria", f"audit {audit.pk}", audit.criteria_digest),
            ("results", f"{len(self.checks)} checks", audit.digest),
            ("job", f"job {audit.job_id}", audit.job.spec_digest),
        ]
        if audit.training_data is not None:
            rows.insert(2, ("training data", audit.training_data.ref, audit.training_data.digest))
        return rows


def content_of(audit: Audit) -> Content:
    """Gather what the report of an audit says; a constant number of queries."""
    results = sorted(audit.checks.all(), key=_place_in_catalogue)
    # A result reaches its audit without asking the database again.
    for result in results:
        result.audit = audit
    findings = sorted(
        audit.findings.select_related("owner"),
        key=lambda finding: (list(Severity.values).index(finding.severity), finding.pk),
    )
    judgement = judge(
        [JudgedCheck(id=result.check_id, status=result.status, severity=result.severity) for result in results],
        required=audit.criteria.get("checks", ()),
        blocks=audit.criteria.get("blocks", ()),
    )
    order = {judged.id: place for place, judged in enumerate(judgement.blocking)}
    checks = tuple(
        Check(
            result=result,
            findings=tuple(finding for finding in findings if finding.check_id == result.check_id),
            blocks=result.check_id in order,
        )
        for result in results
    )
    previous = previous_audit(audit)
    changes, unchanged_count = _changes(checks, previous)
    return Content(
        audit=audit,
        checks=checks,
        findings=tuple(findings),
        blocking=tuple(sorted((check for check in checks if check.blocks), key=lambda check: order[check.id])),
        previous=previous,
        changes=changes,
        unchanged_count=unchanged_count,
        environment=environment_words(audit.job.environment),
    )


def previous_audit(audit: Audit) -> Audit | None:
    """Return the audit before this one: of the same model and policy, with a verdict when this one began."""
    started_at = audit.job.started_at or audit.created_at
    return (
        Audit.objects.select_related("version__model", "dataset__dataset", "policy")
        .prefetch_related("checks")
        .filter(
            version__model=audit.version.model_id,
            policy__name=audit.policy.name,
            pk__lt=audit.pk,
            job__finished_at__lte=started_at,
        )
        .exclude(verdict="")
        .order_by("-pk")
        .first()
    )


def reference_words(entry: Any) -> str:
    """Write a reference as people read it: framework and id, with a star where the id was only transcribed."""
    if not isinstance(entry, Mapping):
        return str(entry)
    words = " ".join(str(entry[key]) for key in ("framework", "id") if entry.get(key))
    star = "*" if entry.get("checked") == "transcribed" else ""
    return words + star if words else ", ".join(f"{key} {value}" for key, value in entry.items())


def environment_words(environment: Any) -> tuple[tuple[str, str], ...]:
    """Flatten what a job wrote about its environment into names and words."""
    if not isinstance(environment, Mapping):
        return ()
    return tuple((str(key).replace("_", " "), _words(value)) for key, value in environment.items())


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_words(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _changes(checks: Sequence[Check], previous: Audit | None) -> tuple[tuple[Change, ...], int]:
    if previous is None:
        return (), 0
    before = {result.check_id: result for result in previous.checks.all()}
    changes = []
    for check in checks:
        old = before.get(check.id)
        if old is None:
            continue
        said = _value_change(check.headline, old.metrics[0] if old.metrics else None)
        if old.status != check.result.status:
            changes.append(Change(check=check, before=old, what=said or check.result.reason))
        elif check.result.status == CheckStatus.FAILED and said:
            changes.append(Change(check=check, before=old, what=said))
    still = sum(check.id in before for check in checks) - len(changes)
    return tuple(changes), still


def _value_change(now: Mapping[str, Any] | None, then: Mapping[str, Any] | None) -> str:
    """Write ``0.214 to 0.262``, where both are the same measure and differ."""
    if now is None or then is None or now.get("name") != then.get("name"):
        return ""
    if not is_number(now.get("value")) or not is_number(then.get("value")) or now["value"] == then["value"]:
        return ""
    return f"{value_of_metric(then)} to {value_of_metric(now)}"


def _place_in_catalogue(result: CheckResult) -> tuple[int, str]:
    family = result.check_id.partition("-")[0]
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), result.check_id)


def _is_short(value: Any) -> bool:
    if value in ("", []):
        return False
    if isinstance(value, list):
        return len(value) <= 12 and all(isinstance(entry, str | int | float) for entry in value)
    return isinstance(value, str | int | float) and len(str(value)) <= 200
