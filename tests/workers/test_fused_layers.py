"""Dense layers that take their activation along: the same scores, and only where the graph allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253 - what is fused is a graph of torch
from torch import fx, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from tests import tiny_models
from tests.workers.coalition_games import game_of, random_ranks, walked_one_by_one
from tests.workers.loaded_models import load, rows
from workers.frameworks.pytorch_coalitions import PROCESSOR_ROWS, TorchCoalitionScorer
from workers.frameworks.pytorch_fused import with_fused_layers
from workers.frameworks.pytorch_graph import operator, variant, with_bound_weights

PRODUCT = "_linear_pointwise"


def exported(module: nn.Module, *row_shape: int, dtype: torch.dtype = torch.float32) -> fx.GraphModule:
    torch.manual_seed(0)
    sample = torch.zeros(3, *row_shape, dtype=dtype)
    program = torch.export.export(module.to(dtype), (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    return variant(program.module(check_guards=False), training=False, answer="output")


def fused(plain: fx.GraphModule) -> fx.GraphModule:
    found = with_fused_layers(plain)
    assert found is not None
    return found


def operators(module: fx.GraphModule) -> list[str]:
    return [operator(node) for node in module.graph.nodes if operator(node)]


def check_same(plain: fx.GraphModule, found: fx.GraphModule, *row_shape: int) -> None:
    given = 3 * torch.randn(50, *row_shape)
    before = given.clone()
    with torch.no_grad():
        torch.testing.assert_close(found(given), plain(given), rtol=1e-5, atol=1e-5)
    assert torch.equal(given, before)


class Network(nn.Module):
    """Two layers of 16 and 8 units of which a test says how they are used."""

    def __init__(self, inputs: int = 6) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 16), nn.Linear(16, 8, bias=False)


class UsedTwice(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.first(x)
        return given + given.relu()


class AlsoAnswered(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.second(self.first(x).tanh())
        return torch.cat([given, given.relu()], dim=1)


class OfItsWeights(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.first.weight * 2, self.first.bias).relu()


class OfItsBias(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.first.weight, self.first.bias * 2).relu()


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.Tanh(), nn.Sigmoid()], ids=["relu", "relu_", "tanh", "sigmoid"]
)
def test_an_activation_is_taken_along(activation: nn.Module) -> None:
    plain = exported(nn.Sequential(nn.Linear(6, 16), activation, nn.Linear(16, 8, bias=False), activation), 6)
    found = fused(plain)
    assert operators(found) == [PRODUCT] * 2
    check_same(plain, found, 6)


@pytest.mark.parametrize("make", [nn.ELU, nn.GELU, lambda: nn.LayerNorm(16)], ids=["elu", "gelu", "norm"])
def test_what_the_product_does_not_know_follows_it(make: Callable[[], nn.Module]) -> None:
    plain = exported(nn.Sequential(nn.Linear(6, 16), make()), 6)
    found = fused(plain)
    assert operators(found) == [PRODUCT, operators(plain)[1]]
    check_same(plain, found, 6)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(UsedTwice, [PRODUCT, "relu", "add"]), (AlsoAnswered, [PRODUCT, PRODUCT, "relu", "cat"])],
)
def test_sums_that_are_used_elsewhere_stay_sums(make: type[nn.Module], expected: list[str]) -> None:
    plain = exported(make(), 6)
    found = fused(plain)
    assert operators(found) == expected
    check_same(plain, found, 6)


def test_a_layer_of_each_part_of_a_row() -> None:
    plain = exported(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Flatten()), 5, 6)
    check_same(plain, fused(plain), 5, 6)


@pytest.mark.parametrize(
    "make",
    [OfItsWeights, OfItsBias, lambda: nn.Linear(6, 7), lambda: nn.Conv1d(6, 16, 1)],
    ids=["computed weights", "a computed bias", "few units", "no dense layer"],
)
def test_what_gains_nothing_is_left(make: Callable[[], nn.Module]) -> None:
    module = make()
    row_shape = (6, 2) if isinstance(module, nn.Conv1d) else (6,)
    assert with_fused_layers(exported(module, *row_shape)) is None


def test_doubles_are_left() -> None:
    assert with_fused_layers(exported(nn.Linear(6, 16), 6, dtype=torch.float64)) is None


def test_a_build_without_onednn_has_no_such_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert with_fused_layers(exported(nn.Linear(6, 16), 6)) is None


def test_bound_weights_are_the_modules_own() -> None:
    plain = exported(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), 6)
    run, given = with_bound_weights(plain), torch.randn(4, 6)
    torch.testing.assert_close(run(given), plain(given))
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(run(given), plain(given))


def test_a_bound_pass_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_bound_weights(exported(nn.Sequential(nn.Linear(6, 16), nn.ReLU()), 6))
    looked_up: list[str] = []
    monkeypatch.setattr(nn.Module, "__getattr__", lambda _module, name: looked_up.append(name))
    assert run(torch.zeros(2, 6)).shape == (2, 16)
    assert not looked_up


class TestOfAModel:
    def scorer(self, path: Path, *, hidden: int = 16, background: int = 5) -> TorchCoalitionScorer:
        self.model = load(tiny_models.mlp(path / "model.pt2", inputs=6, hidden=hidden, classes=3))
        self.game = game_of({"features": rows(16, 6)}, {"features": rows(background, 6, seed=2)}, outputs=3)
        self.ranks = random_ranks(self.game)
        scorer = self.model.coalition_scorer(self.game)
        assert isinstance(scorer, TorchCoalitionScorer)
        return scorer

    def walked(self, scorer: TorchCoalitionScorer) -> np.ndarray:
        (credits,) = scorer.walks(np.arange(16), self.ranks, np.arange(len(self.ranks)))
        return credits

    def test_composed_rows_go_through_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[fx.GraphModule | None] = []

        def remembered(module: fx.GraphModule) -> fx.GraphModule | None:
            made.append(with_fused_layers(module))
            return made[-1]

        monkeypatch.setattr("workers.frameworks.pytorch.with_fused_layers", remembered)
        scorer = self.scorer(tmp_path)
        self.model.coalition_scorer(self.game)
        assert len(made) == 1, "made once a model"
        assert made[0] is not None
        assert PRODUCT in operators(made[0])
        expected = walked_one_by_one(self.model, self.game, np.arange(16), self.ranks)
        np.testing.assert_allclose(self.walked(scorer), expected, rtol=1e-5, atol=1e-5)

    def test_so_does_what_follows_a_layer_that_is_walked_in_blocks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[fx.GraphModule] = []

        def remembered(module: fx.GraphModule) -> fx.GraphModule:
            made.append(fused(module))
            return made[-1]

        monkeypatch.setattr("workers.frameworks.pytorch.with_fused_layers", remembered)
        model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=150, hidden=16, classes=8))
        model.coalition_scorer(game_of({"features": rows(2, 150)}, {"features": rows(2, 150, seed=2)}, outputs=8))
        assert [operators(module) for module in made] == [[PRODUCT, PRODUCT], ["relu", PRODUCT]]

    @pytest.mark.parametrize(("hidden", "most"), [(16, PROCESSOR_ROWS), (512, 2**20 // 512)])
    def test_narrow_layers_share_the_start_of_an_operator_among_more_rows(
        self, hidden: int, most: int, tmp_path: Path
    ) -> None:
        scorer = self.scorer(tmp_path, hidden=hidden, background=60)
        score, counts = scorer._score_tensors, []

        def counted(tensors: list[torch.Tensor]) -> torch.Tensor:
            counts.append(len(tensors[0]))
            return score(tensors)

        scorer._score_tensors = counted
        assert np.isfinite(self.walked(scorer)).all()
        assert most * 0.9 < max(counts) <= most
