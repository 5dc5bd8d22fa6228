"""What the address of a page asks to see of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self
from urllib.parse import urlencode

#: Longer words than this ask for nothing that is there.
MAX_LENGTH = 500


@dataclass(frozen=True)
class Asked:
    """The choices of a page, as words out of its address; an empty one is the page's own choice.

    Attributes:
        output: a column of the explained outputs by its number, or ``predicted``.
        slice: ``target``, ``predicted``, a feature or another column; with ``value``, only such rows are shown.
        value: a value of the slice, ``q1`` to ``q4`` for the quarters of a column of many; empty for rows without one.
        feature: whose dependence is drawn.
        colour: the other feature that colours it.
        errors: with an interval at every point of the dependence.
        order: of the rows of the heat map.
        row: the number of a row, or what the data set calls it.
        choose: a row by what it is: the worst error, the nearest to the boundary.
        features: ``all`` for the table of all features.
    """

    output: str = ""
    slice: str = ""
    value: str = ""
    feature: str = ""
    colour: str = ""
    errors: str = ""
    order: str = ""
    row: str = ""
    choose: str = ""
    features: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Read the choices; other words of the address are left alone."""
        return cls(**{entry.name: query.get(entry.name, "").strip()[:MAX_LENGTH] for entry in fields(cls)})

    def given(self) -> dict[str, str]:
        """Return the choices that were made."""
        return {entry.name: value for entry in fields(self) if (value := getattr(self, entry.name))}

    def query(self, **changes: str) -> str:
        """Return the address of the same page with other choices: ``?output=1&slice=region``."""
        return f"?{urlencode(replace(self, **changes).given())}"
