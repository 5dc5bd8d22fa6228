"""What people really save: checkpoints and models that each have something which a scanner may take for harm."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus.case import Benign, Workshop

_TORCH = {
    "optimizer": "A checkpoint of a training: model, Adam's state, epoch.",
    "mixed": "float16 and bfloat16.",
    "complex": "complex64.",
    "float8": "float8.",
    "sparse": "A sparse tensor.",
    "quantised": "A quantised tensor.",
    "tied": "Two names for one weight, and a view of a part of it.",
    "scalars": "NumPy scalars and an array beside the tensors.",
    "texts": "Texts that only look like code.",
    "legacy": "The format of before torch 1.6.",
    "parameters": "Parameters and buffers as a module has them.",
}
_KERAS = {
    "text": "A TextVectorization with words that look like code.",
    "normalised": "A Normalization that was adapted.",
    "recurrent": "LSTM, GRU and Bidirectional.",
    "attention": "Multi-head attention with residual and normalisation.",
    "half": "The policy mixed_float16.",
}
_EXPORTS = {"attention": "Multi-head attention, exported.", "recurrent": "An LSTM, exported."}


def save_with_torch(folder: Path) -> None:
    """Write the checkpoints and the exports."""
    import numpy as np
    import torch

    from tests.workers.artifacts.crafting import export

    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    weight = torch.arange(12.0).reshape(3, 4)
    checkpoints: dict[str, Any] = {
        "optimizer": {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.25},
        "mixed": {"half": weight.half(), "brain": weight.bfloat16(), "whole": weight.to(torch.int8)},
        "complex": {"spectrum": torch.complex(weight, -weight)},
        "float8": {"small": weight.to(torch.float8_e4m3fn), "wide": weight.to(torch.float8_e5m2)},
        "sparse": {"pairs": torch.eye(4).to_sparse(), "dense": weight},
        "tied": {"embedding": weight, "head": weight, "row": weight[1]},
        "scalars": {"weight": weight, "accuracy": np.float64(0.5), "step": np.int64(3), "curve": np.arange(4.0)},
        "texts": {"weight": weight, "notes": "import os; os.system('x')", "eval": "__import__('os')", "cos\nsystem": 1},
        "legacy": module.state_dict(),
        "parameters": {"weight": torch.nn.Parameter(weight), "buffer": torch.zeros(())},
    }
    with warnings.catch_warnings():
        # torch 2.13 says that quantisation moves to another package.
        warnings.simplefilter("ignore")
        checkpoints["quantised"] = {"weight": torch.quantize_per_tensor(weight, 0.1, 3, torch.qint8)}
        for name, value in checkpoints.items():
            torch.save(value, folder / f"ordinary_{name}.pt", _use_new_zipfile_serialization=name != "legacy")
        batch = (torch.zeros(2, 5, 8),)
        export(folder / "ordinary_attention.pt2", _Attention(torch), batch)
        export(folder / "ordinary_recurrent.pt2", _Recurrent(torch), batch)


def _Attention(torch: Any) -> Any:
    class Attention(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, rows: Any) -> Any:
            mixed, _ = self.attention(rows, rows, rows)
            return self.head((rows + mixed).mean(1))

    return Attention().eval()


def _Recurrent(torch: Any) -> Any:
    class Recurrent(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.memory = torch.nn.LSTM(8, 4, batch_first=True)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, rows: Any) -> Any:
            steps, _ = self.memory(rows)
            return self.head(steps[:, -1])

    return Recurrent().eval()


def save_with_keras(folder: Path) -> None:
    """Write the Keras models."""
    import keras
    import numpy as np

    layers = keras.layers
    words = keras.Input((1,), dtype="string")
    vectors = layers.TextVectorization(max_tokens=20, output_sequence_length=4)
    vectors.adapt(np.array(["import os eval exec", "lambda system getattr"]))
    scored = layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(20, 3)(vectors(words))))
    rows = keras.Input((4,))
    scale = layers.Normalization()
    scale.adapt(np.arange(12.0, dtype="float32").reshape(3, 4))
    steps = keras.Input((5, 8))
    remembered = layers.GRU(3)(layers.Bidirectional(layers.LSTM(4, return_sequences=True))(steps))
    mixed = layers.MultiHeadAttention(2, 4)(steps, steps)
    normal = layers.LayerNormalization()(layers.Add()([steps, mixed]))
    half = layers.Dense(2, dtype="mixed_float16")(rows)
    models = {
        "text": keras.Model(words, scored),
        "normalised": keras.Model(rows, layers.Dense(2)(scale(rows))),
        "recurrent": keras.Model(steps, layers.Dense(2)(remembered)),
        "attention": keras.Model(steps, layers.Dense(2)(layers.GlobalAveragePooling1D()(normal))),
        "half": keras.Model(rows, layers.Activation("softmax", dtype="float32")(half)),
    }
    for name, model in models.items():
        model.save(folder / f"ordinary_{name}.keras")


def _copied(name: str, suffix: str) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        path = shop.path(suffix)
        shutil.copyfile(shop.samples / f"ordinary_{name}{suffix}", path)
        return path

    return make


BENIGN: tuple[Benign, ...] = tuple(
    Benign(f"ordinary/{format_name}_{name}", says, _copied(name, suffix), format_name)
    for format_name, suffix, told in (
        ("state_dict", ".pt", _TORCH),
        ("keras", ".keras", _KERAS),
        ("pt2", ".pt2", _EXPORTS),
    )
    for name, says in told.items()
)
CASES = ()
