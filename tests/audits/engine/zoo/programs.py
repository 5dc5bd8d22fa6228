"""The networks of the zoo: each as small as shows what it is there for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from audits.engine.explainers.players import Block, Players
from tests.audits.engine.zoo.kit import Kit
from workers.signature import Signature

#: Ids of the tokens that an embedding knows.
VOCABULARY = 12
WIDTH = 4


@dataclass(frozen=True)
class Entry:
    """An input: its shape and dtype, and which values of it are one feature (by default each is its own)."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    features: np.ndarray | None = None

    @property
    def owners(self) -> np.ndarray:
        if self.features is not None:
            return np.broadcast_to(self.features, self.shape).copy()
        return np.arange(np.prod(self.shape)).reshape(self.shape)


@dataclass(frozen=True)
class Architecture:
    """A network in the zoo's words, what goes in, and how many numbers come out of its outputs."""

    name: str
    program: Callable[..., Any]
    inputs: Mapping[str, Entry]
    outputs: tuple[int, ...] = (2,)
    grid: tuple[int, ...] = ()
    seed: int = 5

    @property
    def signature(self) -> Signature:
        return Signature.from_json(
            {
                "inputs": [
                    {"name": name, "shape": [-1, *entry.shape], "dtype": entry.dtype, "columns": []}
                    for name, entry in self.inputs.items()
                ],
                "outputs": [
                    {"name": f"answer_{place}", "shape": [-1, count], "dtype": "float32", "kind": "logits"}
                    for place, count in enumerate(self.outputs)
                ],
            }
        )

    @property
    def players(self) -> Players:
        assignment, count = {}, 0
        for name, entry in self.inputs.items():
            assignment[name] = entry.owners + count
            count += int(entry.owners.max()) + 1
        return Players(
            names=tuple(f"f{number}" for number in range(count)),
            assignment=assignment,
            grid=self.grid or (count,),
            blocks=(Block(tuple(range(count)), self.grid),) if self.grid else (),
        )

    def rows(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Draw inputs of the network."""
        generator = np.random.default_rng(seed)
        return {
            name: (
                generator.integers(0, VOCABULARY, (count, *entry.shape)).astype(entry.dtype)
                if entry.dtype.startswith("int")
                else generator.normal(size=(count, *entry.shape)).astype(entry.dtype)
            )
            for name, entry in self.inputs.items()
        }


def mlp(kit: Kit, features: Any) -> Any:
    return kit.chain(features, 6, 8, 2)


def functional(kit: Kit, features: Any) -> Any:
    left, right = kit.dense(features, 6, 5), kit.dense(features, 6, 4)
    joined = kit.joined([kit.activation("relu")(left), kit.activation("tanh")(right)])
    return kit.dense(joined, 9, 2)


def residual(kit: Kit, features: Any) -> Any:
    return kit.dense(features + kit.activation("relu")(kit.dense(features, 6, 6)), 6, 2)


def gate(kit: Kit, features: Any) -> Any:
    """Return a product of two parts that both depend on the features."""
    return kit.dense(kit.activation("tanh")(kit.dense(features, 6, 5)) * kit.dense(features, 6, 5), 5, 2)


def reused_activation(kit: Kit, features: Any) -> Any:
    relu = kit.activation("relu")
    return kit.dense(relu(kit.dense(relu(kit.dense(features, 6, 8)), 8, 8)), 8, 2)


def function_calls(kit: Kit, features: Any) -> Any:
    hidden = kit.function(kit.dense(features, 6, 8), "relu")
    return kit.dense(kit.function(kit.dense(hidden, 8, 8), "relu"), 8, 2)


def activated(name: str) -> Callable[..., Any]:
    """Return the program of a network with one activation."""

    def program(kit: Kit, features: Any) -> Any:
        return kit.dense(kit.activation(name)(kit.dense(features, 6, 8)), 8, 2)

    return program


def batch_norm(kit: Kit, features: Any) -> Any:
    return kit.dense(kit.activation("relu")(kit.batch_norm(kit.dense(features, 6, 8), 8)), 8, 2)


def layer_norm(kit: Kit, features: Any) -> Any:
    return kit.dense(kit.activation("relu")(kit.layer_norm(kit.dense(features, 6, 8), 8)), 8, 2)


def prelu(kit: Kit, features: Any) -> Any:
    return kit.dense(kit.prelu(kit.dense(features, 6, 8), 8), 8, 2)


def embedding(kit: Kit, tokens: Any) -> Any:
    hidden = kit.dense(kit.mean(kit.embedding(tokens, VOCABULARY, WIDTH)), WIDTH, 6)
    return kit.dense(kit.activation("relu")(hidden), 6, 2)


def lstm(kit: Kit, steps: Any) -> Any:
    return kit.dense(kit.lstm(steps, 3, 4), 4, 2)


def gru(kit: Kit, steps: Any) -> Any:
    return kit.dense(kit.gru(steps, 3, 4), 4, 2)


def attention(kit: Kit, steps: Any) -> Any:
    return kit.dense(kit.mean(kit.attention(steps, WIDTH, 2)), WIDTH, 2)


def transformer(kit: Kit, tokens: Any) -> Any:
    steps = kit.embedding(tokens, VOCABULARY, WIDTH)
    steps = kit.layer_norm(steps + kit.attention(steps, WIDTH, 2), WIDTH)
    inner = kit.dense(kit.activation("gelu")(kit.dense(steps, WIDTH, 8)), 8, WIDTH)
    return kit.dense(kit.mean(kit.layer_norm(steps + inner, WIDTH)), WIDTH, 2)


def pooled(side: int, stride: int, left: int) -> Callable[..., Any]:
    """Return the program of a CNN with max-pooling that leaves so many numbers a filter."""

    def program(kit: Kit, image: Any) -> Any:
        hidden = kit.activation("relu")(kit.convolution(kit.image(image), 1, 3))
        return kit.dense(kit.flat(kit.max_pool(hidden, side, stride)), left * 3, 2)

    return program


def two_inputs(kit: Kit, left: Any, right: Any) -> Any:
    joined = kit.joined([left, kit.activation("relu")(kit.dense(right, 3, 4))])
    return kit.dense(kit.activation("tanh")(kit.dense(joined, 7, 6)), 6, 2)


def two_heads(kit: Kit, features: Any) -> Any:
    hidden = kit.activation("relu")(kit.dense(features, 6, 8))
    return [kit.dense(hidden, 8, 2), kit.dense(hidden, 8, 3)]


def one_output(kit: Kit, features: Any) -> Any:
    return kit.dense(kit.activation("relu")(kit.dense(features, 6, 8)), 8, 1)


def thousand_outputs(kit: Kit, features: Any) -> Any:
    return kit.dense(kit.activation("relu")(kit.dense(features, 6, 8)), 8, 1000)


_FLAT = {"features": Entry((6,))}
_TOKENS = {"tokens": Entry((6,), "int32")}
_STEPS = {"steps": Entry((5, 3), features=np.arange(5)[:, None])}
_WIDE_STEPS = {"steps": Entry((5, WIDTH), features=np.arange(5)[:, None])}
_PATCHES = np.arange(6)[:, None] // 2 * 3 + np.arange(6)[None, :] // 2
_IMAGE = {"image": Entry((6, 6), features=_PATCHES)}

ZOO = {
    architecture.name: architecture
    for architecture in (
        Architecture("Sequential MLP", mlp, _FLAT),
        Architecture("functional, two branches", functional, _FLAT),
        Architecture("residual", residual, _FLAT),
        Architecture("gate (product)", gate, _FLAT),
        Architecture("reused activation", reused_activation, _FLAT),
        Architecture("functional calls", function_calls, _FLAT),
        Architecture("BatchNorm", batch_norm, _FLAT),
        Architecture("LayerNorm", layer_norm, _FLAT),
        Architecture("SiLU", activated("silu"), _FLAT),
        Architecture("GELU", activated("gelu"), _FLAT),
        Architecture("PReLU", prelu, _FLAT),
        Architecture("Embedding", embedding, _TOKENS, grid=(6,)),
        Architecture("LSTM", lstm, _STEPS),
        Architecture("GRU", gru, _STEPS),
        Architecture("attention", attention, _WIDE_STEPS),
        Architecture("transformer block", transformer, _TOKENS, grid=(6,)),
        Architecture("CNN, max-pool", pooled(2, 2, 9), _IMAGE, grid=(3, 3)),
        Architecture("CNN, overlapping max-pool", pooled(3, 1, 16), _IMAGE, grid=(3, 3)),
        Architecture("two inputs", two_inputs, {"left": Entry((3,)), "right": Entry((3,))}),
        Architecture("two outputs", two_heads, _FLAT, outputs=(2, 3)),
        Architecture("one output", one_output, _FLAT, outputs=(1,)),
        Architecture("1,000 outputs", thousand_outputs, _FLAT, outputs=(1000,)),
    )
}
