"""One row of an explanation: found by number, by name or by what it is, drawn, and beside it its nearest rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions import Neighbours
from audits.attributions.arrays import Floats, finite
from audits.engine.captions import waterfall_caption
from audits.engine.charts import heatmap_spec, waterfall_spec, waterfall_table
from audits.explained.asked import Asked
from audits.explained.figures import Figure
from audits.explained.shown import Shown
from audits.explained.words import Words
from governance.exceptions import NotFound

#: Columns of the table of nearest rows: the features that carry most of the row's score.
NEIGHBOUR_FEATURES = 8


@dataclass(frozen=True)
class OneRow:
    """One row for one output: who it is, what the model and the data say, and what each feature adds.

    ``at`` is its place among the rows shown, ``place`` its place in the file.
    """

    at: int
    place: int
    number: int
    id: str
    predicted: str
    target: str
    is_wrong: bool
    output_name: str
    unit: str
    base: float
    values: tuple[float, ...]
    errors: tuple[float, ...]
    data: tuple[float, ...]

    @property
    def name(self) -> str:
        return self.id or f"{self.number:,}"

    @property
    def score(self) -> float:
        return self.base + math.fsum(self.values)

    def entry(self) -> dict[str, Any]:
        """Return the row as charts and captions take it."""
        return {"base": self.base, "values": self.values, "errors": self.errors, "data": self.data}


@dataclass(frozen=True)
class Found:
    """The row that the address asks for, the choice that led to it, and what was wrong with what was asked."""

    row: OneRow
    chosen: str
    problem: str
    offered: tuple[tuple[str, str], ...]


def find_row(shown: Shown, words: Words, asked: Asked) -> Found:
    """Return the row that the address asks for, else the first that may be chosen.

    Raises:
        NotFound: there is no such choice.
    """
    if asked.choose and asked.choose not in CHOICES:
        raise NotFound(f"There is no choice {asked.choose!r}; there are {', '.join(CHOICES)}.")
    places = {name: _chosen(shown, words, name) for name in CHOICES}
    offered = tuple((name, CHOICES[name][0]) for name, place in places.items() if place is not None)
    problem = ""
    if asked.row:
        place = _named(shown, asked.row)
        if place is not None:
            return Found(row_at(shown, words, place), "", "", offered)
        first = ", ".join(f"{number:,}" for number in shown.attributions.row_numbers[shown.places[:12]])
        problem = f"Row {asked.row} is not among the {shown.row_count:,} rows shown. The first are {first}."
    chosen = asked.choose or (offered[0][0] if offered else "")
    place = places.get(chosen)
    return Found(row_at(shown, words, place or 0), chosen if place is not None else "", problem, offered)


def row_at(shown: Shown, words: Words, at: int) -> OneRow:
    """Return one of the rows shown, by its place among them."""
    attributions, place, column = shown.attributions, int(shown.places[at]), int(shown.columns[at])
    number = int(attributions.output_numbers[place, column])
    name = words.output_name(number, attributions.output_names, column)
    predicted, target = int(attributions.predicted[place]), str(attributions.targets[place])
    return OneRow(
        at=at,
        place=place,
        number=int(attributions.row_numbers[place]),
        id=str(attributions.ids[place]),
        predicted=words.class_name(predicted) if predicted >= 0 else "",
        target=words.target(target),
        is_wrong=bool(target) and predicted >= 0 and not words.is_hit(predicted, target),
        output_name=name,
        unit=words.unit(name),
        base=float(shown.base[at]),
        values=tuple(shown.values[at].tolist()),
        errors=tuple(shown.errors[at].tolist()),
        data=tuple(shown.data[at].tolist()),
    )


def waterfall_figure(row: OneRow, feature_names: tuple[str, ...]) -> Figure:
    """Draw how the row comes from the base value to its score; the table has every feature, largest first."""
    table = waterfall_table(row.entry(), feature_names=feature_names)
    return Figure(
        id="waterfall",
        caption=waterfall_caption(row.entry(), feature_names=feature_names, unit=row.unit),
        label=f"Waterfall of row {row.number}, from the base value to the score, in {row.unit}.",
        spec=waterfall_spec(row.entry(), feature_names=feature_names, unit=row.unit, towards=row.output_name),
        columns=tuple(table["columns"]),
        rows=tuple(tuple(entry) for entry in table["rows"]),
    )


def heatmap_figure(row: OneRow, feature_names: tuple[str, ...], grid: tuple[int, ...]) -> Figure:
    """Draw the row as an image and beside it what each pixel or patch adds."""
    panels: list[dict[str, Any]] = [
        {"title": "the image", "values": row.data, "picture": True},
        {"title": f"for {row.output_name}", "values": row.values},
    ]
    table = waterfall_table(row.entry(), feature_names=feature_names)
    return Figure(
        id="heatmap",
        caption=waterfall_caption(row.entry(), feature_names=feature_names, unit=row.unit),
        label=f"Row {row.number} as an image, and beside it what each pixel adds to the {row.unit}.",
        spec=heatmap_spec(panels, grid=grid, unit=row.unit, columns=2, size=240),
        columns=tuple(table["columns"]),
        rows=tuple(tuple(entry) for entry in table["rows"]),
    )


def neighbours_table(row: OneRow, neighbours: Neighbours, feature_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the row and its nearest ones side by side, in the features that carry most of the row's score."""
    order = sorted(range(len(feature_names)), key=lambda feature: -abs(row.values[feature]))[:NEIGHBOUR_FEATURES]
    lines: list[dict[str, Any]] = [
        {"name": f"this row, {row.name}", "distance": None, "values": [row.data[f] for f in order]}
    ]
    # Where the background has fewer rows than were looked for, the missing ones have a number below 0.
    found = [(at, number) for at, number in enumerate(neighbours.row_numbers[row.place].tolist()) if number >= 0]
    for at, number in found:
        distance, data = finite(neighbours.distances[row.place, at]), finite(neighbours.data[row.place, at])
        values = [float(data[feature]) for feature in order]
        lines.append({"name": f"row {number:,}", "distance": float(distance), "values": values})
    return {"features": [feature_names[feature] for feature in order], "lines": lines}


