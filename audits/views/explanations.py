"""Explanations: the list, one explanation with its verdict, its charts and one row at a time."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from audits.models import Explanation
from audits.views.rows import CHOICES, Rows, read_rows, row_chart
from governance.exceptions import NotFound
from governance.presentation.numbers import is_number, limit, number, scientific
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, rows_of_page

ROWS_FILE = "rows.json"
#: Said on every page of explanations, because it holds for all of them.
WHAT_THE_VALUES_DO_NOT_MEAN = (
    "The values say which inputs this model’s output goes with, compared to the background. They do not say what "
    "causes the outcome, and because features are varied one by one, correlated features are also tried in "
    "combinations that no row has."
)
_DESCRIPTIONS = {
    "attributions.npz": "values, base values, errors and data of every row and output, for NumPy and shap",
    ROWS_FILE: "the rows that this page shows",
}


@page
def explanation_list(request: HttpRequest) -> HttpResponse:
    """Show the explanations, newest first."""
    rows = Explanation.objects.select_related("version__model", "dataset__dataset", "background__dataset", "job")
    return draw(request, "audits/explanation_list.html", {"rows": rows_of_page(request, rows)}, section="explanations")


@page
def explanation(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show one explanation; the address chooses the row: ``?row=18`` or ``?choose=error``."""
    found = find(
        Explanation.objects.select_related(
            "version__model__owner", "dataset__dataset", "background__dataset", "created_by", "job__created_by"
        ),
        f"There is no explanation {pk}.",
        pk=pk,
    )
    context: dict[str, Any] = {"explanation": found, "summary": found.summary}
    if found.admitted is None:
        context.update(progress_context(found.job, request))
    else:
        context.update(
            {
                "lead": str(found.summary.get("sentence") or ""),
                "caution": WHAT_THE_VALUES_DO_NOT_MEAN,
                "measures": measures_of(found),
                "files": [
                    (name, digest, _DESCRIPTIONS.get(name, _kind_of(name)))
                    for name, digest in sorted(found.files.items())
                ],
                **row_context(found, request),
            }
        )
    return draw(request, "audits/explanation.html", context, section="explanations")


def measures_of(found: Explanation) -> list[dict[str, Any]]:
    """Return the quality measures as the table shows them."""
    measures = found.summary.get("measures")
    if not isinstance(measures, list):
        measures = [
            {"name": name, "title": name.replace("_", " "), "value": value} for name, value in found.quality.items()
        ]
    shown = []
    for measure in measures:
        met, bound = measure.get("met"), measure.get("bound")
        state = (
            "not_applicable"
            if measure.get("applicable") is False
            else "none"
            if met is None
            else "within"
            if met
            else "outside"
        )
        shown.append(
            {
                **measure,
                "value": _small(measure.get("value")),
                "bound": f"≤ {limit(bound)}" if is_number(bound) else "none; reported",
                "state": state,
                "result": "reported" if state == "none" else "",
            }
        )
    return shown


def row_context(found: Explanation, request: HttpRequest) -> dict[str, Any]:
    """Return the row that the address asks for with its chart, and the rows that may be chosen."""
    digest = found.files.get(ROWS_FILE)
    if not digest:
        return {}
    rows = read_rows(digest)
    offered = [(name, words) for name, (words, _) in CHOICES.items() if rows.chosen(name) is not None]
    row, chosen, problem = _asked_row(rows, request, [name for name, _ in offered])
    if row is None:
        return {}
    return {
        "row": row,
        "row_chart": row_chart(rows, row),
        "row_target": _target_words(found, row.get("target")),
        "row_name": row.get("id") or row["row"],
        "choices": offered,
        "chosen": chosen,
        "row_problem": problem,
        "row_count": len(rows.rows),
        "row_numbers": ", ".join(number(entry["row"]) for entry in rows.rows[:12]),
    }


def _target_words(found: Explanation, target: Any) -> str:
    """Write what the data say of a row: where they number the classes, the class by name as well."""
    signature = found.version.read_signature()
    classes = signature.output.classes if signature is not None else ()
    written = number(target) if is_number(target) else str(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(classes):
        named = classes[target]
        return written if named == written else f"{named}, as {written}"
    return written


def _asked_row(rows: Rows, request: HttpRequest, offered: list[str]) -> tuple[Any, str, str]:
    """Return the row, the choice that led to it, and what was wrong with what was asked."""
    if not rows.rows:
        return None, "", ""
    default = offered[0] if offered else ""
    asked = request.GET.get("row", "").strip()
    problem = ""
    if asked:
        row = rows.numbered(int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 12 else None
        if row is not None:
            return row, "", ""
        problem = f"Row {asked} is not among the {len(rows.rows):,} rows that were explained."
    chosen = request.GET.get("choose", default)
    if chosen and chosen not in CHOICES:
        raise NotFound(f"There is no choice {chosen!r}; there are {', '.join(CHOICES)}.")
    row = rows.chosen(chosen) if chosen else None
    return (row or rows.rows[0]), chosen if row is not None else "", problem


def _small(value: Any) -> str:
    """Write a measure: a very small one by its power of ten."""
    return scientific(value) if is_number(value) and 0 < abs(value) < 1e-3 else number(value)


def _kind_of(name: str) -> str:
    if name.endswith(".svg"):
        return "a chart as it is drawn above"
    return "the Vega-Lite specification of a chart" if name.endswith(".vl.json") else "evidence"
