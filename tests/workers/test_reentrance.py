"""Which graphs may run on several threads at once: those that keep nothing and draw nothing."""

from __future__ import annotations

import pytest
import torch  # noqa: TID253 - graphs of torch are what this is about
from torch import fx, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from workers.frameworks.pytorch_graph import variant
from workers.frameworks.pytorch_reentrance import is_reentrant


class Keeping(nn.Module):
    """A module with a buffer of which a test says how it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(4))


class WritesToAPart(Keeping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept[0] += 1
        return x + self.kept


class WritesToAView(Keeping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, _ = self.kept.view(2, 2).split(1)
        first.add_(1)
        return x + self.kept


class WritesBehindADropout(Keeping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.dropout(self.kept, training=self.training).add_(1)
        return x + self.kept


class Draws(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class WritesToACopy(Keeping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.kept.clone().add_(1)


class WritesToWhatItComputes(Keeping):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self.kept + x
        sums[:, 0] += 1
        return sums.relu_()


class HasAConstant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.tensor([1.0, 2.0, 3.0, 4.0])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 4, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layer(x[:, None])[0][:, 0]
        return answer


def inference_graph(module: nn.Module) -> fx.Graph:
    sample = torch.zeros(3, 4)
    program = torch.export.export(module, (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    return variant(program.module(check_guards=False), training=False, answer="output").graph


@pytest.mark.parametrize("module", [WritesToAPart, WritesToAView, WritesBehindADropout, Draws])
def test_a_graph_that_keeps_or_draws_something_is_not_reentrant(module: type[nn.Module]) -> None:
    assert not is_reentrant(inference_graph(module()))


@pytest.mark.filterwarnings("ignore:The tensor attributes self.layer:UserWarning")
@pytest.mark.parametrize("module", [WritesToACopy, WritesToWhatItComputes, HasAConstant, Recurrent])
def test_a_graph_that_only_computes_is_reentrant(module: type[nn.Module]) -> None:
    assert is_reentrant(inference_graph(module()))


def test_what_happens_in_training_only_does_not_count() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(inplace=True))
    assert is_reentrant(inference_graph(module))


def test_a_graph_that_calls_another_module_is_not_seen_through() -> None:
    assert not is_reentrant(fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4))).graph)


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))
        return answer


def test_a_graph_that_takes_others_along_is_not_seen_through() -> None:
    assert not is_reentrant(inference_graph(Branches()))
