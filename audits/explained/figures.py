"""One chart of a page: its caption, its specification and the table of its numbers; drawn when the page asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from governance.presentation.drawing import drawn

#: The charts that a page may show, by which a comment or an export names one, and what a person calls each.
FIGURES: Mapping[str, str] = {
    "importance": "importance",
    "beeswarm": "beeswarm",
    "dependence": "dependence",
    "rows": "heat map over rows",
    "classes": "mean of each class",
    "waterfall": "waterfall",
    "heatmap": "heat map of one image",
    "hierarchy": "hierarchy of one row",
}


@dataclass(frozen=True)
class Figure:
    """A chart; ``id`` names it in addresses of exports, ``label`` is the sentence for who cannot see it."""

    id: str
    caption: str
    label: str
    spec: dict[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_wide: bool = False
    rows_in_page: int = 20

    @property
    def drawing(self) -> SafeString:
        """The chart as markup for a page."""
        return drawn(self.spec, label=self.label)

    @property
    def shown_rows(self) -> tuple[tuple[Any, ...], ...]:
        """The rows of the table that stand in a page."""
        return self.rows[: self.rows_in_page]

    def to_json(self) -> dict[str, Any]:
        """Return all but the drawing, as an export tells it."""
        return {
            "id": self.id,
            "caption": self.caption,
            "spec": {**self.spec, "description": self.label},
            "table": {"columns": list(self.columns), "rows": [list(row) for row in self.rows]},
        }
