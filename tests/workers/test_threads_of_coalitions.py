"""Coalitions on several threads: the bits of one, and one batch at a time where the model's code may not be shared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - its threads are what this is about
from torch import nn  # noqa: TID253

from tests import packages, tiny_models
from tests.workers.artifacts import scripts
from tests.workers.coalition_games import game_of, random_masks, random_ranks
from tests.workers.graph_models import copy_of
from tests.workers.loaded_models import load, rows
from tests.workers.test_packages import load as load_package
from workers.frameworks import pytorch_coalitions
from workers.frameworks.base import Model
from workers.frameworks.coalitions import MEMORY_BYTES, CoalitionScorer, Game, Scores
from workers.frameworks.loading import load_model
from workers.frameworks.pytorch_running import TorchModel
from workers.protocol import JobError
from workers.signature import Signature

ROWS = np.arange(3)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few coalitions make many batches."""
    monkeypatch.setattr(pytorch_coalitions, "PROCESSOR_ROWS", 60)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.answer = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.answer(self.lstm(x)[0][:, -1])
        return answer


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.answer = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.answer(self.layer(x).mean(1))
        return answer


def exported(module: nn.Module, *row_shape: int) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        torch.manual_seed(0)
        return tiny_models.export(path, module.eval(), (torch.zeros(3, *row_shape),))

    return write


#: What is written, and the shape of its rows.
MODELS: dict[str, tuple[Callable[[Path], Path], tuple[int, ...]]] = {
    "dense": (lambda path: tiny_models.mlp(path, inputs=6, hidden=16, classes=3), (6,)),
    "wide": (lambda path: tiny_models.mlp(path, inputs=150, hidden=16, classes=3, softmax=True), (150,)),
    "convolution": (lambda path: tiny_models.cnn(path, classes=3), (8, 8)),
    "recurrent": (lambda path: exported(Recurrent(), 5, 4)(path), (5, 4)),
    "attention": (lambda path: exported(Attending(), 4, 8)(path), (4, 8)),
}


@pytest.fixture(params=MODELS)
def played(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Model, Game]:
    write, shape = MODELS[request.param]
    model = load(write(tmp_path / "model.pt2"))
    (name,) = (spec.name for spec in model.signature.inputs)
    return model, game_of({name: rows(3, *shape)}, {name: rows(5, *shape, seed=2)}, outputs=3)


def scored(model: Model, game: Game) -> list[Scores]:
    scorer = model.coalition_scorer(game)
    walked = list(scorer.walks(ROWS, random_ranks(game), np.arange(5)))
    return [scorer.of_rows(), scorer.of_background(), scorer.of_coalitions(ROWS, *random_masks(game, 200)), *walked]


def check_bits(model: Model, game: Game) -> None:
    answers = {}
    for count in (1, 2, 4):
        with threads(count):
            answers[count] = scored(model, game)
    for found in zip(*answers.values(), strict=True):
        assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm:UserWarning")
def test_the_number_of_threads_changes_no_bit(played: tuple[Model, Game]) -> None:
    check_bits(*played)


def test_the_number_of_threads_changes_no_bit_of_walks_that_leave_steps_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CoalitionScorer, "_are_short", lambda *_: True)
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=12, hidden=16))
    alike = np.arange(12) < 6
    game = game_of(
        {"features": np.where(alike, 1, rows(3, 12))},
        {"features": np.where(alike, 1, rows(5, 12, seed=2))},
        outputs=3,
    )
    check_bits(model, game)


@dataclass
class Calls:
    """Which threads a model was run on, and how many threads its operators had."""

    idents: set[int] = field(default_factory=set)
    operator_threads: set[int] = field(default_factory=set)

    def watch(self, monkeypatch: pytest.MonkeyPatch, model: TorchModel) -> None:
        score_on = model._score_on

        def watched(scale: Any) -> Any:
            score = score_on(scale)

            def noting(tensors: list[torch.Tensor]) -> torch.Tensor:
                self.idents.add(threading.get_ident())
                self.operator_threads.add(torch.get_num_threads())
                return score(tensors)

            return noting

        monkeypatch.setattr(model, "_score_on", watched)


def script(folder: Path) -> Model:
    copy = copy_of(scripts.linear(folder / "model.pt"))
    signature = Signature.from_json(tiny_models.signature())
    return load_model(copy, framework="pytorch", signature=signature, device="cpu", seed=0)


def package(folder: Path) -> Model:
    return load_package(packages.pytorch(folder / "package.zip"), "pytorch")


@pytest.mark.parametrize("made", [script, package])
def test_code_that_may_keep_something_runs_once_at_a_time_on_all_threads(
    made: Callable[[Path], Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = made(tmp_path), Calls()
    assert isinstance(model, TorchModel)
    assert not model.is_reentrant
    calls.watch(monkeypatch, model)
    (name,) = (spec.name for spec in model.signature.inputs)
    game = game_of({name: rows(3, 2)}, {name: rows(5, 2, seed=2)}, outputs=2)
    with threads(2):
        scored(model, game)
    assert calls.idents == {threading.get_ident()}
    assert calls.operator_threads == {2}


@pytest.mark.parametrize(("memory_bytes", "count"), [(MEMORY_BYTES, 2), (2**17, 1)], ids=["room for two", "for one"])
def test_as_many_batches_at_once_as_the_memory_has_room_for(
    memory_bytes: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=6, hidden=16)), Calls()
    assert isinstance(model, TorchModel)
    both_are_there = threading.Barrier(count)
    calls.watch(monkeypatch, model)
    game = game_of({"features": rows(3, 6)}, {"features": rows(5, 6, seed=2)}, outputs=3)
    watched = model._score_on

    def waiting(scale: Any) -> Any:
        score = watched(scale)

        def together(tensors: list[torch.Tensor]) -> torch.Tensor:
            both_are_there.wait(60)
            return score(tensors)  # type: ignore[no-any-return]

        return together

    monkeypatch.setattr(model, "_score_on", waiting)
    with threads(2):
        scorer = model.coalition_scorer(game, memory_bytes=memory_bytes)
        scorer.of_coalitions(ROWS, *random_masks(game, 2 * 20))
    assert len(calls.idents) == count
    assert calls.operator_threads == {1}


def test_scores_that_are_no_numbers_are_refused_on_several_threads(tmp_path: Path) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=6, hidden=16))
    model.set_weights({name: values * np.inf for name, values in model.weights().items()})
    game = game_of({"features": rows(3, 6)}, {"features": rows(5, 6, seed=2)}, outputs=3)
    with threads(4), pytest.raises(JobError, match="not a number"):
        model.coalition_scorer(game).of_coalitions(ROWS, *random_masks(game, 200))


def test_what_breaks_in_a_batch_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny_models.mlp(tmp_path / "model.pt2", inputs=6, hidden=16))

    def broken(_tensors: list[torch.Tensor]) -> torch.Tensor:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(model, "_score_on", lambda _scale: broken)
    game = game_of({"features": rows(3, 6)}, {"features": rows(5, 6, seed=2)}, outputs=3)
    with threads(4), pytest.raises(RuntimeError, match="not enough memory"):
        model.coalition_scorer(game).of_coalitions(ROWS, *random_masks(game, 200))
