"""Dense layers that hand their sums to their activation within one operator of oneDNN, for passes without gradient.

``linear`` copies the bias, multiplies, and leaves the activation to another pass over memory. oneDNN's product takes
both along, and is about twice as fast for matrices of few columns. Its sums have the same rounding, its ``tanh`` and
``sigmoid`` an error of the same size.
"""

from __future__ import annotations

import torch
from torch import fx

from workers.frameworks.pytorch_graph import attribute, operator

#: Activations that the product takes along, by their operators, with and without a tensor of their own.
ACTIVATIONS = {"relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_"}
#: For fewer units ``linear`` is as fast.
LEAST_UNITS = 8


def with_fused_layers(module: fx.GraphModule) -> fx.GraphModule | None:
    """Return a module that shares all weights, for the processor; None where it has no layer to gain from.

    It has no gradient.
    """
    if not torch.backends.mkldnn.is_available():
        return None
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    layers = [node for node in graph.nodes if _is_worthwhile(module, node)]
    for layer in layers:
        last, activation = layer, "none"
        follower = next(iter(layer.users))
        if len(layer.users) == 1 and operator(follower) in ACTIVATIONS:
            last, activation = follower, operator(follower).removesuffix("_")
        values, weight, bias = (*layer.args, None)[:3]
        with graph.inserting_before(layer):
            fused = graph.call_function(
                torch.ops.mkldnn._linear_pointwise.default, (values, weight, bias, activation, [], "none")
            )
        fused.meta = last.meta
        last.replace_all_uses_with(fused)
        for done in (last, layer)[last is layer :]:
            graph.erase_node(done)
    graph.lint()
    return fx.GraphModule(module, graph) if layers else None


def _is_worthwhile(module: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether a node is a dense layer of float32 with weights as they are kept, and wide enough."""
    if operator(node) != "linear" or node.kwargs or any(part.op != "get_attr" for part in node.all_input_nodes[1:]):
        return False
    value, weight = node.meta.get("val"), node.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or not isinstance(value, torch.Tensor):
        return False
    kept = attribute(module, str(weight.target))
    return value.dtype == kept.dtype == torch.float32 and len(kept) >= LEAST_UNITS
