"""Two distributions of one column, one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.charts import BLUE, GREY, INK_QUIET, Spec

BINS = 30
MOST_BARS = 12
#: The middle share of all values that is drawn; what lies outside counts to the last bins.
_MIDDLE = (0.005, 0.995)
_LONGEST_LABEL = 28


def numbers_chart(
    column: str, ours: NDArray[np.float64], theirs: NDArray[np.float64], our_ref: str, their_ref: str
) -> dict[str, Any]:
    """Return spec, label and table of two histograms with the same bins, as steps over each other."""
    both = np.concatenate([ours, theirs])
    low, high = np.quantile(both[np.isfinite(both)], _MIDDLE)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = [
        np.histogram(np.clip(values[np.isfinite(values)], edges[0], edges[-1]), edges)[0]
        / max(1, np.isfinite(values).sum())
        for values in (ours, theirs)
    ]
    values = [
        {"left": float(edges[place]), "right": float(edges[place + 1]), "share": 100 * float(share[place]), "of": ref}
        for share, ref in zip(shares, (our_ref, their_ref), strict=True)
        for place in range(BINS)
    ]
    steps = [{**entry, "at": entry[side]} for entry in values for side in ("left", "right")]
    spec: Spec = {
        "width": 420,
        "height": 150,
        "data": {"values": steps},
        "mark": {"type": "line", "strokeWidth": 1.6},
        "encoding": {
            "x": {
                "field": "at",
                "type": "quantitative",
                "title": _short(column),
                "scale": {"zero": False, "nice": False},
            },
            "y": {"field": "share", "type": "quantitative", "title": "% of rows"},
            "color": _colours(our_ref, their_ref),
            "order": {"field": "at", "type": "quantitative"},
        },
    }
    rows = [[float(edges[k]), float(edges[k + 1]), float(shares[0][k]), float(shares[1][k])] for k in range(BINS)]
    return {
        "spec": spec,
        "label": f"Two histograms of {column}, {our_ref} over {their_ref}, from {edges[0]:.4g} to {edges[-1]:.4g}.",
        "table": {"columns": ["from", "to", our_ref, their_ref], "rows": rows},
    }


def codes_chart(column: str, ours: pa.Array, theirs: pa.Array, our_ref: str, their_ref: str) -> dict[str, Any]:
    """Return spec, label and table of the shares of the most frequent categories, two bars each."""
    counted = [_counts(values) for values in (ours, theirs)]
    total = {name: counted[0].get(name, 0) + counted[1].get(name, 0) for name in {**counted[0], **counted[1]}}
    names = sorted(total, key=lambda name: (-total[name], name))[:MOST_BARS]
    shares = [[count.get(name, 0) / max(1, sum(count.values())) for name in names] for count in counted]
    labels = _distinct([_short(name) for name in names])
    values = [
        {"name": label, "share": 100 * share, "of": ref}
        for of_version, ref in zip(shares, (our_ref, their_ref), strict=True)
        for label, share in zip(labels, of_version, strict=True)
    ]
    spec: Spec = {
        "width": 380,
        "height": {"step": 11},
        "data": {"values": values},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": labels, "title": None},
            "yOffset": {"field": "of", "type": "nominal", "sort": [our_ref, their_ref]},
            "x": {"field": "share", "type": "quantitative", "title": f"% of rows, {_short(column)}"},
            "color": _colours(our_ref, their_ref),
        },
    }
    rows = [[name, ours_share, theirs_share] for name, ours_share, theirs_share in zip(names, *shares, strict=True)]
    return {
        "spec": spec,
        "label": f"Shares of {len(names)} categories of {column} in {our_ref} and in {their_ref}.",
        "table": {"columns": [column, our_ref, their_ref], "rows": rows},
    }


def _colours(our_ref: str, their_ref: str) -> Spec:
    """Blue is the version that is screened, grey the one that it is held against."""
    return {
        "field": "of",
        "type": "nominal",
        "title": None,
        "scale": {"domain": [our_ref, their_ref], "range": [BLUE, GREY]},
        "legend": {"labelColor": INK_QUIET, "offset": 22},
    }


def _counts(values: pa.Array) -> dict[str, int]:
    counts = pc.value_counts(values)
    return dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def _distinct(labels: Sequence[str]) -> list[str]:
    """Return labels of which no two are the same, since the axis would draw them as one."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
