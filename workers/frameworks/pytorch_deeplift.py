"""DeepLIFT's rescale rule on an exported torch graph, operator by operator; what has no rule here is refused by name.

Each operator runs three times: on explained rows, on background rows, and on pairs of both. Of a pair only the
gradient matters: there a linear operator runs as it is, and a nonlinear one becomes the multiplication with a
constant slope, the difference of its outputs over the difference of its inputs between the pair's two rows. What is
left is a linear function, whose gradient are DeepLIFT's multipliers. A node of the graph is one use of a layer, so
layers that are used again are right. Nothing global is touched.

Source: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences" (2017);
for max-pooling the rule of shap's DeepExplainer, which that paper does not give.
"""

from __future__ import annotations

import operator as python_operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from torch.nn import functional

from workers.frameworks.paths import Paths, Rescaled, RescaledContributions
from workers.frameworks.pytorch_entrances import Ends
from workers.frameworks.pytorch_graph import operator
from workers.frameworks.pytorch_paths import Scores
from workers.frameworks.rescaling import SMALLEST_DIFFERENCE, refused_layer
from workers.frameworks.rows import chunks

#: Linear in all of their tensors together.
LINEAR_IN_ALL = {
    "add", "sub", "rsub", "neg", "cat", "concat", "stack", "sum", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "dropout", "feature_dropout", "alpha_dropout",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d", "constant_pad_nd", "pad", "slice", "select",
    "narrow", "split", "split_with_sizes", "chunk", "unbind", "flip", "repeat", "expand", "view", "reshape", "flatten",
    "unflatten", "permute", "transpose", "movedim", "t", "squeeze", "unsqueeze", "clone", "contiguous", "alias", "to",
    "_to_copy", "type_as", "detach", "lift_fresh_copy", "pixel_shuffle", "sym_size", "zeros_like", "ones_like", "zeros",
    "ones", "full", "new_zeros",
}  # fmt: skip
#: Linear in the tensors at these positions, as long as all others do not depend on the inputs.
LINEAR_IN = {
    "linear": (0,), "conv1d": (0,), "conv2d": (0,), "conv3d": (0,), "convolution": (0,), "conv_transpose1d": (0,),
    "conv_transpose2d": (0,), "conv_transpose3d": (0,), "batch_norm": (0,), "div": (0,), "index_select": (0,),
    "addmm": (0, 1),
}  # fmt: skip
#: Linear in any one of their tensors.
LINEAR_IN_ONE = {"mul", "matmul", "mm", "bmm"}
#: Functions of single numbers, given constants.
ELEMENTWISE = {
    "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardtanh", "relu6", "hardswish",
    "hardsigmoid", "sigmoid", "tanh", "softplus", "log_sigmoid", "clamp", "clamp_min", "clamp_max", "abs", "exp",
    "square", "prelu",
}  # fmt: skip
#: Pooling by the largest value, and the function that also tells where it was.
LARGEST = {
    "max_pool1d": functional.max_pool1d,
    "max_pool2d": functional.max_pool2d,
    "max_pool3d": functional.max_pool3d,
}
#: Results that share their memory with what they were made of.
_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "t", "squeeze", "unsqueeze", "slice",
    "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "expand", "alias", "to", "detach", "contiguous",
    "dropout", "feature_dropout", "alpha_dropout",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lifted:
    """What a node gives on explained rows, on background rows, and on each pair of them, row by row."""

    rows: Any
    background: Any
    pairs: Any


