"""What detectors found in a data set version, for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from governance.models import DatasetVersion
from governance.presentation.numbers import number, share
from validators.models import Screening

#: Screenings that the page lists.
MOST = 20
#: Rows, or columns, that the page shows of one detector; the file and the API have all.
MOST_SHOWN = 8

_ACTION_WORDS = {"quarantine": "quarantine", "flag": "flag only", "look": "look"}


@dataclass(frozen=True)
class Line:
    """One detector in the table: the word, the count with its n and interval, the sentence, what is recommended."""

    title: str
    anchor: str
    status: str
    counted: str
    interval: str
    sentence: str
    action: str


@dataclass(frozen=True)
class Found:
    """What one detector found, in full: rows or columns with their reasons, charts, and what it does not show."""

    title: str
    anchor: str
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[Mapping[str, Any]]
    more: str
    charts: Sequence[Mapping[str, Any]]
    limits: str


@dataclass(frozen=True)
class Shown:
    """The newest screening of one purpose, as the page shows it."""

    screening: Screening
    title: str
    lines: Sequence[Line]
    found: Sequence[Found]
    steps: int


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - as every section takes it
    """Return what ``_screening.html`` shows: the screenings of a version, the newest of each purpose in full."""
    screenings = list(
        Screening.objects.filter(dataset=version).select_related(
            "against__dataset", "rows", "job__created_by", "created_by"
        )[:MOST]
    )
    newest: dict[str, Screening] = {}
    for screening in screenings:
        if screening.has_ended:
            newest.setdefault(screening.purpose, screening)
    return {"screenings": screenings, "screened": [_shown(screening) for screening in newest.values()]}


def _shown(screening: Screening) -> Shown:
    against = "" if screening.against is None else f" against {screening.against.ref}"
    detections = screening.detections
    found = [_found(screening, entry) for entry in detections if entry["status"] == "found"]
    return Shown(
        screening=screening,
        title=f"Screening {screening.pk}, {screening.purpose}{against}",
        lines=[_line(screening, entry) for entry in detections],
        found=[entry for entry in found if entry.rows or entry.columns or entry.charts],
        steps=sum(
            len(entry["bounds"])
            for entry in detections
            if entry["action"] == "quarantine" and entry["status"] == "found"
        ),
    )


def _line(screening: Screening, detection: Mapping[str, Any]) -> Line:
    measured = detection["share"] or {}
    n, unit = measured.get("n"), detection["unit"]
    has_count = detection["status"] in ("found", "not_found")
    counted = f"{number(detection['count'])} of {number(n)} {unit}" if n and unit != "classes" else ""
    if has_count and not counted:
        counted = number(detection["count"]) if unit == "classes" else "–"
    low, high = measured.get("low"), measured.get("high")
    interval = f"{share(low)} to {share(high)}" if n and unit == "rows" and low is not None and high is not None else ""
    return Line(
        title=detection["title"],
        anchor=_anchor(screening, detection),
        status=detection["status"],
        counted=counted if has_count else "",
        interval=interval if has_count else "",
        sentence=detection["sentence"],
        action=_ACTION_WORDS[detection["action"]] if detection["status"] == "found" else "",
    )


def _found(screening: Screening, detection: Mapping[str, Any]) -> Found:
    rows, columns = detection["rows"][:MOST_SHOWN], detection["columns"][:MOST_SHOWN]
    if rows:
        columns = []
    left = detection["count"] - len(rows) if rows else detection["column_count"] - len(columns)
    noun = "rows" if rows else detection["unit"] if detection["unit"] in ("columns", "classes") else "lines"
    return Found(
        title=detection["title"],
        anchor=_anchor(screening, detection),
        rows=rows,
        columns=columns,
        more=f"and {number(left)} more {noun}" if left > 0 else "",
        charts=detection["charts"],
        limits=detection["limits"],
    )


def _anchor(screening: Screening, detection: Mapping[str, Any]) -> str:
    return f"screening-{screening.pk}-{detection['detector']}"
