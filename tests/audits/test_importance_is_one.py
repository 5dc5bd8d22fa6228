"""The importance that a job keeps is the one that a page computes of all rows."""

from __future__ import annotations

import numpy as np

from audits.engine.explainers.base import Attribution
from audits.engine.explanation.summary import Importance
from audits.explained.overall import importance


def test_the_page_and_the_job_tell_the_same_importance() -> None:
    generator = np.random.default_rng(0)
    values, errors = generator.normal(size=(40, 5, 1)), generator.random((40, 5, 1)) / 10
    names = tuple(f"f{place}" for place in range(5))
    attribution = Attribution(
        values=values,
        base_values=np.zeros((40, 1)),
        errors=errors,
        data=np.zeros((40, 5)),
        feature_names=names,
        output_names=("o",),
        output_numbers=np.zeros((40, 1), dtype=np.intp),
        evaluations=np.ones(40, dtype=np.int64),
    )
    kept = Importance(attribution, np.zeros(40, dtype=np.intp), outputs_vary=False).of_shown()
    shown = [entry.to_json() for entry in importance(np.abs(values[..., 0]), errors[..., 0], names)]
    assert [entry["feature"] for entry in kept] == [entry["feature"] for entry in shown]
    for key in ("value", "low", "high"):
        np.testing.assert_allclose([entry[key] for entry in kept], [entry[key] for entry in shown], rtol=1e-12)
