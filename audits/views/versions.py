"""One version of a model: where it stands, where it comes from, and everything that was measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from audits.models import Audit, Disposition, Explanation, Finding
from audits.views.lineage import lineage_of
from audits.views.quarantine import quarantine_context, sources_of
from audits.views.reviews import review_context
from governance.models import (
    Alias,
    Evaluation,
    Event,
    Job,
    ModelVersion,
    ModelVersionState,
    Review,
    ReviewState,
    StatementKind,
    Training,
)
from governance.presentation.numbers import interval, metric_with_interval, number, plural, value_of_metric
from governance.services import statements
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page

MOST = 20
#: How a metric over all rows names its slice.
_WHOLE = ("", "all", None)


@dataclass(frozen=True)
class Stand:
    """One word for where a version stands, with its mark, and a sentence that says why and what follows."""

    word: str
    state: str
    lead: str


@page
def version(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Show a version whole."""
    found = find(
        ModelVersion.objects.select_related(
            "model__owner",
            "artifact",
            "rewritten",
            "training_data__dataset",
            "retrained_from__model",
            "job__created_by",
            "created_by",
        ),
        f"There is no model version {name}/{number}.",
        model__name=name,
        number=number,
    )
    aliases = list(Alias.objects.filter(model=found.model_id).select_related("version__model", "review"))
    trainings = list(
        Training.objects.filter(version=found).select_related(
            "version__model", "dataset__dataset", "produced__model", "job__created_by"
        )[:MOST]
    )
    made_by = (
        Training.objects.filter(produced=found)
        .select_related("dataset__dataset", "version__model", "job__created_by")
        .first()
    )
    evaluations = list(
        Evaluation.objects.filter(version=found).select_related(
            "dataset__dataset", "compare_with__model", "job__created_by"
        )[:MOST]
    )
    explanations = list(
        Explanation.objects.filter(version=found).select_related(
            "dataset__dataset", "background__dataset", "job__created_by"
        )[:MOST]
    )
    audits = list(
        Audit.objects.filter(version=found).select_related(
            "version__model", "dataset__dataset", "policy", "job__created_by"
        )[:MOST]
    )
    reviews = list(Review.objects.filter(version=found).select_related("version__model__owner", "requested_by")[:MOST])
    review = next((entry for entry in reviews if entry.state == ReviewState.OPEN), reviews[0] if reviews else None)
    box = review_context(review, request) if review is not None else {}
    quarantine = quarantine_context(found, request)
    names = [alias for alias in aliases if alias.version_id == found.pk]
    jobs: list[Job] = [entry.job for group in (trainings, evaluations, explanations, audits) for entry in group]
    return draw(
        request,
        "audits/version.html",
        {
            **box,
            "version": found,
            "aliases": names,
            "other_aliases": [alias for alias in aliases if alias.version_id != found.pk],
            "stand": stand_of(
                found,
                aliases=names,
                review=review,
                audits=audits,
                reasons=box.get("reasons", ()),
                lost=box.get("lost", ()),
                quarantine=quarantine,
            ),
            "quarantine": quarantine,
            "sources": sources_of(found),
            "facts": _facts(evaluations),
            "shape": _shape(found),
            "lineage": lineage_of(
                found,
                training=made_by,
                audit=audits[0] if audits else None,
                explanation=explanations[0] if explanations else None,
            ),
            "made_by": made_by,
            "trainings": trainings,
            "evaluations": [(evaluation, _whole(evaluation.metrics)) for evaluation in evaluations],
            "explanations": explanations,
            "audits": audits,
            "reviews": reviews,
            "statement": statements.of(StatementKind.VERSION, found.ref),
            "running": [progress_context(job, request) for job in jobs if not job.is_finished],
            "inspection": progress_context(found.job, request) if found.job and not found.job.is_finished else None,
            "findings": Finding.objects.filter(version=found, disposition=Disposition.OPEN).select_related("owner")[
                :MOST
            ],
            "events": Event.objects.filter(subject=found.ref)[:MOST],
        },
        section="models",
    )


