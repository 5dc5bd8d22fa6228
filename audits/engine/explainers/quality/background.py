"""Whether values would be others had other background rows been drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits.engine.explainers.base import Attribution, Explainer, FloatArray
from audits.engine.explainers.quality.base import Measure, Sample, chosen, evaluations_of, finite

#: Disjoint parts of the background that a sample is explained against.
PARTS = 4


def background_sensitivity(sample: Sample, brief: Explainer, generator: np.random.Generator) -> Measure:
    """Explain the sample against disjoint parts of the background, and say what that means for the whole of it.

    The values are a mean over the background rows, so that their variance falls with the number of rows: that between
    parts of ``h`` rows, times ``h / m``, is that of draws of ``m`` rows, and two such draws differ by twice as much in
    squares. What the estimator's own error explains is taken off. A background that represents its data better than a
    random draw does (one of clusters) is a little better than told.
    """
    size = len(sample.background) // PARTS or 1
    order = generator.permutation(sample.background)
    parts = [np.sort(order[start : start + size]) for start in range(0, len(order) - size + 1, size)][:PARTS]
    if len(parts) < 2:
        return Measure(
            "background_sensitivity",
            note="The background has a single row, and nothing says what another one would give; use more rows.",
            value=None,
            bound=sample.bound("background_sensitivity"),
            n=len(sample.rows),
        )
    attributions = [
        brief.explain(sample.task_of(background=chosen(sample.task.background, places))) for places in parts
    ]
    change = _change(attributions, size / sample.task.background_count)
    return Measure(
        "background_sensitivity",
        note=(
            "root mean square change of a row's values with another background of the same size, over that of the "
            f"values, beyond the estimator's error; from {len(parts)} disjoint parts of {size} rows"
        ),
        value=finite(float(np.median(change))),
        bound=sample.bound("background_sensitivity"),
        n=len(sample.rows),
        evaluations=evaluations_of(*attributions),
    )


def _change(attributions: Sequence[Attribution], share: float) -> FloatArray:
    """Return the expected change of each row's values over their size; 0 where the row has none and keeps none."""
    values = np.stack([attribution.flat_values for attribution in attributions])
    errors = np.stack([attribution.flat_errors for attribution in attributions])
    between = (values.var(axis=0, ddof=1) - (errors**2).mean(axis=0)).sum(axis=(1, 2))
    changed = 2 * share * np.maximum(between, 0.0)
    size = (values.mean(axis=0) ** 2).sum(axis=(1, 2))
    ratio: FloatArray = np.divide(changed, size, out=np.where(changed > 0, np.inf, 0.0), where=size > 0)
    return np.sqrt(ratio)
