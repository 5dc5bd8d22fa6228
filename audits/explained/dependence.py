"""The dependence of one feature: attribution over value, coloured by the feature that it interacts with most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.attributions.arrays import Floats
from audits.engine import captions, charts
from audits.engine.captions import plain_number
from audits.explained.figures import Figure
from audits.explained.overall import evenly
from audits.explained.shown import Shown
from audits.explained.slices import MAX_KINDS

POINTS = 400
#: Rows that the search for the strongest interaction looks at.
_SEARCH_ROWS = 2_000
_OWN_BINS, _OTHER_BINS = 10, 3
#: Of the spread that is left; less than this is not told from chance.
LEAST_SHARE = 0.01
#: Fewer rows than this show no interaction that could be told from chance.
_FEWEST_ROWS = 60


def dependence_figure(
    shown: Shown, *, feature: str, colour: str, unit: str, towards: str, with_errors: bool = False
) -> Figure:
    """Draw the attribution of a feature over its value; ``colour`` empty takes the strongest interaction.

    Raises:
        NotFound: there is no such feature.
    """
    place = shown.feature(feature)
    shares = interactions(shown.values[:, place], shown.data, place)
    other = shown.feature(colour) if colour else _strongest(shares)
    rows = evenly(shown.row_count, POINTS)
    data, values, errors = shown.data[rows, place], shown.values[rows, place], shown.errors[rows, place]
    kinds = np.unique(shown.data[:, place])
    categories = [plain_number(kind) for kind in kinds.tolist()] if len(kinds) <= MAX_KINDS else None
    groups, group_of = _groups(shown.data[:, other]) if other is not None else (["all rows"], None)
    points: list[dict[str, Any]] = []
    for at, (x, y, error) in enumerate(zip(data.tolist(), values.tolist(), errors.tolist(), strict=True)):
        group = groups[0] if group_of is None else groups[int(group_of[rows[at]])]
        where = x if categories is None else plain_number(x)
        points.append({"x": where, "y": y, "low": y - 1.96 * error, "high": y + 1.96 * error, "group": group})
    other_name = "" if other is None else shown.feature_names[other]
    share = None if other is None or shares is None else float(shares[other])
    caption = captions.dependence_caption(
        feature,
        captions.rank_correlation(shown.data[:, place].tolist(), shown.values[:, place].tolist()),
        other=other_name,
        share=share,
        towards=towards,
        row_count=len(rows),
        available=shown.available,
    )
    if with_errors:
        caption += " Lines are 95 % intervals by the standard error of the estimator."
    return Figure(
        id="dependence",
        caption=caption,
        label=f"Attribution of {feature} over its value, by {other_name or 'nothing else'}. {caption}",
        spec=charts.dependence_spec(
            points,
            feature=feature,
            unit=unit,
            groups=groups,
            other=other_name,
            categories=categories,
            with_errors=with_errors,
        ),
        columns=("row", feature, "attribution", "standard error", *((other_name,) if other_name else ())),
        rows=tuple(
            (
                int(shown.attributions.row_numbers[shown.places[row]]),
                float(shown.data[row, place]),
                float(shown.values[row, place]),
                float(shown.errors[row, place]),
                *(() if other is None else (float(shown.data[row, other]),)),
            )
            for row in rows
        ),
    )


def interactions(values: Floats, data: Floats, place: int) -> Floats | None:
    """Return for each feature which share of the spread of ``values`` at equal own value goes with it.

    Rows are binned by the feature's own value (10 bins of equal count); what is left within the bins is binned again by
    each other feature (3 bins). The share is that of the variance between those bins in the variance left, less what
    as many bins would have by chance. None where there are too few rows to tell.
    """
    rows = evenly(len(values), _SEARCH_ROWS)
    if len(rows) < _FEWEST_ROWS:
        return None
    values, data = values[rows], data[rows]
    own = _bins(data[:, place], _OWN_BINS)
    left = values - _means(values, own, _OWN_BINS)[own]
    total = float(np.square(left).sum())
    shares = np.zeros(data.shape[1])
    if total <= 1e-12 * max(1.0, float(np.square(values).sum())):
        return shares
    cells = _OWN_BINS * _OTHER_BINS
    for other in range(data.shape[1]):
        if other == place:
            continue
        both = own * _OTHER_BINS + _bins(data[:, other], _OTHER_BINS)
        counts = np.bincount(both, minlength=cells)
        between = float((counts * np.square(_means(left, both, cells))).sum()) / total
        by_chance = (np.count_nonzero(counts) - len(np.unique(own))) / len(rows)
        shares[other] = max(0.0, between - by_chance)
    return shares


def _strongest(shares: Floats | None) -> int | None:
    return None if shares is None or shares.max() < LEAST_SHARE else int(np.argmax(shares))


def _bins(data: Floats, count: int) -> NDArray[np.intp]:
    """Return the bin of each value, bins of about equal count; equal values share a bin."""
    edges = np.quantile(data, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, data, side="left").astype(np.intp)


def _means(values: Floats, bins: NDArray[np.intp], count: int) -> Floats:
    sizes = np.bincount(bins, minlength=count)
    sums = np.bincount(bins, weights=values, minlength=count)
    means: Floats = np.divide(sums, sizes, out=np.zeros(count), where=sizes > 0)
    return means


def _groups(data: Floats) -> tuple[list[str], NDArray[np.intp]]:
    """Return up to three groups of values, low to high, and the group of each row."""
    kinds = np.unique(data)
    if len(kinds) <= 3:
        return [plain_number(kind) for kind in kinds.tolist()], np.searchsorted(kinds, data).astype(np.intp)
    group_of = _bins(data, _OTHER_BINS)
    present = np.unique(group_of)
    names = [
        _group_name(data[group_of == group], is_first=group == present[0], is_last=group == present[-1])
        for group in present
    ]
    return names, np.searchsorted(present, group_of).astype(np.intp)


def _group_name(values: Floats, *, is_first: bool, is_last: bool) -> str:
    low, high = plain_number(float(values.min())), plain_number(float(values.max()))
    if low == high:
        return low
    return f"up to {high}" if is_first else f"from {low}" if is_last else f"{low} to {high}"