def stand_of(
    version: ModelVersion,
    *,
    aliases: Sequence[Alias],
    review: Review | None,
    audits: Sequence[Audit],
    reasons: Sequence[str],
    lost: Sequence[str],
    quarantine: Mapping[str, Any] | None = None,
) -> Stand:
    """Say in one word where a version stands: what somebody has to do next comes first."""
    if version.state == ModelVersionState.QUARANTINED:
        waits = version.state_reason or "Its inspection has not ended; nothing loads it before."
        if quarantine is not None:
            waits = "It was read and not loaded. An administrator has to release or reject it, by what stands below."
        return Stand("Quarantined", "quarantined", waits)
    if version.state == ModelVersionState.REJECTED:
        return Stand("Rejected", "rejected", version.state_reason or "The inspection refused it; it is never loaded.")
    if review is not None and review.state == ReviewState.OPEN:
        against = (
            f"Approval is closed: {plural(len(reasons), 'reason')} against it."
            if reasons
            else "Nothing stands against it."
        )
        lead = format_html("Review {} asks for the alias <code>{}</code>. {}", review.pk, review.alias, against)
        return Stand("Awaiting a decision", "open", lead)
    if review is not None and review.state == ReviewState.VOID:
        return Stand("Approval void", "void", f"Review {review.pk} no longer holds: {review.voided_because}")
    if review is not None and lost:
        return Stand("Approval void", "void", f"Review {review.pk} no longer holds: {lost[0]}")
    if aliases:
        alias = aliases[0]
        return Stand(
            alias.name.capitalize(),
            "approved",
            format_html("Review {} moved the alias <code>{}</code> here.", alias.review_id, alias.name),
        )
    ended = next((audit for audit in audits if audit.verdict), None)
    if ended is not None:
        word = f"Audit {ended.get_verdict_display()}"
        return Stand(word, ended.verdict, f"Audit {ended.pk}: {ended.verdict_reason} No review is open.")
    if not version.holds_model:
        return Stand(
            "Weights only",
            "none",
            "It passed its inspection. It holds weights and no model, so nothing can be measured on it: put them into "
            "a model package with the code that makes a model of them.",
        )
    accepted = version.accepted
    who = accepted.get("by") or f"the policy {accepted.get('policy')}"
    word = f", with what {who} accepted" if accepted else ""
    return Stand(
        "Not audited",
        "none",
        f"It passed its inspection{word}. No audit has measured it yet, so no review can approve it.",
    )


def _facts(evaluations: Sequence[Evaluation]) -> list[tuple[str, str]]:
    """Return performance and comparison, of the newest evaluation that has each."""
    facts = []
    measured = next((entry for entry in evaluations if _whole(entry.metrics)), None)
    if measured is not None:
        first = _whole(measured.metrics)[0]
        facts.append(("performance", f"{_words(first)} {metric_with_interval(first)}, on {measured.dataset.ref}"))
    compared = next((entry for entry in evaluations if entry.comparison and entry.compare_with), None)
    if compared is not None and compared.comparison is not None and compared.compare_with is not None:
        differences = _whole(compared.comparison.get("metrics", []))
        if differences:
            facts.append((f"against {compared.compare_with.ref}", difference_words(differences[0])))
    return facts


def difference_words(metric: dict[str, Any]) -> str:
    """Write a paired difference and what it shows: an interval that holds zero shows no difference."""
    written = {**metric, "value": metric.get("difference")}
    bounds = interval(metric.get("low"), metric.get("high"))
    shown = "shown to differ" if metric.get("significant") else "not shown to differ"
    return f"{_words(metric)} {value_of_metric(written)}{f' ({bounds})' if bounds else ''}, paired: {shown}"


def _whole(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [metric for metric in metrics if metric.get("slice") in _WHOLE]


def _words(metric: dict[str, Any]) -> str:
    return str(metric.get("name", "")).replace("_", " ")


def _shape(version: ModelVersion) -> str:
    """Write ``30 inputs, 2 classes, logits``."""
    signature = version.read_signature()
    if signature is None:
        return ""
    values = sum(spec.width for spec in signature.inputs)
    output = signature.output
    answers = f"{number(output.class_count)} classes, {output.kind}" if output.class_count else output.kind
    return f"{plural(values, 'input')}, {answers}"
