"""Pages about data: the data sets, and one version with its validation, its columns and its cleaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse

from governance.models import Dataset, DatasetState, DatasetVersion, ModelVersion, StatementKind
from governance.services import statements
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, rows_of_page
from validators.gates import validation_state
from validators.models import Cleaning, RequiredSuite, Validation, Waiver
from validators.views import cleaning, columns, exchange, failures, lineage, media, proposals, screening
from workers.protocol import is_plain_name

SEVERITIES = ("critical", "warning", "info")
#: Only a failed or broken rule of this severity closes a gate.
CLOSES = "critical"
MOST = 20


@dataclass(frozen=True)
class Stand:
    """One word for where a data set version stands, with its mark, and a sentence that says what follows."""

    word: str
    state: str
    lead: str


@dataclass(frozen=True)
class Tally:
    """How the rules of one severity came out."""

    severity: str
    rules: int
    met: int
    not_met: int
    errors: int
    rows: int
    gate: str


@page
def dataset_list(request: HttpRequest) -> HttpResponse:
    """Show every data set with its newest version and the suite that it requires."""
    rows = rows_of_page(
        request,
        Dataset.objects.select_related("owner").prefetch_related(
            Prefetch(
                "versions",
                queryset=DatasetVersion.objects.only(
                    "dataset_id", "number", "state", "row_count", "cleaned_from_id", "content_digest", "created_at"
                ).order_by("-number"),
            )
        ),
    )
    required = {
        entry.dataset_id: entry.suite.ref
        for entry in RequiredSuite.objects.filter(dataset__in=[row.pk for row in rows]).select_related("suite")
    }
    context = {"rows": rows, "datasets": [(row, list(row.versions.all()), required.get(row.pk)) for row in rows]}
    return draw(request, "validators/dataset_list.html", context, section="data")


@page
def dataset_version(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Show a data set version whole."""
    found = find(
        DatasetVersion.objects.select_related(
            "dataset__owner",
            "upload",
            "table",
            "cleaned_from__dataset",
            "split_from__dataset",
            "job__created_by",
            "created_by",
        ),
        f"There is no data set version {name}/{number}.",
        dataset__name=name,
        number=number,
    )
    validations = list(
        Validation.objects.filter(dataset=found).select_related("suite", "rows", "job__created_by", "created_by")[:MOST]
    )
    standing = validation_state(found) if found.state == DatasetState.READY else None
    shown = _shown(validations, standing)
    started = list(
        Cleaning.objects.filter(dataset=found).select_related("cleaned_to__dataset", "suite", "job__created_by")[:MOST]
    )
    screened = screening.section(found, request)
    jobs = [
        found.job,
        *(entry.job for entry in validations),
        *(entry.job for entry in started),
        *(entry.job for entry in screened["screenings"]),
    ]
    waivers = Waiver.objects.filter(validation__in=validations).select_related("granted_by", "validation")
    return draw(
        request,
        "validators/dataset_version.html",
        {
            "version": found,
            "upload_name": _plain_name(found.filename),
            "stand": stand_of(found, shown, standing),
            "statement": statements.of(StatementKind.DATASET, found.ref),
            "validation": shown,
            "validations": validations,
            "waivers": list(waivers),
            "tallies": tallies(shown.results) if shown else [],
            "not_met": [result for result in shown.results if result["status"] != "passed"] if shown else [],
            "failing": failures.section(shown, request),
            "table": columns.section(found, request),
            "cleaned": cleaning.section(found, request),
            "cleanings": started,
            **lineage.section(found, request),
            "exchange": exchange.section(found, request),
            **screened,
            "suggestion": proposals.section(found, request),
            "media": media.section(found, request),
            "used_by": ModelVersion.objects.filter(training_data=found).select_related("model").order_by("-pk")[:MOST],
            "running": [progress_context(job, request) for job in jobs if job is not None and not job.is_finished],
            "import_failed": progress_context(found.job, request)
            if found.state == DatasetState.REJECTED and found.job and found.job.is_finished
            else None,
        },
        section="data",
    )


def stand_of(version: DatasetVersion, validation: Validation | None, standing: Mapping[str, Any] | None) -> Stand:
    """Say in one word where a version stands: the verdict of its last validation, and what the gate makes of it."""
    if version.state == DatasetState.IMPORTING:
        return Stand("Importing", "importing", "The upload is being read; nothing can use it before.")
    if version.state == DatasetState.REJECTED:
        return Stand("Rejected", "rejected", version.state_reason or "The upload could not be read.")
    gate = str(standing["status"]) if standing else "none"
    reason = str(standing["reason"]) if standing else ""
    follows = {"passed": "Training on it is open.", "waived": f"Training is open by a waiver. {reason}"}.get(
        gate, f"Training is closed. {reason}".strip()
    )
    if validation is None:
        return Stand("Not validated", "none", follows)
    ran = f"Validation {validation.pk} ran suite {validation.suite.ref} on every row of this digest."
    if validation.success is None:
        return Stand("Validation under way", validation.job.state, follows)
    if not validation.success:
        word = "Failed, waived" if gate == "waived" else "Failed"
        said = follows if reason.startswith(f"Validation {validation.pk} of ") else f"{ran} {follows}"
        return Stand(word, "waived" if gate == "waived" else "failed", said)
    warnings = sum(result["status"] != "passed" for result in validation.results)
    word = f"Passed, with {warnings} warning{'s' * (warnings != 1)}" if warnings else "Passed"
    return Stand(word, "passed", f"{ran} {follows}")


def tallies(results: Sequence[Mapping[str, Any]]) -> list[Tally]:
    """Count the rules of each severity; the last is all of them."""
    found = []
    for severity in SEVERITIES:
        of_severity = [result for result in results if result.get("severity") == severity]
        closed = severity == CLOSES and any(result["status"] != "passed" for result in of_severity)
        gate = "does not close it" if severity != CLOSES else "closed" if closed else "open"
        found.append(_tally(severity, of_severity, gate))
    return [*found, _tally("all", results, "")]


def _tally(severity: str, results: Sequence[Mapping[str, Any]], gate: str) -> Tally:
    def count(status: str) -> int:
        return sum(result["status"] == status for result in results)

    return Tally(
        severity=severity,
        rules=len(results),
        met=count("passed"),
        not_met=count("failed"),
        errors=count("error"),
        rows=sum(int(result.get("unexpected_count") or 0) for result in results if result["status"] == "failed"),
        gate=gate,
    )


def _plain_name(filename: str) -> str:
    """Return the name to save an upload under: its own if that is a plain one."""
    return filename if is_plain_name(filename) else "upload"


def _shown(validations: Sequence[Validation], standing: Mapping[str, Any] | None) -> Validation | None:
    """Return the validation that the page is about: the one that the gate looks at, else the newest."""
    asked = standing.get("id") if standing else None
    return next((entry for entry in validations if entry.pk == asked), validations[0] if validations else None)
