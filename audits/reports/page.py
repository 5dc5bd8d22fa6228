"""The report of an audit as one HTML file: it opens offline, prints, and reads without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from audits.models import Audit
from audits.reports.content import Content, content_of
from governance.exceptions import IntegrityFailure
from governance.storage import store

#: A specification larger than this is not redrawn live; its drawing and its table stand anyway.
MAX_SPEC_BYTES = 1024 * 1024


def build_html(audit: Audit) -> str:
    """Return the report of an ended audit as one file: the same audit gives the same text."""
    content = content_of(audit)
    style, script = stylesheet(audit), live_script()
    return render_to_string(
        "audits/report.html",
        {
            "audit": audit,
            "content": content,
            "offline": True,
            "style": mark_safe(style),  # noqa: S308 - our own stylesheet, closing tags refused below
            "script": mark_safe(script),  # noqa: S308 - the bundle and our own file, closing tags refused below
            "specs": _specs(content),
            "policy": content_security_policy(style, script),
        },
    )


def content_security_policy(style: str, script: str = "") -> str:
    """Return a policy that lets in exactly this style and this script, or none, and nothing from anywhere."""
    scripts = f"script-src '{_source_hash(script)}'; " if script else ""
    return (
        f"default-src 'none'; style-src '{_source_hash(style)}'; {scripts}"
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def stylesheet(audit: Audit) -> str:
    """Return the stylesheet of the pages, with the report's own words at the foot of each printed page."""
    return stylesheet_with_foot(
        f"Assay · audit {audit.pk}, {audit.version.ref} on {audit.dataset.ref} · results {audit.digest[:17]}"
    )


def stylesheet_with_foot(foot: str) -> str:
    """Return the stylesheet of the pages, with words of a document at the foot of each of its printed pages."""
    return _inside_tag(
        _static_text("governance/assay.css")
        + f"\n@page {{ @bottom-left {{ content: {_css_text(foot)}; font: 8pt sans-serif; color: #555; }} }}\n",
        "style",
    )


@lru_cache(maxsize=1)
def live_script() -> str:
    """Return the script that redraws the charts: Vega-Lite and what it needs, and ``report.js``."""
    import vl_convert  # costs about 100 MB and a second, so only who builds a report pays

    return _inside_tag(vl_convert.javascript_bundle(_static_text("audits/report.js")), "script")


def _specs(content: Content) -> SafeString:
    """Return the specifications of all charts as JSON that may stand inside a script element."""
    specs: dict[str, Any] = {}
    for check in content.checks:
        for chart in check.result.charts:
            spec = _spec(str(chart.get("spec_digest", "")))
            if spec is not None:
                specs[f"{check.id}-{chart['id']}"] = spec
    written = json.dumps(specs, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return mark_safe(written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S308


def _spec(digest: str) -> Any:
    with store().open(digest) as stream:
        written = stream.read(MAX_SPEC_BYTES + 1)
    return json.loads(written) if len(written) <= MAX_SPEC_BYTES else None


def _static_text(name: str) -> str:
    """Return a text that comes with the apps, wherever they are installed."""
    path = finders.find(name)
    if not isinstance(path, str):
        raise IntegrityFailure(f"{name} is not among the static files.")
    return Path(path).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _css_text(text: str) -> str:
    """Write a text as a CSS string in which nothing can end it."""
    return (
        '"' + "".join(c if c.isascii() and (c.isalnum() or c in " ,./-@") else f"\\{ord(c):06x} " for c in text) + '"'
    )


def _inside_tag(text: str, tag: str) -> str:
    """Return a text that goes between two tags as it is, or refuse it."""
    lowered = text.lower()
    if f"</{tag}" in lowered or "<!--" in lowered:
        raise IntegrityFailure(f"The text for <{tag}> holds a tag that would end it.")
    return text