def _named(shown: Shown, asked: str) -> int | None:
    """Return the place of a row that is asked for by its number, or by what the data set calls it."""
    attributions = shown.attributions
    if asked.isascii() and asked.replace(",", "").isdigit() and len(asked) < 16:
        by_number = np.flatnonzero(attributions.row_numbers[shown.places] == int(asked.replace(",", "")))
        if len(by_number):
            return int(by_number[0])
    by_id = np.flatnonzero(attributions.ids[shown.places] == asked)
    return int(by_id[0]) if len(by_id) else None


def _worst_error(shown: Shown, _: Words) -> Floats:
    sizes = np.abs(shown.values).max(axis=1)
    relative: Floats = np.divide(shown.errors.max(axis=1), sizes, out=np.full(len(sizes), -np.inf), where=sizes > 0)
    return relative


def _nearest_to_the_boundary(shown: Shown, _: Words) -> Floats:
    return -_margins(shown)


def _surely_wrong(shown: Shown, words: Words) -> Floats:
    """How sure the model is of each row about which the data say another thing."""
    attributions, margins = shown.attributions, _margins(shown)
    predicted, targets = attributions.predicted[shown.places], attributions.targets[shown.places]
    pairs = zip(predicted.tolist(), targets.tolist(), strict=True)
    is_wrong = np.asarray(
        [bool(target) and number >= 0 and not words.is_hit(number, target) for number, target in pairs]
    )
    return np.where(is_wrong & np.isfinite(margins), margins, -np.inf)


def _margins(shown: Shown) -> Floats:
    """Return how far each row is from another class, infinitely far where there are no classes."""
    scores = shown.attributions.scores
    far = np.full(shown.row_count, np.inf)
    if scores is None or not (shown.attributions.predicted[shown.places] >= 0).all():
        return far
    taken = finite(scores[shown.places])
    if taken.shape[1] == 1:
        is_probability = bool(((taken >= 0) & (taken <= 1)).all())
        margins: Floats = np.abs(taken[:, 0] - (0.5 if is_probability else 0.0))
        return margins
    highest = np.partition(taken, -2, axis=1)[:, -2:]
    return np.asarray(highest[:, 1] - highest[:, 0])


#: A number for each row, the one to show has the largest; minus infinity leaves a row out.
Choice = Callable[[Shown, Words], NDArray[np.float64]]

CHOICES: Mapping[str, tuple[str, Choice]] = {
    "boundary": ("nearest to the decision boundary", _nearest_to_the_boundary),
    "wrong": ("most surely wrong", _surely_wrong),
    "error": ("worst error", _worst_error),
}


def _chosen(shown: Shown, words: Words, name: str) -> int | None:
    """Return the place of the row that a choice names, the first where several are equal."""
    measured = CHOICES[name][1](shown, words)
    at = int(np.argmax(measured))
    return at if np.isfinite(measured[at]) else None
