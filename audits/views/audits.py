"""Audits: the list, one audit, its frozen reports."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse

from audits.models import Audit, Report
from audits.reports.content import content_of
from audits.reports.document import schema
from governance.models import StatementKind
from governance.services import statements
from governance.storage import store
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, rows_of_page

_WHOLE = (
    "version__model__owner",
    "dataset__dataset",
    "training_data__dataset",
    "policy",
    "created_by",
    "job__created_by",
)
_TYPES = {Report.Format.HTML: "text/html; charset=utf-8", Report.Format.JSON: "application/json"}


@page
def audit_list(request: HttpRequest) -> HttpResponse:
    """Show the audits, newest first."""
    audits = Audit.objects.select_related("version__model", "dataset__dataset", "policy", "job", "created_by")
    return draw(request, "audits/audit_list.html", {"rows": rows_of_page(request, audits)}, section="audits")


@page
def audit(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show one audit as its report says it; while it runs, how far it is and the criteria it is held to."""
    found = find(Audit.objects.select_related(*_WHOLE), f"There is no audit {pk}.", pk=pk)
    context: dict[str, Any] = {"audit": found, "reports": found.reports.order_by("format")}
    context["statement"] = statements.of(StatementKind.AUDIT, str(found.pk))
    if found.verdict:
        context["content"] = content_of(found)
    else:
        context.update(progress_context(found.job, request))
    return draw(request, "audits/audit.html", context, section="audits")


@page
def audit_report(request: HttpRequest, *, pk: int, format: str) -> Any:  # noqa: ARG001 - the decorator reads the request
    """Send a frozen report; the HTML one carries its own policy, under an origin of its own."""
    report = find(Report.objects.select_related("file"), "There is no such report.", audit_id=pk, format=format)
    response = FileResponse(
        store().open(report.file_id),
        filename=f"audit-{pk}.{report.format}",
        content_type=_TYPES[Report.Format(report.format)],
    )
    response["Content-Security-Policy"] = "sandbox allow-scripts allow-modals; frame-ancestors 'none'"
    return response


@page
def report_schema(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - the decorator reads the request
    """Publish the JSON schema of the report."""
    return JsonResponse(schema(), content_type="application/schema+json")
