"""What the tests of DeepLIFT share: rows, an explanation of all outputs, torch networks, shap as the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.deeplift import DeepLiftExplainer
from audits.engine.explainers.players import Players
from tests import tiny_models
from tests.audits.engine.explained import all_outputs
from tests.workers.loaded_models import load
from workers.frameworks.base import Model
from workers.protocol import JobError

GENERATOR = np.random.default_rng(8)
ROWS, BACKGROUND = (GENERATOR.normal(size=(count, 6)).astype("float32") for count in (4, 9))
IMAGES, DARK = (GENERATOR.normal(size=(count, 1, 8, 8)).astype("float32") for count in (3, 5))


def explain(model: Model, rows: Any = ROWS, background: Any = BACKGROUND, **more: Any) -> Attribution:
    name = model.signature.inputs[0].name
    outputs = int(np.prod(model.signature.output.shape[1:]))
    count = int(np.prod(rows.shape[1:]))
    players = Players(
        tuple(map(str, range(count))), {name: np.arange(count).reshape(rows.shape[1:])}, grid=rows.shape[1:]
    )
    task = Task(
        model=model,
        rows={name: rows},
        background={name: background},
        players=players,
        outputs=all_outputs(len(rows), outputs),
        output_names=tuple(map(str, range(outputs))),
        seed=0,
        **more,
    )
    return DeepLiftExplainer().explain(task)


def exported(folder: Path, module: Any, sample: NDArray[Any] = ROWS) -> Model:
    import torch

    return load(tiny_models.export(folder / "model.pt2", module, (torch.from_numpy(sample[:2]),)))


def torch_module(forward: Callable[[Any, Any], Any], **layers: Any) -> Any:
    """Return a module whose ``forward`` is the function of the module and one input."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, layer in layers.items():
                setattr(self, name, layer)

        def forward(self, features: Any) -> Any:
            return forward(self, features)

    torch.manual_seed(0)
    return Network()


def of_shap(model: Any, background: Any, rows: Any) -> NDArray[Any]:
    import shap

    with warnings.catch_warnings():
        # shap calls Keras in ways that Keras and TensorFlow warn of.
        warnings.simplefilter("ignore")
        return np.asarray(shap.DeepExplainer(model, background).shap_values(rows, check_additivity=False))


def refusal(model: Model, rows: Any = ROWS, background: Any = BACKGROUND) -> str:
    """Return the sentence by which a model is refused."""
    with pytest.raises(JobError, match="Use 'permutation'") as caught:
        explain(model, rows, background)
    assert caught.value.code == "layer_not_supported"
    return str(caught.value)


def gated(path: Path) -> Path:
    """Write a network that multiplies two activations, in the format of the path."""
    if path.suffix == ".pt2":
        import torch

        nn = torch.nn
        module = torch_module(
            lambda own, x: own.last(own.inner(x).tanh() * x), inner=nn.Linear(6, 6), last=nn.Linear(6, 2)
        )
        return tiny_models.export(path.with_name("gated.pt2"), module, (torch.from_numpy(ROWS[:2]),))
    keras = tiny_models.keras_module()
    entered = keras.Input((6,), name="features")
    hidden = keras.layers.Multiply()([entered, keras.layers.Dense(6, activation="tanh")(entered)])
    target = path.with_name("gated.keras")
    keras.Model(entered, keras.layers.Dense(2)(hidden)).save(target)
    return target
