"""Coalitions on a CUDA device: the scores of the CPU, with masks made on the device and in much larger batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.coalition_games import game_of, random_masks, random_ranks
from tests.workers.loaded_models import FRAMEWORKS, framework_of, load, rows
from workers.frameworks.coalitions import batch_rows
from workers.frameworks.loading import load_model

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("file", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_coalitions_and_walks_are_those_of_the_cpu(file: str, tmp_path: Path) -> None:
    path = tiny_models.cnn(tmp_path / file)
    cpu = load(path)
    gpu = load_model(path, framework=framework_of(path), signature=None, device="cuda:0", seed=0)
    game = game_of({"image": rows(16, 8, 8)}, {"image": rows(20, 8, 8, seed=2)}, outputs=4)
    masks, background_rows = random_masks(game, 300)
    close = {"rtol": 1e-3, "atol": 1e-4}
    on_gpu, on_cpu = gpu.coalition_scorer(game), cpu.coalition_scorer(game)
    numbers = np.arange(16)
    np.testing.assert_allclose(
        on_gpu.of_coalitions(numbers, masks, background_rows),
        on_cpu.of_coalitions(numbers, masks, background_rows),
        **close,
    )
    ranks = random_ranks(game)
    runs = [np.concatenate(list(scorer.walks(numbers, ranks, np.arange(20))), 1) for scorer in (on_gpu, on_cpu)]
    np.testing.assert_allclose(*runs, **close)
    small = gpu.coalition_scorer(game, memory_bytes=1)
    parts = np.concatenate(list(small.walks(numbers, ranks, np.arange(20))), axis=1)
    assert np.array_equal(parts, runs[0])
    assert batch_rows(gpu) > batch_rows(cpu)


@pytest.mark.parametrize("file", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_walks_that_leave_steps_out_are_those_of_the_cpu(file: str, tmp_path: Path) -> None:
    """Half of the pixels are the same in all images, and none of them is walked."""
    path = tiny_models.cnn(tmp_path / file)
    cpu = load(path)
    gpu = load_model(path, framework=framework_of(path), signature=None, device="cuda:0", seed=0)
    images, others = rows(4, 8, 8), rows(10, 8, 8, seed=2)
    images[:, :4] = others[:, :4] = 0.5
    game = game_of({"image": images}, {"image": others}, outputs=4)
    numbers, ranks = np.arange(4), random_ranks(game)
    on_gpu, on_cpu = gpu.coalition_scorer(game), cpu.coalition_scorer(game)
    runs = [np.concatenate(list(scorer.walks(numbers, ranks, np.arange(10))), 1) for scorer in (on_gpu, on_cpu)]
    np.testing.assert_allclose(*runs, rtol=1e-3, atol=1e-4)
    assert on_gpu.scored(numbers).tolist() == [10 * 2 * 2 * 31] * 4
