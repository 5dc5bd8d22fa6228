"""How an explanation joined its features, drawn for one row: a dendrogram, or the regions of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from audits.attributions.arrays import Floats
from audits.engine import charts
from audits.engine.captions import decimals, signed
from audits.explained.branches import Branches
from audits.explained.figures import Figure
from audits.explained.one_row import OneRow

#: Branches at the left of a dendrogram, and levels of an image.
MAX_LEAVES, MAX_LEVELS = 26, 6
_NAMED = 2
_COLUMNS = ("branch", "features", "joined at", "sum of its values")
_ADDS_UP = (
    "The values of a branch add up to its value as one feature. The errors of values of one row depend on each other, "
    "so that a sum has none here."
)


def hierarchy_figure(
    row: OneRow,
    linkage: Floats,
    *,
    feature_names: Sequence[str],
    grid: Sequence[int],
    tokens: Sequence[str] | None = None,
) -> Figure | None:
    """Draw what each branch adds to a row; None where a single feature leaves nothing to join.

    ``tokens`` has the word of each feature where the row is a text.
    """
    if not len(linkage):
        return None
    branches = Branches.of(linkage)
    sums = branches.sums(np.asarray(row.values))
    if len(grid) == 2:
        levels = _levels(branches, sums, grid)
        if levels is not None:
            return _regions(row, levels, grid)
    return _dendrogram(row, branches, sums, feature_names, tokens)


def _dendrogram(
    row: OneRow, branches: Branches, sums: Floats, feature_names: Sequence[str], tokens: Sequence[str] | None
) -> Figure:
    leaves = branches.cut(branches.sums(np.abs(np.asarray(row.values))), MAX_LEAVES)
    place_of: dict[int, float] = {number: float(place) for place, number in enumerate(leaves)}
    parent_of: dict[int, int] = {}
    joins = []
    for number in range(branches.count, branches.whole + 1):
        left, right = branches.children[number - branches.count].tolist()
        if left in place_of and right in place_of:
            low, high = place_of[left], place_of[right]
            place_of[number] = (low + high) / 2
            parent_of |= {left: number, right: number}
            joins.append({"distance": float(branches.distances[number]), "low": low, "high": high})
    end = 1.06 * float(branches.distances.max()) or 1.0
    names = {number: _name(branches.features(number), feature_names, tokens) for number in place_of}
    lines: list[dict[str, Any]] = [
        {
            "at": at,
            "left": float(branches.distances[number]),
            "right": float(branches.distances[parent_of[number]]) if number in parent_of else end,
            "value": float(sums[number]),
            "label": names[number] if number in leaves else "",
        }
        for number, at in place_of.items()
    ]
    distance = "1 less the size of the correlation" if tokens is None else "share of the text"
    caption = _caption(row, [(names[number], float(sums[number])) for number in branches.children[-1].tolist()])
    folded = " Branches that add least are not parted further." if len(leaves) < branches.count else ""
    return Figure(
        id="hierarchy",
        caption=f"{caption}{folded} {_ADDS_UP}",
        label=f"Dendrogram of {len(leaves)} branches of row {row.number}, with what each adds to the {row.unit}.",
        spec=charts.dendrogram_spec(lines, joins, distance=f"distance at which branches join: {distance}"),
        columns=_COLUMNS,
        rows=tuple(
            (names[number], int(branches.sizes[number]), float(branches.distances[number]), float(sums[number]))
            for number in sorted(place_of, key=lambda number: -abs(float(sums[number])))
        ),
    )


def _regions(row: OneRow, levels: list[list[dict[str, Any]]], grid: Sequence[int]) -> Figure:
    halves = [(region["name"], region["value"]) for region in levels[0]]
    return Figure(
        id="hierarchy",
        caption=f"{_caption(row, halves)} {_ADDS_UP}",
        label=f"Regions of the image of row {row.number}, {len(levels)} levels, with what each adds to the {row.unit}.",
        spec=charts.regions_spec(
            [{"title": f"{len(regions)} regions", "regions": regions} for regions in levels], grid=grid, unit=row.unit
        ),
        columns=_COLUMNS,
        rows=tuple(
            (region["name"], region["features"], region["distance"], region["value"])
            for regions in levels
            for region in regions
        ),
        is_wide=True,
    )


def _levels(branches: Branches, sums: Floats, grid: Sequence[int]) -> list[list[dict[str, Any]]] | None:
    """Return the regions of each level; None where a branch is no rectangle of the image."""
    depth = min(MAX_LEVELS, max(1, math.ceil(math.log2(branches.count))))
    levels = []
    for level in range(1, depth + 1):
        regions = []
        for number in branches.level(level):
            rows, columns = np.divmod(np.asarray(branches.features(number)), grid[1])
            top, bottom, left, right = int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
            if (bottom + 1 - top) * (right + 1 - left) != branches.sizes[number]:
                return None
            regions.append(
                {
                    "name": f"rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1}",
                    "features": int(branches.sizes[number]),
                    "distance": float(branches.distances[number]),
                    "top": top,
                    "bottom": bottom + 1,
                    "left": left,
                    "right": right + 1,
                    "value": float(sums[number]),
                }
            )
        levels.append(regions)
    return levels


def _caption(row: OneRow, parts: Sequence[tuple[str, float]]) -> str:
    """Say how the score parts at the top of the hierarchy."""
    total = math.fsum(row.values)
    digits = decimals(max([abs(total), *(abs(value) for _, value in parts)]))
    said = " and ".join(f"{signed(value, digits)} from {name}" for name, value in parts)
    return f"Of {signed(total, digits)} above the base, {said}."


def _name(features: Sequence[int], feature_names: Sequence[str], tokens: Sequence[str] | None) -> str:
    """Name a branch by its features, or by the words that stand there."""
    if tokens is None:
        named = ", ".join(feature_names[feature] for feature in features[:_NAMED])
        return named if len(features) <= _NAMED else f"{named} and {len(features) - _NAMED:,} more"
    words = " ".join(tokens[feature] for feature in features if tokens[feature])
    place = f"{features[0] + 1}" if len(features) == 1 else f"{features[0] + 1} to {features[-1] + 1}"
    shown = words if len(words) <= 40 else f"{words[:39]}…"
    return f"“{shown}” ({place})" if shown else f"no word ({place})"
