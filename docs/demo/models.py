"""Four small models as their owners would bring them: trained for a moment, on little data, long ago.

Run as a program: ``python docs/demo/models.py FOLDER`` writes ``breast-cancer.keras``, ``breast-cancer.pt2``,
``digits.keras`` and ``digits.pt2``. All give logits; each carries its own scaling of the inputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

#: So many rows did the first versions see: retraining on the whole has something to gain.
FIRST_ROWS = 60


def write_torch_models(folder: Path) -> None:
    """Write the two PyTorch models with ``torch.export``, the batch dimension left open."""
    import torch

    class Scaled(torch.nn.Module):
        """Standardise the columns, then classify."""

        def __init__(self, mean: np.ndarray, deviation: np.ndarray, network: torch.nn.Module) -> None:
            super().__init__()
            self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
            self.register_buffer("deviation", torch.from_numpy(deviation.astype(np.float32)))
            self.network = network

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.network((features - self.mean) / self.deviation)

    torch.manual_seed(7)
    table = load_breast_cancer()
    mlp = torch.nn.Sequential(
        torch.nn.Linear(30, 24), torch.nn.ReLU(), torch.nn.Linear(24, 12), torch.nn.ReLU(), torch.nn.Linear(12, 2)
    )
    cnn = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8)),
        torch.nn.Conv2d(1, 12, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(12, 24, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(24 * 16, 10),
    )
    digits = load_digits()
    subjects = [
        ("breast-cancer", Scaled(table.data.mean(0), table.data.std(0), mlp), table.data, table.target),
        ("digits", Scaled(np.zeros(1), np.full(1, 16.0), cnn), digits.images, digits.target),
    ]
    for name, model, data, target in subjects:
        features = torch.from_numpy(data[:FIRST_ROWS].astype(np.float32))
        labels = torch.from_numpy(target[:FIRST_ROWS].astype(np.int64))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        for _ in range(12):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(features), labels).backward()
            optimizer.step()
        batch = torch.export.Dim("batch", min=1, max=1_000_000)
        program = torch.export.export(model.train(), (features[:2],), dynamic_shapes=({0: batch},))
        torch.export.save(program, folder / f"{name}.pt2")


def write_keras_models(folder: Path) -> None:
    """Write the two Keras models in the ``.keras`` format; their compile settings travel with them."""
    import keras

    keras.utils.set_random_seed(7)
    table, digits = load_breast_cancer(), load_digits()
    mlp = keras.Sequential(
        [
            keras.Input((30,), name="features"),
            keras.layers.Normalization(mean=table.data.mean(0), variance=table.data.var(0)),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(12, activation="relu"),
            keras.layers.Dense(2, name="answer"),
        ]
    )
    cnn = keras.Sequential(
        [
            keras.Input((8, 8), name="image"),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(12, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(24, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="answer"),
        ]
    )
    for name, model, data, target in (
        ("breast-cancer", mlp, table.data, table.target),
        ("digits", cnn, digits.images, digits.target),
    ):
        model.compile(
            optimizer=keras.optimizers.Adam(0.005),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(data[:FIRST_ROWS].astype(np.float32), target[:FIRST_ROWS], epochs=4, verbose=0)
        model.save(folder / f"{name}.keras")


if __name__ == "__main__":
    target_folder = Path(sys.argv[1])
    write_torch_models(target_folder)
    write_keras_models(target_folder)
