"""An explanation as one HTML file: it opens offline and prints, holds its pictures, and has no script."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from audits.explained.context import page_context
from audits.explained.portrait import Portrait
from audits.reports.page import content_security_policy, stylesheet_with_foot


def standalone_html(portrait: Portrait) -> str:
    """Return what a page shows of an explanation as one file."""
    explanation = portrait.explanation
    style = stylesheet_with_foot(
        f"Assay · {explanation}, {explanation.version.ref} on {explanation.dataset.ref} · {explanation.digest[:17]}"
    )
    return render_to_string(
        "audits/explanation_file.html",
        {
            **page_context(portrait),
            "offline": True,
            "style": mark_safe(style),  # noqa: S308 - our own stylesheet, closing tags refused where it is made
            "policy": content_security_policy(style),
        },
    )
