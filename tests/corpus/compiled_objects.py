"""Exports of models that hold an object of a class which the host has installed: its state is a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - loaded only where samples are made

from tests.corpus.host import compile_classes
from tests.corpus.samples import MARKER


class _Held:
    """What stands for the object while a model is exported."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def __obj_unflatten__(cls, flattened: tuple[tuple[str, str], ...]) -> _Held:
        return cls(**dict(flattened))

    def write(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


class _Writes(torch.nn.Module):
    """Hands its rows to the object, which writes."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.file = file

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layer(self.file.write(rows))


def save(folder: Path) -> None:
    """Compile the class, and save one model that uses it as an export and as a script."""
    torch.classes.load_library(str(compile_classes(folder)))
    model = _Writes(torch.classes.assay_host.File(MARKER))
    torch.jit.save(torch.jit.script(model), str(folder / "script_CustomClass.pt"))
    torch._library.register_fake_class("assay_host::File")(_Held)
    program = torch.export.export(model, (torch.zeros(2, 4),), strict=False)
    torch.export.save(program, folder / "custom_object.pt2")
