"""What people add to an explanation on its page: comments on a row or a chart, and more rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audits.api.explanations import MoreRowsBody
from audits.explained.figures import FIGURES
from audits.models import Explanation, ExplanationComment
from audits.services import explanations
from audits.views.explanation_form import numbers_or_text
from audits.views.explanation_requests import demand_valid
from governance import permissions
from governance.exceptions import InvalidInput
from governance.permissions import Action
from governance.views.page import find, verb


@dataclass(frozen=True)
class Said:
    """A comment as the page shows it: what it is about in words, and where on the page that is."""

    comment: ExplanationComment
    topic: str
    address: str


def section(explanation: Explanation, user: Any) -> dict[str, Any]:
    """Return what the page shows of comments, and whether this person may add one or ask for more rows."""
    family = Explanation.objects.select_related("job")
    return {
        "comments": [_said(comment) for comment in explanation.comments.select_related("by")],
        "comment_refusal": permissions.refusal(user, Action.COMMENT, explanation),
        "more_refusal": permissions.refusal(user, Action.REQUEST_EXPLANATION, explanation.version),
        "extensions": list(family.filter(extends=explanation).order_by("pk")),
    }


@verb
def explanation_comment(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Keep a comment on the explanation, on one of its rows or on one of its charts."""
    explanation = _find(pk)
    kind, _, name = request.POST.get("about", "").partition(" ")
    anchor: dict[str, Any] = {}
    if kind == "row" and name.isascii() and name.isdigit() and len(name) < 16:
        anchor = {"row": int(name)}
    elif kind == "chart":
        anchor = {"chart": name}
    elif kind:
        raise InvalidInput(f"A comment is about a row or a chart, not about {kind!r}.")
    explanations.comment_on_explanation(
        explanation=explanation, text=request.POST.get("text", ""), by=cast(User, request.user), **anchor
    )
    return redirect(f"{reverse('explanation', args=[pk])}#comments")


@verb
def explanation_more(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Explain other rows of the same data in the same way, and go to the page of that."""
    explanation = _find(pk)
    body = demand_valid(MoreRowsBody(data={"rows": numbers_or_text(request.POST.get("rows", "").strip())}))
    more = explanations.request_more_rows(explanation=explanation, by=cast(User, request.user), **body)
    messages.success(request, f"{str(more).capitalize()} explains more rows; they stand here when its job has ended.")
    return redirect(reverse("explanation", args=[more.pk]))


def _find(pk: int) -> Explanation:
    return find(
        Explanation.objects.select_related("version__model", "dataset__dataset"),
        f"There is no explanation {pk}.",
        pk=pk,
    )


def _said(comment: ExplanationComment) -> Said:
    if comment.row is not None:
        return Said(comment, f"on row {comment.row:,}", f"?row={comment.row}#row")
    if comment.chart:
        words = FIGURES.get(comment.chart, comment.chart)
        return Said(comment, f"on the {words}", f"#chart-{comment.chart}" if comment.chart in FIGURES else "#global")
    return Said(comment, "", "")