def rescaled_contributions(
    module: fx.GraphModule,
    scores: Scores,
    paths: Paths,
    ends: Sequence[Ends],
    as_scores: Callable[[Any], torch.Tensor],
    *,
    pairs: int,
) -> RescaledContributions:
    """Return what ``Model.rescaled_contributions`` promises.

    Args:
        scores: gives the model's own scores for what enters it, shape (rows, all outputs).
        as_scores: makes scores of what the module gives.
        pairs: how many go through the model at once.

    Raises:
        JobError: ``layer_not_supported``.
    """
    _demand_rules(module.graph)
    count = paths.background_count

    def rescaled(rows: NDArray[np.intp], outputs: NDArray[np.intp]) -> Rescaled:
        sums = np.zeros((len(rows), paths.feature_count, outputs.shape[1]))
        background_step = min(count, pairs)
        row_step = max(1, pairs // background_step)
        for first in range(0, len(rows), row_step):
            chosen = slice(first, first + row_step)
            for background in chunks(count, background_step):
                sums[chosen] += of_pairs(rows[chosen], background, outputs[chosen]).double().cpu().numpy()
        own = _scored(scores, [end.rows for end in ends], rows, pairs)
        base = _scored(scores, [end.background for end in ends], np.arange(count), pairs).mean(axis=0)
        return Rescaled(sums / count, np.take_along_axis(own, outputs, axis=1), base[outputs])

    def of_pairs(rows: NDArray[np.intp], background: slice, outputs: NDArray[np.intp]) -> torch.Tensor:
        """Return sums over some background rows, shape (rows, features, outputs)."""
        leaves, entered, steps = [], [], []
        for end in ends:
            ours, theirs = end.rows[torch.from_numpy(rows).to(end.rows.device)], end.background[background]
            step = (ours[:, None] - theirs[None]).flatten(0, 1)
            leaf = torch.zeros_like(step).requires_grad_()
            leaves.append(leaf)
            steps.append(step)
            entered.append(Lifted(ours, theirs, leaf))
        scores = as_scores(_run(module, entered).pairs)
        pair_count = len(scores)
        each = pair_count // len(rows)
        wanted = torch.from_numpy(outputs).to(scores.device).repeat_interleave(each, dim=0)
        chosen = scores.gather(1, wanted)
        sums = chosen.new_zeros(len(rows), paths.feature_count, outputs.shape[1])
        for column in range(outputs.shape[1]):
            is_last = column + 1 == outputs.shape[1]
            found = torch.autograd.grad(chosen[:, column].sum(), leaves, allow_unused=True, retain_graph=not is_last)
            for multiplier, step, end in zip(found, steps, ends, strict=True):
                if multiplier is not None:
                    summed = (multiplier * step).reshape(len(rows), each, *step.shape[1:]).sum(1)
                    sums[:, :, column] += end.summed_by_feature(summed, paths.feature_count)
        return sums

    return rescaled


def _scored(
    scores: Scores, entered: Sequence[torch.Tensor], rows: NDArray[np.intp], at_once: int
) -> NDArray[np.float64]:
    """Return the scores of some rows, shape (rows, all outputs)."""
    parts = []
    with torch.no_grad():
        for part in chunks(len(rows), at_once):
            # Picked by their numbers they are copies, to which an operator may write.
            numbers = torch.from_numpy(rows[part])
            found = scores([values[numbers.to(values.device)] for values in entered])
            parts.append(found.double().cpu().numpy())
    return np.concatenate(parts)


def _run(module: fx.GraphModule, entered: Sequence[Lifted]) -> Lifted:
    values: dict[fx.Node, Any] = {}
    waiting = list(entered)
    last_uses = _last_uses(module.graph)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = waiting.pop(0)
        elif node.op == "get_attr":
            values[node] = _attribute(module, str(node.target))
        elif node.op == "output":
            answer: Lifted = values[node.args[0]]
            return answer
        else:
            values[node] = _call(node, values)
        for done in last_uses.get(node, ()):
            del values[done]
    raise AssertionError("a graph has an output")


def _call(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    def given(pick: Callable[[Lifted], Any]) -> tuple[Any, Any]:
        def of_node(inner: fx.Node) -> Any:
            value = values[inner]
            return pick(value) if isinstance(value, Lifted) else value

        return fx.map_arg(node.args, of_node), fx.map_arg(node.kwargs, of_node)

    target = _functional(node)
    if not any(isinstance(values[inner], Lifted) for inner in node.all_input_nodes):
        with torch.no_grad():
            arguments, named = given(lambda lifted: lifted)
            return target(*arguments, **named)
    name = _name(node)
    with torch.no_grad():
        (rows, *rest), named = given(lambda lifted: lifted.rows)
        (background, *_), _ = given(lambda lifted: lifted.background)
    (pairs, *_), _ = given(lambda lifted: lifted.pairs)
    if name in ELEMENTWISE:
        return _elementwise(lambda values: target(values, *rest, **named), rows, background, pairs)
    if name in LARGEST:
        return _largest(name, [rows, *rest], named, background, pairs)
    with torch.no_grad():
        arguments, named = given(lambda lifted: lifted.rows)
        of_rows = target(*arguments, **named)
        arguments, named = given(lambda lifted: lifted.background)
        of_background = target(*arguments, **named)
    arguments, named = given(lambda lifted: lifted.pairs)
    return Lifted(of_rows, of_background, target(*arguments, **named))


def _elementwise(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, background: torch.Tensor, pairs: torch.Tensor
) -> Lifted:
    with torch.enable_grad():
        leaf = rows.detach().requires_grad_()
        of_rows = function(leaf)
        (derivative,) = torch.autograd.grad(of_rows.sum(), leaf)
    of_rows = of_rows.detach()
    with torch.no_grad():
        of_background = function(background)
        entered = rows[:, None] - background[None]
        left = of_rows[:, None] - of_background[None]
        is_small = entered.abs() < SMALLEST_DIFFERENCE
        slopes = torch.where(is_small, derivative[:, None], left / entered.masked_fill_(is_small, 1.0))
    return Lifted(of_rows, of_background, pairs * slopes.flatten(0, 1))


def _largest(
    name: str, arguments: list[Any], named: dict[str, Any], background: torch.Tensor, pairs: torch.Tensor
) -> Lifted:
    """Credit a rise of the largest value to where it is in the row, and a fall to where it was in the background."""
    rows, *rest = arguments
    with torch.no_grad():
        of_rows, row_places = LARGEST[name](rows, *rest, **named, return_indices=True)
        of_background, background_places = LARGEST[name](background, *rest, **named, return_indices=True)
        left = (of_rows[:, None] - of_background[None]).flatten(0, 1)
        both = (len(rows), len(background), *row_places.shape[1:])
        places = torch.where(
            left > 0,
            row_places[:, None].expand(both).flatten(0, 1),
            background_places[None].expand(both).flatten(0, 1),
        ).flatten(2)
        steps = (rows.flatten(2)[:, None] - background.flatten(2)[None]).flatten(0, 1)
        entered = steps.gather(2, places)
        is_small = entered.abs() < SMALLEST_DIFFERENCE
        slopes = left.flatten(2).masked_fill(is_small, 0.0) / entered.masked_fill(is_small, 1.0)
    picked = pairs.flatten(2).gather(2, places) * slopes
    return Lifted(of_rows, of_background, picked.reshape(left.shape))


def _demand_rules(graph: fx.Graph) -> None:
    """Refuse a graph with an operator that has no rule for how it is used."""
    moving: set[fx.Node] = set()
    batch = ""
    for node in graph.nodes:
        if node.op == "placeholder":
            moving.add(node)
            batch = batch or _first_size(node)
        elif node.op == "call_function" and any(inner in moving for inner in node.all_input_nodes):
            moving.add(node)
            if node.target is not python_operator.getitem:
                _demand_rule(node, moving, batch)


def _demand_rule(node: fx.Node, moving: set[fx.Node], batch: str) -> None:
    name = _name(node)
    if name != operator(node) and not _writes_to_its_own(node):
        raise refused_layer(node.name, name, "it writes to a tensor that others may read")
    places = {
        index for index, argument in enumerate(node.args)
        if any(inner in moving for inner in _nodes_in(argument))
    }  # fmt: skip
    if any(inner in moving for argument in node.kwargs.values() for inner in _nodes_in(argument)):
        raise refused_layer(node.name, name, "an option of it depends on the inputs")
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point:
        raise refused_layer(node.name, name, "it makes whole numbers of an activation")
    if name in ELEMENTWISE or name in LARGEST:
        if places != {0}:
            raise refused_layer(node.name, name, "more than its input depends on the inputs")
        if _first_size(node) != batch:
            raise refused_layer(node.name, name, "rows are not along its first axis")
        if name in LARGEST and not _are_apart(node):
            raise refused_layer(node.name, name, "its windows overlap or are padded")
    elif name in LINEAR_IN_ALL:
        return
    elif name in LINEAR_IN:
        if not places <= set(LINEAR_IN[name]) or (name == "div" and "rounding_mode" in node.kwargs):
            raise refused_layer(node.name, name, "it is no linear function of one activation")
    elif name in LINEAR_IN_ONE:
        if len(places) != 1:
            raise refused_layer(node.name, name, "it multiplies two activations")
    elif operator(node) or not isinstance(value, torch.SymInt | int):
        raise refused_layer(node.name, name or str(node.target), "no rule is known for it")


def _are_apart(node: fx.Node) -> bool:
    """Tell whether the windows of a max-pooling share no value and hold no padding."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    stated = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    sides, strides = stated["kernel_size"], stated.get("stride") or stated["kernel_size"]
    sides, strides = (list(value) if isinstance(value, list | tuple) else [value] for value in (sides, strides))
    zeros = [value for value in _numbers(stated.get("padding", 0)) if value != 0]
    widths = [value for value in _numbers(stated.get("dilation", 1)) if value != 1]
    return not zeros and not widths and all(step >= side for side, step in zip(sides, strides, strict=True))


def _numbers(value: Any) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(node: fx.Node) -> str:
    """Return the operator's name without the sign of an operator that writes to its input."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload) and target.namespace != "aten":
        return str(target)
    name = operator(node)
    known = name.rstrip("_")
    return known if known in ELEMENTWISE | LINEAR_IN_ALL | LINEAR_IN_ONE | set(LINEAR_IN) else name


def _functional(node: fx.Node) -> Any:
    """Return what computes the same as a node without writing to its input."""
    name = _name(node)
    if name == operator(node) or not operator(node):
        return node.target
    return getattr(getattr(torch.ops.aten, name), node.target._overloadname)  # type: ignore[union-attr]


def _writes_to_its_own(node: fx.Node) -> bool:
    """Tell whether nobody else can see that a node writes to its input."""
    source = node.args[0]
    return (
        isinstance(source, fx.Node)
        and source.op == "call_function"
        and len(source.users) == 1
        and _name(source) not in _VIEWS
        and source.target is not python_operator.getitem
    )


def _first_size(node: fx.Node) -> str:
    value = node.meta.get("val")
    return str(value.shape[0]) if isinstance(value, torch.Tensor) and value.ndim else ""


def _nodes_in(argument: Any) -> list[fx.Node]:
    found: list[fx.Node] = []

    def take(node: fx.Node) -> fx.Node:
        found.append(node)
        return node

    fx.map_arg((argument,), take)
    return found


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for inner in node.all_input_nodes:
            last[inner] = node
    uses: dict[fx.Node, list[fx.Node]] = {}
    for inner, node in last.items():
        uses.setdefault(node, []).append(inner)
    return uses


def _attribute(module: torch.nn.Module, target: str) -> Any:
    value: Any = module
    for part in target.split("."):
        value = getattr(value, part)
    return value
