"""Images as a whole: for each output the mean of its values over the rows that are given its class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audits.attributions.arrays import Floats, finite
from audits.engine import captions, charts
from audits.explained.figures import Figure
from audits.explained.shown import Shown
from audits.explained.words import PREDICTED_CLASS, Words

MAX_CLASSES = 10


def classes_figure(shown: Shown, words: Words) -> Figure:
    """Draw the mean heat map of the outputs that most of the rows shown are given, in the order of the outputs.

    Where there are no classes, each output's mean is over all rows.
    """
    attributions = shown.attributions
    numbers = attributions.output_numbers[shown.places]
    is_given = _is_given(shown)
    means: list[tuple[str, int, Floats]] = []
    for number in np.unique(numbers[is_given]).tolist():
        at, columns = np.nonzero((numbers == number) & is_given)
        mean = finite(attributions.values[shown.places[at], :, columns]).mean(axis=0)
        means.append((words.output_name(number, attributions.output_names, int(columns[0])), len(at), mean))
    largest = sorted(range(len(means)), key=lambda place: -means[place][1])[:MAX_CLASSES]
    kept = [means[place] for place in sorted(largest)]
    caption = captions.spread_caption(
        np.mean([np.abs(mean) for _, _, mean in kept], axis=0).tolist(),
        are_pixels=attributions.feature_names[0].startswith("pixel"),
        row_count=shown.row_count,
        class_count=len(means),
        shown=len(kept),
    )
    leading = [(name, count, mean, int(np.argmax(np.abs(mean)))) for name, count, mean in kept]
    return Figure(
        id="classes",
        caption=caption,
        label=f"Mean heat maps of {len(kept)} outputs. {caption}",
        spec=charts.heatmap_spec(
            [{"title": f"{name} (n = {count:,})", "values": mean.tolist()} for name, count, mean in kept],
            grid=attributions.grid,
            unit=words.kind or words.unit(shown.output.name if shown.output.name != PREDICTED_CLASS else "output"),
            columns=MAX_CLASSES // 2,
            size=150,
        ),
        columns=("output", "rows", "largest at", "mean attribution there"),
        rows=tuple(
            (name, count, attributions.feature_names[place], float(mean[place])) for name, count, mean, place in leading
        ),
        is_wide=True,
    )


def _is_given(shown: Shown) -> NDArray[np.bool_]:
    """Tell for each row and explained output whether it is that of the row's class; all are, where none is."""
    attributions = shown.attributions
    numbers = attributions.output_numbers[shown.places]
    is_given = numbers == attributions.predicted[shown.places][:, None]
    one_score_for_both = attributions.scores is not None and attributions.scores.shape[1] == 1
    return np.ones_like(is_given) if one_score_for_both or not is_given.any() else is_given
