"""Walks through a wide first dense layer, cut into blocks: the same scores, and only where the graph allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253 - what is split is a graph of torch

from tests import tiny_models
from tests.workers.coalition_games import game_of, random_ranks, walked_one_by_one
from tests.workers.loaded_models import load, rows
from workers.frameworks.pytorch_first_layer import FirstLayer, split_at_first_layer, steps_of_a_block
from workers.frameworks.pytorch_graph import variant

ROWS = np.arange(16)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many values each walk in blocks had."""
    counts: list[int] = []
    along = FirstLayer.along

    def counted(self: FirstLayer, rows: torch.Tensor, *more: torch.Tensor) -> object:
        counts.append(rows.shape[1])
        return along(self, rows, *more)

    monkeypatch.setattr(FirstLayer, "along", counted)
    return counts


@pytest.mark.parametrize(
    "features",
    [np.arange(150), np.random.default_rng(3).permutation(np.concatenate([np.arange(140), np.zeros(10, dtype=int)]))],
    ids=["one value each", "features of several values"],
)
@pytest.mark.parametrize("softmax", [False, True], ids=["logits", "probabilities"])
def test_blocks_give_what_whole_rows_give(
    features: np.ndarray, softmax: bool, tmp_path: Path, walked: list[int]
) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=150, hidden=8, classes=3, softmax=softmax))
    game = game_of(
        {"features": rows(16, 150)},
        {"features": rows(2, 150, seed=2)},
        outputs=3,
        assignment={"features": features},
        scale="probabilities" if softmax else "logits",
    )
    ranks = random_ranks(game, permutations=1)
    (credits,) = model.coalition_scorer(game).walks(ROWS, ranks, np.arange(2))
    assert walked == [150] * 4, "one walk there and one back, from each background row"
    expected = walked_one_by_one(model, game, ROWS, ranks)
    np.testing.assert_allclose(credits, expected, rtol=1e-4, atol=1e-5 * np.ptp(expected))


def test_few_features_are_scored_whole(tmp_path: Path, walked: list[int]) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=20, hidden=8))
    game = game_of({"features": rows(16, 20)}, {"features": rows(2, 20, seed=2)}, outputs=3)
    assert len(list(model.coalition_scorer(game).walks(ROWS, random_ranks(game), np.arange(2)))) == 1
    assert not walked


def test_fewer_rows_make_longer_blocks() -> None:
    assert [steps_of_a_block(count) for count in (16, 8, 1)] == [32, 64, 128]


class Flattened(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(6, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.flatten(1)).relu()


class Residual(Flattened):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.flatten(1)) + x.flatten(1)[:, :4]


class Bent(Flattened):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.relu().flatten(1))


class OfEachPart(Flattened):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.reshape(-1, 1, 6)).flatten(1)


class OfItsWeights(Flattened):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x.flatten(1), self.dense.weight * 2)


class Twice(Flattened):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.dense(x.flatten(1)) + self.dense(y.flatten(1))


def exported(module: torch.nn.Module, inputs: int = 1) -> torch.fx.GraphModule:
    batch = torch.export.Dim("batch")
    sample = tuple(torch.zeros(3, 2, 3) for _ in range(inputs))
    program = torch.export.export(module, sample, dynamic_shapes=tuple({0: batch} for _ in sample))
    return variant(program.module(check_guards=False), training=False, answer="output")


def test_a_layer_behind_a_change_of_shape_is_found() -> None:
    torch.manual_seed(0)
    module = Flattened()
    found = split_at_first_layer(exported(module))
    assert found is not None
    weight, bias, rest = found
    x = torch.randn(5, 2, 3)
    assert bias is None
    torch.testing.assert_close(rest(x.flatten(1) @ weight.t()), module(x))


@pytest.mark.parametrize("make", [Residual, Bent, OfEachPart, OfItsWeights])
def test_what_is_no_first_layer_is_not_taken_for_one(make: Callable[[], torch.nn.Module]) -> None:
    assert split_at_first_layer(exported(make())) is None


def test_nor_is_the_layer_of_two_inputs() -> None:
    assert split_at_first_layer(exported(Twice(), inputs=2)) is None
