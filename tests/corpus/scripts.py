"""Modules that are compiled to TorchScript; what reaches out names the placeholder of ``samples``."""

from __future__ import annotations

import torch  # noqa: TID253 - loaded only where samples are made

from tests.corpus.samples import DECOY, MARKER

#: The modules here, by name.
NAMES = (
    "Plain",
    "Writes",
    "WritesInside",
    "WritesInABranch",
    "WritesWhenLoaded",
    "Saves",
    "WritesInAFunction",
    "Reads",
    "NeverEnds",
    "FillsMemory",
)


class Plain(torch.nn.Module):
    """Harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.path = MARKER

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows)


class Writes(Plain):
    """Maps a file of the host, which makes it."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows) + torch.from_file(self.path, True, 2)


class WritesInside(torch.nn.Module):
    """The same in a module of the module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Writes()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.inner(rows)


class WritesInABranch(Plain):
    """The same where a condition holds."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if rows.size(0) > 1:
            for _ in range(rows.size(0)):
                rows = rows + torch.from_file(self.path, True, 4)
        return self.layer(rows)


@torch.jit.script
def _written(rows: torch.Tensor, path: str) -> torch.Tensor:
    return rows + torch.from_file(path, True, 4).sum() * 0


class WritesInAFunction(Plain):
    """The same in a function beside the module."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(_written(rows, self.path))


class WritesWhenLoaded(torch.nn.Module):
    """The same in the method that loading itself calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 2))
        self.path = MARKER

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, str, bool]:
        return self.weight, self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]) -> None:
        self.path = state[1]
        self.weight = state[0] + torch.from_file(self.path, True, 2)
        self.training = state[2]


class Saves(Plain):
    """Saves a tensor to a file of the host."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        torch.save(rows, self.path)
        return self.layer(rows)


class Reads(torch.nn.Module):
    """Answers with what a file of the host holds."""

    def __init__(self) -> None:
        super().__init__()
        self.path = DECOY

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_file(self.path, False, 8)


class NeverEnds(Plain):
    """Adds for ever."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        while rows.size(0) > 0:
            rows = rows + 1
        return self.layer(rows)


class FillsMemory(Plain):
    """Asks for 4 TiB."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(rows) + torch.ones([1_048_576, 1_048_576]).sum()
