"""Walks through a model that begins with one wide dense layer: only what a step changes goes through that layer.

Consecutive coalitions of a walk differ in one feature. A walk is cut into blocks of steps: at a block's beginning the
composed row goes through the layer whole, and within the block only the values that have changed since do. Of ``n``
values, blocks of ``s`` steps cost ``n / s + s`` products a unit of the layer instead of ``n``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import fx
from torch.nn import functional

from workers.frameworks.pytorch_graph import attribute, operator
from workers.frameworks.rows import chunks

#: Composed rows that a block gives at the least, so that calls of operators do not weigh; and its bounds in steps.
BLOCK_ROWS = 512
BLOCK_STEPS = (32, 128)
#: Fewer blocks in a walk than this are not worth cutting it.
WORTHWHILE_BLOCKS = 4
#: Up to so many features, no walk is cut.
LEAST_FEATURES = WORTHWHILE_BLOCKS * BLOCK_STEPS[0]

#: Operators that only change the shape of a row.
RESHAPING = {"flatten", "view", "reshape", "_unsafe_view"}


@dataclass(frozen=True)
class FirstLayer:
    """The dense layer that a model's only input goes into, and nothing else of the model does.

    Attributes:
        weight: shape (units, values of a row).
        rest: gives the scores from what the layer gives, of shape (rows, units).
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    rest: Callable[[torch.Tensor], torch.Tensor]

    def along(
        self, rows: torch.Tensor, background_row: torch.Tensor, ranks: torch.Tensor, steps_of_a_block: int
    ) -> Iterator[torch.Tensor]:
        """Score coalitions along one order of the features, without the empty and the full one.

        Args:
            rows: shape (rows, values).
            background_row: where the walk starts, shape (values,).
            ranks: the place in the order of the feature that each value belongs to, shape (values,).

        Yields:
            Scores of blocks of consecutive coalitions, shape (rows, coalitions, outputs).
        """
        difference = rows - background_row
        order = ranks.argsort(stable=True)
        ordered, changes, columns = ranks[order], difference[:, order], self.weight.t()[order]
        count = int(ordered[-1])
        blocks = list(chunks(count, steps_of_a_block))
        firsts = torch.tensor([block.start + 1 for block in blocks], device=ranks.device)
        kept = (ranks < firsts[:, None]).to(rows.dtype)
        before = functional.linear(background_row + kept[:, None] * difference, self.weight, self.bias)
        bounds = torch.searchsorted(ordered, torch.stack([firsts, firsts + steps_of_a_block - 1], dim=1)).tolist()
        for block, at_start, (low, high) in zip(blocks, before, bounds, strict=True):
            steps = torch.arange(block.start + 1, block.stop + 1, device=ranks.device)
            changed = (ordered[low:high] < steps[:, None]).to(rows.dtype) * changes[:, None, low:high]
            given = at_start[:, None] + changed @ columns[low:high]
            scores = self.rest(given.flatten(0, 1))
            yield scores.view(len(rows), len(steps), -1)


def steps_of_a_block(row_count: int) -> int:
    """Return how many steps of so many rows make a block."""
    shortest, longest = BLOCK_STEPS
    return max(shortest, min(longest, BLOCK_ROWS // row_count))


def split_at_first_layer(module: fx.GraphModule) -> tuple[torch.Tensor, torch.Tensor | None, fx.GraphModule] | None:
    """Return weight and bias of the dense layer that the only input goes into, and a module of all that follows.

    None where the graph does not show that it is so: the input is used once, but for its shape, and by ``linear``.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    path = _path_to_first_layer(graph)
    if path is None:
        return None
    layer = path[-1]
    weight, *rest = [attribute(module, str(part.target)).detach() for part in layer.all_input_nodes[1:]]
    with graph.inserting_before(layer):
        given = graph.placeholder("first_layer")
    layer.replace_all_uses_with(given)
    for done in reversed(path):
        graph.erase_node(done)
    graph.eliminate_dead_code()
    graph.lint()
    return weight, rest[0] if rest else None, fx.GraphModule(module, graph)


def _path_to_first_layer(graph: fx.Graph) -> list[fx.Node] | None:
    """Return the nodes from the only input to the dense layer that it goes into, with weights that are not computed."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        return None
    path = inputs
    while len(path[-1].users) == 1 and operator(path[-1]) != "linear":
        node = next(iter(path[-1].users))
        if operator(node) not in {*RESHAPING, "linear"} or node.args[0] is not path[-1]:
            return None
        path.append(node)
    layer, value = path[-1], path[-2].meta.get("val") if len(path) > 1 else None
    if operator(layer) != "linear" or not isinstance(value, torch.Tensor) or value.ndim != 2:
        return None
    are_held = all(part.op == "get_attr" for part in layer.all_input_nodes[1:])
    return path if are_held else None
