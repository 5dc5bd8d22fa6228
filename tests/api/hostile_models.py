"""Uploads that are broken or hostile: what each is, and where its finding has to point."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import tiny_models
from tests.workers.artifacts.crafting import (
    MODEL_JSON,
    WEIGHTS_JSON,
    Touch,
    changed,
    changed_json,
    read_entries,
)


@dataclass(frozen=True)
class Bad:
    """A file, and the finding that has to name what is wrong: its id and a part of its place."""

    file: Path
    finding: str
    place: str


def write_bad_models(folder: Path, marker: Path) -> Iterator[Bad]:
    """Write each bad upload; the hostile ones would create the marker if anything of them ran."""
    pt2 = tiny_models.linear_classifier(folder / "good.pt2")
    keras = tiny_models.linear_classifier(folder / "good.keras")

    def at(name: str) -> Path:
        return folder / name

    yield Bad(_write(at("cut.pt2"), pt2.read_bytes()[:-100]), "ART-02.truncated", "")
    yield Bad(_write(at("cut.keras"), keras.read_bytes()[:-100]), "ART-02.truncated", "")
    yield Bad(_write(at("renamed.keras"), pt2.read_bytes()), "ART-02.name_and_content", "renamed.keras")
    yield Bad(_write(at("renamed.pt2"), keras.read_bytes()), "ART-02.name_and_content", "renamed.pt2")
    yield Bad(_write(at("text.pt2"), b"import os\n"), "ART-02.name_and_content", "text.pt2")
    hostile = pickle.dumps(Touch(marker), protocol=2)
    sample = "data/sample_inputs/model.pt"
    yield Bad(changed(pt2, at("sample.pt2"), {sample: hostile}), "ART-01.pickle", sample)
    yield Bad(_with_pickled_weights(pt2, at("weights.pt2"), hostile), "ART-01.pickle", WEIGHTS_JSON)
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    edits: dict[str, tuple[Callable[[Any], None], str]] = {
        "expression": (lambda document: _put_expression(document, f"{code} or Symbol('s77')"), "tensor_values"),
        "guard": (lambda document: document.update(guards_code=[f"{code} is None"]), "guards_code[0]"),
        "operator": (lambda document: _put_file_reader(document, marker), "nodes[0] (written)"),
    }
    for name, (edit, place) in edits.items():
        yield Bad(changed_json(pt2, at(f"{name}.pt2"), MODEL_JSON, edit), f"ART-01.{name}", place)
    yield Bad(_with_lambda(at("lambda.keras")), "ART-01.lambda", "/doubling")


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _with_pickled_weights(source: Path, target: Path, hostile: bytes) -> Path:
    config = json.loads(read_entries(source)[WEIGHTS_JSON])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    content = {WEIGHTS_JSON: json.dumps(config).encode(), f"data/weights/{entry['path_name']}": hostile}
    return changed(source, target, content)


def _put_expression(document: Any, expression: str) -> None:
    values = document["graph_module"]["graph"]["tensor_values"].values()
    size = next(size for value in values for size in value["sizes"] if "as_expr" in size)
    size["as_expr"]["expr_str"] = expression


def _put_file_reader(document: Any, path: Path) -> None:
    """Put in front of the graph what maps a file of the host, and makes it where it is not there."""
    graph = document["graph_module"]["graph"]
    graph["tensor_values"]["written"] = next(iter(graph["tensor_values"].values()))
    arguments = {"filename": {"as_string": str(path)}, "shared": {"as_bool": True}, "size": {"as_int": 64}}
    node = {
        "target": "torch.ops.aten.from_file.default",
        "inputs": [{"name": name, "arg": value, "kind": 1} for name, value in arguments.items()],
        "outputs": [{"as_tensor": {"name": "written"}}],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": "written",
    }
    graph["nodes"].insert(0, node)


def _with_lambda(path: Path) -> Path:
    import keras

    rows = keras.Input((2,), name="features")
    keras.Model(rows, keras.layers.Lambda(lambda rows: rows * 2, name="doubling")(rows)).save(path)
    return path
