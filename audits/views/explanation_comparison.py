"""Two explanations of the same rows side by side: what changed, and whether it is more than the error."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from audits.explained.context import comparison_context
from audits.explained.exports import export
from audits.explained.paired_export import ComparisonContent
from audits.models import Explanation
from audits.services.comparisons import compare
from governance.exceptions import InvalidInput, NotFound
from governance.views.page import draw, find, page

_WHOLE = ("version__model", "dataset__dataset", "background__dataset", "created_by")
#: Explanations of the same data that are offered to be compared with.
_OFFERED = 20


@page
def explanation_comparison(request: HttpRequest) -> HttpResponse:
    """Compare two explanations; with one, or none, ask for what is missing."""
    first, second = (_asked(request, name) for name in ("first", "second"))
    context: dict[str, Any] = {"first": first, "second": second}
    if first is not None and second is not None:
        context |= comparison_context(compare(first, second, output=request.GET.get("output", "")))
    else:
        context["offered"] = comparable_with(first or second)
    return draw(request, "audits/explanation_comparison.html", context, section="explanations")


@page
def explanation_comparison_export(request: HttpRequest, *, format: str) -> Any:
    """Send what the page of a comparison shows as a file."""
    first, second = (_asked(request, name) for name in ("first", "second"))
    if first is None or second is None:
        raise InvalidInput("A comparison is of two explanations; the address names them as `first` and `second`.")
    comparison = compare(first, second, output=request.GET.get("output", ""))
    return export(ComparisonContent(comparison), format=format, chart=request.GET.get("chart", "")).response()


def comparable_with(explanation: Explanation | None) -> list[Explanation]:
    """Return the newest explanations with values, of the same data where one is given."""
    ended = Explanation.objects.filter(admitted__isnull=False).select_related("version__model", "dataset__dataset")
    if explanation is not None:
        ended = ended.filter(dataset=explanation.dataset).exclude(pk=explanation.pk)
    return list(ended[:_OFFERED])


def _asked(request: HttpRequest, name: str) -> Explanation | None:
    """Return the explanation that the address names, or None where it names none."""
    asked = request.GET.get(name, "").strip()
    if not asked:
        return None
    if not (asked.isascii() and asked.isdigit() and len(asked) < 12):
        raise NotFound(f"There is no explanation {asked!r}.")
    return find(Explanation.objects.select_related(*_WHOLE), f"There is no explanation {asked}.", pk=int(asked))
