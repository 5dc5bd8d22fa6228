"""One finding, with what was said about it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from audits.models import Finding
from audits.reports.content import reference_words
from governance.views.page import draw, find, page


@page
def finding(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show what was observed, what would remedy it, and what became of it."""
    found = find(
        Finding.objects.select_related("version__model", "audit__dataset__dataset", "owner", "raised_by"),
        f"There is no finding F-{pk}.",
        pk=pk,
    )
    context = {
        "finding": found,
        "references": [reference_words(entry) for entry in found.references],
        "evidence": [reference_words(entry) for entry in found.evidence],
        "comments": found.comments.select_related("by"),
    }
    return draw(request, "audits/finding.html", context, section="audits")
