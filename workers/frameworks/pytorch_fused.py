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
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    fused = torch.ops.mkldnn._linear_pointwise.default
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    layers = [node for node in graph.nodes if _is_worthwhile(module, node)]
    for layer in layers:
        followers = list(layer.users)
        takes_along = len(followers) == 1 and operator(followers[0]) in ACTIVATIONS
        replaced = [followers[0], layer] if takes_along else [layer]
        activation = operator(followers[0]).removesuffix("_") if takes_along else "none"
        values, weight, bias = (*layer.args, None)[:3]
        with graph.inserting_before(layer):
            product = graph.call_function(fused, (values, weight, bias, activation, [], "none"))
        product.meta = replaced[0].meta
        replaced[0].replace_all_uses_with(product)
        for node in replaced:
            graph.erase_node(node)
    graph.lint()
    return fx.GraphModule(module, graph) if layers else None


def _is_worthwhile(module: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether a node is a dense layer of float32 with weights as they are kept, and enough units."""
    held = [part for part in node.args[1:] if isinstance(part, fx.Node)]
    if operator(node) != "linear" or node.kwargs or any(part.op != "get_attr" for part in held):
        return False
    value, weight = node.meta.get("val"), attribute(module, str(held[0].target))
    is_float = isinstance(value, torch.Tensor) and value.dtype == weight.dtype == torch.float32
    return is_float and len(weight) >= LEAST_UNITS
