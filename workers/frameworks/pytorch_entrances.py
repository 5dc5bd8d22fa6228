"""Where paths enter a torch graph: at inputs of floats, and behind the embeddings of inputs of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from workers.frameworks.paths import Paths, no_path_through
from workers.frameworks.pytorch_graph import operator
from workers.frameworks.rows import conform, is_differentiable
from workers.signature import Signature

#: Operators between an input and its embedding that change the dtype of the numbers only.
_CASTS = {"to", "_to_copy", "alias", "contiguous", "clone"}
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}


@dataclass(frozen=True)
class Entrance:
    """An input, by its number, and the embedding behind which it is entered, if it is one of whole numbers."""

    input: int
    weights: torch.Tensor | None = None

    def enter(self, values: torch.Tensor) -> torch.Tensor:
        return values if self.weights is None else self.weights[values.long()]


@dataclass(frozen=True)
class Ends:
    """Both ends of all paths at one entrance: (rows, ...) and (background, ...).

    ``features`` is the feature of each value, None where each value is the feature of its number.
    """

    rows: torch.Tensor
    background: torch.Tensor
    features: torch.Tensor | None

    def summed_by_feature(self, values: torch.Tensor, feature_count: int) -> torch.Tensor:
        """Sum values of shape (rows, ...) to (rows, features)."""
        flat = values.flatten(1).float()
        if self.features is None:
            return flat
        return flat.new_zeros(len(flat), feature_count).index_add_(1, self.features, flat)


def float_entrances(signature: Signature) -> list[Entrance]:
    """Return an entrance for each input.

    Raises:
        JobError: ``no_gradient``, when one is of whole numbers.
    """
    for spec in signature.inputs:
        if not is_differentiable(spec):
            raise no_path_through(spec.name)
    return [Entrance(index) for index in range(len(signature.inputs))]


def behind_embeddings(module: fx.GraphModule, signature: Signature) -> tuple[fx.GraphModule, list[Entrance]]:
    """Return a graph that takes what embeddings make of whole numbers in their place, and its entrances in order.

    Raises:
        JobError: ``no_gradient``, when an input of whole numbers goes elsewhere, too.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    entrances = []
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    for index, (node, spec) in enumerate(zip(inputs, signature.inputs, strict=True)):
        if is_differentiable(spec):
            entrances.append(Entrance(index))
            continue
        for embedding in _embeddings_of(node, spec.name):
            weights = _attribute(module, embedding.args[0])
            if weights is None:
                raise no_path_through(spec.name)
            with graph.inserting_before(node):
                entry = graph.placeholder(f"{node.name}_{embedding.name}")
            entry.meta = dict(embedding.meta)
            embedding.replace_all_uses_with(entry)
            for user in [user for user in node.users if operator(user) == "sym_size"]:
                user.update_arg(0, entry)
            entrances.append(Entrance(index, weights))
    graph.eliminate_dead_code()
    for node, spec in zip(inputs, signature.inputs, strict=True):
        if not is_differentiable(spec):
            graph.erase_node(node)
    graph.lint()
    return fx.GraphModule(module, graph), entrances


def differentiable_recurrence(graph: fx.Graph) -> AbstractContextManager[None]:
    """Return a context in which recurrent layers have a gradient in inference: those of cuDNN have none there."""
    if any(operator(node) in _RECURRENT for node in graph.nodes):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()


def ends_at(entrances: Sequence[Entrance], paths: Paths, signature: Signature, device: str) -> list[Ends]:
    """Put both ends of all paths on the device, once."""
    found = []
    rows, background = (conform(arrays, signature) for arrays in (paths.rows, paths.background))
    for entrance in entrances:
        spec = signature.inputs[entrance.input]
        ends, starts = (
            entrance.enter(torch.tensor(arrays[entrance.input], dtype=getattr(torch, spec.dtype), device=device))
            for arrays in (rows, background)
        )
        features = paths.features[spec.name].reshape(*spec.row_shape, *[1] * (ends.ndim - 1 - len(spec.row_shape)))
        of_values: NDArray[np.intp] = np.broadcast_to(features, ends.shape[1:]).reshape(-1)
        is_plain = np.array_equal(of_values, np.arange(paths.feature_count))
        of_device = None if is_plain else torch.tensor(of_values, device=device)
        found.append(Ends(ends.detach(), starts.detach(), of_device))
    return found


def _embeddings_of(node: fx.Node, name: str) -> list[fx.Node]:
    """Return the embeddings that an input goes into; its sizes may go anywhere."""
    found = []
    for user in node.users:
        if operator(user) == "embedding" and user.args[1] is node:
            found.append(user)
        elif operator(user) in _CASTS:
            found += _embeddings_of(user, name)
        elif operator(user) != "sym_size" or user.args[1] != 0:
            raise no_path_through(name)
    return found


def _attribute(module: fx.GraphModule, node: Any) -> torch.Tensor | None:
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value if isinstance(value, torch.Tensor) else None
