"""Limits of counts stop the reading where they are passed: what stands behind them costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import packages
from workers.artifacts.hdf5.tree import _Walk
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits
from workers.artifacts.torch_checkpoint import tree
from workers.artifacts.weights import npy, safetensors

COUNT = 40


def write_safetensors(path: Path) -> None:
    path.write_bytes(packages.weights({f"layer.{number}": np.zeros(1) for number in range(COUNT)}))


def write_checkpoint(path: Path) -> None:
    import torch

    values = torch.zeros(COUNT)
    torch.save({f"layer.{number}": values[number : number + 1] for number in range(COUNT)}, path)


def write_stream(path: Path) -> None:
    import torch

    tensors = {f"layer.{number}": torch.zeros(1) for number in range(COUNT)}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def write_npz(path: Path) -> None:
    np.savez(path, **{f"layer.{number}": np.zeros(1) for number in range(COUNT)})


@pytest.mark.parametrize(
    ("name", "write", "module"),
    [
        ("w.safetensors", write_safetensors, safetensors),
        ("zip.pt", write_checkpoint, tree),
        ("stream.pt", write_stream, tree),
        ("w.npz", write_npz, npy),
    ],
    ids=["safetensors", "zip", "stream", "npz"],
)
def test_tensors_beyond_the_limit_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[Path], None], module: Any
) -> None:
    made = []
    original = module.StoredTensor
    monkeypatch.setattr(module, "StoredTensor", lambda *given, **named: made.append(1) or original(*given, **named))
    path = tmp_path / name
    write(path)
    assert inspect(path, filename=name, limits=Limits(tensors=COUNT)).verdict == "registered"
    assert len(made) == COUNT
    made.clear()

    (finding,) = inspect(path, filename=name, limits=Limits(tensors=3)).findings

    assert finding.id == "ART-02.too_large"
    assert "tensors" in finding.detail
    assert len(made) <= 4


def test_members_beyond_the_limit_are_not_read(
    tmp_path: Path, keras_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = _Walk._member
    monkeypatch.setattr(_Walk, "_member", lambda self, *given: read.append(1) or original(self, *given))
    # The limit is one for the three entries of the archive and for the members of the weights.
    (finding,) = inspect(keras_file, filename="m.keras", limits=Limits(entries=5)).findings
    assert (finding.id, "more than 5 members" in finding.detail) == ("ART-02.too_large", True)
    assert len(read) == 5
