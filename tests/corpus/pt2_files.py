"""``.pt2`` archives: pickles, expressions and guards that are evaluated, names that become code, operators."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.checkpoints import zip_entries
from tests.corpus.gadgets import GADGETS, code, shell
from tests.corpus.graphs import placed
from tests.corpus.host import lay_classes_beside
from tests.corpus.native import library
from tests.corpus.pickles import assemble
from tests.corpus.zips import Entry, write_zip, zip_bytes

_MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLE = "data/sample_inputs/model.pt"

Change = Callable[[Any, Workshop], None]
#: Rows and columns of a tensor that a graph makes and does not fill.
FRESH = 64


def _entries(shop: Workshop, sample: str = "model.pt2") -> dict[str, bytes]:
    """Return the entries of a real export, without the root folder."""
    with zipfile.ZipFile(shop.samples / sample) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _written(shop: Workshop, entries: Mapping[str, bytes]) -> Path:
    root = shop.word()
    return write_zip(shop.path(".pt2"), [Entry(f"{root}/{name}", content) for name, content in entries.items()])


def _with(changes: Callable[[Workshop], Mapping[str, bytes]]) -> Callable[[Workshop], Path]:
    return lambda shop: _written(shop, {**_entries(shop), **changes(shop)})


def changed(change: Change, name: str = _MODEL) -> Callable[[Workshop], Path]:
    """Return a maker that changes one document of a real export."""

    def make(shop: Workshop) -> Path:
        entries = _entries(shop)
        document = json.loads(entries[name])
        change(document, shop)
        return _written(shop, entries | {name: json.dumps(document).encode()})

    return make


def _graph(document: Any) -> Any:
    return document["graph_module"]["graph"]


def _payload(shop: Workshop) -> bytes:
    gadget = GADGETS[
        shop.rng.choice(["system", "eval", "open", "subprocess", "attrgetter", "torch_executes", "partial"])
    ]
    return assemble([gadget(shop)], shop.rng, protocol=shop.rng.randint(2, 5))


def _expression(shop: Workshop) -> str:
    """Return Python that makes the marker, as a size might be written."""
    path = repr(str(shop.marker))
    return shop.rng.choice(
        [
            f"__import__('pathlib').Path({path}).touch() or Symbol('s77')",
            f"Symbol('s77') + 0*len([open({path}, 'w')])",
            f"[open({path}, 'w'), Symbol('s77')][1]",
            f"(lambda: [eval(\"open({path}, 'w')\"), Symbol('s77')][1])()",
        ]
    )


def _sample(shop: Workshop) -> Mapping[str, bytes]:
    form = shop.rng.choice(["pickle", "zip"])
    content = _payload(shop)
    return {_SAMPLE: content if form == "pickle" else zip_bytes(zip_entries(content, shop.rng))}


def _pickled_weights(shop: Workshop) -> Mapping[str, bytes]:
    config = json.loads(_entries(shop)[WEIGHTS])
    entry = shop.rng.choice(list(config["config"].values()))
    entry["use_pickle"] = True
    return {WEIGHTS: json.dumps(config).encode(), f"data/weights/{entry['path_name']}": _payload(shop)}


def _symbols(document: Any) -> list[Any]:
    """Return every open size of the graph's values."""
    sizes = [size for value in _graph(document)["tensor_values"].values() for size in value["sizes"]]
    return [size for size in sizes if "as_expr" in size]


def _size(document: Any, shop: Workshop) -> None:
    shop.rng.choice(_symbols(document))["as_expr"]["expr_str"] = _expression(shop)


def _stride(document: Any, shop: Workshop) -> None:
    value = shop.rng.choice(list(_graph(document)["tensor_values"].values()))
    value["strides"][0] = {"as_expr": {"expr_str": _expression(shop), "hint": {"as_int": 2}}}


def _offset(document: Any, shop: Workshop) -> None:
    value = shop.rng.choice(list(_graph(document)["tensor_values"].values()))
    value["storage_offset"] = {"as_expr": {"expr_str": _expression(shop), "hint": {"as_int": 0}}}


def _power(document: Any, shop: Workshop) -> None:
    _symbols(document)[0]["as_expr"]["expr_str"] = shop.rng.choice(
        ["9**9**9**9", "factorial(10**8)", "+".join(["s77"] * 50_000)]
    )


def _guard(document: Any, shop: Workshop) -> None:
    document["guards_code"] = [f"__import__('pathlib').Path({str(shop.marker)!r}).touch() is None"]


def _range(document: Any, shop: Workshop) -> None:
    document["range_constraints"][_expression(shop)] = {"min_val": 1, "max_val": 2}


def _node(shop: Workshop, target: str, arguments: Mapping[str, Any], result: str) -> Any:
    return {
        "target": target,
        "inputs": [{"name": name, "arg": value, "kind": 1} for name, value in arguments.items()],
        "outputs": [{"as_tensor": {"name": result}}],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": result,
    }


