"""Who explains: Assay's estimators and its peers, each with a ladder of budgets, behind one signature.

A side gives values of shape (rows, features, outputs). Peers get a function of rows in two ways: *as called*, as their
users write it, and *tuned*, in chunks that suit the caches and compiled in Keras. All use the same rows, background
and features (pixels or patches).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.players import Players
from benchmarks.explaining.networks import Network


@dataclass(frozen=True)
class Game:
    """What all sides explain: some rows of a network against a background, feature by feature.

    Attributes:
        patch: pixels along the side of a square patch that is one feature; 1 where each input value is one.
    """

    network: Network
    rows: np.ndarray
    background: np.ndarray
    patch: int = 1

    @property
    def players(self) -> Players:
        shape = self.network.row_shape
        if self.patch == 1:
            assignment = np.arange(self.network.features).reshape(shape)
        else:
            side = shape[0] // self.patch
            assignment = np.arange(shape[0])[:, None] // self.patch * side + np.arange(shape[1])[None] // self.patch
        count = int(assignment.max()) + 1
        names = tuple(f"f{place}" for place in range(count))
        return Players(names=names, assignment={"features": assignment}, grid=(count,))

    @property
    def outputs(self) -> int:
        return self.network.outputs

    def task(self, *, seed: int) -> Task:
        return Task(
            model=self.network.assay,
            rows={"features": self.rows},
            background={"features": self.background},
            players=self.players,
            outputs=np.tile(np.arange(self.outputs), (len(self.rows), 1)),
            output_names=tuple(map(str, range(self.outputs))),
            seed=seed,
        )


#: From a game and a budget to values of shape (rows, features, outputs).
Explain = Callable[[Game, int], np.ndarray]


@dataclass(frozen=True)
class Side:
    """One way to explain, with what its budget counts and the budgets to try, from small to large."""

    name: str
    explain: Explain
    unit: str
    ladder: tuple[int, ...]


def assay(game: Game, method: str, seed: int, **settings: Any) -> Attribution:
    """Explain with one of Assay's estimators at exactly the budget that the settings give."""
    return BUILT_IN[method].from_json(settings).explain(game.task(seed=seed))


def truth(game: Game, sweeps: int) -> np.ndarray:
    """Return a long run of Assay's permutations, which is held against a long run of shap's."""
    found = assay(game, "permutation", 99, tolerance=0.0, maximum_sweeps=sweeps)
    return found.flat_values


def sides(game: Game) -> list[Side]:
    """Return all sides that can play a game, Assay's first."""
    found = [
        Side("Assay permutation", _permutation, "sweeps", (1, 2, 4, 8, 16, 32, 64)),
        Side("Assay kernel", _kernel, "coalitions", doubling(game.players.count, 8)),
        Side("shap Kernel, as called", _shap_kernel(is_tuned=False), "samples", doubling(8 * game.players.count, 8)),
        Side("shap Kernel, tuned", _shap_kernel(is_tuned=True), "samples", doubling(8 * game.players.count, 8)),
        Side("shap Permutation, as called", _shap_permutation(is_tuned=False), "permutations", doubling(1, 9)),
        Side("shap Permutation, tuned", _shap_permutation(is_tuned=True), "permutations", doubling(1, 9)),
    ]
    if game.network.framework == "pytorch":
        found.append(Side("captum sampling, looped", _captum, "permutations a background row", doubling(1, 6)))
    if game.patch == 1:
        found.append(Side("lightshap permutation", _lightshap("permutation"), "iterations", doubling(1, 8)))
        found.append(Side("lightshap kernel", _lightshap("kernel"), "iterations", doubling(1, 8)))
    return found


def doubling(first: int, steps: int) -> tuple[int, ...]:
    """Return a ladder of budgets, each twice the one before."""
    return tuple(first * 2**step for step in range(steps))


def _permutation(game: Game, sweeps: int) -> np.ndarray:
    return assay(game, "permutation", 1, tolerance=0.0, maximum_sweeps=sweeps).flat_values


def _kernel(game: Game, coalitions: int) -> np.ndarray:
    return assay(game, "kernel", 1, tolerance=0.0, maximum_coalitions=coalitions).flat_values


