"""One registered model with its versions."""

from __future__ import annotations

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse

from audits.models import Audit
from governance.models import Alias, ModelVersion, RegisteredModel
from governance.views.page import draw, find, page, rows_of_page


@page
def model(request: HttpRequest, *, name: str) -> HttpResponse:
    """Show what a model is for, where its aliases stand, and every version with its latest audit."""
    found = find(RegisteredModel.objects.select_related("owner"), f"There is no model {name}.", name=name)
    aliases = list(Alias.objects.filter(model=found).select_related("version__model", "review").order_by("name"))
    versions = rows_of_page(
        request,
        ModelVersion.objects.filter(model=found)
        .select_related("model", "training_data__dataset", "retrained_from__model", "created_by")
        .prefetch_related(
            Prefetch("audits", queryset=Audit.objects.exclude(verdict="").select_related("policy").order_by("-pk"))
        )
        .order_by("-number"),
    )
    names: dict[int, list[str]] = {}
    for alias in aliases:
        names.setdefault(alias.version_id, []).append(alias.name)
    return draw(
        request,
        "audits/model.html",
        {
            "model": found,
            "aliases": aliases,
            "rows": versions,
            "versions": [
                (version, names.get(version.pk, []), next(iter(version.audits.all()), None)) for version in versions
            ],
        },
        section="models",
    )
