"""Both adapters on a CUDA device: the same answers as on the CPU, and models that can be saved and loaded anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.loaded_models import FRAMEWORKS, framework_of, load, rows
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.loading import framework_named, load_model
from workers.recipe import Recipe

pytestmark = pytest.mark.gpu


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def model_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny_models.mlp(tmp_path / request.param, dropout=0.2, batch_normalisation=True, softmax=True)


def on_gpu(path: Path) -> Model:
    return load_model(path, framework=framework_of(path), signature=None, device="cuda:0", seed=0)


def test_answers_are_those_of_the_cpu(model_path: Path) -> None:
    gpu, cpu, inputs = on_gpu(model_path), load(model_path), {"features": rows(50, 4)}
    close = {"rtol": 1e-3, "atol": 1e-5}
    np.testing.assert_allclose(gpu.forward(inputs), cpu.forward(inputs), **close)
    np.testing.assert_allclose(gpu.logits(inputs), cpu.logits(inputs), **close)
    np.testing.assert_allclose(gpu.features(inputs), cpu.features(inputs), **close)
    targets = np.arange(50) % 3
    for ours, theirs in zip(gpu.loss_gradient(inputs, targets), cpu.loss_gradient(inputs, targets), strict=True):
        if isinstance(ours, dict):
            np.testing.assert_allclose(ours["features"], theirs["features"], **close)
        else:
            np.testing.assert_allclose(ours, theirs, **close)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_trained_on_the_device_is_loaded_on_the_cpu(model_path: Path, tmp_path: Path, precision: str) -> None:
    x = rows(128, 4)
    y = x.argmax(1) % 3
    model = on_gpu(model_path)
    recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 8, "precision": precision, "optimizer": "adam"})
    history = model.fit(TrainingRows({"features": x}, y, {"features": x}, y), recipe, on_epoch=lambda _record: None)
    assert history.epochs[-1].validation_loss < history.epochs[0].validation_loss
    saved = tmp_path / f"saved{model_path.suffix}"
    model.save(saved)
    np.testing.assert_allclose(
        load(saved).forward({"features": x}), model.forward({"features": x}), rtol=1e-2, atol=1e-4
    )


def test_the_environment_names_the_device(model_path: Path) -> None:
    assert framework_named(framework_of(model_path)).environment()["devices"]