def flat(rows: np.ndarray) -> np.ndarray:
    """Return rows as vectors, as peers take them."""
    return rows.reshape(len(rows), -1)


def function_of(game: Game, *, is_tuned: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that a peer explains."""
    return game.network.tuned if is_tuned else game.network.as_called


def _shap_kernel(*, is_tuned: bool) -> Explain:
    def explain(game: Game, samples: int) -> np.ndarray:
        import shap
        from shap.utils._legacy import DenseData

        np.random.seed(1)
        background: Any = flat(game.background)
        if game.patch > 1:
            assignment = game.players.assignment["features"].reshape(-1)
            groups = [np.flatnonzero(assignment == player) for player in range(game.players.count)]
            background = DenseData(background, list(game.players.names), groups)
        explainer = shap.KernelExplainer(function_of(game, is_tuned=is_tuned), background)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = explainer.shap_values(flat(game.rows), nsamples=samples, l1_reg=0, silent=True)
        return np.asarray(values)

    return explain


def _shap_permutation(*, is_tuned: bool) -> Explain:
    def explain(game: Game, permutations: int) -> np.ndarray:
        import shap

        flat_background = flat(game.background)
        features = game.players.count
        assignment = game.players.assignment["features"].reshape(-1)
        function = function_of(game, is_tuned=is_tuned)
        if game.patch == 1:
            masker: Any = shap.maskers.Independent(flat_background, max_samples=len(flat_background))
            explainer = shap.explainers.PermutationExplainer(function, masker, seed=1)
            answer = explainer(flat(game.rows), max_evals=permutations * (2 * features + 1), silent=True)
            return np.asarray(answer.values)

        # shap's maskers know no groups: a game of ones and zeros a row, whose worth is the mean over the background.
        def of_row(row: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            def worth(coalitions: np.ndarray) -> np.ndarray:
                kept = coalitions[:, None, assignment] > 0.5
                composed = np.where(kept, row, flat_background[None]).reshape(-1, len(row)).astype("float32")
                return function(composed).reshape(len(coalitions), len(flat_background), -1).mean(axis=1)

            return worth

        parts = []
        for row in flat(game.rows):
            masker = shap.maskers.Independent(np.zeros((1, features)), max_samples=1)
            explainer = shap.explainers.PermutationExplainer(of_row(row), masker, seed=1)
            answer = explainer(np.ones((1, features)), max_evals=permutations * (2 * features + 1), silent=True)
            parts.append(np.asarray(answer.values))
        return np.concatenate(parts)

    return explain


def _captum(game: Game, permutations: int) -> np.ndarray:
    """Loop captum's single-baseline sampling over the background: together it estimates what all others do."""
    import torch
    from captum.attr import ShapleyValueSampling

    torch.manual_seed(1)
    sampling = ShapleyValueSampling(game.network.own)
    rows = torch.from_numpy(game.rows)
    mask = torch.from_numpy(game.players.assignment["features"].astype("int64"))[None]
    total = np.zeros((len(rows), game.network.features, game.outputs))
    together = max(1, 1024 // len(rows))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for background in torch.from_numpy(game.background):
            for output in range(game.outputs):
                found = sampling.attribute(
                    rows,
                    baselines=background[None],
                    target=output,
                    feature_mask=mask,
                    n_samples=permutations,
                    perturbations_per_eval=together,
                )
                total[:, :, output] += found.numpy().reshape(len(rows), -1)
    first_of_player = np.unique(game.players.assignment["features"].reshape(-1), return_index=True)[1]
    return total[:, first_of_player] / len(game.background)


def _lightshap(method: str) -> Explain:
    def explain(game: Game, iterations: int) -> np.ndarray:
        from lightshap import explain_any

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = explain_any(
                game.network.tuned,
                flat(game.rows),
                bg_X=flat(game.background),
                method=method,
                how="sampling",
                max_iter=iterations,
                tol=1e-12,
                random_state=1,
                verbose=False,
            )
        values = np.asarray(answer.shap_values)
        return values if values.ndim == 3 else values[:, :, None]

    return explain
