"""A page as one HTML file: it opens offline and prints, holds its pictures, and has no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from audits.reports.page import content_security_policy, stylesheet_with_foot


def standalone_html(template: str, context: Mapping[str, Any], *, foot: str) -> str:
    """Return what a page shows as one file; ``foot`` stands beneath each of its printed pages."""
    style = stylesheet_with_foot(f"Assay · {foot}")
    return render_to_string(
        template,
        {
            **context,
            "offline": True,
            "style": mark_safe(style),  # noqa: S308 - our own stylesheet, closing tags refused where it is made
            "policy": content_security_policy(style),
        },
    )
