"""Scoring takes the memory of one pass, however many rows walk together and however large what a layer gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_models
from tests.workers import scoring_memory
from tests.workers.loaded_models import load
from workers.frameworks.widths import Widths, gradient_rows, pass_rows

IMAGE_BYTES = 4 * 3 * scoring_memory.SIDE**2


def growth(model: Path, *, rows: int, patch: int, background: int, threads: int = 1) -> int:
    """Return by how many bytes the peak of a process of its own grew while coalitions were scored."""
    command = [sys.executable, "-m", "tests.workers.scoring_memory", str(model), str(rows), str(patch), str(background)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("suffix", scoring_memory.FRAMEWORKS)
def test_images_with_large_layers_go_through_a_few_at_a_time(tmp_path: Path, suffix: str) -> None:
    filters, rows = 32, 16
    model = scoring_memory.write_model(tmp_path / f"model{suffix}", filters=filters, stride=1)
    layer_of_all_rows = rows * 4 * filters * scoring_memory.SIDE**2
    assert growth(model, rows=rows, patch=112, background=1) < layer_of_all_rows


@pytest.mark.parametrize("threads", [1, 2])
def test_the_heap_does_not_grow_from_batch_to_batch(tmp_path: Path, threads: int) -> None:
    """Small tensors that stay, made between large ones that go, once took 100 to 200 MiB here."""
    model = scoring_memory.write_model(tmp_path / "model.pt2", filters=8, stride=16)
    images_of_a_batch = 6
    grown = growth(model, rows=2, patch=32, background=10, threads=threads)
    assert grown < threads * 20 * images_of_a_batch * IMAGE_BYTES


@pytest.mark.parametrize("suffix", scoring_memory.FRAMEWORKS)
def test_what_the_layers_give_decides_how_many_rows_go_through(tmp_path: Path, suffix: str) -> None:
    narrow = load(tiny_models.mlp(tmp_path / f"narrow{suffix}", inputs=4, hidden=16))
    wide = load(tiny_models.mlp(tmp_path / f"wide{suffix}", inputs=4, hidden=2**16))
    assert narrow.widths.widest == 16
    assert pass_rows(narrow) == 2048
    assert pass_rows(wide) == 32
    assert gradient_rows(wide) <= pass_rows(wide)


def test_a_row_that_is_larger_than_a_pass_goes_alone(tmp_path: Path) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=4, hidden=16))
    model.widths = Widths(2**30, 2**33)
    assert pass_rows(model) == gradient_rows(model) == 1


def test_a_model_that_tells_no_layers_is_taken_for_a_wide_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=4, hidden=16))
    monkeypatch.setattr(model, "layers", list)
    assert model.widths.widest > 4
