"""Surgery on exported torch graphs: the inference and the training variant, logits, features, a description.

An exported program is one graph in the mode in which it was exported; ``.eval()`` and ``.train()`` raise. What differs
between the modes are arguments of operators (``train`` of ``aten.dropout`` and ``aten.lstm``, ``training`` of
``aten.batch_norm``, ``dropout_p`` of attention), so they are switched here, by the names of the operator's own schema.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import fx

Answer = Literal["output", "logits", "features"]

#: Arguments of operators that tell training from inference, with their value in inference.
MODE_ARGUMENTS = {"train": False, "training": False, "use_input_stats": False, "dropout_p": 0.0}

#: Operators that may stand between the last softmax and the output without changing a number.
PASSING = {
    "alias", "clone", "contiguous", "detach", "dropout", "flatten", "reshape", "squeeze", "to", "type_as", "unsqueeze",
    "view", "_to_copy", "_unsafe_view", "lift_fresh_copy", "identity",
}  # fmt: skip
SOFTMAX = {"softmax", "_softmax", "_safe_softmax"}
SIGMOID = {"sigmoid", "sigmoid_"}

#: Operators with a weight matrix, and the position of what the weight is applied to.
WEIGHTED = {
    "linear": 0, "addmm": 1, "mm": 0, "matmul": 0, "bmm": 0, "conv1d": 0, "conv2d": 0, "conv3d": 0, "convolution": 0,
    "conv_transpose1d": 0, "conv_transpose2d": 0, "conv_transpose3d": 0, "lstm": 0, "gru": 0, "rnn_tanh": 0,
    "rnn_relu": 0, "embedding": 1, "embedding_bag": 1,
}  # fmt: skip


class FeaturesMissingError(Exception):
    """The graph has no operator with weights."""


def operator(node: fx.Node) -> str:
    """Return the name of a node's ATen operator without overload (``linear``), or an empty text."""
    target = node.target
    if node.op == "call_function" and isinstance(target, torch._ops.OpOverload):
        return target._schema.name.rpartition("::")[2]
    return ""


def last_activation(graph: fx.Graph) -> fx.Node | None:
    """Return the softmax or sigmoid that makes the first output, if one does."""
    node: Any = _first_output(graph)
    while isinstance(node, fx.Node):
        name = operator(node)
        if name in SOFTMAX | SIGMOID:
            return node
        if name not in PASSING:
            return None
        node = node.args[0]
    return None


def variant(module: fx.GraphModule, *, training: bool, answer: Answer) -> fx.GraphModule:
    """Return a module that shares all weights, takes flat tensors and returns one tensor.

    ``training`` switches every operator to that mode. In inference every write to a buffer is taken out, so that
    nothing changes. ``answer`` is what is returned: the first output, what goes into its last softmax or sigmoid (the
    output where there is none), or what enters the last operator with weights.

    Raises:
        FeaturesMissingError: ``features`` of a graph without weights.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    for node in list(graph.nodes):
        if operator(node) == "_assert_tensor_metadata":
            # It asserts the dtype and device of the export; in bfloat16 and on a GPU these are others.
            graph.erase_node(node)
        elif operator(node):
            _switch(node, training=training)
            if not training:
                _take_out_write(graph, node)
    result = _first_output(graph)
    if answer == "logits":
        activation = last_activation(graph)
        scores = None if activation is None else activation.args[0]
        if activation is not None and isinstance(scores, fx.Node):
            activation.replace_all_uses_with(scores)
            graph.erase_node(activation)
            result = scores if activation is result else result
    elif answer == "features":
        result = _features(graph)
    output = next(node for node in graph.nodes if node.op == "output")
    output.args = (result,)
    graph.eliminate_dead_code()
    graph.lint()
    return fx.GraphModule(module, graph)


def in_channels_last(module: fx.GraphModule) -> fx.GraphModule | None:
    """Return a module with copies of the kernels of its convolutions that lie in memory with the channels last.

    The processor convolves those several times faster, and what comes out is laid out likewise. All other weights are
    shared. None where nothing is convolved over two dimensions.
    """
    kernels = [node.args[1] for node in module.graph.nodes if operator(node) in ("conv2d", "convolution")]
    names = {str(kernel.target) for kernel in kernels if isinstance(kernel, fx.Node) and kernel.op == "get_attr"}
    flat = {name: tensor for name in sorted(names) if (tensor := attribute(module, name)).ndim == 4}
    if not flat:
        return None
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    twin = fx.GraphModule(module, graph)
    for name, kernel in flat.items():
        owner_name, _, leaf = name.rpartition(".")
        copied = kernel.detach().contiguous(memory_format=torch.channels_last).clone()
        setattr(twin.get_submodule(owner_name), leaf, torch.nn.Parameter(copied, requires_grad=False))
    return twin


def with_bound_weights(module: fx.GraphModule) -> Callable[..., torch.Tensor]:
    """Return the function that a module computes, bound to the tensors that it reads.

    A module looks each of them up by name through its layers in every pass, which takes a tenth of a pass through a
    small network.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    first = next(node for node in graph.nodes if node.op == "placeholder")
    tensors = []
    for node in [node for node in graph.nodes if node.op == "get_attr"]:
        with graph.inserting_before(first):
            given = graph.placeholder(node.name)
        node.replace_all_uses_with(given)
        graph.erase_node(node)
        tensors.append(attribute(module, str(node.target)))
    graph.lint()
    return functools.partial(fx.GraphModule(module, graph).forward, *tensors)


