"""The words and tables that the templates of an explanation need, for the page and for the file of it."""

from __future__ import annotations

from typing import Any

from audits.engine.methods import METHODS
from audits.explained.exports import Saves
from audits.explained.figures import FIGURES
from audits.explained.overall import ORDERS
from audits.explained.paired import paired_figure, unit_of
from audits.explained.portrait import DEFAULT_ORDER, Portrait
from audits.models import Explanation
from audits.services.comparisons import Comparison
from governance.presentation.numbers import is_number, limit, number, scientific

#: Said on every page of explanations, because it holds for all of them.
WHAT_THE_VALUES_DO_NOT_MEAN = (
    "The values say which inputs this model’s output goes with, compared to the background. They do not say what "
    "causes the outcome, and because features are varied one by one, correlated features are also tried in "
    "combinations that no row has."
)
_RELATIONS = {"<=": "≤", ">=": "≥"}
#: Features that the form of the dependence offers, those that carry most; an address may name any other.
_OFFERED_FEATURES = 300
#: Tokens and parts of a picture whose numbers stand beside it.
_LARGEST = 12


def page_context(portrait: Portrait) -> dict[str, Any]:
    """Return all that the page of an explanation shows, worked out."""
    slices = portrait.slices()
    text = portrait.text
    return {
        **record_context(portrait.explanation),
        "portrait": portrait,
        "asked": portrait.asked,
        "saves": Saves("explanation-export", (portrait.explanation.pk,), portrait.asked.given()),
        "outputs": portrait.outputs(),
        "slices": slices,
        "slice_words": next((words for _, kinds in slices for _, words, is_chosen in kinds if is_chosen), ""),
        "features": [entry.feature for entry in portrait.importance[:_OFFERED_FEATURES]],
        "orders": [(key, words, key == (portrait.asked.order or DEFAULT_ORDER)) for key, words in ORDERS.items()],
        "neighbours": portrait.neighbours_table(),
        "topics": [
            (f"row {portrait.found.row.number}", f"row {portrait.found.row.name}"),
            *((f"chart {figure.id}", f"chart: {FIGURES[figure.id]}") for figure in portrait.figures),
        ],
        "largest_tokens": text.largest_first(_LARGEST) if text is not None else [],
    }


def comparison_context(comparison: Comparison) -> dict[str, Any]:
    """Return all that the page of a comparison shows, worked out."""
    first, second = comparison.first, comparison.second
    choices = {"first": str(first.pk), "second": str(second.pk), "output": comparison.output}
    return {
        "first": first,
        "second": second,
        "comparison": comparison,
        "figure": paired_figure(comparison),
        "unit": unit_of(comparison),
        "saves": Saves("explanation-comparison-export", (), choices),
    }


def record_of(explanation: Explanation) -> dict[str, Any]:
    """Return what the record says of an explanation that has ended, as an export tells it."""
    return {
        "explanation": explanation.pk,
        "digest": explanation.digest,
        "model": explanation.version.ref,
        "dataset": explanation.dataset.ref,
        "background": explanation.background.ref,
        "parameters": explanation.parameters,
        "admitted": explanation.admitted,
        "reasons": explanation.reasons,
        "quality": explanation.quality,
    }


def record_context(explanation: Explanation) -> dict[str, Any]:
    """Return what the record says of an explanation that has ended, with or without its values."""
    return {
        "explanation": explanation,
        "summary": explanation.summary,
        "lead": str(explanation.summary.get("sentence") or ""),
        "caution": caution_of(explanation),
        "measures": measures_of(explanation),
    }


def caution_of(explanation: Explanation) -> str:
    """Say what the values do not mean: what holds for all of them, and what for those of this method."""
    entry = METHODS.get(str(explanation.parameters.get("method")))
    return f"{WHAT_THE_VALUES_DO_NOT_MEAN} {entry.caution if entry is not None else ''}".rstrip()


def measures_of(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the quality measures as the table shows them."""
    measures = explanation.summary.get("measures")
    if not isinstance(measures, list):
        measures = [
            {"name": name, "title": name.replace("_", " "), "value": value}
            for name, value in explanation.quality.items()
        ]
    return [_measure(measure) for measure in measures]


def _measure(measure: dict[str, Any]) -> dict[str, Any]:
    met, bound = measure.get("met"), measure.get("bound")
    relation = _RELATIONS[measure.get("relation", "<=")]
    if measure.get("applicable") is False:
        state = "not_applicable"
    elif met is None:
        state = "none"
    else:
        state = "within" if met else "outside"
    return {
        **measure,
        "value": _small(measure.get("value")),
        "bound": f"{relation} {limit(bound)}" if is_number(bound) else "none; reported",
        "state": state,
        "result": "reported" if state == "none" else "",
    }


def _small(value: Any) -> str:
    """Write a measure: a very small one by its power of ten."""
    return scientific(value) if is_number(value) and 0 < abs(value) < 1e-3 else number(value)
