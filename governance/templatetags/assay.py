"""Marks, numbers, references and drawings in templates: ``{% load assay %}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from governance.exceptions import AssayError
from governance.models import DatasetVersion, ModelVersion
from governance.presentation import marks, numbers, small
from governance.presentation.svg import UnsafeDrawingError, stored_svg

register = template.Library()

#: How many hexadecimal digits of a digest are shown; the whole stands in its title and in the table of digests.
SHORT_DIGEST = 10
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TICKED = re.compile(r"`([^`]+)`")
_UNIT_APART = re.compile(r"(?<=\d) (?=%)")
#: A longer text of an event is cut here; the event in the admin and the API has it whole.
_LONGEST_NOTED = 160

register.filter("number", numbers.number)
register.filter("share", numbers.share)
register.filter("size", numbers.size)
register.filter("duration", numbers.duration)
register.filter("moment", numbers.moment_of)
register.filter("day", numbers.day)
register.filter("condition", numbers.condition_words)
register.filter("metric_value", numbers.value_of_metric)
register.filter("metric_with_interval", numbers.metric_with_interval)
register.simple_tag(numbers.plural, name="plural")
register.simple_tag(marks.status_span, name="status")
register.simple_tag(marks.mark_svg, name="mark")
register.simple_tag(marks.severity_span, name="severity")
register.simple_tag(small.histogram_svg, name="histogram")
register.simple_tag(small.interval_svg, name="against_limit")


@register.filter
def metric_interval(metric: Mapping[str, Any]) -> str:
    """Write the interval of a metric, or nothing."""
    return numbers.interval(metric.get("low"), metric.get("high"))


@register.filter
def mark_class(state: object) -> str:
    """Return the colour class of a state."""
    return marks.mark_of(state).css


@register.filter
def mark_word(state: object) -> str:
    """Return the word of a state."""
    return marks.mark_of(state).word


@register.filter
def digest(value: object) -> SafeString:
    """Write the first digits of a digest; the whole stands in the title."""
    whole = str(value or "")
    if not whole:
        return format_html('<span class="quiet">{}</span>', "no digest")
    shown = whole.removeprefix("sha256:")[:SHORT_DIGEST]
    return format_html('<span class="digest" title="{}">{}</span>', whole, shown)


@register.filter
def underscored(value: object) -> str:
    """Write an identifier such as ``changes_requested`` as words."""
    return str(value).replace("_", " ")


@register.filter
def cell(value: Any) -> str:
    """Write a value of a table: numbers as numbers, a missing one as a dash, the rest as it is."""
    if value is None:
        return numbers.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return numbers.number(value)
    if isinstance(value, list):
        return ", ".join(cell(entry) for entry in value)
    return str(value)


@register.filter
def noted(value: Any) -> str:
    """Write what an event notes as words: digests short, what holds several by name, nothing as ``none``."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return digest(value)
    if isinstance(value, Mapping):
        return format_html_join(", ", "{} {}", ((underscored(k), noted(v)) for k, v in value.items())) or "none"
    if isinstance(value, list):
        return format_html_join(", ", "{}", ((noted(entry),) for entry in value)) or "none"
    written = cell(value)
    return written if len(written) <= _LONGEST_NOTED else f"{written[: _LONGEST_NOTED - 1]}…"


@register.filter
def ticked(text: str) -> SafeString:
    """Write what stands between backticks in a sentence as code, and keep a number with its per cent sign."""
    kept = _UNIT_APART.sub(numbers.NO_BREAK, escape(text))
    return mark_safe(_TICKED.sub(r"<code>\1</code>", kept))  # noqa: S308 - escaped one line above


@register.filter
def exact(value: Any) -> str:
    """Write a parameter as a person would type it, and a digest short."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return digest(value)
    if isinstance(value, list):
        return ", ".join(exact(entry) for entry in value)
    return numbers.limit(value) if numbers.is_number(value) else cell(value)


@register.filter
def is_number(value: object) -> bool:
    """Tell whether a value of a table is a number, and so stands right-aligned."""
    return numbers.is_number(value)


@register.filter
def first_sentence(text: str) -> str:
    """Return the first sentence of a caption: it says what one sees."""
    head, stop, _ = text.partition(". ")
    return ticked(head + stop.strip())


@register.filter
def other_sentences(text: str) -> str:
    """Return what follows the first sentence of a caption."""
    return ticked(text.partition(". ")[2])


@register.filter
def age(moment: datetime | None) -> str:
    """Write how long ago something was: ``2 s``."""
    return numbers.MISSING if moment is None else numbers.duration((timezone.now() - moment).total_seconds())


@register.simple_tag(takes_context=True)
def ref(context: template.Context, subject: ModelVersion | DatasetVersion | None) -> SafeString:
    """Write the reference of a version as a link; in an offline report, as text."""
    if subject is None:
        return format_html('<span class="quiet">{}</span>', numbers.MISSING)
    if context.get("offline"):
        return format_html('<span class="ref">{}</span>', subject.ref)
    if isinstance(subject, ModelVersion):
        address = reverse("version", args=[subject.model.name, subject.number])
    else:
        address = reverse("dataset-version", args=[subject.dataset.name, subject.number])
    return format_html('<a class="ref" href="{}">{}</a>', address, subject.ref)


@register.simple_tag
def drawing(chart: Mapping[str, Any]) -> SafeString:
    """Put the stored drawing of a chart into the page, or say why it is not shown."""
    try:
        return stored_svg(str(chart.get("svg_digest") or ""))
    except UnsafeDrawingError as error:
        why = f"The drawing is not shown, because it is not one that Assay makes. {error}"
    except (OSError, AssayError):
        why = "The drawing is not in the store."
    return format_html('<p class="empty">{} {}</p>', why, "Its numbers stand in the table beneath.")


@register.filter
def share_met(percent: Any) -> str:
    """Write what is left of a percentage of unexpected rows."""
    return numbers.share(1 - percent / 100) if numbers.is_number(percent) else numbers.MISSING
