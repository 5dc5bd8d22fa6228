"""Modules to script and to trace: torch reads their sources, so they stand in a file that only such tests import."""
# ruff: noqa: TID253

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.workers.artifacts.scripts import frozen, scripted, traced


class Parts(nn.Module):
    """Submodules by name and by number, a buffer, and attributes of every plain kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.middle = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.1))
        self.steps = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.register_buffer("scale", torch.ones(8))
        self.count = 3
        self.names = ["no", 'import os; os.system("x")\n\\']
        self.factors = {"a": 1.5}
        self.pair = (1, "é")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.middle(self.first(x)) * self.scale
        for step in self.steps:
            hidden = step(hidden)
        return hidden * self.factors["a"] + self.count + len(self.names[1])


class Branches(nn.Module):
    """Loops, branches, lists, texts, a method, infinity, an assertion, and an optional argument."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 2))

    def twice(self, x: torch.Tensor, count: int) -> torch.Tensor:
        return x * 2 if count > 2 else x

    def forward(self, x: torch.Tensor, count: int = 3, bias: torch.Tensor | None = None) -> torch.Tensor:
        hidden = x @ self.weight
        kept: list[torch.Tensor] = []
        step = 0
        while step < count:
            hidden = hidden + 1.0e-5 if bool(hidden.sum() > -float("inf")) else hidden - 1
            step += 1
            kept.append(hidden)
        assert len(kept) > 0, 'nothing "here"\n\té'
        if bias is not None:
            hidden = hidden + bias
        names = {"rows": x.shape[0]}
        for number in range(names["rows"]):
            hidden = hidden + number
        return torch.softmax(self.twice(torch.stack(kept).sum(0) + hidden[:, 0:1], count), -1)


class Entering(nn.Module):
    """Enters a block, makes images larger, and writes into a tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            doubled = nn.functional.interpolate(x, scale_factor=2.0)
        doubled[:, 0] = 1.0
        return doubled + torch.einsum("bij->bi", doubled)[:, :, None]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.gru(self.lstm(x)[0])
        return self.attention(hidden, hidden, hidden)[0].mean(1)


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2, enable_nested_tensor=False)


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GELU(), nn.MaxPool2d(2), nn.GroupNorm(1, 3), nn.Flatten())


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    return module


class Refusing(nn.Module):
    """Says with odd letters what it does not take."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.sum() > 0, 'not "positive"\n\té \\'
        return x


class Writing(nn.Module):
    """Writes a file of the host when it is called."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file(self.path, True, 4).sum()


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "scripted parts": (lambda: scripted(Parts().eval()), (3, 4)),
    "traced parts": (lambda: traced(Parts(), torch.zeros(2, 4)), (3, 4)),
    "frozen parts": (lambda: frozen(scripted(Parts().eval())), (3, 4)),
    "bfloat16": (lambda: traced(nn.Linear(4, 2).to(torch.bfloat16), torch.zeros(2, 4, dtype=torch.bfloat16)), (3, 4)),
    "branches": (lambda: scripted(Branches()), (3, 4)),
    "scripted recurrent": (lambda: scripted(Recurrent().eval()), (3, 5, 3)),
    "traced recurrent": (lambda: traced(Recurrent(), torch.zeros(2, 5, 3)), (2, 5, 3)),
    "encoder": (lambda: scripted(encoder().eval()), (3, 5, 4)),
    "frozen encoder": (lambda: frozen(scripted(encoder().eval())), (3, 5, 4)),
    "convolution": (lambda: scripted(convolution()), (3, 1, 8, 8)),
    "blocks": (lambda: scripted(Entering()), (2, 3, 4)),
    "tied weights": (lambda: scripted(tied()), (3, 4)),
}
