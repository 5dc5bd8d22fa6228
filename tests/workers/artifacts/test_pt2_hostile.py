"""A hostile ``.pt2`` is refused with the place, and nothing of it runs.

Where the file would run code in ``torch.export.load``, the test shows that it does: a marker file appears. It never
appears after an inspection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.artifacts.crafting import (
    MODEL_JSON,
    WEIGHTS_JSON,
    Touch,
    changed,
    changed_json,
    export,
    read_entries,
)
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect


def finding_of(path: Path, verdict: str = "rejected") -> Finding:
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict == verdict
    return inspection.findings[0]


def graph_of(document: Any) -> Any:
    return document["graph_module"]["graph"]


def call_of(document: Any) -> Any:
    return document["graph_module"]["module_call_graph"][0]["signature"]


def loads_as_it_comes(path: Path, *, call: bool = False) -> None:
    """Load an upload as torch would, to show what it does; whatever torch thinks of it afterwards does not matter."""
    import torch

    logging.disable(logging.CRITICAL)
    try:
        with contextlib.suppress(Exception):
            module = torch.export.load(path).module()
            if call:
                module(torch.zeros(2, 4))
    finally:
        logging.disable(logging.NOTSET)


def check(path: Path, marker: Path, identifier: str, *, runs: bool = True, call: bool = False) -> Finding:
    """Inspect a hostile file: the finding has this id and nothing ran, though loading it as it comes runs code."""
    finding = finding_of(path)
    assert finding.id == identifier
    assert not marker.exists(), "the inspection ran code of the upload"
    if runs:
        loads_as_it_comes(path, call=call)
        assert marker.exists(), "the file is not hostile, so the test shows nothing"
    return finding


def test_a_pickle_in_the_sample_inputs(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hostile = pickle.dumps(Touch(marker), protocol=2)
    path = changed(pt2_file, tmp_path / "hostile.pt2", {"data/sample_inputs/model.pt": hostile})
    finding = check(path, marker, "ART-01.pickle")
    assert finding.severity == "critical"
    assert finding.place == "data/sample_inputs/model.pt"


def test_a_pickle_in_the_archive_of_the_sample_inputs(pt2_file: Path, tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "marker"
    torch.save((Touch(marker),), tmp_path / "sample.pt")
    sample = (tmp_path / "sample.pt").read_bytes()
    path = changed(pt2_file, tmp_path / "hostile.pt2", {"data/sample_inputs/model.pt": sample})
    finding = check(path, marker, "ART-01.pickle")
    assert "pathlib Path.touch" in finding.detail or "getattr" in finding.detail
    assert "data.pkl, byte " in finding.place


def test_weights_that_are_a_pickle(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    config = json.loads(read_entries(pt2_file)[WEIGHTS_JSON])
    name, entry = next(iter(config["config"].items()))
    entry["use_pickle"] = True
    changes = {
        WEIGHTS_JSON: json.dumps(config).encode(),
        f"data/weights/{entry['path_name']}": pickle.dumps(Touch(marker)),
    }
    path = changed(pt2_file, tmp_path / "hostile.pt2", changes)
    finding = check(path, marker, "ART-01.pickle")
    assert finding.place == f"{WEIGHTS_JSON}: {name}"


def test_an_expression_that_is_code(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    expression = f"__import__('pathlib').Path({str(marker)!r}).touch() or Symbol('s77')"

    def change(document: Any) -> None:
        sizes = [size for value in graph_of(document)["tensor_values"].values() for size in value["sizes"]]
        next(size for size in sizes if "as_expr" in size)["as_expr"]["expr_str"] = expression

    path = changed_json(pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, change)
    finding = check(path, marker, "ART-01.expression")
    assert "tensor_values" in finding.place
    assert "__import__" in finding.detail


def test_a_guard_that_is_code(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    guard = f"__import__('pathlib').Path({str(marker)!r}).touch() is None"
    path = changed_json(
        pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, lambda document: document.update(guards_code=[guard])
    )
    finding = check(path, marker, "ART-01.guard", call=True)
    assert finding.place == f"{MODEL_JSON}.guards_code[0]"


@pytest.mark.parametrize("name", ["u999999999", "__import__('os')", "s0.real", "zuf9"])
def test_a_range_of_something_that_is_no_size(pt2_file: Path, tmp_path: Path, name: str) -> None:
    path = changed_json(
        pt2_file,
        tmp_path / "hostile.pt2",
        MODEL_JSON,
        lambda document: document["range_constraints"].update({name: {"min_val": 1, "max_val": 2}}),
    )
    finding = finding_of(path)
    assert finding.id == "ART-01.expression"
    assert "range_constraints" in finding.place


def test_an_operator_that_writes_files(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def change(document: Any) -> None:
        graph = graph_of(document)
        first = graph["nodes"][0]
        result = first["outputs"][0]["as_tensor"]["name"]
        graph["tensor_values"]["written"] = graph["tensor_values"][result]
        arguments = {
            "filename": {"as_string": str(marker)},
            "shared": {"as_bool": True},
            "size": {"as_int": 64},
        }
        graph["nodes"].insert(
            0,
            {
                "target": "torch.ops.aten.from_file.default",
                "inputs": [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments.items()],
                "outputs": [{"as_tensor": {"name": "written"}}],
                "metadata": {},
                "is_hop_single_tensor_return": None,
                "name": "written",
            },
        )

    path = changed_json(pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, change)
    finding = check(path, marker, "ART-01.operator", call=True)
    assert "torch.ops.aten.from_file.default" in finding.detail
    assert "file of the host" in finding.detail
    assert finding.place.endswith("nodes[0] (written)")


def test_an_argument_name_that_is_no_name(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"x=__import__('pathlib').Path({str(marker)!r}).touch()"
    path = changed_json(
        pt2_file,
        tmp_path / "hostile.pt2",
        MODEL_JSON,
        lambda document: call_of(document).update(forward_arg_names=[code]),
    )
    check(path, marker, "ART-01.name", runs=False)


def test_a_tensor_name_that_becomes_code(pt2_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"features=__import__('pathlib').Path({str(marker)!r}).touch()"

    def change(document: Any) -> None:
        text = json.dumps(document["graph_module"]).replace('"features"', json.dumps(code))
        document["graph_module"] = json.loads(text)

    path = changed_json(pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, change)
    check(path, marker, "ART-01.name")


def test_a_tree_that_imports_a_module(pt2_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "hostile_module.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()")
    monkeypatch.syspath_prepend(str(tmp_path))
    context = json.dumps([{"__enum__": True, "fqn": "hostile_module:Colour", "name": "RED"}])
    leaf = {"type": None, "context": None, "children_spec": []}
    tree = [1, {"type": "builtins.dict", "context": context, "children_spec": [leaf]}]
    path = changed_json(
        pt2_file,
        tmp_path / "hostile.pt2",
        MODEL_JSON,
        lambda document: call_of(document).update(out_spec=json.dumps(tree)),
    )
    check(path, marker, "ART-01.name")


def replace_first_target(target: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        graph_of(document)["nodes"][0]["target"] = target

    return change


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.as_strided.default",
        "torch.ops.aten.empty.memory_format",
        "torch.ops.prim.device.default",
        "torch.ops.profiler._record_function_enter.default",
        "torch.ops.higher_order.cond",
        "torch.load",
        "torch.ops.load_library",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "math.comb",
        "os.system",
        "#extension:operator",
        "torch.ops.aten.linear.out",
    ],
)
def test_an_operator_that_is_not_listed_is_named_with_its_node(pt2_file: Path, tmp_path: Path, target: str) -> None:
    path = changed_json(pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, replace_first_target(target))
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict in ("rejected", "quarantined")
    assert [finding.id for finding in inspection.findings] == [
        "ART-03.operator" if target.endswith("linear.out") else "ART-01.operator"
    ]
    assert repr(target) in inspection.findings[0].detail
    assert "nodes[0]" in inspection.findings[0].place


def test_an_unknown_operator_of_aten_is_quarantined_and_not_rejected(pt2_file: Path, tmp_path: Path) -> None:
    path = changed_json(
        pt2_file, tmp_path / "new.pt2", MODEL_JSON, replace_first_target("torch.ops.aten.invented.default")
    )
    assert finding_of(path, "quarantined").id == "ART-03.operator"


def test_all_hostile_nodes_are_named(pt2_file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        for node in graph_of(document)["nodes"]:
            node["target"] = "torch.ops.aten.from_file.default"

    path = changed_json(pt2_file, tmp_path / "hostile.pt2", MODEL_JSON, change)
    count = len(graph_of(json.loads(read_entries(pt2_file)[MODEL_JSON]))["nodes"])
    inspection = inspect(path, filename=path.name)
    assert [finding.id for finding in inspection.findings] == ["ART-01.operator"] * count
    assert f"{count - 1} more findings" in inspection.reason


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("data/aotinductor/model/model.so", "ART-01.native_code"),
        ("data/executorch/model.pte", "ART-01.native_code"),
        ("data/constants/custom_obj_0", "ART-01.custom_object"),
        ("data/constants/opaque_obj_0", "ART-01.custom_object"),
        ("data/weights/model.pt", "ART-02.unknown_entry"),
        ("data/constants/model.pt", "ART-02.unknown_entry"),
        ("models/other.json", "ART-02.unknown_entry"),
        ("notes.txt", "ART-02.unknown_entry"),
    ],
)
def test_an_entry_that_does_not_belong_there(pt2_file: Path, tmp_path: Path, name: str, identifier: str) -> None:
    finding = finding_of(changed(pt2_file, tmp_path / "hostile.pt2", {name: b"\x7fELF"}))
    assert (finding.id, finding.place) == (identifier, name)


def test_extra_files_are_told_and_left_out(pt2_file: Path, tmp_path: Path) -> None:
    path = changed(pt2_file, tmp_path / "extra.pt2", {"extra/notes.txt": b"anything"})
    finding = finding_of(path, "registered")
    assert (finding.id, finding.place) == ("ART-03.extra_files", "extra/notes.txt")


@pytest.mark.parametrize("name", ["archive_format", MODEL_JSON, WEIGHTS_JSON, "data/sample_inputs/model.pt"])
def test_an_entry_that_is_missing_is_named(pt2_file: Path, tmp_path: Path, name: str) -> None:
    finding = finding_of(changed(pt2_file, tmp_path / "short.pt2", {name: None}))
    assert (finding.id, finding.place) == ("ART-02.missing_entry", name)


def change_weight(key: str, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        next(iter(document["config"].values()))["tensor_meta"][key] = value

    return change


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storage_offset", {"as_int": 1}),
        ("storage_offset", {"as_int": -1}),
        ("strides", [{"as_int": 1000}, {"as_int": 1}]),
        ("sizes", [{"as_int": 10**9}, {"as_int": 10**9}]),
        ("dtype", 8),
    ],
)
def test_weights_that_would_be_read_beside_their_bytes(pt2_file: Path, tmp_path: Path, key: str, value: Any) -> None:
    path = changed_json(pt2_file, tmp_path / "hostile.pt2", WEIGHTS_JSON, change_weight(key, value))
    finding = finding_of(path)
    assert finding.id == "ART-02.weights"
    assert finding.place.startswith(WEIGHTS_JSON)


def test_weights_without_bytes_are_refused_and_not_read_as_zeros(pt2_file: Path, tmp_path: Path) -> None:
    assert finding_of(changed(pt2_file, tmp_path / "empty.pt2", {"data/weights/weight_0": b""})).id == "ART-02.weights"


def test_weights_of_another_shape_than_the_graph_says(pt2_file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        metadata = next(iter(document["config"].values()))["tensor_meta"]
        metadata["sizes"].reverse()

    finding = finding_of(changed_json(pt2_file, tmp_path / "hostile.pt2", WEIGHTS_JSON, change))
    assert finding.id == "ART-02.weights"


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(surprise=1),
        lambda document: document.pop("verifiers"),
        lambda document: document["schema_version"].update(major=9),
        lambda document: document.update(verifiers=["EDGE"]),
        lambda document: graph_of(document).update(nodes={}),
        lambda document: graph_of(document)["nodes"].append(graph_of(document)["nodes"][0]),
        lambda document: graph_of(document)["nodes"].reverse(),
        lambda document: graph_of(document)["inputs"].pop(),
        lambda document: graph_of(document)["outputs"][0].update(as_int=3),
        lambda document: call_of(document).update(in_spec="[2, null]"),
        lambda document: call_of(document).update(out_spec='[1, {"type": "torch.Size"}]'),
        lambda document: document["graph_module"]["signature"]["input_specs"].pop(),
    ],
)
def test_a_graph_that_does_not_follow_the_schema(pt2_file: Path, tmp_path: Path, change: Callable[[Any], None]) -> None:
    finding = finding_of(changed_json(pt2_file, tmp_path / "odd.pt2", MODEL_JSON, change))
    assert finding.id == "ART-02.schema"
    assert finding.place.startswith(MODEL_JSON)


def test_custom_objects_in_the_graph(pt2_file: Path, tmp_path: Path) -> None:
    objects = {"thing": {"name": "thing", "class_fqn": "__torch__.Thing"}}
    path = changed_json(
        pt2_file,
        tmp_path / "odd.pt2",
        MODEL_JSON,
        lambda document: graph_of(document).update(custom_obj_values=objects),
    )
    assert finding_of(path).id == "ART-01.custom_object"


def test_a_fixed_batch_says_how_to_export_it(tmp_path: Path) -> None:
    import torch

    path = export(tmp_path / "fixed.pt2", torch.nn.Linear(3, 2), (torch.zeros(5, 3),), dynamic=({},))
    finding = finding_of(path)
    assert finding.id == "SIG-01.batch"
    assert "fixed batch (5)" in finding.detail
    assert "dynamic_shapes" in finding.detail


def test_a_second_open_size_is_named(tmp_path: Path) -> None:
    import torch

    shapes = ({0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", max=64)},)
    path = export(tmp_path / "open.pt2", torch.nn.ReLU(), (torch.zeros(5, 7),), dynamic=shapes)
    finding = finding_of(path)
    assert finding.id == "SIG-01.shape"
    assert "Size 1" in finding.detail


@pytest.mark.parametrize("left_out", [1, 10, 30, 100, 1000, 3000, 6000])
def test_a_truncated_upload_is_named_as_such(pt2_file: Path, tmp_path: Path, left_out: int) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(pt2_file.read_bytes()[:-left_out])
    finding = finding_of(path)
    assert finding.id == "ART-02.truncated"
    assert "cut off" in finding.detail
