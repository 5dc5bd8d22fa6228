"""Networks of the benchmarks of explanations: trained once in torch, and the same weights in Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A trained network with its data: ``module`` in torch; rows are (rows, features) or (rows, side, side)."""

    name: str
    module: Any
    rows: np.ndarray
    outputs: int

    @property
    def is_image(self) -> bool:
        return self.rows.ndim == 3


def tabular() -> Case:
    """Return a network of 30 inputs, two layers of 64 and 32, and 2 logits, on the breast cancer table."""
    import torch
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = ((data.data - data.data.mean(axis=0)) / data.data.std(axis=0)).astype("float32")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
    )
    _train(module, rows, data.target, epochs=120)
    return Case("MLP, 30 inputs", module, rows, 2)


def images(side: int) -> Case:
    """Return a network of two convolutions with max-pooling and 10 logits, on handwritten digits of ``side`` pixels."""
    import torch
    from sklearn.datasets import load_digits

    data = load_digits()
    digits = torch.tensor(data.images[:, None] / 16, dtype=torch.float32)
    if side != 8:
        digits = torch.nn.functional.interpolate(digits, size=(side, side), mode="bilinear", align_corners=False)
    rows = digits[:, 0].numpy()
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, side)),
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * (side // 4) ** 2, 10),
    )
    _train(module, rows[:600], data.target[:600], epochs=30)
    return Case(f"CNN, {side} x {side}", module, rows, 10)


def exported(case: Case, folder: Path) -> Path:
    """Write the network as a ``.pt2``."""
    import torch

    from tests import tiny_models

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = case.module

        def forward(self, features: Any) -> Any:
            return self.layers(features)

    return tiny_models.export(folder / "model.pt2", Named(), (torch.from_numpy(case.rows[:2]),))


def in_keras(case: Case) -> Any:
    """Return the same network in Keras."""
    import keras

    layers, weights = keras.layers, [values.detach().numpy() for values in case.module.parameters()]
    if not case.is_image:
        entered = keras.Input((30,), name="features")
        hidden = layers.Dense(64, activation="relu")(entered)
        hidden = layers.Dense(32, activation="relu")(hidden)
        model = keras.Model(entered, layers.Dense(2)(hidden))
        model.set_weights([values.T for values in weights])
        return model
    side = case.rows.shape[1]
    entered = keras.Input((side, side), name="features")
    hidden = layers.Reshape((side, side, 1))(entered)
    for filters in (8, 16):
        hidden = layers.Conv2D(filters, 3, padding="same", activation="relu")(hidden)
        hidden = layers.MaxPooling2D(2)(hidden)
    model = keras.Model(entered, layers.Dense(10)(layers.Flatten()(hidden)))
    last = weights[4].reshape(10, 16, side // 4, side // 4).transpose(2, 3, 1, 0).reshape(-1, 10)
    first, second = (values.transpose(2, 3, 1, 0) for values in (weights[0], weights[2]))
    model.set_weights([first, weights[1], second, weights[3], last, weights[5]])
    return model


def _train(module: Any, rows: np.ndarray, targets: np.ndarray, *, epochs: int) -> None:
    import torch

    optimizer = torch.optim.Adam(module.parameters(), 0.005)
    inputs, wanted = torch.from_numpy(rows), torch.from_numpy(targets)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(inputs[batch]), wanted[batch]).backward()
            optimizer.step()
    module.eval()
