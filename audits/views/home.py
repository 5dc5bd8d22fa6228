"""The first page: what waits for the person who looks."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from audits.models import Audit, Disposition, Finding
from governance import permissions
from governance.models import Job, Review, ReviewState
from governance.permissions import Action
from governance.views.jobs import standing_of, title_of
from governance.views.page import draw, page

MOST = 8


@page
def home(request: HttpRequest) -> HttpResponse:
    """Show open reviews, unfinished jobs, open findings of one's own and the latest audits."""
    reviews = list(
        Review.objects.select_related("version__model__owner", "requested_by")
        .filter(state=ReviewState.OPEN)
        .order_by("requested_at")[:MOST]
    )
    jobs = list(Job.objects.unfinished().select_related("created_by").order_by("id")[:MOST])
    findings = Finding.objects.select_related("version__model").filter(
        disposition=Disposition.OPEN, owner=request.user.pk
    )
    audits = Audit.objects.select_related("version__model", "dataset__dataset", "policy", "job").exclude(verdict="")
    return draw(
        request,
        "audits/home.html",
        {
            "reviews": [
                (review, permissions.refusal(request.user, Action.DECIDE_REVIEW, review)) for review in reviews
            ],
            "jobs": [(job, standing_of(job), title_of(job)) for job in jobs],
            "findings": findings.order_by("due", "id")[:MOST],
            "audits": audits[:MOST],
        },
    )
