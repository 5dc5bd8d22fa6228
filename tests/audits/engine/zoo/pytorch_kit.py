"""The zoo's words in PyTorch: a module that runs the program, exported as ``.pt2``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tests.audits.engine.zoo.kit import Kit
from tests.audits.engine.zoo.programs import Architecture


class TorchKit(Kit):
    """Makes the layers when the program first runs, and gives out the same ones in order whenever it runs again."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._torch = import_module("torch")
        self._nn = self._torch.nn
        self.layers = self._nn.ModuleList()
        self._place = 0

    def rewind(self) -> None:
        self._place = 0

    def dense(self, tensor: Any, inputs: int, units: int) -> Any:
        return self._next(lambda: self._linear(inputs, units))(tensor)

    def chain(self, tensor: Any, inputs: int, hidden: int, units: int) -> Any:
        return self._next(
            lambda: self._nn.Sequential(self._linear(inputs, hidden), self._nn.ReLU(), self._linear(hidden, units))
        )(tensor)

    def activation(self, name: str) -> Callable[[Any], Any]:
        layers = {"relu": "ReLU", "silu": "SiLU", "gelu": "GELU", "tanh": "Tanh"}
        layer: Callable[[Any], Any] = self._next(getattr(self._nn, layers[name]))
        return layer

    def function(self, tensor: Any, name: str) -> Any:
        return getattr(self._nn.functional, name)(tensor)

    def batch_norm(self, tensor: Any, units: int) -> Any:
        def make() -> Any:
            layer = self._nn.BatchNorm1d(units, eps=1e-5)
            scale, shift = self.numbers(units, around=1, spread=0.3), self.numbers(units)
            mean, variance = self.numbers(units), np.abs(self.numbers(units, around=1.5))
            return self._filled(layer, weight=scale, bias=shift, running_mean=mean, running_var=variance)

        return self._next(make)(tensor)

    def layer_norm(self, tensor: Any, units: int) -> Any:
        def make() -> Any:
            scale, shift = self.numbers(units, around=1, spread=0.3), self.numbers(units)
            return self._filled(self._nn.LayerNorm(units, eps=1e-5), weight=scale, bias=shift)

        return self._next(make)(tensor)

    def prelu(self, tensor: Any, units: int) -> Any:
        return self._next(
            lambda: self._filled(self._nn.PReLU(units), weight=self.numbers(units, around=0.25, spread=0.1))
        )(tensor)

    def embedding(self, ids: Any, size: int, width: int) -> Any:
        return self._next(
            lambda: self._filled(self._nn.Embedding(size, width), weight=self.numbers(size, width, spread=1.0))
        )(ids)

    def lstm(self, steps: Any, width: int, units: int) -> Any:
        def make() -> Any:
            kernel, recurrent = self.numbers(width, 4 * units), self.numbers(units, 4 * units)
            return self._filled(
                self._nn.LSTM(width, units, batch_first=True),
                weight_ih_l0=kernel.T,
                weight_hh_l0=recurrent.T,
                bias_ih_l0=self.numbers(4 * units),
                bias_hh_l0=np.zeros(4 * units),
            )

        return self._next(make)(steps)[0][:, -1]

    def gru(self, steps: Any, width: int, units: int) -> Any:
        # Keras has the gates update, reset, new; PyTorch reset, update, new.
        order = np.concatenate([np.arange(units, 2 * units), np.arange(units), np.arange(2 * units, 3 * units)])

        def make() -> Any:
            kernel, recurrent = self.numbers(width, 3 * units), self.numbers(units, 3 * units)
            biases = self.numbers(2, 3 * units)
            return self._filled(
                self._nn.GRU(width, units, batch_first=True),
                weight_ih_l0=kernel.T[order],
                weight_hh_l0=recurrent.T[order],
                bias_ih_l0=biases[0, order],
                bias_hh_l0=biases[1, order],
            )

        return self._next(make)(steps)[0][:, -1]

    def attention(self, steps: Any, width: int, heads: int) -> Any:
        def make() -> Any:
            layer = self._nn.MultiheadAttention(width, heads, batch_first=True)
            kernels, biases = [], []
            for _ in range(3):
                kernels.append(self.numbers(width, width).T)
                biases.append(self.numbers(width))
            self._filled(layer, in_proj_weight=np.concatenate(kernels), in_proj_bias=np.concatenate(biases))
            self._filled(layer.out_proj, weight=self.numbers(width, width).T, bias=self.numbers(width))
            return layer

        return self._next(make)(steps, steps, steps, need_weights=False)[0]

    def image(self, tensor: Any) -> Any:
        return tensor.unsqueeze(1)

    def convolution(self, image: Any, channels: int, filters: int) -> Any:
        def make() -> Any:
            kernel = self.numbers(3, 3, channels, filters).transpose(3, 2, 0, 1)
            layer = self._nn.Conv2d(channels, filters, 3, padding=1)
            return self._filled(layer, weight=kernel, bias=self.numbers(filters))

        return self._next(make)(image)

    def max_pool(self, image: Any, side: int, stride: int) -> Any:
        return self._next(lambda: self._nn.MaxPool2d(side, stride))(image)

    def flat(self, image: Any) -> Any:
        return image.permute(0, 2, 3, 1).flatten(1)

    def mean(self, steps: Any) -> Any:
        return steps.mean(1)

    def joined(self, tensors: Sequence[Any]) -> Any:
        return self._torch.cat(list(tensors), -1)

    def _next(self, make: Callable[[], Any]) -> Any:
        if self._place == len(self.layers):
            # In inference from the start: the first run of the program must not move running statistics.
            self.layers.append(make().eval())
        self._place += 1
        return self.layers[self._place - 1]

    def _linear(self, inputs: int, units: int) -> Any:
        return self._filled(
            self._nn.Linear(inputs, units), weight=self.numbers(inputs, units).T, bias=self.numbers(units)
        )

    def _filled(self, layer: Any, **weights: np.ndarray) -> Any:
        with self._torch.no_grad():
            for name, values in weights.items():
                getattr(layer, name).copy_(self._torch.tensor(np.ascontiguousarray(values)))
        return layer


def write(architecture: Architecture, path: Path) -> Path:
    import torch

    kit = TorchKit(architecture.seed)

    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = kit.layers

        def forward(self, first: Any, second: Any = None) -> Any:
            kit.rewind()
            return architecture.program(kit, first) if second is None else architecture.program(kit, first, second)

    samples = tuple(
        torch.zeros(2, *entry.shape, dtype=getattr(torch, entry.dtype)) for entry in architecture.inputs.values()
    )
    module = Program().eval()
    with torch.no_grad():
        module(*samples)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        # torch 2.13 says of its own recurrent layers that they assign their weights anew during an export.
        warnings.filterwarnings("ignore", "The tensor attributes self.layers")
        program = torch.export.export(module, samples, dynamic_shapes=tuple({0: batch} for _ in samples))
    torch.export.save(program, str(path))
    return path
