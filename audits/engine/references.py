"""What a check is evidence towards: techniques and controls of published frameworks, as versioned data.

The data say of each framework whether its ids were compared with the primary text or only transcribed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Reference:
    """One technique or control that a check is evidence towards."""

    framework: str
    id: str
    title: str
    edition: str
    url: str
    checked: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@cache
def reference_data() -> dict[str, Any]:
    """Return the data file: ``version``, ``date``, ``source``, ``frameworks``, ``checks``."""
    document: dict[str, Any] = json.loads(
        files("audits.engine").joinpath("references.json").read_text(encoding="utf-8")
    )
    return document


def references_of(check_id: str) -> tuple[Reference, ...]:
    """Return what a check is evidence towards; empty for a check that the data do not know."""
    data = reference_data()
    found = []
    for framework, ids in data["checks"].get(check_id, {}).items():
        about = data["frameworks"][framework]
        found += [
            Reference(
                framework=framework,
                id=id,
                title=about["title"],
                edition=about["edition"],
                url=about["url"].format(id=id),
                checked=about["checked"],
            )
            for id in ids
        ]
    return tuple(found)
