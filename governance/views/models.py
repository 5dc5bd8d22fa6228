"""The list of registered models."""

from __future__ import annotations

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse

from governance.models import Alias, ModelVersion, RegisteredModel
from governance.views.page import draw, page, rows_of_page


@page
def model_list(request: HttpRequest) -> HttpResponse:
    """Show every model with its newest version and its aliases."""
    models = RegisteredModel.objects.select_related("owner").prefetch_related(
        Prefetch(
            "versions",
            queryset=ModelVersion.objects.only("model_id", "number", "state", "framework").order_by("-number"),
        ),
        Prefetch("aliases", queryset=Alias.objects.select_related("version").order_by("name")),
    )
    return draw(request, "governance/model_list.html", {"rows": rows_of_page(request, models)}, section="models")
