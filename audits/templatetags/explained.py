"""Addresses and hidden fields that keep what a page of an explanation shows: ``{% load explained %}``."""

from __future__ import annotations

import base64

from django import template
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from audits.explained.asked import Asked
from audits.explained.exports import Saves
from audits.explained.overlays import Overlay
from audits.explained.portrait import Portrait
from governance.presentation import numbers

register = template.Library()


@register.simple_tag
def chosen(asked: Asked, **changes: object) -> str:
    """Return the address of the same page with other choices; an empty one is the page's own choice."""
    return asked.query(**{name: str(value) for name, value in changes.items()})


@register.simple_tag(takes_context=True)
def save_as(context: template.Context, format: str, chart: str = "") -> str:
    """Return the address of the page as a file, or of one of its charts."""
    saves: Saves = context["saves"]
    return saves.address(format, chart)


@register.simple_tag
def bounds(low: float | None, high: float | None) -> str:
    """Write an interval, or a dash where there is none."""
    return numbers.interval(low, high) or numbers.MISSING


@register.simple_tag
def kept(asked: Asked, *changing: str) -> SafeString:
    """Return hidden fields for the choices that a form does not change."""
    return format_html_join(
        "",
        '<input type="hidden" name="{}" value="{}">',
        ((name, value) for name, value in asked.given().items() if name not in changing),
    )


@register.simple_tag(takes_context=True)
def picture(context: template.Context, overlay: Overlay, kind: str = "picture") -> str:
    """Return the address of a row's picture, or of what lies ``over`` it; in a file of its own, the picture itself."""
    portrait: Portrait = context["portrait"]
    if context.get("offline"):
        content = portrait.picture(overlay, is_over=kind == "over")
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"
    address = reverse("explanation-picture", args=[portrait.explanation.pk, overlay.row.number, kind])
    return f"{address}?output={portrait.shown.output.key}"
