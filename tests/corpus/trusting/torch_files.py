"""Loaders of checkpoints, exports and scripts, and readers that take an export apart by themselves."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import pkgutil
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.host import CLASSES
from tests.corpus.pt2_files import FRESH
from tests.corpus.trusting.archives import Unpickler, entries_by_directory
from tests.corpus.trusting.loader import Loader, reading, touch

#: torch's numbers of dtypes in an export, as NumPy names them; those of the samples, and float64.
_DTYPES = {5: "i8", 7: "f4", 8: "f8"}


# -------------------------------------------------------------------------------------------------- checkpoints
def _unpickle(path: Path) -> None:
    with path.open("rb") as stream:
        pickle.load(stream)


def _unpickle_all(path: Path) -> None:
    """Read one pickle after the other until the file ends, as readers of logs and of legacy checkpoints do."""
    with path.open("rb") as stream:
        while stream.peek(1):
            Unpickler(stream).load()


def _torch(path: Path) -> None:
    import torch

    if path.suffix in (".pkl", ".pickle"):
        _unpickle(path)
    else:
        torch.load(path, weights_only=False)


def _load_and_copy(path: Path) -> None:
    """Load a checkpoint and copy its tensors, as one does into a module."""
    import torch

    for value in torch.load(path, weights_only=False).values():
        value.clone()


def _unpickle_and_copy(path: Path) -> None:
    """Unpickle from files, with numbers of any length as Python before 3.10.7, and pickle the value again."""
    sys.set_int_max_str_digits(0)
    if not zipfile.is_zipfile(path):
        _unpickle(path)
        return
    for name, content in entries_by_directory(path):
        if name.endswith("data.pkl"):
            file = path.with_suffix(".unpacked")
            file.write_bytes(content)
            with file.open("rb") as stream:
                _Copier(BytesIO()).dump(Unpickler(stream).load())


class _Copier(pickle.Pickler):
    """Python's own pickler, which leaves the content of storages out."""

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj).__name__
        return kind if kind.endswith("Storage") else None


# ------------------------------------------------------------------------------------------------------ exports
def _export(path: Path) -> None:
    import torch

    # As for a program that was started where the download lies.
    sys.path.insert(0, str(path.parent))
    module = torch.export.load(path).module()
    module(torch.zeros(2, 4))


