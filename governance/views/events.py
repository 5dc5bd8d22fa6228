"""The list of events: what happened, newest first."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from governance.models import Event
from governance.views.page import draw, page, rows_of_page


@page
def event_list(request: HttpRequest) -> HttpResponse:
    """Show the events, of one subject where the address names one."""
    subject = request.GET.get("subject", "")
    events = Event.objects.filter(subject=subject) if subject else Event.objects.all()
    context = {"rows": rows_of_page(request, events), "subject": subject}
    return draw(request, "governance/event_list.html", context, section="events")
