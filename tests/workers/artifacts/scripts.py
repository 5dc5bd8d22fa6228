"""TorchScript archives for tests: real ones, and real ones with code, pickles or entries changed."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ACCEPTED = ("ART-03.torchscript",)


def scripted(module: Any) -> Any:
    """Compile a module; torch would rather have another format."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def traced(module: Any, *sample: Any) -> Any:
    """Trace a module in inference mode."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module.eval(), sample, check_trace=False)


def frozen(module: Any) -> Any:
    """Fold the weights of a compiled module into its code."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(module)


def saved(module: Any, path: Path) -> Path:
    """Save a compiled module."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, str(path))
    return path


def loaded(path: Path) -> Any:
    """Load an archive as torch would."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path)).eval()


def linear(path: Path, *, softmax: bool = False) -> Path:
    """Save two numbers in, two scores out: ``x @ weights + bias`` of ``tiny_models``."""
    import torch

    from tests.tiny_models import LINEAR_BIAS, LINEAR_WEIGHTS

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = torch.nn.Linear(2, 2)
            self.softmax = torch.nn.Softmax(-1) if softmax else torch.nn.Identity()
            with torch.no_grad():
                self.answer.weight.copy_(torch.tensor(LINEAR_WEIGHTS.T.copy()))
                self.answer.bias.copy_(torch.tensor(LINEAR_BIAS))

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.softmax(self.answer(features))

    return saved(scripted(Classifier()), path)


def entries(path: Path) -> dict[str, bytes]:
    """Return the entries without their root folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def with_entries(target: Path, content: Mapping[str, bytes]) -> Path:
    """Write an archive with these entries in one folder."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, entry in content.items():
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), entry)
    return target


def changed(source: Path, target: Path, changes: Mapping[str, Callable[[bytes], bytes] | bytes | None]) -> Path:
    """Copy an archive with entries changed by a function, replaced or added, or (None) left out."""
    content = entries(source)
    for name, change in changes.items():
        if change is None:
            del content[name]
        else:
            content[name] = change if isinstance(change, bytes) else change(content[name])
    return with_entries(target, content)
