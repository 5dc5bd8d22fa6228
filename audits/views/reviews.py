"""Reviews: the list, one review with its evidence, the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audits.models import Audit, Explanation
from governance import evidence, gates, permissions
from governance.exceptions import InvalidInput
from governance.models import Decision, Evaluation, Evidence, Review, ReviewState, Training
from governance.permissions import Action
from governance.services import reviews
from governance.views.page import draw, find, page, rows_of_page, verb
from validators.models import Validation


@dataclass(frozen=True)
class Cited:
    """A piece of evidence as a review shows it."""

    name: str
    address: str
    state: str
    says: str
    digest: str
    problem: str | None


@page
def review_list(request: HttpRequest) -> HttpResponse:
    """Show the reviews, newest first."""
    rows = rows_of_page(request, Review.objects.select_related("version__model__owner", "requested_by"))
    return draw(request, "audits/review_list.html", {"rows": rows}, section="reviews")


@page
def review(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show what is asked, what it rests on, what stands against it, and who decided what."""
    return draw(request, "audits/review.html", review_context(_review(pk), request), section="reviews")


@verb
def review_decide(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Keep the decision of the person who is signed in."""
    outcome = request.POST.get("decision", "")
    if outcome not in Decision.Outcome.values:
        raise InvalidInput("A decision is one of approve, reject and request_changes.")
    decided = reviews.decide(
        review=_review(pk),
        outcome=outcome,
        comment=request.POST.get("comment", ""),
        by=request.user,  # type: ignore[arg-type]  # signed in, see ``verb``
    )
    messages.success(request, f"Your decision on {decided} is kept; it is {decided.get_state_display()}.")
    return redirect("review", pk=pk)


def review_context(found: Review, request: HttpRequest) -> dict[str, Any]:
    """Return what the box of a review needs, on its own page and on that of its version."""
    is_open = found.state == ReviewState.OPEN
    evidence_of_review = [cited(entry) for entry in found.evidence.order_by("pk")]
    problems = [entry.problem for entry in evidence_of_review if entry.problem]
    asked = gates.ask("approval", version=found.version, review=found) if is_open else []
    decisions = list(found.decisions.select_related("decided_by"))
    approvals = sum(decision.outcome == Decision.Outcome.APPROVE for decision in decisions)
    return {
        "review": found,
        "is_open": is_open,
        "cited": evidence_of_review,
        # Evidence and gate may give the same reason.
        "reasons": list(dict.fromkeys([*problems, *asked])) if is_open else [],
        # Until somebody asks for the alias or rechecks, the record still says approved.
        "lost": problems if found.state == ReviewState.APPROVED else [],
        "decisions": decisions,
        "approvals": approvals,
        "refusal": permissions.refusal(request.user, Action.DECIDE_REVIEW, found) if is_open else None,
        "has_decided": any(decision.decided_by_id == request.user.pk for decision in decisions),
    }


def cited(entry: Evidence) -> Cited:
    """Look a piece of evidence up: what it says now, and whether it is still what was cited."""
    found = evidence.kind_named(entry.kind).find(entry.object_id) if entry.kind in evidence.kinds() else None
    state, says = _state_of(found)
    return Cited(
        name=f"{entry.kind} {entry.object_id}",
        address=address_of(found),
        state=state,
        says=says,
        digest=entry.digest,
        problem=evidence.problem_of(entry),
    )


def address_of(found: Any) -> str:
    """Return the address of the page that shows a piece of evidence; nothing where there is none."""
    if isinstance(found, Audit):
        return reverse("audit", args=[found.pk])
    if isinstance(found, Explanation):
        return reverse("explanation", args=[found.pk])
    if isinstance(found, Validation):
        return reverse("dataset-version", args=[found.dataset.dataset.name, found.dataset.number])
    if isinstance(found, Evaluation | Training):
        anchor = "evaluations" if isinstance(found, Evaluation) else "trainings"
        return reverse("version", args=[found.version.model.name, found.version.number]) + f"#{anchor}"
    return ""


def _state_of(found: Any) -> tuple[str, str]:
    if isinstance(found, Audit) and found.verdict:
        return found.verdict, found.get_verdict_display()
    if isinstance(found, Explanation) and found.admitted is not None:
        return ("admitted", "admitted") if found.admitted else ("not_admitted", "not admitted")
    if isinstance(found, Validation) and found.success is not None:
        return ("passed", "passed") if found.success else ("failed", "failed")
    if found is None:
        return "error", "not found"
    return found.job.state, found.job.get_state_display()


def _review(pk: int) -> Review:
    return find(
        Review.objects.select_related("version__model__owner", "requested_by"), f"There is no review {pk}.", pk=pk
    )
