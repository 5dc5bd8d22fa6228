"""Which shape, which colour class and which word stand for a state; colour never stands alone."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString


@dataclass(frozen=True)
class Mark:
    """The look of a state: ``symbol`` is an id of the sprite, ``css`` a class of the stylesheet."""

    symbol: str
    css: str
    word: str


_MARKS = {
    "passed": Mark("passed", "passed", "passed"),
    "met": Mark("passed", "met", "met"),
    "within": Mark("passed", "met", "within"),
    "admitted": Mark("passed", "admitted", "admitted"),
    "succeeded": Mark("passed", "passed", "succeeded"),
    "registered": Mark("passed", "passed", "registered"),
    "ready": Mark("passed", "passed", "ready"),
    "approved": Mark("passed", "passed", "approved"),
    "approve": Mark("passed", "passed", "approved"),
    "waived": Mark("skipped", "skipped", "waived"),
    "failed": Mark("failed", "failed", "failed"),
    "outside": Mark("failed", "failed", "outside"),
    "not_admitted": Mark("failed", "failed", "not admitted"),
    "rejected": Mark("failed", "rejected", "rejected"),
    "reject": Mark("failed", "rejected", "rejected"),
    "void": Mark("failed", "failed", "void"),
    "error": Mark("error", "error", "error"),
    "timed_out": Mark("error", "error", "timed out"),
    "lost": Mark("error", "error", "lost"),
    "skipped": Mark("skipped", "skipped", "skipped"),
    "inconclusive": Mark("skipped", "skipped", "inconclusive"),
    "cancelled": Mark("skipped", "skipped", "cancelled"),
    "changes_requested": Mark("skipped", "skipped", "changes requested"),
    "request_changes": Mark("skipped", "skipped", "changes requested"),
    "found": Mark("queued", "queued", "found"),
    "not_found": Mark("passed", "met", "not found"),
    "not_applicable": Mark("na", "na", "not applicable"),
    "none": Mark("na", "na", "none"),
    "running": Mark("running", "running", "running"),
    "importing": Mark("running", "running", "importing"),
    "queued": Mark("queued", "queued", "queued"),
    "quarantined": Mark("queued", "queued", "quarantined"),
    "open": Mark("queued", "queued", "open"),
}

_SEVERITIES = ("critical", "high", "warning", "medium", "low", "info")


def mark_of(state: object) -> Mark:
    """Return the mark of a state; one that nobody named is shown by its own word and a dash."""
    name = str(state or "none")
    return _MARKS.get(name) or Mark("na", "na", name.replace("_", " "))


def mark_svg(state: object) -> SafeString:
    """Return the shape alone; the word has to stand beside it, or in the label of the link around it."""
    return format_html('<svg aria-hidden="true"><use href="#m-{}"/></svg>', mark_of(state).symbol)


def status_span(state: object, words: str = "") -> SafeString:
    """Return shape and word of a state, or shape and other words."""
    mark = mark_of(state)
    return format_html('<span class="st {}">{}{}</span>', mark.css, mark_svg(state), words or mark.word)


def severity_span(severity: object) -> SafeString:
    """Return the bar and the word of a severity, or nothing when there is none."""
    name = str(severity or "")
    if not name:
        return SafeString("")
    return format_html('<span class="sev {}">{}</span>', name if name in _SEVERITIES else "info", name)
