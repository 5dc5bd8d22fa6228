"""The graph of a SavedModel: its nodes and functions, which of them the model can reach, and what those may do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.saved_model.operators import OPERATORS, READS_ASSET, SAVERS, danger_of
from workers.artifacts.saved_model.tensors import TensorCheck
from workers.artifacts.saved_model.wire import Message

PLACE = "saved_model.pb"

_NAME = re.compile(r"[A-Za-z0-9_.\\/<>-]+")
_DEVICE = re.compile(r"(/job:localhost)?(/replica:0)?(/task:0)?(/device:(CPU|GPU):([0-9]{1,3}|[*]))?", re.IGNORECASE)

#: Attributes that TensorFlow passes by without an operator that declares them: how a graph was made and is compiled.
_HINTS = frozenset(
    {
        *("_XlaMustCompile", "_class", "_collective_manager_ids", "_construction_context", "_gradient_op_type"),
        *("_disable_acd", "_disable_call_shape_inference", "_has_manual_control_dependencies", "_input_shapes"),
        *("_lower_using_switch_merge", "_noinline", "_num_original_outputs", "_output_shapes", "_parallel_iterations"),
        *("_read_only_resource_inputs", "_stateful_parallelism", "_tf_data_function", "_user_specified_name"),
        *("_default_tf_lite_quantization", "_xla_inferred_shapes"),
    }
)


#: How a call is to be compiled and run. It is left out of the rewritten copy: the machine that runs it decides.
_SETTINGS = frozenset({"config", "config_proto", "executor_type"})


@dataclass(frozen=True)
class Library:
    """The functions of a graph by name, and the function that is the gradient of each custom operator type."""

    functions: Mapping[str, Message]
    gradients: Mapping[bytes, str]

    def reached_from(self, roots: Iterable[str]) -> frozenset[str]:
        """Return the names of all functions that calling these ones can run, gradients included."""
        reached: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting.extend(self._called_by(self.functions[name]))
        return frozenset(reached)

    def written(self, names: Collection[str]) -> Message:
        """Return these functions and the gradients as a library, without settings of the machine that made them."""
        return {
            "function": [_without_settings(function) for name, function in self.functions.items() if name in names],
            "registered_gradients": [
                {"gradient_func": function, "registered_op_type": kind.decode()}
                for kind, function in self.gradients.items()
            ],
        }

    def _called_by(self, function: Message) -> Iterator[str]:
        yield from _functions_in(function.get("attr", {}))
        for node in function.get("node_def", ()):
            attributes = node.get("attr", {})
            yield from _functions_in(attributes)
            gradient = attributes.get("_gradient_op_type", {}).get("s")
            if gradient is not None and bytes(gradient) in self.gradients:
                yield self.gradients[bytes(gradient)]


def read_library(graph: Message, tensors: TensorCheck) -> Library:
    """Return the functions of a graph; every node outside and inside of them was checked.

    Raises:
        RefusalError: an operator that is not taken, a function that is missing or there twice, or an odd attribute.
    """
    library = graph.get("library", {})
    functions: dict[str, Message] = {}
    for function in library.get("function", ()):
        name = function.get("signature", {}).get("name", "")
        if name in functions or name in OPERATORS or not _NAME.fullmatch(name):
            detail = f"The function name {shown(name)} stands twice, is an operator's, or is no plain name."
            raise refusal("ART-02.graph", detail, PLACE)
        functions[name] = function
    gradients = _gradients(library, functions)
    _check_nodes(graph.get("node", ()), f"{PLACE}: graph", functions, tensors)
    for name, function in functions.items():
        place = f"{PLACE}: function {name}"
        _check_attributes(function.get("attr", {}), place, functions, tensors)
        for arguments in function.get("arg_attr", {}).values():
            _check_attributes(arguments.get("attr", {}), place, functions, tensors)
        _check_nodes(function.get("node_def", ()), place, functions, tensors)
    return Library(functions, gradients)


def check_reached(library: Library, reached: Collection[str]) -> None:
    """Refuse operators that write or read checkpoints where the model can run them.

    Raises:
        RefusalError: one of them stands in a function that is reached, whatever that function is called.
    """
    for name in sorted(reached):
        for node in library.functions[name].get("node_def", ()):
            if node["op"] in SAVERS:
                place = f"{PLACE}: function {name}, node {node.get('name', '')}"
                raise _operator_refusal(node["op"], place, " outside of the functions that save and restore")


def check_asset_reads(library: Library, reached: Collection[str], assets_of: Mapping[str, Collection[str]]) -> None:
    """Refuse a table that is filled from a file which is not an asset of the model.

    Args:
        assets_of: for functions that the object graph binds to assets, the names of the arguments that are their paths.

    Raises:
        RefusalError: the path is a constant or computed, or comes from whoever calls the function.
    """
    called = {name for other in reached for name in _functions_called(library, other)}
    for name in sorted(reached):
        for node in library.functions[name].get("node_def", ()):
            if node["op"] != READS_ASSET:
                continue
            source = [text for text in node.get("input", ()) if not text.startswith("^")][1:2]
            if name in called or not source or source[0] not in assets_of.get(name, ()):
                place = f"{PLACE}: function {name}, node {node.get('name', '')}"
                raise _operator_refusal(READS_ASSET, place, " that is not an asset of the model")


def check_device(device: str, place: str) -> None:
    """Refuse a device that is not one of this machine.

    Raises:
        RefusalError: another task or job, or no device at all.
    """
    if not _DEVICE.fullmatch(device):
        raise refusal("ART-01.operator", f"The device {shown(device)} is not one of the machine itself.", place)


def _without_settings(function: Message) -> Message:
    nodes = [
        {**node, "attr": {name: value for name, value in node["attr"].items() if name not in _SETTINGS}}
        if _SETTINGS & node.get("attr", {}).keys()
        else node
        for node in function.get("node_def", ())
    ]
    return {**function, "node_def": nodes}


def _functions_called(library: Library, name: str) -> Iterator[str]:
    for node in library.functions[name].get("node_def", ()):
        yield from _functions_in(node.get("attr", {}))


def _gradients(library: Message, functions: Mapping[str, Message]) -> dict[bytes, str]:
    gradients: dict[bytes, str] = {}
    for entry in library.get("registered_gradients", ()):
        kind, function = entry.get("registered_op_type", "").encode(), entry.get("gradient_func", "")
        if kind in gradients:
            raise refusal("ART-02.graph", f"The operator type {shown(kind)} has two gradients.", PLACE)
        _demand_function(function, functions, PLACE)
        gradients[kind] = function
    for entry in library.get("gradient", ()):
        for key in ("function_name", "gradient_func"):
            _demand_function(entry.get(key, ""), functions, PLACE)
    return gradients


def _check_nodes(nodes: Iterable[Message], place: str, functions: Mapping[str, Message], tensors: TensorCheck) -> None:
    names: set[str] = set()
    for node in nodes:
        name, operator = node.get("name", ""), node.get("op", "")
        here = f"{place}, node {name}"
        if not name or name in names:
            raise refusal("ART-02.graph", f"The name {shown(name)} of a node is empty or stands twice.", place)
        names.add(name)
        if operator not in OPERATORS and operator not in SAVERS:
            raise _operator_refusal(operator, here)
        check_device(node.get("device", ""), here)
        _check_attributes(node.get("attr", {}), here, functions, tensors)


def _operator_refusal(operator: str, place: str, where: str = "") -> RefusalError:
    does = danger_of(operator)
    if does is not None:
        return refusal("ART-01.operator", f"The operator {operator} {does}{where}.", place)
    detail = f"The operator {shown(operator)} is not one of TensorFlow's that only compute, so it is not taken."
    return refusal("ART-01.custom_operator", detail, place)


def _check_attributes(
    attributes: Mapping[str, Message], place: str, functions: Mapping[str, Message], tensors: TensorCheck
) -> None:
    for name, value in _values_in(attributes):
        if name.startswith("_") and name not in _HINTS:
            raise refusal(
                "ART-02.graph", f"The attribute {shown(name)} is not one of TensorFlow's that are known.", place
            )
        for tensor in (*_one(value, "tensor"), *value.get("list", {}).get("tensor", ())):
            tensors.check(tensor, f"{place}, attribute {name}")
    for function in _functions_in(attributes):
        _demand_function(function, functions, place)


def _demand_function(name: str, functions: Mapping[str, Message], place: str) -> None:
    if name not in functions:
        raise refusal("ART-02.graph", f"The function {shown(name)} is called and is not in the file.", place)


def _functions_in(attributes: Mapping[str, Message]) -> Iterator[str]:
    """Yield the names of all functions that attributes name, at any depth."""
    for _, value in _values_in(attributes):
        for function in _called_in(value):
            yield function.get("name", "")


def _values_in(attributes: Mapping[str, Message]) -> Iterator[tuple[str, Message]]:
    """Yield attributes by name, also those that a function is called with, of which its nodes may be made."""
    for name, value in attributes.items():
        yield name, value
        for function in _called_in(value):
            yield from _values_in(function.get("attr", {}))


def _called_in(value: Message) -> Iterator[Message]:
    yield from _one(value, "func")
    yield from value.get("list", {}).get("func", ())


def _one(value: Message, key: str) -> tuple[Message, ...]:
    return (value[key],) if key in value else ()