def attribute(module: fx.GraphModule, name: str) -> torch.Tensor:
    """Return the parameter or buffer that a node ``get_attr`` reads."""
    owner_name, _, leaf = name.rpartition(".")
    tensor: torch.Tensor = getattr(module.get_submodule(owner_name), leaf)
    return tensor


def describe(module: fx.GraphModule) -> list[dict[str, Any]]:
    """Describe the operators that compute tensors, in order, each with the parameters that it is the first to use."""
    parameters = dict(module.named_parameters())
    told: set[str] = set()
    layers = []
    for node in module.graph.nodes:
        value = node.meta.get("val")
        if not operator(node) or not isinstance(value, torch.Tensor) or not value.ndim:
            continue
        count = 0
        for source in _weights_of(node):
            name = str(source.target)
            if name in parameters and name not in told:
                told.add(name)
                count += parameters[name].numel()
        shape = [size if isinstance(size, int) else -1 for size in value.shape]
        layers.append({"name": node.name, "kind": operator(node), "output_shape": shape, "parameter_count": count})
    return layers


def _weights_of(node: fx.Node) -> Iterator[fx.Node]:
    """Return the attributes that a node reads, also through views and pieces of them."""
    for source in node.all_input_nodes:
        if source.op == "get_attr":
            yield source
        elif source.op == "call_function" and "val" in source.meta:
            inner = source
            while inner.op == "call_function" and len(inner.all_input_nodes) == 1:
                inner = inner.all_input_nodes[0]
            if inner.op == "get_attr":
                yield inner


def _first_output(graph: fx.Graph) -> Any:
    output = next(node for node in graph.nodes if node.op == "output")
    result = output.args[0]
    while isinstance(result, list | tuple):
        result = result[0]
    while isinstance(result, dict):
        result = next(iter(result.values()))
    return result


def _switch(node: fx.Node, *, training: bool) -> None:
    schema = node.target._schema  # type: ignore[union-attr]  # `operator` has told that it is an OpOverload
    for index, argument in enumerate(schema.arguments):
        if argument.name not in MODE_ARGUMENTS:
            continue
        if argument.name == "dropout_p":
            # Its rate is the mode: the graph keeps it for training, and a graph exported in inference has lost it.
            if not training:
                _set_argument(node, argument.name, index, 0.0)
        elif argument.name == "use_input_stats":
            # Instance normalisation without running statistics uses those of its input in both modes.
            if _argument(node, "running_mean") is not None:
                _set_argument(node, argument.name, index, training)
        else:
            _set_argument(node, argument.name, index, training)


def _argument(node: fx.Node, name: str) -> Any:
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    index = names.index(name) if name in names else len(node.args)
    return node.args[index] if index < len(node.args) else node.kwargs.get(name)


def _set_argument(node: fx.Node, name: str, index: int, value: Any) -> None:
    if index < len(node.args):
        node.update_arg(index, value)
    elif name in node.kwargs or value != MODE_ARGUMENTS[name]:
        node.update_kwarg(name, value)


def _take_out_write(graph: fx.Graph, node: fx.Node) -> None:
    """Remove an operator that only writes to a buffer (a counter of batches, a running mean)."""
    schema = node.target._schema  # type: ignore[union-attr]
    for index, argument in enumerate(schema.arguments):
        if index >= len(node.args) or argument.alias_info is None or not argument.alias_info.is_write:
            continue
        written = node.args[index]
        if isinstance(written, fx.Node) and written.op == "get_attr":
            node.replace_all_uses_with(written)
            graph.erase_node(node)
            return


def _features(graph: fx.Graph) -> fx.Node:
    result = _first_output(graph)
    needed, waiting = set(), [result]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(node.all_input_nodes)
    for node in reversed(list(graph.nodes)):
        if node in needed and operator(node) in WEIGHTED and any(_weights_of(node)):
            source = node.args[WEIGHTED[operator(node)]]
            if isinstance(source, fx.Node):
                return source
    raise FeaturesMissingError
