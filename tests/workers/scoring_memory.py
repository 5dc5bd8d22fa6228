"""Scores coalitions of large images in a process of its own, and prints by how many bytes its peak memory grew.

``python -m tests.workers.scoring_memory MODEL ROWS PATCH BACKGROUND_ROWS``; the model is one of `write_model`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests import tiny_models
from workers.environment import peak_memory_bytes
from workers.frameworks.coalitions import Game
from workers.frameworks.loading import load_model
from workers.signature import Signature

SIDE = 224
OUTPUTS = 10
FRAMEWORKS = {".pt2": "pytorch", ".keras": "keras"}


def write_model(path: Path, *, filters: int, stride: int) -> Path:
    """Write a network of one convolution, which moves by its own size or, by single steps, looks at 3 x 3 pixels."""
    kernel = max(3, stride)
    if path.suffix == ".keras":
        keras = tiny_models.keras_module()
        image = keras.Input((SIDE, SIDE, 3), name="image")
        hidden = keras.layers.Conv2D(filters, kernel, strides=stride, activation="tanh")(image)
        answer = keras.layers.Dense(OUTPUTS, name="answer")(keras.layers.GlobalAveragePooling2D()(hidden))
        keras.Model(image, answer).save(path)
        return path
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, filters, kernel, stride=stride)
            self.answer = torch.nn.Linear(filters, OUTPUTS)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            hidden = torch.tanh(self.convolution(image.permute(0, 3, 1, 2) / 255))
            answer: torch.Tensor = self.answer(hidden.mean((2, 3)))
            return answer

    return tiny_models.export(path, Network(), (torch.zeros(2, SIDE, SIDE, 3),))


def main(path: Path, row_count: int, patch: int, background_count: int) -> None:
    document = tiny_models.signature(outputs=OUTPUTS, classes=[str(number) for number in range(OUTPUTS)])
    document["inputs"] = [{"name": "image", "shape": [-1, SIDE, SIDE, 3], "dtype": "float32", "columns": ["image"]}]
    model = load_model(
        path,
        framework=FRAMEWORKS[path.suffix],
        signature=Signature.from_json(document),
        device="cpu",
        seed=0,
    )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (row_count, SIDE, SIDE, 3)).astype("float32")
    places = np.arange(SIDE) // patch
    features = (SIDE // patch) ** 2
    patches = places[:, None] * (SIDE // patch) + places
    game = Game(
        rows={"image": images},
        background={"image": images[:2]},
        assignment={"image": np.ascontiguousarray(np.broadcast_to(patches[..., None], (SIDE, SIDE, 3)))},
        features=features,
        outputs=np.broadcast_to(np.arange(OUTPUTS), (row_count, OUTPUTS)),
    )
    model.logits({"image": images[:1]})
    before = peak_memory_bytes()
    scorer = model.coalition_scorer(game)
    ranks = generator.permuted(np.tile(np.arange(features), (background_count, 1)), axis=1)[:, None]
    for _ in scorer.walks(np.arange(row_count), ranks, np.arange(background_count) % 2):
        pass
    print(peak_memory_bytes() - before)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
