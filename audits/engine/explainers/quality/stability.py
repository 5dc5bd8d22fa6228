"""Whether a row's values change when the row changes a little."""

from __future__ import annotations

import numpy as np

from audits.engine.explainers.base import Attribution, Explainer
from audits.engine.explainers.quality.base import Measure, Sample, chosen, evaluations_of, finite, relative_change

#: Noise on a float input, in standard deviations of that input over the background.
NOISE = 0.01


def stability(sample: Sample, before: Attribution, brief: Explainer, generator: np.random.Generator) -> Measure:
    """Explain the same rows with a little noise on their float inputs, by the same random draws.

    Source: Alvarez-Melis, Jaakkola, "On the Robustness of Interpretability Methods" (2018).
    """
    noisy = {}
    is_applicable = False
    for name, values in chosen(sample.task.rows, sample.rows).items():
        if np.issubdtype(values.dtype, np.floating):
            is_applicable = True
            spread = np.asarray(sample.task.background[name], dtype=np.float64).std(axis=0)
            noisy[name] = (values + NOISE * spread * generator.standard_normal(values.shape)).astype(values.dtype)
        else:
            noisy[name] = values
    value, cost = None, 0
    if is_applicable:
        after = brief.explain(sample.task_of(rows=noisy, background=sample.small_background))
        value = finite(float(np.median(relative_change(before.flat_values, after.flat_values))))
        cost = evaluations_of(after)
    return Measure(
        "stability",
        note=(
            f"largest change of a value over the row's largest value; noise of {NOISE:.0%} of each input's spread "
            "(Alvarez-Melis, Jaakkola, 2018)"
            if is_applicable
            else "the model takes no input that noise could be added to"
        ),
        value=value,
        bound=sample.bound("stability"),
        n=len(sample.rows),
        evaluations=cost,
        is_applicable=is_applicable,
    )
