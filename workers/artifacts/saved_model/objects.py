"""The object graph of a SavedModel: what ``tf.saved_model.load`` builds, and which functions that can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.saved_model.functions import PLACE, Library, check_device
from workers.artifacts.saved_model.tensors import TensorCheck, width_of
from workers.artifacts.saved_model.wire import Message

#: Classes that register themselves with TensorFlow's loader, and read nothing but the graph.
_REGISTERED = frozenset({"", "tf.StaticHashTable", "tf.TrackableConstant"})

#: What a user's object was; those of Keras 2 come back as plain objects.
_IDENTIFIERS = frozenset(
    {
        *("_generic_user_object", "signature_map"),
        *(f"trackable_{kind}_wrapper" for kind in ("dict", "list", "tuple")),
        *(
            f"_tf_keras_{kind}"
            for kind in ("input_layer", "layer", "metric", "model", "network", "rnn_layer", "sequential")
        ),
    }
)
_KINDS = (
    "user_object", "asset", "function", "variable", "bare_concrete_function", "constant", "resource", "captured_tensor",
)  # fmt: skip

#: Specifications of tensors, sparse and ragged ones, index slices, tensor arrays, variables and row partitions.
_TYPE_SPECS = frozenset({1, 2, 3, 4, 9, 10})


@dataclass(frozen=True)
class ObjectGraph:
    """What of a graph belongs to the objects.

    Attributes:
        functions: names of the functions that loading or calling can run first.
        constants: names of the graph's nodes with the values of constants.
        assets_of: function -> names of its arguments that are the paths of assets.
    """

    functions: frozenset[str]
    constants: frozenset[str]
    assets_of: Mapping[str, frozenset[str]]


def read_objects(
    objects: Message, library: Library, nodes: Iterable[Message], asset_count: int, tensors: TensorCheck
) -> ObjectGraph:
    """Return what the object graph uses; every object of it was checked.

    Raises:
        RefusalError: an object of another kind, a reference to nothing, or a name that is no attribute's.
    """
    reader = _Reader(objects, library, {node["name"]: node for node in nodes}, asset_count, tensors)
    return reader.read()


class _Reader:
    def __init__(
        self,
        objects: Message,
        library: Library,
        nodes: Mapping[str, Message],
        asset_count: int,
        tensors: TensorCheck,
    ) -> None:
        self._objects = objects.get("nodes", [])
        self._concrete: Mapping[str, Message] = objects.get("concrete_functions", {})
        self._library = library
        self._nodes = nodes
        self._asset_count = asset_count
        self._tensors = tensors
        self._constants: set[str] = set()

    def read(self) -> ObjectGraph:
        if not self._objects:
            raise refusal("ART-02.graph", "The object graph is empty; export the model with TensorFlow 2.", PLACE)
        for number, entry in enumerate(self._objects):
            self._read_object(entry, f"{PLACE}: object {number}")
        for name, function in self._concrete.items():
            place = f"{PLACE}: function {name}"
            self._demand_concrete(name, place)
            self._check_numbers(_bound(function), place)
            for key in ("canonicalized_input_signature", "output_signature"):
                self._check_structure(function.get(key, {}), place)
        return ObjectGraph(
            frozenset(self._concrete),
            frozenset(self._constants),
            {name: self._asset_arguments(name, function) for name, function in self._concrete.items()},
        )

    def _read_object(self, entry: Message, place: str) -> None:
        kinds = [kind for kind in _KINDS if kind in entry]
        if len(kinds) != 1:
            raise self._refusal("An object says what it is.", place)
        if entry.get("registered_name", "") not in _REGISTERED or entry.get("registered_saver"):
            name = entry.get("registered_saver") or entry["registered_name"]
            detail = f"The object is rebuilt by the class {shown(name)}, which is not one that is taken."
            raise refusal("ART-01.custom_object", detail, place)
        for key in ("children", "dependencies"):
            for child in entry.get(key, ()):
                self._check_numbers([child.get("node_id", 0)], place)
                self._check_attribute_name(child.get("local_name", ""), place)
        for slot in entry.get("slot_variables", ()):
            raise self._refusal(f"The slot {shown(slot.get('slot_name', ''))} belongs to an optimizer.", place)
        for saveable in entry.get("saveable_objects", {}).values():
            for key in ("save_function", "restore_function"):
                self._check_numbers([saveable.get(key, 0)], place)
        self._read_kind(kinds[0], entry[kinds[0]], place)

    def _read_kind(self, kind: str, content: Message, place: str) -> None:
        if kind == "user_object":
            if content.get("identifier", "") not in _IDENTIFIERS:
                detail = f"The object is {shown(content.get('identifier', ''))}, which is not one that is taken."
                raise refusal("ART-01.custom_object", detail, place)
        elif kind == "asset":
            if not 0 <= content.get("asset_file_def_index", 0) < self._asset_count:
                raise self._refusal("The object is an asset that is not listed.", place)
        elif kind == "function":
            for name in content.get("concrete_functions", ()):
                self._demand_concrete(name, place)
            self._check_function_spec(content, place)
        elif kind == "bare_concrete_function":
            self._demand_concrete(content.get("concrete_function_name", ""), place)
            self._check_function_spec(content, place)
        elif kind == "captured_tensor":
            self._demand_concrete(content.get("concrete_function", ""), place)
        elif kind == "constant":
            name = content.get("operation", "")
            if self._nodes.get(name, {}).get("op") != "Const" or "tensor" not in self._nodes[name].get("attr", {}).get(
                "value", {}
            ):
                raise self._refusal(f"The constant {shown(name)} is not in the graph.", place)
            self._constants.add(name)
        elif kind == "variable":
            if "experimental_distributed_variable_components" in content:
                raise self._refusal("The variable is spread over devices; export the model from one device.", place)
            width_of(content.get("dtype", 0), place)
            check_device(content.get("device", ""), place)
        else:
            check_device(content.get("device", ""), place)

    def _check_function_spec(self, content: Message, place: str) -> None:
        spec = content.get("function_spec", {})
        for key in ("fullargspec", "input_signature"):
            self._check_structure(spec.get(key, {}), place)

    def _check_structure(self, value: Message, place: str) -> None:
        """Check a nested value: the only classes in it are tuples with names and specifications of tensors."""
        for inner in _inside(value):
            self._check_structure(inner, place)
        for key in ("tensor_value", "numpy_value"):
            if key in value:
                self._tensors.check(value[key], place)
        for key in ("minimum", "maximum"):
            bound = value.get("bounded_tensor_spec_value", {}).get(key)
            if bound is not None:
                self._tensors.check(bound, place)
        named = value.get("named_tuple_value")
        if named is not None:
            for name in (named.get("name", ""), *(pair.get("key", "") for pair in named.get("values", ()))):
                if not name.isidentifier() or not name.isascii():
                    raise refusal("ART-01.name", f"The name {shown(name)} would become part of a class.", place)
        spec = value.get("type_spec_value")
        if spec is not None and spec.get("type_spec_class", 0) not in _TYPE_SPECS:
            detail = f"The type {shown(spec.get('type_spec_class_name', ''))} is rebuilt by code."
            raise refusal("ART-01.custom_object", detail, place)

    def _check_attribute_name(self, name: str, place: str) -> None:
        if name.startswith("__") and name != "__call__":
            raise refusal("ART-01.name", f"The attribute {shown(name)} would change what an object is.", place)

    def _check_numbers(self, numbers: Iterable[int], place: str) -> None:
        for number in numbers:
            if not 0 <= number < len(self._objects):
                raise self._refusal(f"There is no object {number}.", place)

    def _demand_concrete(self, name: str, place: str) -> None:
        if name not in self._concrete or name not in self._library.functions:
            raise self._refusal(f"The function {shown(name)} is named and is not in the file.", place)

    def _asset_arguments(self, name: str, function: Message) -> frozenset[str]:
        """Return which arguments of a function are bound to assets: what it captures stands behind its own ones."""
        bound = _bound(function)
        arguments = self._library.functions[name].get("signature", {}).get("input_arg", [])
        if len(bound) > len(arguments):
            raise self._refusal(f"The function captures {len(bound)} objects and takes {len(arguments)} inputs.", name)
        captured = arguments[len(arguments) - len(bound) :]
        return frozenset(
            argument.get("name", "")
            for argument, number in zip(captured, bound, strict=True)
            if "asset" in self._objects[number]
        )

    @staticmethod
    def _refusal(detail: str, place: str) -> RefusalError:
        return refusal("ART-02.graph", detail, place)


def _bound(function: Message) -> list[int]:
    packed = function.get("bound_inputs")
    return [] if packed is None else packed.values.tolist()


def _inside(value: Message) -> Iterator[Message]:
    """Yield the values that a structured value holds directly."""
    for key in ("list_value", "tuple_value"):
        yield from value.get(key, {}).get("values", ())
    yield from value.get("dict_value", {}).get("fields", {}).values()
    for pair in value.get("named_tuple_value", {}).get("values", ()):
        yield pair.get("value", {})
    if "type_spec_value" in value:
        yield value["type_spec_value"].get("type_state", {})