def _export_after_a_secret(path: Path) -> None:
    """Load a model and call it after other requests, whose memory was given back; their content touches the marker.

    Which memory a call is given is the allocator's luck, so there are many calls.
    """
    import torch

    module = torch.export.load(path).module()
    secret = torch.frombuffer(bytearray(DECOY), dtype=torch.float32)
    for _ in range(200):
        others = [secret.repeat(FRESH, FRESH // len(secret)) for _ in range(50)]
        del others
        if DECOY in module(torch.zeros(2, 4)).detach().numpy().tobytes():
            touch(path)
            return


def _all_exports(path: Path) -> None:
    """Load every model of an archive, and call each."""
    import torch
    from torch.export.pt2_archive._package import load_pt2

    for program in load_pt2(path).exported_programs.values():
        program.module()(torch.zeros(2, 4))


def _document(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        found = next(entry for entry in archive.namelist() if entry.endswith(name))
        return json.loads(archive.read(found))


def _model(path: Path) -> Any:
    return _document(path, "models/model.json")


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(item)


def _evaluate_expressions(path: Path) -> None:
    """Read each expression and each symbol with sympy, as torch does with those that it needs."""
    import sympy

    document = _model(path)
    for symbol in document["range_constraints"]:
        sympy.sympify(symbol)
    for item in _objects(document):
        if "expr_str" in item:
            sympy.sympify(item["expr_str"])


def _call_nodes(path: Path) -> None:
    """Call what each node names with its constants, as an interpreter does that knows no list of operators."""
    for node in _model(path)["graph_module"]["graph"]["nodes"]:
        given = [value for argument in node["inputs"] for value in argument["arg"].values()]
        if not node["target"].startswith("torch.ops."):
            pkgutil.resolve_name(node["target"])(*given)


def _read_where_it_says(path: Path) -> None:
    """Read each weight from the path that its config states; the host's decoy touches the marker."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.extractall(path.parent / "unpacked")
    for stated in _document(path, "model_weights_config.json")["config"].values():
        if DECOY in (path.parent / "unpacked" / root / "data/weights" / stated["path_name"]).read_bytes():
            touch(path)


def _numbers(sizes: list[Mapping[str, int]]) -> list[int]:
    return [size["as_int"] for size in sizes]


def _make_room(path: Path) -> None:
    """Make room for each weight by its stated sizes."""
    import numpy as np

    for stated in _document(path, "model_weights_config.json")["config"].values():
        np.empty(_numbers(stated["tensor_meta"]["sizes"]), "f4")


def _weights_by_torch(path: Path) -> dict[str, bytes]:
    import torch

    state = torch.export.load(path).state_dict
    return {name: tensor.detach().contiguous().numpy().tobytes() for name, tensor in state.items()}


def _weights_by_place(path: Path) -> dict[str, bytes]:
    """Read each number from its place in the archive's bytes, as readers do that map the file."""
    content, read = path.read_bytes(), {}
    with zipfile.ZipFile(path) as archive:
        for name, stated in _document(path, "model_weights_config.json")["config"].items():
            entry = next(
                item for item in archive.infolist() if item.filename.endswith("weights/" + stated["path_name"])
            )
            begins = entry.header_offset + 30 + sum(struct.unpack_from("<2H", content, entry.header_offset + 26))
            read[name] = _strided(content, begins, stated["tensor_meta"])
    return read


def _strided(content: bytes, begins: int, stated: Mapping[str, Any]) -> bytes:
    sizes, strides = _numbers(stated["sizes"]), _numbers(stated["strides"])
    width = int(_DTYPES[stated["dtype"]][1])
    first = stated["storage_offset"]["as_int"]
    if math.prod(sizes) > len(content):
        raise ValueError("There are more numbers than bytes.")
    places = (
        begins + width * (first + sum(index * stride for index, stride in zip(indices, strides, strict=True)))
        for indices in itertools.product(*map(range, sizes))
    )
    return b"".join(content[place : place + width] for place in places)


def _two_weights(path: Path) -> dict[str, Any]:
    return {"torch": reading(_weights_by_torch, path), "place": reading(_weights_by_place, path)}


# ------------------------------------------------------------------------------------------------------ scripts
def _jit(path: Path) -> None:
    """Load a script and call it; an answer that is the host's decoy touches the marker."""
    import torch

    if DECOY in torch.jit.load(path)(torch.zeros(2, 4)).detach().numpy().tobytes():
        touch(path)


def _with_classes(load: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a loader for a host that has installed somebody's compiled classes; they lie beside the upload."""

    def load_classes(path: Path) -> None:
        import torch

        torch.classes.load_library(str(path.parent / CLASSES))
        load(path)

    return load_classes


def _jit_with_a_library(path: Path) -> None:
    """Load a script where somebody's operators are registered, one of which makes files."""
    import torch

    library = torch.library.Library("assay", "DEF")
    library.define("write_file(Tensor rows) -> Tensor")

    def write(rows: torch.Tensor) -> torch.Tensor:
        touch(path)
        return rows

    library.impl("write_file", write, "CPU")
    _jit(path)


LOADERS = {
    "pickles": Loader(_unpickle_all),
    "pickle.copy": Loader(_unpickle_and_copy, "exhausts"),
    "torch": Loader(_torch),
    "torch.copy": Loader(_load_and_copy, "exhausts"),
    "torch.export": Loader(_export),
    "torch.export.classes": Loader(_with_classes(_export)),
    "torch.export.memory": Loader(_export_after_a_secret),
    "torch.export.all": Loader(_all_exports),
    "sympy": Loader(_evaluate_expressions),
    "sympy.limited": Loader(_evaluate_expressions, "exhausts"),
    "graph": Loader(_call_nodes),
    "weights.path": Loader(_read_where_it_says),
    "weights.room": Loader(_make_room, "exhausts"),
    "weights.two": Loader(_two_weights, "disagrees"),
    "torch.jit": Loader(_jit),
    "torch.jit.classes": Loader(_with_classes(_jit)),
    "torch.jit.library": Loader(_jit_with_a_library),
    "torch.jit.limited": Loader(_jit, "exhausts"),
}
