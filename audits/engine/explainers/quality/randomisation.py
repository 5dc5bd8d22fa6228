"""Whether values depend on what the model has learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audits.engine.captions import rank_correlation
from audits.engine.explainers.base import Attribution, Explainer
from audits.engine.explainers.quality.base import Measure, Sample, evaluations_of
from workers.frameworks.base import Model

#: Random networks that the model is compared with.
RANDOMISATIONS = 3
#: With fewer features ranks say too little to compare with a random network.
FEWEST_FEATURES_TO_RANK = 5


def randomisation(sample: Sample, before: Attribution, brief: Explainer, generator: np.random.Generator) -> Measure:
    """Rank correlation of the values with those of the same network with random kernels: it has to be low.

    Source: Adebayo et al., "Sanity Checks for Saliency Maps" (2018).
    """
    is_applicable = sample.task.players.count >= FEWEST_FEATURES_TO_RANK
    correlations: list[float] = []
    cost = 0
    note = (
        "rank correlation with the values of the same network with random weights; near 0 when they tell them apart "
        "(Adebayo et al., 2018)"
    )
    if is_applicable:
        for _ in range(RANDOMISATIONS):
            after = with_random_weights(
                sample.task.model,
                generator,
                lambda: brief.explain(sample.task_of(background=sample.small_background)),
            )
            cost += evaluations_of(after)
            correlation = rank_correlation(before.values.reshape(-1).tolist(), after.values.reshape(-1).tolist())
            if correlation is not None:
                correlations.append(correlation)
        if not correlations:
            note = "The values do not vary, so they cannot be ranked."
    else:
        note = f"fewer than {FEWEST_FEATURES_TO_RANK} features: ranks say too little"
    return Measure(
        "randomisation",
        note=note,
        value=sum(correlations) / len(correlations) if correlations else None,
        bound=sample.bound("randomisation"),
        n=len(sample.rows) * RANDOMISATIONS,
        unit=f"rows, {RANDOMISATIONS} random networks",
        evaluations=cost,
        is_applicable=is_applicable,
    )


def with_random_weights(model: Model, generator: np.random.Generator, work: Callable[[], Attribution]) -> Attribution:
    """Shuffle each kernel's numbers and give them random signs, do the work, and put the weights back.

    Vectors (biases, scales, running statistics) stay as they are where there are kernels, so that the network keeps
    its scale.
    """
    original = model.weights()
    is_float = {name: np.issubdtype(array.dtype, np.floating) for name, array in original.items()}
    kernels = [name for name, array in original.items() if is_float[name] and array.ndim >= 2]
    changed = dict(original)
    for name in kernels or [name for name in original if is_float[name]]:
        array = original[name]
        numbers = generator.permutation(array.reshape(-1)) * generator.choice([-1.0, 1.0], array.size)
        changed[name] = numbers.reshape(array.shape).astype(array.dtype)
    try:
        model.set_weights(changed)
        return work()
    finally:
        model.set_weights(original)
