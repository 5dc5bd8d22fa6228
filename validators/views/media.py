"""What the page of a data set version shows of its images and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from governance.models import DatasetVersion

#: The grid of small pictures that an import writes (``workers.datasets.showing``).
CELL, COLUMNS = 96, 6

_TITLES = {
    "sample": "Some of all rows",
    "darkest": "Darkest",
    "blurriest": "Least sharp",
    "shortest": "Shortest",
    "longest": "Longest",
}


@dataclass(frozen=True)
class Picture:
    """One small picture: its row, what was measured, and where it lies in the grid."""

    row: int
    value: float | None
    left: int
    top: int


@dataclass(frozen=True)
class Group:
    """Rows that are shown for one reason."""

    title: str
    entries: list[Any]


@dataclass(frozen=True)
class Shown:
    """What is shown of one column."""

    name: str
    digest: str
    file: str
    width: int
    height: int
    pictures: list[Group]
    texts: list[Group]
    problems: list[Mapping[str, Any]]
    problem_count: int
    note: str


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - what each section gets
    """Return the image and text columns with the rows that the import picked, and the size of a small picture."""
    return {"columns": [_shown(name, entry) for name, entry in version.media.items()], "cell": CELL}


def _shown(name: str, entry: Mapping[str, Any]) -> Shown:
    cells = entry.get("cells", [])
    pictures = [
        (cell["group"], Picture(cell["row"], cell["value"], number % COLUMNS * CELL, number // COLUMNS * CELL))
        for number, cell in enumerate(cells)
    ]
    return Shown(
        name=name,
        digest=entry.get("digest", ""),
        file=entry.get("file") or "",
        width=COLUMNS * CELL,
        height=-(-len(cells) // COLUMNS) * CELL,
        pictures=_grouped(pictures),
        texts=_grouped([(text["group"], text) for text in entry.get("texts", [])]),
        problems=entry["problems"],
        problem_count=entry["problem_count"],
        note=entry.get("note", ""),
    )


def _grouped(entries: list[tuple[str, Any]]) -> list[Group]:
    groups: dict[str, list[Any]] = {}
    for group, entry in entries:
        groups.setdefault(group, []).append(entry)
    return [Group(_TITLES.get(group, group), members) for group, members in groups.items()]
