"""What the tests of coalitions share: a game of a loaded model, and rows composed by a loop over masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workers.frameworks.base import Model
from workers.frameworks.coalitions import Game, Scale, scores_of


def game_of(
    rows: Mapping[str, np.ndarray],
    background: Mapping[str, np.ndarray],
    *,
    outputs: int,
    assignment: Mapping[str, np.ndarray] | None = None,
    scale: Scale = "logits",
) -> Game:
    """Return a game about all outputs; by default every value of the only input is a feature."""
    if assignment is None:
        assignment = {name: np.arange(values[0].size).reshape(values.shape[1:]) for name, values in rows.items()}
    count = len(next(iter(rows.values())))
    return Game(
        rows=rows,
        background=background,
        assignment=assignment,
        features=1 + max(int(places.max()) for places in assignment.values()),
        outputs=np.tile(np.arange(outputs), (count, 1)),
        scale=scale,
    )


def random_masks(game: Game, count: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return masks, and a background row for each."""
    generator = np.random.default_rng(seed)
    background_count = len(next(iter(game.background.values())))
    return generator.random((count, game.features)) < 0.5, generator.integers(0, background_count, count)


def random_ranks(game: Game, permutations: int = 2, seed: int = 5) -> np.ndarray:
    """Return permutations for each background row: the rank of each feature."""
    count = len(next(iter(game.background.values())))
    plain = np.tile(np.arange(game.features), (count * permutations, 1))
    ranks = np.random.default_rng(seed).permuted(plain, axis=1)
    return ranks.reshape(count, permutations, game.features)


def composed_one_by_one(
    model: Model, game: Game, rows: np.ndarray, masks: np.ndarray, background_rows: np.ndarray
) -> np.ndarray:
    """Score every row under every mask, shape (rows, masks, outputs): the plain way, as the definition has it."""
    composed: dict[str, list[np.ndarray]] = {name: [] for name in game.assignment}
    for row in rows:
        for mask, number in zip(masks, background_rows, strict=True):
            for name, places in game.assignment.items():
                composed[name].append(np.where(mask[places], game.rows[name][row], game.background[name][number]))
    scores = scores_of(model, {name: np.stack(values) for name, values in composed.items()}, game.scale)
    scores = scores.reshape(len(rows), len(masks), -1)
    return np.take_along_axis(scores, game.outputs[rows][:, None], axis=2)


def walked_one_by_one(model: Model, game: Game, rows: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Credit features along permutations and their reverses, shape (rows, background rows, permutations, features,
    outputs)."""
    background_count, permutations, features = ranks.shape
    credits = np.zeros((len(rows), background_count, permutations, features, game.outputs.shape[1]))
    for number in range(background_count):
        for permutation in range(permutations):
            for rank in (ranks[number, permutation], features - 1 - ranks[number, permutation]):
                masks = rank[None] < np.arange(features + 1)[:, None]
                scores = composed_one_by_one(model, game, rows, masks, np.full(features + 1, number))
                credits[:, number, permutation] += np.diff(scores, axis=1)[:, rank] / 2
    return credits
