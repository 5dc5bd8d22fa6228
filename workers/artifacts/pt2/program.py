"""Reads the graph of a ``.pt2`` (``models/model.json``) and builds the one that the rewritten file has.

The format is that of ``torch._export.serde.schema`` 8.x. Whatever ``torch.export.load`` would evaluate, import or
print into code is either read by a grammar of ours or not taken: expressions, guards, operators, names, tree types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.artifacts.findings import MAX_FINDINGS, Finding, RefusalError, finding, refusal, shown
from workers.artifacts.pt2 import expressions
from workers.artifacts.pt2 import schema as pt2_schema
from workers.artifacts.pt2.operators import ATEN_OPERATORS, SIZE_OPERATORS, danger_of
from workers.artifacts.pt2.schema import Reader, choice, record, sequence

PLACE = "models/model.json"
_DERIVED_SIZE = re.compile(r"[0-9s+*/\- ()]{1,200}")
_MAX_NODES = 100_000


@dataclass(frozen=True)
class Program:
    """A graph that was read: the document to write, and what the weights have to be."""

    document: dict[str, Any]
    findings: tuple[Finding, ...]
    #: Name of a parameter, buffer or constant -> tensor metadata in the graph, and whether it is a parameter.
    tensors: Mapping[str, tuple[dict[str, Any], bool]]
    #: Names of those that stand with the constants: tensor constants and buffers that are not persistent.
    constants: frozenset[str]


def read_program(document: Any) -> Program:
    """Read a parsed ``model.json``.

    Raises:
        RefusalError: at the first thing that does not follow the format; what is wrong with single nodes is collected
            as findings.
    """
    return _ProgramReader().read(document)


class _ProgramReader:
    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._metadata: dict[str, dict[str, Any]] = {}
        self._sizes = pt2_schema.Sizes(())
        self._size_names: set[str] = set()
        self._defined: set[str] = set()

    def read(self, document: Any) -> Program:
        whole: dict[str, Reader] = {
            "graph_module": pt2_schema.anything,
            "opset_version": pt2_schema.opset_version,
            "range_constraints": self._ranges,
            "schema_version": pt2_schema.schema_version,
            "verifiers": sequence(pt2_schema.verifier, 4),
            "torch_version": pt2_schema.torch_version,
            "guards_code": sequence(pt2_schema.guard, 100_000),
        }
        outer = record(document, PLACE, whole)
        # The sizes can be read only once the ranges have declared the symbols.
        self._sizes = pt2_schema.Sizes(frozenset(outer["range_constraints"]))
        module, tensors, constants = self._module(outer["graph_module"], f"{PLACE}: graph_module")
        written = {**outer, "graph_module": module, "guards_code": []}
        return Program(written, tuple(self._findings), tensors, constants)

    def _ranges(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refusal("ART-02.schema", "`range_constraints` is an object.", place)
        ranges = {}
        bound = pt2_schema.nullable(pt2_schema.integer)
        for name, entry in value.items():
            read = record(entry, place, {"min_val": bound, "max_val": bound})
            if expressions.SYMBOL_NAME.fullmatch(name):
                ranges[name] = read
            elif not _DERIVED_SIZE.fullmatch(name):
                raise refusal("ART-01.expression", f"The range of {shown(name)} is not that of a size.", place)
        return ranges

    def _module(self, value: Any, place: str) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
        fields: dict[str, Reader] = {
            "graph": pt2_schema.anything,
            "signature": pt2_schema.anything,
            "module_call_graph": pt2_schema.anything,
            "metadata": pt2_schema.anything,
            "treespec_namedtuple_fields": pt2_schema.nothing,
        }
        module = record(value, place, fields, {"metadata": {}, "treespec_namedtuple_fields": {}})
        graph = self._graph(module["graph"], f"{place}.graph")
        signature, tensors, constants = self._signature(module["signature"], graph, f"{place}.signature")
        calls = self._calls(module["module_call_graph"], signature, f"{place}.module_call_graph")
        written = {
            "graph": graph,
            "signature": signature,
            "module_call_graph": calls,
            "metadata": {},
            "treespec_namedtuple_fields": {},
        }
        return written, tensors, constants

    def _graph(self, value: Any, place: str) -> dict[str, Any]:
        fields: dict[str, Reader] = {
            "inputs": pt2_schema.anything,
            "outputs": pt2_schema.anything,
            "nodes": pt2_schema.anything,
            "tensor_values": self._values(self._sizes.tensor),
            "sym_int_values": self._values(self._sizes.whole),
            "sym_bool_values": self._values(self._sizes.truth),
            "sym_float_values": self._values(self._sizes.real),
            "is_single_tensor_return": pt2_schema.boolean,
            "custom_obj_values": pt2_schema.no_custom_objects,
        }
        defaults = {"is_single_tensor_return": False, "custom_obj_values": {}, "sym_float_values": {}}
        graph = record(value, place, fields, defaults)
        if graph["is_single_tensor_return"]:
            raise refusal("ART-02.schema", "The graph is a part of another graph.", place)
        self._metadata = graph["tensor_values"]
        self._size_names = {
            name for kind in ("sym_int_values", "sym_bool_values", "sym_float_values") for name in graph[kind]
        }
        inputs = sequence(self._input)(graph["inputs"], f"{place}.inputs")
        nodes = self._nodes(graph["nodes"], f"{place}.nodes")
        outputs = graph["outputs"]
        if not self._findings:
            # After a node that is not taken, its results are missing: that is said once, at the node.
            outputs = sequence(self._output)(graph["outputs"], f"{place}.outputs")
        return {**graph, "inputs": inputs, "nodes": nodes, "outputs": outputs}

    def _values(self, reader: Reader) -> Reader:
        def read(value: Any, place: str) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise refusal("ART-02.schema", f"Here stands {shown(value)}; an object is expected.", place)
            return {pt2_schema.identifier(name, place): reader(item, f"{place}.{name}") for name, item in value.items()}

        return read

    def _input(self, value: Any, place: str) -> dict[str, Any]:
        return choice(value, place, {"as_tensor": self._new_tensor})

    def _output(self, value: Any, place: str) -> dict[str, Any]:
        return choice(value, place, {"as_tensor": self._tensor})

    def _nodes(self, value: Any, place: str) -> list[dict[str, Any]]:
        if not isinstance(value, list) or len(value) > _MAX_NODES:
            raise refusal("ART-02.schema", f"The nodes are a list of at most {_MAX_NODES:,}.", place)
        nodes = []
        for index, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            label = f" ({name})" if isinstance(name, str) and name.isidentifier() else ""
            try:
                nodes.append(self._node(item, f"{place}[{index}]{label}"))
            except RefusalError as error:
                # What follows may use its results, so they count as defined.
                self._define_results(item)
                self._findings.append(error.finding)
                if len(self._findings) >= MAX_FINDINGS:
                    break
        return nodes

    def _node(self, value: Any, place: str) -> dict[str, Any]:
        fields: dict[str, Reader] = {
            "target": self._target,
            "inputs": pt2_schema.anything,
            "outputs": pt2_schema.anything,
            "metadata": pt2_schema.module_stack,
            "is_hop_single_tensor_return": pt2_schema.nullable(pt2_schema.boolean),
            "name": pt2_schema.nullable(pt2_schema.identifier),
        }
        node = record(value, place, fields, {"is_hop_single_tensor_return": None, "name": None})
        argument = self._size_argument if node["target"] in SIZE_OPERATORS else self._argument
        kind = pt2_schema.nullable(pt2_schema.integer)
        named: dict[str, Reader] = {"name": pt2_schema.argument_name, "arg": argument, "kind": kind}
        inputs = sequence(lambda item, at: record(item, at, named, {"kind": None}), 200)
        node["inputs"] = inputs(node["inputs"], f"{place}.inputs")
        node["outputs"] = sequence(self._result, 10_000)(node["outputs"], f"{place}.outputs")
        return node

    def _target(self, value: Any, place: str) -> str:
        place = place.removesuffix(".target")
        if not isinstance(value, str):
            raise refusal("ART-02.schema", "The target of a node is a text.", place)
        if value in ATEN_OPERATORS or value in SIZE_OPERATORS:
            return value
        danger = danger_of(value)
        if danger is None:
            detail = f"The operator {shown(value)} is not on the list of operators that are known to be pure."
            raise refusal("ART-03.operator", detail, place)
        raise refusal("ART-01.operator", f"The operator {shown(value)} {danger}.", place)

    def _argument(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, dict) and "as_custom_obj" in value:
            raise refusal("ART-01.custom_object", "An argument is an object that only code can rebuild.", place)
        if isinstance(value, dict) and ("as_graph" in value or "as_operator" in value):
            raise refusal("ART-01.operator", "An argument is a graph or an operator of its own.", place)
        return choice(value, place, self._argument_readers())

    def _size_argument(self, value: Any, place: str) -> dict[str, Any]:
        readers = self._argument_readers()
        taken = ("as_int", "as_float", "as_bool", "as_sym_int", "as_sym_float", "as_sym_bool")
        return choice(value, place, {kind: readers[kind] for kind in taken})

    def _argument_readers(self) -> dict[str, Reader]:
        whole, real, truth = self._named("as_int"), self._named("as_float"), self._named("as_bool")
        optional: Reader = lambda item, at: choice(  # noqa: E731
            item, at, {"as_tensor": self._tensor, "as_none": pt2_schema.true}
        )
        return {
            "as_none": pt2_schema.true,
            "as_tensor": self._tensor,
            "as_tensors": sequence(self._tensor),
            "as_optional_tensor": optional,
            "as_optional_tensors": sequence(optional),
            "as_int": pt2_schema.integer,
            "as_ints": sequence(pt2_schema.integer),
            "as_float": pt2_schema.number,
            "as_floats": sequence(pt2_schema.number),
            "as_bool": pt2_schema.boolean,
            "as_bools": sequence(pt2_schema.boolean),
            "as_string": pt2_schema.plain_text,
            "as_sym_int": whole,
            "as_sym_ints": sequence(whole),
            "as_sym_float": real,
            "as_sym_floats": sequence(real),
            "as_sym_bool": truth,
            "as_sym_bools": sequence(truth),
            "as_scalar_type": pt2_schema.dtype,
            "as_memory_format": pt2_schema.memory_format,
            "as_layout": pt2_schema.layout,
            "as_device": pt2_schema.device,
        }

    def _named(self, literal: str) -> Reader:
        literals: dict[str, Reader] = {
            "as_int": pt2_schema.integer,
            "as_float": pt2_schema.number,
            "as_bool": pt2_schema.boolean,
        }
        return lambda item, at: choice(item, at, {"as_name": self._size, literal: literals[literal]})

    def _result(self, value: Any, place: str) -> dict[str, Any]:
        new = lambda item, at: choice(item, at, {"as_name": self._new_size})  # noqa: E731
        readers: dict[str, Reader] = {
            "as_tensor": self._new_tensor,
            "as_tensors": sequence(self._new_tensor),
            "as_sym_int": new,
            "as_sym_float": new,
            "as_sym_bool": new,
            "as_none": pt2_schema.true,
        }
        return choice(value, place, readers)

    def _tensor(self, value: Any, place: str) -> dict[str, Any]:
        name = record(value, place, {"name": pt2_schema.identifier})["name"]
        if name not in self._defined or name not in self._metadata:
            raise refusal("ART-02.schema", f"The tensor {shown(name)} is used before anything makes it.", place)
        return {"name": name}

    def _size(self, value: Any, place: str) -> str:
        name = pt2_schema.identifier(value, place)
        if name not in self._defined or name not in self._size_names:
            raise refusal("ART-02.schema", f"The size {shown(name)} is used before anything makes it.", place)
        return name

    def _new_tensor(self, value: Any, place: str) -> dict[str, Any]:
        name = record(value, place, {"name": pt2_schema.identifier})["name"]
        if name not in self._metadata:
            raise refusal("ART-02.schema", f"The tensor {shown(name)} has no entry in `tensor_values`.", place)
        return {"name": self._define(name, place)}

    def _new_size(self, value: Any, place: str) -> str:
        name = pt2_schema.identifier(value, place)
        if name not in self._size_names:
            raise refusal("ART-02.schema", f"The size {shown(name)} has no entry among the values.", place)
        return self._define(name, place)

    def _define(self, name: str, place: str) -> str:
        if name in self._defined:
            raise refusal("ART-02.schema", f"The name {shown(name)} is made twice.", place)
        self._defined.add(name)
        return name

    def _define_results(self, node: Any) -> None:
        level = [node.get("outputs")] if isinstance(node, dict) else []
        while level:
            item = level.pop()
            if isinstance(item, dict):
                self._defined.update(text for text in item.values() if isinstance(text, str))
                level.extend(item.values())
            elif isinstance(item, list):
                level.extend(item)

    def _signature(
        self, value: Any, graph: dict[str, Any], place: str
    ) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
        read = record(value, place, {"input_specs": pt2_schema.anything, "output_specs": pt2_schema.anything})
        inputs = sequence(self._input_spec)(read["input_specs"], f"{place}.input_specs")
        named = [_argument_of(spec) for spec in inputs]
        if named != [entry["as_tensor"]["name"] for entry in graph["inputs"]]:
            raise refusal("ART-02.schema", "The signature and the graph name different inputs.", place)
        outputs = read["output_specs"]
        if not self._findings:
            outputs = sequence(self._output_spec)(outputs, f"{place}.output_specs")
        tensors: dict[str, Any] = {}
        constants: set[str] = set()
        for spec, name in zip(inputs, named, strict=True):
            ((kind, content),) = spec.items()
            if kind == "user_input":
                self._check_user_input(name)
                continue
            target = content[{"parameter": "parameter_name", "buffer": "buffer_name"}.get(kind, "tensor_constant_name")]
            if target in tensors:
                raise refusal("ART-02.schema", f"Two inputs of the graph are {shown(target)}.", place)
            tensors[target] = (self._metadata[name], kind == "parameter")
            if kind == "tensor_constant" or (kind == "buffer" and not content["persistent"]):
                constants.add(target)
        if "user_input" not in {kind for spec in inputs for kind in spec}:
            raise refusal("ART-02.schema", "The program takes no input.", place)
        return {"input_specs": inputs, "output_specs": outputs}, tensors, frozenset(constants)

    def _check_user_input(self, name: str) -> None:
        sizes = self._metadata[name]["sizes"]
        place = f"{PLACE}: input {name}"
        if not sizes or "as_int" in sizes[0]:
            have = sizes[0]["as_int"] if sizes else "no size at all"
            detail = (
                f"The input {name!r} has a fixed batch ({have}). Export it with a dynamic first dimension: "
                "torch.export.export(model, args, dynamic_shapes=({0: torch.export.Dim('batch')},))."
            )
            self._findings.append(finding("SIG-01.batch", detail, place))
        for index, size in enumerate(sizes[1:], start=1):
            if "as_int" not in size:
                detail = f"Size {index} of the input {name!r} is open; only the first, the batch, may be."
                self._findings.append(finding("SIG-01.shape", detail, place))

    def _input_spec(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, dict) and "custom_obj" in value:
            raise refusal("ART-01.custom_object", "An input is an object that only code can rebuild.", place)
        tensor = {"as_tensor": self._tensor}
        user: Reader = lambda item, at: record(item, at, {"arg": lambda a, p: choice(a, p, tensor)})  # noqa: E731
        name = pt2_schema.parameter_name
        parameter: dict[str, Reader] = {"arg": self._tensor, "parameter_name": name}
        buffer: dict[str, Reader] = {"arg": self._tensor, "buffer_name": name, "persistent": pt2_schema.boolean}
        constant: dict[str, Reader] = {"arg": self._tensor, "tensor_constant_name": name}
        readers: dict[str, Reader] = {
            "user_input": user,
            "parameter": lambda item, at: record(item, at, parameter),
            "buffer": lambda item, at: record(item, at, buffer),
            "tensor_constant": lambda item, at: record(item, at, constant),
        }
        return choice(value, place, readers)

    def _output_spec(self, value: Any, place: str) -> dict[str, Any]:
        tensor = {"as_tensor": self._tensor}
        mutation: dict[str, Reader] = {"arg": self._tensor, "buffer_name": pt2_schema.parameter_name}
        readers: dict[str, Reader] = {
            "user_output": lambda item, at: record(item, at, {"arg": lambda a, p: choice(a, p, tensor)}),
            "buffer_mutation": lambda item, at: record(item, at, mutation),
        }
        return choice(value, place, readers)

    def _calls(self, value: Any, signature: dict[str, Any], place: str) -> list[dict[str, Any]]:
        """Keep the entry of the whole model; those of its parts serve a way of loading that is not used."""
        if not isinstance(value, list):
            raise refusal("ART-02.schema", "`module_call_graph` is a list.", place)
        roots = [entry for entry in value if isinstance(entry, dict) and entry.get("fqn") == ""]
        if len(roots) != 1:
            raise refusal("ART-02.schema", "`module_call_graph` has one entry for the whole model.", place)
        fields: dict[str, Reader] = {
            "inputs": sequence(pt2_schema.anything, 0),
            "outputs": sequence(pt2_schema.anything, 0),
            "in_spec": pt2_schema.tree,
            "out_spec": pt2_schema.tree,
            "forward_arg_names": pt2_schema.nullable(sequence(pt2_schema.identifier)),
        }
        call = record(
            record(roots[0], place, {"fqn": pt2_schema.anything, "signature": pt2_schema.anything})["signature"],
            place,
            fields,
        )
        (in_spec, taken), (out_spec, given) = call["in_spec"], call["out_spec"]
        inputs = sum("user_input" in spec for spec in signature["input_specs"])
        outputs = sum("user_output" in spec for spec in signature["output_specs"] if isinstance(spec, dict))
        if taken != inputs or (given != outputs and not self._findings):
            raise refusal("ART-02.schema", "The tree of inputs or outputs does not fit their number.", place)
        names = call["forward_arg_names"]
        if names is not None and len(set(names)) != len(names):
            raise refusal("ART-02.schema", "An argument name stands twice.", place)
        written = {"inputs": [], "outputs": [], "in_spec": in_spec, "out_spec": out_spec, "forward_arg_names": names}
        return [{"fqn": "", "signature": written}]


def _argument_of(spec: dict[str, Any]) -> str:
    ((kind, content),) = spec.items()
    return str((content["arg"]["as_tensor"] if kind == "user_input" else content["arg"])["name"])
