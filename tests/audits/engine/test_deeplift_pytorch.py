"""DeepLIFT on exported torch graphs: shap's values where shap is right, and a refusal by name where no rule is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.audits.engine.deeplifting import (
    BACKGROUND,
    DARK,
    IMAGES,
    ROWS,
    explain,
    exported,
    of_shap,
    refusal,
    torch_module,
)
from tests.workers.loaded_models import load


@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "ELU", "Tanh", "Sigmoid", "Softplus"])
def test_a_network_of_layers_has_the_values_of_shap(activation: str, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    kind = getattr(torch.nn, activation)
    module = torch.nn.Sequential(torch.nn.Linear(6, 12), kind(), torch.nn.Linear(12, 7), kind(), torch.nn.Linear(7, 3))
    named = torch_module(lambda own, features: own.layers(features), layers=module)
    answer = explain(exported(tmp_path, named))
    expected = of_shap(module.eval(), torch.from_numpy(BACKGROUND), torch.from_numpy(ROWS))
    np.testing.assert_allclose(answer.values, expected, atol=2e-5)
    assert not answer.errors.any()


def test_an_image_network_with_pooling_has_the_values_of_shap(tmp_path: Path) -> None:
    import torch

    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 2),
    )  # fmt: skip
    with torch.no_grad():
        module[1].running_mean.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
        module[1].running_var.copy_(torch.tensor([0.5, 1.5, 2.0, 0.7]))
    named = torch_module(lambda own, features: own.layers(features), layers=module)
    answer = explain(exported(tmp_path, named, IMAGES), IMAGES, DARK)
    torch.use_deterministic_algorithms(False)
    expected = of_shap(module.eval(), torch.from_numpy(DARK), torch.from_numpy(IMAGES))
    np.testing.assert_allclose(answer.values, expected, atol=2e-5)


def test_a_function_or_a_layer_used_again_is_a_layer_of_its_own(tmp_path: Path) -> None:
    import torch

    nn, functional = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    first, second, third = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
    plain = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
    expected = of_shap(plain.eval(), torch.from_numpy(BACKGROUND), torch.from_numpy(ROWS))
    once = {"first": first, "second": second, "third": third}
    again = torch_module(lambda own, x: own.third(own.relu(own.second(own.relu(own.first(x))))), relu=nn.ReLU(), **once)
    inside = torch_module(
        lambda own, x: own.third(own.relu(own.second(own.relu(own.first(x))))), relu=nn.ReLU(inplace=True), **once
    )
    called = torch_module(lambda own, x: own.third(functional.relu(own.second(torch.relu(own.first(x))))), **once)
    for module in (again, inside, called):
        np.testing.assert_allclose(explain(exported(tmp_path, module)).values, expected, atol=2e-5)


def test_a_residual_adds_up_and_is_right(tmp_path: Path) -> None:
    import torch

    nn = torch.nn
    torch.manual_seed(0)
    inner, last = nn.Linear(6, 6), nn.Linear(6, 2)
    module = torch_module(lambda own, x: own.last(own.inner(x).relu_() + x), inner=inner, last=last)
    answer = explain(exported(tmp_path, module))
    before = [values @ inner.weight.detach().numpy().T + inner.bias.detach().numpy() for values in (ROWS, BACKGROUND)]
    entered = before[0][:, None] - before[1][None]
    slopes = (np.maximum(before[0], 0)[:, None] - np.maximum(before[1], 0)[None]) / entered
    through = np.einsum("ko,rbo,oi->rbki", last.weight.detach().numpy(), slopes, inner.weight.detach().numpy())
    multipliers = through + last.weight.detach().numpy()
    expected = ((ROWS[:, None] - BACKGROUND[None])[:, :, None] * multipliers).mean(axis=1).swapaxes(1, 2)
    np.testing.assert_allclose(answer.values, expected, atol=1e-4)


def test_a_softmax_at_the_end_is_taken_off(tmp_path: Path) -> None:
    found = []
    for kind in ("logits", "probabilities"):
        path = tiny_models.mlp(tmp_path / f"{kind}.pt2", inputs=6, softmax=kind == "probabilities")
        found.append(explain(load(path, tiny_models.signature(inputs=6, outputs=3, kind=kind))).values)
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # of an exported recurrent layer
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("normalised", "layer_norm"),
        ("gated", "mul"),
        ("attending", "scaled_dot_product_attention"),
        ("softmax", "softmax"),
        ("recurrent", "lstm"),
        ("gated recurrent", "gru"),
        ("divided", "div"),
        ("two of one", "matmul"),
        ("largest", "amax"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(name: str, kind: str, tmp_path: Path) -> None:
    import torch

    nn = torch.nn
    modules = {
        "normalised": lambda own, x: own.last(own.norm(x)),
        "gated": lambda own, x: own.last(torch.sigmoid(own.inner(x)) * x),
        "attending": lambda own, x: own.last(
            nn.functional.scaled_dot_product_attention(*[x.reshape(-1, 3, 2)] * 3).flatten(1)
        ),
        "softmax": lambda own, x: own.last(torch.softmax(own.inner(x), -1)),
        "recurrent": lambda own, x: own.last(own.lstm(x.reshape(-1, 3, 2))[0][:, -1]),
        "gated recurrent": lambda own, x: own.last(own.gru(x.reshape(-1, 3, 2))[0][:, -1]),
        "divided": lambda own, x: own.last(x / (1 + own.inner(x).abs())),
        "two of one": lambda own, x: own.last((x.reshape(-1, 3, 2) @ x.reshape(-1, 2, 3)).flatten(1)[:, :6]),
        "largest": lambda own, x: own.last(x - x.amax(1, keepdim=True)),
    }
    module = torch_module(
        modules[name],
        inner=nn.Linear(6, 6),
        last=nn.Linear(6, 2),
        norm=nn.LayerNorm(6),
        lstm=nn.LSTM(2, 6, batch_first=True),
        gru=nn.GRU(2, 6, batch_first=True),
    )
    assert kind in refusal(exported(tmp_path, module))


@pytest.mark.parametrize("options", [{"kernel_size": 3, "stride": 2}, {"kernel_size": 2, "padding": 1}])
def test_windows_that_overlap_or_are_padded_are_refused(options: dict[str, int], tmp_path: Path) -> None:
    import torch

    module = torch_module(lambda own, x: own.pool(x).flatten(1), pool=torch.nn.MaxPool2d(**options))
    assert "max_pool2d" in refusal(exported(tmp_path, module, IMAGES), IMAGES, DARK)


def test_a_write_that_others_see_is_refused(tmp_path: Path) -> None:
    import torch

    def forward(own: Any, features: Any) -> Any:
        hidden = own.inner(features)
        seen = hidden.view(-1, 2, 3)
        hidden.relu_()
        return own.last(hidden + seen.flatten(1))

    module = torch_module(forward, inner=torch.nn.Linear(6, 6), last=torch.nn.Linear(6, 2))
    assert "writes to a tensor" in refusal(exported(tmp_path, module))


def test_rows_along_another_axis_are_refused(tmp_path: Path) -> None:
    import torch

    module = torch_module(
        lambda own, x: own.last(torch.relu(x.transpose(0, 1) - 1).transpose(0, 1)), last=torch.nn.Linear(6, 2)
    )
    assert "first axis" in refusal(exported(tmp_path, module))
