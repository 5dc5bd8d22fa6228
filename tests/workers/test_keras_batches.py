"""On TensorFlow batches have one size: how much goes through the model only to fill them up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.coalition_games import game_of, random_masks, random_ranks
from tests.workers.loaded_models import load, rows
from workers.frameworks.base import Model

GAME = game_of({"features": rows(2, 6)}, {"features": rows(10, 6, seed=2)}, outputs=3)
#: Coalitions along two permutations of six features and their reverses, against ten background rows.
WALKED = 10 * 2 * 2 * 5


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load(tiny_models.mlp(tmp_path / "model.keras", inputs=6, hidden=16, classes=3, softmax=True))


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch, model: Model) -> list[int]:
    """Return a list of how many rows are composed for each explained row, a number a call."""
    from workers.frameworks import keras_coalitions

    counts: list[int] = []
    batches = keras_coalitions._Batches

    def counted(**arrays: Any) -> Any:
        counts.append(arrays["steps"].size)
        return batches(**arrays)

    monkeypatch.setattr(keras_coalitions, "_Batches", counted)
    return counts


def test_a_few_walks_fill_no_batch(model: Model, composed: list[int]) -> None:
    list(model.coalition_scorer(GAME).walks(np.array([1]), random_ranks(GAME), np.arange(10)))
    assert composed == [WALKED]


def test_background_rows_are_shared_evenly_among_batches(
    model: Model, composed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the seven that a batch has room for it takes five, or the second batch would be filled up with four."""
    monkeypatch.setattr("workers.frameworks.keras_coalitions.ROWS_OF_A_CALL", 7 * WALKED // 10)
    list(model.coalition_scorer(GAME).walks(np.array([1]), random_ranks(GAME), np.arange(10)))
    assert composed == [WALKED]


def test_a_few_masks_are_filled_up_to_a_power_of_two(model: Model, composed: list[int]) -> None:
    model.coalition_scorer(GAME).of_coalitions(np.array([1]), *random_masks(GAME, 40))
    assert composed == [64]


def test_but_not_where_a_program_of_another_size_would_be_compiled(
    model: Model, composed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.frameworks.keras_coalitions.ROWS_WORTH_COMPILING", 1)
    for count in (40, 100):
        model.coalition_scorer(GAME).of_coalitions(np.array([1]), *random_masks(GAME, count))
    assert composed == [2048, 2048]
    assert len(model.programs) == 1  # type: ignore[attr-defined]
