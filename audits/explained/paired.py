"""The chart of two explanations set against each other."""

from __future__ import annotations

from dataclasses import asdict

from audits.engine import captions, charts
from audits.explained.figures import Figure
from audits.explained.words import Words
from audits.services.comparisons import Comparison

SHOWN_FEATURES = 20


def unit_of(comparison: Comparison) -> str:
    """Return the unit of the values that are compared."""
    return Words.of(comparison.second).unit(comparison.output)


def paired_figure(comparison: Comparison) -> Figure:
    """Draw the paired change of the features that changed most; the table has all of them."""
    changes = [{**asdict(entry), "is_beyond_error": entry.is_beyond_error} for entry in comparison.features]
    caption = captions.paired_caption(changes, row_count=comparison.row_count, shown=SHOWN_FEATURES)
    return Figure(
        id="paired",
        caption=caption,
        label=f"Change of the mean size of the attributions of {len(changes):,} features. {caption}",
        spec=charts.paired_spec(
            [entry for entry in changes if entry["low"] is not None], unit=unit_of(comparison), limit=SHOWN_FEATURES
        ),
        columns=("feature", "before", "now", "change", "95 % from", "95 % to", "values beyond the error"),
        rows=tuple(
            (
                entry.feature,
                entry.before,
                entry.after,
                entry.change,
                entry.low,
                entry.high,
                entry.changed_share,
            )
            for entry in comparison.features
        ),
    )
