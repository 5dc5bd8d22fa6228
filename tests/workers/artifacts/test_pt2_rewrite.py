"""Real exports survive the rewriting: they load, answer the same, and train; and no pickle is left in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.artifacts.crafting import export, read_entries
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite


def mlp() -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3), nn.Softmax(-1))
    return layers, (torch.randn(3, 6),)


def residual_cnn() -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding="same")
            self.norm, self.other_norm = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
            self.relu = nn.ReLU(inplace=True)
            self.answer = nn.Sequential(nn.MaxPool2d(2), nn.Dropout2d(0.1), nn.Flatten(), nn.Linear(64, 5))

        def forward(self, image: Any) -> Any:
            hidden = self.relu(self.norm(self.first(image)))
            return self.answer(self.relu(self.other_norm(self.second(hidden)) + hidden))

    return Residual(), (torch.randn(3, 1, 8, 8),)


def recurrent(kind: str, **settings: Any) -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = getattr(nn, kind)(4, 6, batch_first=True, **settings)
            self.answer = nn.Linear(12 if settings.get("bidirectional") else 6, 2)

        def forward(self, series: Any) -> Any:
            return self.answer(self.cells(series)[0][:, -1])

    return Recurrent(), (torch.randn(3, 5, 4),)


def transformer() -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(30, 8)
            self.register_buffer("positions", torch.randn(6, 8), persistent=False)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
            self.answer = nn.Linear(8, 2)

        def forward(self, tokens: Any) -> Any:
            return self.answer(self.layer(self.words(tokens) + self.positions).mean(1))

    return Encoder(), (torch.randint(0, 30, (3, 6)),)


def two_embeddings() -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.items = nn.Embedding(10, 4), nn.Embedding(20, 4)
            self.answer = nn.Linear(8, 1)

        def forward(self, user: Any, item: Any) -> Any:
            return torch.sigmoid(self.answer(torch.cat([self.users(user), self.items(item)], 1)))

    return Factors(), (torch.randint(0, 10, (3,)), torch.randint(0, 20, (3,)))


def constants_and_infinity() -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))
            self.shift = torch.arange(4.0)

        def forward(self, rows: Any) -> Any:
            scaled = rows.double().float() * self.scale + self.shift + torch.tensor([1.0, 2.0, 3.0, 4.0])
            return {"scores": torch.softmax(scaled.masked_fill(rows > 2, float("-inf")), 1), "rows": rows[:, :2]}

    return Masked(), (torch.randn(3, 4),)


MODELS: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "mlp": mlp,
    "residual_cnn": residual_cnn,
    "lstm": lambda: recurrent("LSTM", num_layers=2, dropout=0.1),
    "gru": lambda: recurrent("GRU", bidirectional=True),
    "rnn": lambda: recurrent("RNN"),
    "transformer": transformer,
    "two_embeddings": two_embeddings,
    "constants_and_infinity": constants_and_infinity,
}


@pytest.mark.parametrize("training", [True, False], ids=["exported in training", "exported in inference"])
@pytest.mark.parametrize("name", MODELS)
def test_a_real_export_survives_the_rewriting(name: str, training: bool, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(3)
    module, arguments = MODELS[name]()
    source, target = export(tmp_path / "source.pt2", module.train(training), arguments), tmp_path / "rewritten.pt2"
    inspection = inspect(source, filename="source.pt2")
    assert inspection.findings == ()
    rewrite(source, inspection, target)

    original, rewritten = (torch.export.load(path).module() for path in (source, target))
    rows = tuple(torch.cat([argument, argument.flip(0)]) for argument in arguments)
    answers = []
    for loaded in (original, rewritten):
        torch.manual_seed(5)
        answers.append(torch.utils._pytree.tree_leaves(loaded(*rows)))
    assert len(answers[0]) == len(answers[1])
    for before, after in zip(*answers, strict=True):
        assert torch.equal(before, after)
        assert before.shape[0] == 6

    optimizer = torch.optim.Adam(rewritten.parameters(), lr=0.01)
    answers[1][0].sum().backward() if name != "constants_and_infinity" else answers[1][0][:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in rewritten.parameters())
    before = [parameter.detach().clone() for parameter in rewritten.parameters()]
    optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, rewritten.parameters(), strict=True))


def test_the_rewritten_file_holds_no_pickle_no_paths_and_no_guards(tmp_path: Path) -> None:
    module, arguments = two_embeddings()
    source, target = export(tmp_path / "source.pt2", module, arguments), tmp_path / "rewritten.pt2"
    assert b"L['user'].size()" in read_entries(source)["models/model.json"], "two inputs of one batch make a guard"
    assert str(Path(__file__)).encode() in read_entries(source)["models/model.json"], "torch writes stack traces"
    rewrite(source, inspect(source, filename="source.pt2"), target)
    entries = read_entries(target)
    assert entries["data/sample_inputs/model.pt"] == b""
    assert str(Path(__file__)).encode() not in entries["models/model.json"]
    assert b'"guards_code": []' in entries["models/model.json"]
    assert not [name for name, content in entries.items() if content.startswith((b"PK", b"\x80\x02"))]


def test_the_same_content_gives_the_same_bytes(pt2_file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt2", tmp_path / "second.pt2"
    rewrite(pt2_file, inspect(pt2_file, filename="a.pt2"), first)
    rewrite(first, inspect(first, filename="b.pt2"), second)
    assert first.read_bytes() == second.read_bytes()


def test_tied_weights_stay_one_tensor_in_the_file(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, rows: Any) -> Any:
            return self.second(torch.relu(self.first(rows)))

    source, target = export(tmp_path / "source.pt2", Tied(), (torch.randn(3, 4),)), tmp_path / "rewritten.pt2"
    rewrite(source, inspect(source, filename="source.pt2"), target)
    rows = torch.randn(5, 4)
    with warnings.catch_warnings(action="error"):
        original, rewritten = (torch.export.load(path).module() for path in (source, target))
    assert torch.equal(original(rows), rewritten(rows))
    stored = [name for name in read_entries(target) if name.startswith("data/weights/weight_")]
    assert len(stored) == 3


def test_only_a_registered_file_is_rewritten(pt2_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(pt2_file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="rejected"):
        rewrite(cut, inspect(cut, filename="cut.pt2"), tmp_path / "out.pt2")
    assert not (tmp_path / "out.pt2").exists()
