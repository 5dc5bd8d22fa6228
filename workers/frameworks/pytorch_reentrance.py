"""Whether a graph for inference may run on several threads at once and answer as if it ran one time after the other."""

from __future__ import annotations

import operator as python_operators
from collections.abc import Iterator

import torch
from torch import fx

from workers.frameworks.pytorch_graph import MODE_ARGUMENTS, PASSING, operator

#: Of what passes numbers on, these make a tensor of their own.
_COPYING = {"clone", "lift_fresh_copy", "_to_copy"}


def is_reentrant(graph: fx.Graph) -> bool:
    """Tell whether every answer depends on what goes in and on the weights only.

    It does not where a graph writes to a tensor that it keeps, or draws random numbers, which come in the order of the
    calls. Where it calls other modules or takes other graphs along, that is not seen, and the answer is no.
    """
    return all(_keeps_nothing(node) for node in graph.nodes)


def _keeps_nothing(node: fx.Node) -> bool:
    if node.op != "call_function":
        return node.op not in ("call_module", "call_method")
    if not operator(node):
        return not isinstance(node.target, torch._ops.HigherOrderOperator)
    return not _draws(node) and not any(_is_kept(written) for written in _written_by(node))


def _draws(node: fx.Node) -> bool:
    """Tell whether a node takes from the random generator; what does so in training only has an argument for it."""
    names = {argument.name for argument in node.target._schema.arguments}  # type: ignore[union-attr]
    return torch.Tag.nondeterministic_seeded in node.target.tags and not names & set(MODE_ARGUMENTS)  # type: ignore[union-attr]


def _written_by(node: fx.Node) -> Iterator[object]:
    for index, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield node.args[index] if index < len(node.args) else node.kwargs.get(argument.name)


def _is_kept(written: object) -> bool:
    """Tell whether a tensor is one of the module's own, or a view of one, as far as the graph shows."""
    while isinstance(written, fx.Node) and _may_give_its_argument(written):
        written = written.args[0]
    return not isinstance(written, fx.Node) or written.op == "get_attr"


def _may_give_its_argument(node: fx.Node) -> bool:
    if node.target is python_operators.getitem:
        return True
    name = operator(node)
    if not name or not node.args:
        return False
    is_view = any(answer.alias_info is not None for answer in node.target._schema.returns)  # type: ignore[union-attr]
    return is_view or name in PASSING - _COPYING
