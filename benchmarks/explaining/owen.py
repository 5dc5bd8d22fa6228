"""Who gives Owen values: Assay's `partition` and shap's, over the same hierarchy of the same features.

Owen values are not Shapley values, so these sides have a truth of their own: all coalitions that the hierarchy allows,
counted out, and held against shap with as many evaluations as it wants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.explaining.sides import Explain, Game, Side, assay, doubling, flat, function_of

#: More coalitions than any hierarchy of the benchmark allows, so that all are counted out.
ALL = 200_000


def truth(game: Game) -> np.ndarray:
    """Return the exact Owen values, shape (rows, features, outputs)."""
    return assay(game, "partition", 99, maximum_coalitions=ALL).flat_values


def sides() -> list[Side]:
    """Return Assay's partition, which draws orders here or counts them out, and shap's, as called and tuned."""
    ladder = doubling(128, 6)
    return [
        Side("Assay partition, drawn", _drawn, "sweeps", doubling(1, 7)),
        Side("Assay partition, counted", _counted, "coalitions at most", (ALL,)),
        Side("shap Partition, as called", _shap(is_tuned=False), "evaluations a row", ladder),
        Side("shap Partition, tuned", _shap(is_tuned=True), "evaluations a row", ladder),
    ]


def _drawn(game: Game, sweeps: int) -> np.ndarray:
    return assay(game, "partition", 1, tolerance=0.0, maximum_sweeps=sweeps, maximum_coalitions=0).flat_values


def _counted(game: Game, coalitions: int) -> np.ndarray:
    return assay(game, "partition", 1, maximum_coalitions=coalitions).flat_values


def _shap(*, is_tuned: bool) -> Explain:
    def explain(game: Game, evaluations: int) -> np.ndarray:
        import shap

        from audits.engine.explainers.hierarchy import Hierarchy

        background = flat(game.background)
        masker: Any = shap.maskers.Partition(
            background, max_samples=len(background), clustering=Hierarchy.of_task(game.task(seed=1)).linkage
        )
        explainer = shap.explainers.PartitionExplainer(function_of(game, is_tuned=is_tuned), masker)
        return np.asarray(explainer(flat(game.rows), max_evals=evaluations, silent=True).values)

    return explain
