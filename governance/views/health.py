"""How the installation stands, for those who run and audit it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from governance import health, permissions
from governance.permissions import Action
from governance.views.page import draw, page


@page
def health_page(request: HttpRequest) -> HttpResponse:
    """Show the sandbox of this machine and of each worker, the queue, and the room in the store."""
    permissions.require(request.user, Action.SEE_HEALTH)
    return draw(request, "governance/health.html", {"health": health.look()}, section="health")
