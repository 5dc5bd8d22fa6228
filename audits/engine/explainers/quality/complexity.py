"""How many features a row's values spread over."""

from __future__ import annotations

import numpy as np

from audits.engine.explainers.base import FloatArray
from audits.engine.explainers.quality.base import Measure, Sample, finite


def complexity(sample: Sample) -> Measure:
    """Take the effective number of features: the exponential of the entropy of the values' shares.

    1 where one feature carries everything, the number of features where all carry the same. Source: Bhatt, Weller,
    Moura, "Evaluating and Aggregating Feature-based Model Explanations" (2020), who take the entropy itself.
    """
    counts = effective_features(sample.attribution.flat_values)
    return Measure(
        "complexity",
        note="exponential of the entropy of each value's share of the row (Bhatt et al., 2020); "
        f"of {len(sample.attribution.feature_names):,} features",
        value=finite(float(np.median(counts))) if len(counts) else None,
        bound=sample.bound("complexity"),
        n=len(counts),
        is_applicable=len(counts) > 0,
    )


def effective_features(values: FloatArray) -> FloatArray:
    """Return one number a row and output, leaving out those without any value.

    ``values`` has shape (rows, features, outputs).
    """
    sizes = np.abs(values).swapaxes(1, 2).reshape(-1, values.shape[1])
    totals = sizes.sum(axis=1)
    shares = sizes[totals > 0] / totals[totals > 0, None]
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    counts: FloatArray = np.exp(-(shares * logarithms).sum(axis=1))
    return counts
