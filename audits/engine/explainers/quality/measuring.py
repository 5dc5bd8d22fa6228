"""Takes all measures of one explanation, at a bounded cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.quality.agreement import agreement
from audits.engine.explainers.quality.background import background_sensitivity
from audits.engine.explainers.quality.base import Measure, Sample, Subject, evaluations_of
from audits.engine.explainers.quality.complexity import complexity
from audits.engine.explainers.quality.faithfulness import faithfulness
from audits.engine.explainers.quality.randomisation import randomisation
from audits.engine.explainers.quality.stability import stability
from audits.engine.explainers.quality.summary import ErrorSummary
from audits.engine.explainers.stopping import DEGREES_OF_FREEDOM
from audits.engine.measures import Bounds

#: Explained rows on which the costly measures are taken.
MEASURED_ROWS = 8
#: Outputs of a row that they are taken on: those with its largest values.
MEASURED_OUTPUTS = 16
#: Background rows of a brief explanation, and fewer where one would cost more model evaluations than this.
MEASURED_BACKGROUND = 32
BRIEF_EVALUATIONS = 200_000


def measured_rows(task: Task) -> NDArray[np.intp]:
    """Return the numbers of the rows within the task whose attributions `measure` needs, in their order."""
    generator = np.random.default_rng([task.seed, 17])
    count = min(MEASURED_ROWS, task.row_count)
    return np.sort(generator.choice(task.row_count, count, replace=False)).astype(np.intp)


def measure(
    subject: Subject,
    sample: Attribution,
    sample_rows: NDArray[np.intp],
    summary: ErrorSummary,
    bounds: Bounds,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Measure]:
    """Take all measures of an explanation. The model's weights are the same before and after.

    Args:
        subject: what was explained, and by what.
        sample: the attribution of some rows, all explained outputs.
        sample_rows: which rows of the task they are, as `measured_rows` says.
        summary: has seen the attributions of all rows.
        bounds: what an admitted explanation keeps to.
        progress: is told which measure comes next.

    Raises:
        JobError: a score that is not a number, under a mask or of a random network.
    """
    tell = progress or (lambda _: None)
    generator = np.random.default_rng([subject.task.seed, 18])
    taken = Sample(
        subject=subject,
        rows=sample_rows,
        attribution=with_fewer_outputs(sample, MEASURED_OUTPUTS),
        background=_some_background(subject.task, len(sample_rows), generator),
        bounds=bounds,
    )
    measures = summary.measures(bounds, is_additive=subject.explainer.is_additive)
    tell("agreement with a second estimate")
    measures.append(agreement(taken))
    tell("sensitivity to the background")
    brief = subject.brief_explainer()
    measures.append(background_sensitivity(taken, brief, generator))
    tell("faithfulness")
    measures.append(faithfulness(taken, generator))
    tell("weight randomisation")
    before = brief.explain(taken.task_of(background=taken.small_background))
    random = randomisation(taken, before, brief, generator)
    measures.append(replace(random, evaluations=random.evaluations + evaluations_of(before)))
    tell("stability under small noise")
    measures.append(stability(taken, before, brief, generator))
    measures.append(complexity(taken))
    return measures


def with_fewer_outputs(attribution: Attribution, count: int) -> Attribution:
    """Keep at most so many outputs of each row: those with its largest values, in their order."""
    if attribution.flat_values.shape[2] <= count:
        return attribution
    largest = np.abs(attribution.flat_values).max(axis=1)
    kept = np.sort(np.argsort(-largest, axis=1, kind="stable")[:, :count], axis=1)
    of_values = kept.reshape(len(kept), *(1,) * len(attribution.data.shape[1:]), count)
    return replace(
        attribution,
        values=np.take_along_axis(attribution.values, of_values, axis=-1),
        errors=np.take_along_axis(attribution.errors, of_values, axis=-1),
        base_values=np.take_along_axis(attribution.base_values, kept, axis=1),
        output_numbers=np.take_along_axis(attribution.output_numbers, kept, axis=1),
        output_names=tuple(f"output {place + 1} of {count} with the largest values" for place in range(count)),
    )


def _some_background(task: Task, row_count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw the background rows of brief explanations: as many as a walk over all features may cost."""
    one = 4 * row_count * max(1, task.players.count - 1)
    count = min(MEASURED_BACKGROUND, max(DEGREES_OF_FREEDOM, BRIEF_EVALUATIONS // one), task.background_count)
    return np.sort(generator.choice(task.background_count, count, replace=False)).astype(np.intp)