def _from_file(document: Any, shop: Workshop) -> None:
    """Map a file of the host, which makes it, somewhere in the graph."""
    graph, name = _graph(document), shop.word()
    graph["tensor_values"][name] = next(iter(graph["tensor_values"].values()))
    arguments = {"filename": {"as_string": str(shop.marker)}, "shared": {"as_bool": True}, "size": {"as_int": 64}}
    place = shop.rng.randrange(len(graph["nodes"]) + 1)
    graph["nodes"].insert(place, _node(shop, "torch.ops.aten.from_file.default", arguments, name))


def _other_operator(document: Any, shop: Workshop) -> None:
    targets = [
        "torch.ops.aten.as_strided.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.higher_order.cond",
        "torch.ops.load_library",
    ]
    nodes = _graph(document)["nodes"]
    shop.rng.choice(nodes)["target"] = shop.rng.choice(targets)
    target, text = shop.rng.choice(
        [
            ("os.system", shell(shop)),
            ("subprocess.getoutput", shell(shop)),
            ("builtins.eval", code(shop)),
            ("builtins.exec", code(shop)),
            ("torch.utils.collect_env.run", shell(shop)),
        ]
    )
    nodes.insert(0, _node(shop, target, {"command": {"as_string": text}}, shop.word()))


def _beside_memory(document: Any, shop: Workshop) -> None:
    """Answer with memory that was just made, and in which still stands what somebody else had in it."""
    graph, name = _graph(document), shop.word()
    rows, columns = {"as_int": FRESH}, {"as_int": FRESH}
    stated = json.loads(json.dumps(graph["tensor_values"]["features"]))
    graph["tensor_values"][name] = stated | {"sizes": [rows, columns], "strides": [columns, {"as_int": 1}]}
    size = {"size": {"as_ints": [FRESH, FRESH]}}
    graph["nodes"].append(_node(shop, "torch.ops.aten.empty.memory_format", size, name))
    graph["outputs"] = [{"as_tensor": {"name": name}}]
    outputs = document["graph_module"]["signature"]["output_specs"]
    outputs[0]["user_output"]["arg"]["as_tensor"]["name"] = name


def _name_is_code(document: Any, shop: Workshop) -> None:
    code = f"features=__import__('pathlib').Path({str(shop.marker)!r}).touch()"
    text = json.dumps(document["graph_module"]).replace('"features"', json.dumps(code))
    document["graph_module"] = json.loads(text)


def _argument_is_code(document: Any, shop: Workshop) -> None:
    signature = document["graph_module"]["module_call_graph"][0]["signature"]
    # The name stands twice in the generated function: the second time it ends a text that the first has opened.
    lines = ["x):", f"    {code(shop)}", "    return 0", "def rest(self):", "    x = " + "'" * 3 + " #"]
    signature["forward_arg_names"] = ["\n".join(lines)]


