"""Explanations: the list, one explanation as its address asks for it, its pictures and its exports."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from audits.attributions import ATTRIBUTIONS_FILE, COLUMNS_FILE, NEIGHBOURS_FILE, PICTURES_FILE, TOKENS_FILE
from audits.explained.asked import Asked
from audits.explained.context import page_context, record_context
from audits.explained.exports import export
from audits.explained.overlays import overlay_of
from audits.explained.portrait import Portrait, portrait, portrait_with_values
from audits.explained.portrait_export import PortraitContent
from audits.models import Explanation
from audits.views.explanation_comparison import comparable_with
from audits.views.explanation_talk import section as talk
from governance.exceptions import NotFound
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, rows_of_page

_DESCRIPTIONS = {
    ATTRIBUTIONS_FILE: "values, base values, errors and data of every row and output, for NumPy and shap",
    NEIGHBOURS_FILE: "the nearest rows of the background’s data set, for each explained row",
    PICTURES_FILE: "the pictures of the first rows",
    TOKENS_FILE: "the words of the first rows, one a feature",
    COLUMNS_FILE: "the columns of the data set that feed no model, by which rows are sliced",
}
_WHOLE = (
    "version__model__owner",
    "dataset__dataset",
    "background__dataset",
    "created_by",
    "job__created_by",
)


@page
def explanation_list(request: HttpRequest) -> HttpResponse:
    """Show the explanations, newest first."""
    rows = Explanation.objects.select_related("version__model", "dataset__dataset", "background__dataset", "job")
    return draw(request, "audits/explanation_list.html", {"rows": rows_of_page(request, rows)}, section="explanations")


@page
def explanation(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show one explanation; the address chooses output, rows and row, as ``audits.explained.asked`` has it."""
    found = _find(pk)
    if found.admitted is None:
        context: dict[str, Any] = {"explanation": found, "summary": found.summary}
        context.update(progress_context(found.job, request))
    else:
        shown = portrait(found, Asked.from_query(request.GET.dict()))
        context = record_context(found) if shown is None else page_context(shown)
        context.update(talk(found, request.user), comparable=comparable_with(found))
        context["files"] = [
            (name, digest, _DESCRIPTIONS.get(name, _kind_of(name))) for name, digest in sorted(found.files.items())
        ]
    return draw(request, "audits/explanation.html", context, section="explanations")


@page
def explanation_picture(request: HttpRequest, *, pk: int, row: int, kind: str) -> HttpResponse:
    """Send the picture of a row, or what its parts add, to be laid over it."""
    if kind not in ("picture", "over"):
        raise NotFound("There is no such picture.")
    shown = _portrait(request, pk)
    overlay = overlay_of(shown.shown, shown.words, shown.pictures, row)
    response = HttpResponse(shown.picture(overlay, is_over=kind == "over"), content_type="image/png")
    # An explanation that has ended never changes, and neither do its pictures.
    response["Cache-Control"] = "private, max-age=86400, immutable"
    return response


@page
def explanation_export(request: HttpRequest, *, pk: int, format: str) -> Any:
    """Send what the page shows as a file."""
    content = PortraitContent(_portrait(request, pk))
    return export(content, format=format, chart=request.GET.get("chart", "")).response()


def _find(pk: int) -> Explanation:
    return find(Explanation.objects.select_related(*_WHOLE), f"There is no explanation {pk}.", pk=pk)


def _portrait(request: HttpRequest, pk: int) -> Portrait:
    return portrait_with_values(_find(pk), Asked.from_query(request.GET.dict()))


def _kind_of(name: str) -> str:
    if name.endswith(".svg"):
        return "a chart as its job drew it"
    return "the Vega-Lite specification of a chart" if name.endswith(".vl.json") else "evidence"
