"""All rows at once: global importance with intervals, the beeswarm, and the heat map over rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions.arrays import Floats
from audits.engine import captions, charts
from audits.explained.figures import Figure
from audits.explained.shown import Shown
from governance.exceptions import NotFound

IMPORTANCE_FEATURES = 20
SWARM_FEATURES, SWARM_ROWS = 10, 150
HEAT_FEATURES, HEAT_ROWS = 12, 210
#: The strongest colour of the heat map is for this share of its values and what lies beyond.
_HEAT_QUANTILE = 0.99

#: Orders of the rows of the heat map, each with what is said of it.
ORDERS = {
    "similarity": "rows with like attributions beside each other",
    "score": "from the lowest score to the highest",
    "number": "in the order of the data set",
}


@dataclass(frozen=True)
class Importance:
    """How large a feature's values are on average, with a 95 % interval; no interval of a single row."""

    feature: str
    value: float
    low: float | None
    high: float | None
    count: int

    def to_json(self) -> dict[str, Any]:
        return {"feature": self.feature, "value": self.value, "low": self.low, "high": self.high, "n": self.count}


def importance(sizes: Floats, errors: Floats, names: Sequence[str]) -> list[Importance]:
    """Return the mean size of each feature's values, largest first; sizes and errors have shape (rows, features).

    The interval is over rows and estimator error together. All rows share their permutations, so that the estimator
    error does not shrink with the number of rows.
    """
    count = len(sizes)
    means = sizes.mean(axis=0)
    half = None
    if count > 1:
        half = 1.96 * np.hypot(sizes.std(axis=0, ddof=1) / math.sqrt(count), errors.mean(axis=0))
    return [
        Importance(
            names[place],
            float(means[place]),
            None if half is None else max(0.0, float(means[place] - half[place])),
            None if half is None else float(means[place] + half[place]),
            count,
        )
        for place in np.argsort(-means, kind="stable")
    ]


def importance_figure(
    leading: Sequence[Importance], *, unit: str, row_count: int, noun: str = "feature", with_all: bool = False
) -> Figure:
    """Draw the leading features with their intervals; the table has all of them, in the page too where asked."""
    entries = [entry.to_json() for entry in leading]
    said = ", ".join(f"{entry.feature} {entry.value:.3g}" for entry in leading[:3])
    return Figure(
        id="importance",
        caption=captions.importance_caption(entries, row_count=row_count, shown=IMPORTANCE_FEATURES, noun=noun),
        label=f"Global importance of {len(leading):,} {noun}s; {said} lead, in {unit}.",
        spec=charts.importance_spec(entries, unit=unit, limit=IMPORTANCE_FEATURES),
        columns=(noun, f"mean |attribution|, {unit}", "95 % from", "95 % to"),
        rows=tuple((entry.feature, entry.value, entry.low, entry.high) for entry in leading),
        rows_in_page=len(leading) if with_all else IMPORTANCE_FEATURES,
    )


def beeswarm_figure(shown: Shown, leading: Sequence[Importance], *, unit: str, towards: str) -> Figure:
    """Draw an even part of the rows for the leading features, coloured by the value of the feature."""
    rows = evenly(shown.row_count, SWARM_ROWS)
    features = []
    for entry in leading[:SWARM_FEATURES]:
        place = shown.feature(entry.feature)
        features.append(
            {
                "feature": entry.feature,
                "values": shown.values[rows, place].tolist(),
                "data": shown.data[rows, place].tolist(),
            }
        )
    caption = captions.beeswarm_caption(features, towards=towards, row_count=len(rows), feature_count=len(leading))
    return Figure(
        id="beeswarm",
        caption=caption,
        label=f"Beeswarm of the attributions of {len(features)} features, coloured by their value. {caption}",
        spec=charts.beeswarm_spec(features, unit=unit),
        columns=("feature", "lowest", "median", "highest", "rank correlation with the feature's value"),
        rows=tuple(
            (
                entry["feature"],
                float(np.min(entry["values"])),
                float(np.median(entry["values"])),
                float(np.max(entry["values"])),
                captions.rank_correlation(entry["data"], entry["values"]),
            )
            for entry in features
        ),
    )


def rows_figure(shown: Shown, leading: Sequence[Importance], *, unit: str, order: str) -> Figure:
    """Draw an even part of the rows side by side, each a column, with the score above.

    Raises:
        NotFound: there is no such order.
    """
    if order not in ORDERS:
        raise NotFound(f"There is no order {order!r} of the rows; there are {', '.join(ORDERS)}.")
    names = [entry.feature for entry in leading[:HEAT_FEATURES]]
    places = [shown.feature(name) for name in names]
    rows = evenly(shown.row_count, HEAT_ROWS)
    values = shown.values[rows][:, places]
    rows_in_order = _ordered(order, values, shown.scores[rows])
    values, scores = values[rows_in_order], shown.scores[rows][rows_in_order]
    largest = float(np.quantile(np.abs(values), _HEAT_QUANTILE)) if values.size else 0.0
    caption = captions.rows_caption(
        names,
        order=ORDERS[order],
        row_count=len(rows),
        available=shown.available,
        feature_count=len(leading),
    )
    numbers = shown.attributions.row_numbers[shown.places[rows][rows_in_order]]
    return Figure(
        id="rows",
        caption=caption,
        label=f"Heat map of the attributions of {len(rows):,} rows by {len(names)} features. {caption}",
        spec=charts.rows_spec(
            [{"feature": name, "values": values[:, place].tolist()} for place, name in enumerate(names)],
            scores=scores.tolist(),
            unit=unit,
            largest=largest,
            order=ORDERS[order],
        ),
        columns=("row", "score", *names),
        rows=tuple(
            (int(number), float(score), *row)
            for number, score, row in zip(numbers, scores, values.tolist(), strict=True)
        ),
        is_wide=True,
    )


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most so many of ``count`` places, at even distances, always the same."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.intp)


def _ordered(order: str, values: Floats, scores: Floats) -> NDArray[np.intp]:
    """Return the order of rows; like attributions lie beside each other along their first principal component."""
    if order == "score":
        return np.argsort(scores, kind="stable")
    if order == "number" or len(values) < 3:
        return np.arange(len(values))
    centred = values - values.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    along = centred @ directions[0]
    # The sign of a component is arbitrary: rows of a low score come first.
    if np.dot(along, scores - scores.mean()) < 0:
        along = -along
    return np.argsort(along, kind="stable")