def _tree_imports(document: Any, shop: Workshop) -> None:
    # The module lies where the file does, and is imported for its name.
    name = shop.word()
    (shop.folder / f"{name}.py").write_text(code(shop))
    context = json.dumps([{"__enum__": True, "fqn": f"{name}:Colour", "name": "RED"}])
    leaf = {"type": None, "context": None, "children_spec": []}
    tree = [1, {"type": "builtins.dict", "context": context, "children_spec": [leaf]}]
    document["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps(tree)


def _custom_object(shop: Workshop) -> Path:
    lay_classes_beside(shop)
    entries = _entries(shop, "custom_object.pt2")
    return _written(shop, {name: placed(content, shop) for name, content in entries.items()})


def _unknown_key(document: Any, shop: Workshop) -> None:
    place, key = shop.rng.choice(
        [(document, "GUARDS_CODE"), (document["graph_module"], "Graph"), (_graph(document), "NODES")]
    )
    place[key] = [shop.word()]


def _second_root(shop: Workshop) -> Path:
    entries = [Entry(f"a/{name}", content) for name, content in _entries(shop).items()]
    hostile = dict(_entries(shop)) | _sample(shop)
    return write_zip(shop.path(".pt2"), entries + [Entry(f"b/{name}", content) for name, content in hostile.items()])


def _key_twice(shop: Workshop) -> Path:
    entries = _entries(shop)
    text = entries[_MODEL].decode()
    first = text.index('"guards_code"')
    guard = json.dumps([f"__import__('pathlib').Path({str(shop.marker)!r}).touch() is None"])
    # The harmless one stands first, the one that counts last.
    end = text.rindex("}")
    assert 0 < first < end
    return _written(shop, entries | {_MODEL: f'{text[:end]}, "guards_code": {guard}}}'.encode()})


def _opaque_object(shop: Workshop) -> Mapping[str, bytes]:
    stated = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    config = {"config": {shop.word(): stated}}
    return {_CONSTANTS: json.dumps(config).encode(), "data/constants/opaque_obj_0": _payload(shop)}


def _second_model(shop: Workshop) -> Path:
    """Write a second model beside the first, whose guard runs code; its weights are copies."""
    entries, name = _entries(shop), shop.word()
    document = json.loads(entries[_MODEL])
    _guard(document, shop)
    copies = {path.replace("/model", f"/{name}"): entries[path] for path in (WEIGHTS, _CONSTANTS, _SAMPLE)}
    return _written(shop, entries | copies | {f"models/{name}.json": json.dumps(document).encode()})


_PICKLE = ("ART-01.pickle",)
_NAME = ("ART-01.name", "ART-01.expression")
_EXPRESSION = ("ART-01.expression", "ART-02.schema", "ART-02.json")


def case(name: str, says: str, make: Callable[[Workshop], Path], rules: tuple[str, ...], bite: str) -> Case:
    return Case(f"pt2/{name}", says, make, rules, "pt2", bite)


_BITES: str = "torch.export"
CASES: tuple[Case, ...] = (
    case("sample", "The sample inputs are a hostile pickle.", _with(_sample), _PICKLE, _BITES),
    case("pickled_weights", "A weight is a hostile pickle.", _with(_pickled_weights), _PICKLE, _BITES),
    case("size", "A size is an expression that runs code.", changed(_size), _EXPRESSION, _BITES),
    case("stride", "A stride is an expression that runs code.", changed(_stride), _EXPRESSION, _BITES),
    case("offset", "An offset is an expression that runs code.", changed(_offset), _EXPRESSION, "sympy"),
    case(
        "power",
        "An expression that never ends.",
        changed(_power),
        _EXPRESSION,
        "sympy.limited",
    ),
    case("guard", "A guard runs code when the model is called.", changed(_guard), ("ART-01.guard",), _BITES),
    case("range", "A range of something that is no size.", changed(_range), _EXPRESSION, "sympy"),
    case("from_file", "A node makes a file of the host.", changed(_from_file), ("ART-01.operator",), _BITES),
    case(
        "operator",
        "A node calls what is no operator of a model.",
        changed(_other_operator),
        ("ART-01.operator",),
        "graph",
    ),
    case(
        "memory",
        "A node reads memory that it did not write.",
        changed(_beside_memory),
        ("ART-01.operator",),
        "torch.export.memory",
    ),
    case("name", "A name becomes part of generated code.", changed(_name_is_code), _NAME, _BITES),
    case("argument", "An argument's name becomes part of code.", changed(_argument_is_code), _NAME, "torch.export"),
    case(
        "tree",
        "A tree of outputs names a module to import.",
        changed(_tree_imports),
        _NAME,
        "torch.export",
    ),
    case(
        "custom_object",
        "The graph calls an object of somebody's class, which writes where the object says.",
        _custom_object,
        ("ART-01.custom_object",),
        "torch.export.classes",
    ),
    case(
        "unknown_key",
        "The graph has a key twice for readers that do not look at case.",
        changed(_unknown_key),
        ("ART-02.schema",),
        "json.case",
    ),
    case("key_twice", "The guards are stated twice.", _key_twice, ("ART-02.json",), _BITES),
    case(
        "aotinductor",
        "Compiled code of AOTInductor.",
        _with(lambda shop: {f"data/aotinductor/{shop.word()}/model.so": library(shop.marker)}),
        ("ART-01.native_code",),
        "each.library",
    ),
    case(
        "library",
        "A compiled library.",
        _with(lambda shop: {f"{shop.word()}.so": library(shop.marker)}),
        ("ART-01.native_code",),
        "each.library",
    ),
    case(
        "custom_entry",
        "A stored object of somebody's class.",
        _with(lambda shop: {"data/constants/custom_obj_0": _payload(shop)}),
        ("ART-01.custom_object",),
        "each.pickle",
    ),
    case(
        "opaque_entry",
        "A stored object that only code can rebuild.",
        _with(_opaque_object),
        ("ART-01.custom_object",),
        "torch.export",
    ),
    case("second_model", "A second graph.", _second_model, ("ART-02.unknown_entry",), "torch.export.all"),
    case(
        "module",
        "A Python module.",
        _with(lambda shop: {f"{shop.word()}.py": code(shop).encode()}),
        ("ART-02.unknown_entry",),
        "each.source",
    ),
    case(
        "second_root",
        "A second, hostile model under another root.",
        _second_root,
        ("ART-02.unknown_entry",),
        "each.checkpoint",
    ),
)


def _untouched(shop: Workshop) -> Path:
    path = shop.path(".pt2")
    shutil.copyfile(shop.samples / "model.pt2", path)
    return path


def _without_sample(shop: Workshop) -> Path:
    return _written(shop, {**_entries(shop), _SAMPLE: b""})


BENIGN: tuple[Benign, ...] = (
    Benign("pt2/mlp", "An export of a small network.", _untouched, "pt2"),
    Benign("pt2/no_sample", "The same without its sample inputs.", _without_sample, "pt2"),
)
