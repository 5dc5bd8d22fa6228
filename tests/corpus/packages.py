"""Model packages: code that hides from its reviewer, and manifests with two readings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.corpus.arrays import tensors_file
from tests.corpus.case import Benign, Case, Unfit, Workshop
from tests.corpus.checkpoints import zip_entries
from tests.corpus.gadgets import bytecode, code, shell
from tests.corpus.native import library
from tests.corpus.pickles import call, plain
from tests.corpus.zips import Entry, write_zip, zip_bytes

_MANIFEST = """\
[package]
framework = "pytorch"
entry_point = "model:build"
weights = "weights.safetensors"

[[signature.inputs]]
name = "features"
shape = [-1, 4]
dtype = "float32"

[[signature.outputs]]
name = "answer"
shape = [-1, 2]
dtype = "float32"
kind = "logits"
"""
_MODEL = """\
import torch


def build():
    return torch.nn.Linear(4, 2)
"""

#: What a change makes of the entries of a good package.
Change = Callable[[dict[str, bytes], Workshop], object]


def _good() -> dict[str, bytes]:
    header = {
        "bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "weight": {"dtype": "F32", "shape": [2, 4], "data_offsets": [8, 40]},
    }
    weights = tensors_file(json.dumps(header), bytes(40))
    return {"assay.toml": _MANIFEST.encode(), "model.py": _MODEL.encode(), "weights.safetensors": weights}


def _changed(change: Change) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        entries = _good()
        change(entries, shop)
        return _written(shop, entries)

    return make


def _written(shop: Workshop, entries: Mapping[str, bytes]) -> Path:
    return write_zip(shop.path(".zip"), [Entry(name, content) for name, content in entries.items()])


def _runs_when_imported(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["model.py"] = code(shop).encode() + b"\n" + entries["model.py"]


def _runs_when_built(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["model.py"] = entries["model.py"].replace(b"    return", f"    {code(shop)}\n    return".encode())


def _hides_names(entries: dict[str, bytes], shop: Workshop) -> None:
    source = f"getattr(__import__('o' + 's'), 'sys' + 'tem')({shell(shop)!r})\n"
    entries["model.py"] = source.encode() + entries["model.py"]


def _helper(entries: dict[str, bytes], shop: Workshop) -> None:
    name = shop.word()
    entries[f"{name}.py"] = code(shop).encode()
    entries["model.py"] = f"from . import {name}\n".encode() + entries["model.py"]


def _shadow(entries: dict[str, bytes], shop: Workshop) -> None:
    name = shop.rng.choice(["typing", "dataclasses", "enum", "abc", "random"])
    entries[f"{name}.py"] = code(shop).encode()
    entries["model.py"] = f"import {name}\n".encode() + entries["model.py"]


def _never_imported(entries: dict[str, bytes], shop: Workshop) -> None:
    name = shop.rng.choice(["sitecustomize.py", "usercustomize.py", "conftest.py", f"{shop.word()}.py"])
    entries[name] = code(shop).encode()


def _other_encoding(entries: dict[str, bytes], shop: Workshop) -> None:
    # The line of code is a comment until the declared encoding turns one character into the end of a line.
    line = f"# a note\\u000a{code(shop)}\n"
    entries["model.py"] = b"# coding: raw_unicode_escape\n" + line.encode() + entries["model.py"]


def _two_directions(entries: dict[str, bytes], shop: Workshop) -> None:
    # Text that a reviewer's screen shows in another order than Python reads it.
    entries["model.py"] = f"'''\u202e{shop.word()}\u2066'''\n{code(shop)}\n".encode() + entries["model.py"]


def _form_feed(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["model.py"] = b"x = 1\r" + code(shop).encode() + b"\r\n" + entries["model.py"]


def _entry(name: str, content: Callable[[Workshop], bytes]) -> Change:
    return lambda entries, shop: entries.update({name.replace("@", shop.word()): content(shop)})


def _wheel(shop: Workshop) -> bytes:
    return zip_bytes([Entry(f"{shop.word()}.py", code(shop).encode())])


def _beside_the_package(change: Callable[[str], Change]) -> Change:
    """Return a change that names a module which lies beside the upload, where somebody else put it."""

    def place(entries: dict[str, bytes], shop: Workshop) -> None:
        name = shop.word()
        (shop.folder / f"{name}.py").write_text(code(shop))
        change(name)(entries, shop)

    return place


def _manifest(old: str, new: str) -> Change:
    def change(entries: dict[str, bytes], shop: Workshop) -> None:
        assert old in _MANIFEST
        entries["assay.toml"] = _MANIFEST.replace(old, new.replace("@", shop.word())).encode()

    return change


def _weights_outside(entries: dict[str, bytes], shop: Workshop) -> None:
    _manifest("weights.safetensors", f"../{shop.decoy.name}")(entries, shop)


def _pickled_weights(entries: dict[str, bytes], shop: Workshop) -> None:
    del entries["weights.safetensors"]
    pickled = plain({"weight": call("os:system", shell(shop))})
    entries["weights.pt"] = zip_bytes(zip_entries(pickled, shop.rng))
    entries["assay.toml"] = _MANIFEST.replace("weights.safetensors", "weights.pt").encode()


def _damaged_weights(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["weights.safetensors"] = entries["weights.safetensors"][: -shop.rng.randint(1, 30)]


def _deep_toml(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["assay.toml"] += b"[recipe]\nloss = " + b"[" * 5000 + b"]" * 5000 + b"\n"


def _not_text(entries: dict[str, bytes], shop: Workshop) -> None:
    entries["assay.toml"] = b"\xff\xfe" + _MANIFEST.encode("utf-16-le")


def _deep_source(entries: dict[str, bytes], shop: Workshop) -> None:
    depth = shop.rng.randint(50_000, 90_000)
    entries["model.py"] += b"x = " + b"-" * depth + b"1\n"


_CODE = ("ART-03.package",)
_SOURCE = (
    "ART-02.source",
    "ART-02.package",
    "ART-02.entry_name",
    "ART-01.shadow",
    "ART-02.unknown_entry",
    "ART-02.duplicate_name",
    "ART-02.too_large",
)
_TOML = ("ART-02.toml", "ART-02.package", "ART-02.missing_entry", "ART-02.entry_name", "ART-02.unknown_entry")
_WEIGHTS = (
    "ART-01.pickle",
    "ART-02.package",
    "ART-02.tensors",
    "ART-02.safetensors",
    "ART-02.weights",
    "ART-02.pickle",
    "ART-02.truncated",
)
_ENTRY = ("ART-02.unknown_entry", "ART-01.native_code", "ART-02.entry_name")


def _case(name: str, says: str, change: Change, rules: tuple[str, ...], bite: str) -> Case:
    return Case(f"package/{name}", says, _changed(change), rules, "package", bite)


def _reviewed(name: str, says: str, change: Change) -> Case:
    """Code is what a package is for: it waits for a reviewer, and runs in the sandbox only."""
    return Case(f"package/{name}", says, _changed(change), _CODE, "package", "import", verdict="quarantined")


CASES: tuple[Case, ...] = (
    _reviewed("imported", "Importing the model runs code.", _runs_when_imported),
    _reviewed("built", "Building the model runs code.", _runs_when_built),
    _reviewed("hidden_names", "Code puts together the names that it uses.", _hides_names),
    _reviewed("helper", "A module of the package runs code.", _helper),
    _case("shadow", "A module has the name of one of Python's.", _shadow, _SOURCE, "import.folder"),
    _case("never_imported", "A source that no other imports.", _never_imported, _SOURCE, "import.all"),
    _case("encoding", "A source in an encoding that hides a line.", _other_encoding, _SOURCE, "import"),
    _case("directions", "A source that is shown in another order.", _two_directions, _SOURCE, "import"),
    _case("line_ends", "Lines that end as an editor does not show.", _form_feed, _SOURCE, "import"),
    _case("deep_source", "An expression that exhausts the parser.", _deep_source, _SOURCE, "package.parse"),
    _case("library", "A compiled library.", _entry("@.so", lambda shop: library(shop.marker)), _ENTRY, "each.library"),
    _case(
        "bytecode",
        "Compiled Python.",
        _entry("__pycache__/model.cpython-311.pyc", lambda shop: bytecode(code(shop))),
        _ENTRY,
        "import.folder",
    ),
    _case(
        "path_file",
        "A file that Python runs at start.",
        _entry("@.pth", lambda shop: f"import os; {code(shop)}\n".encode()),
        _ENTRY,
        "each.path_file",
    ),
    _case(
        "pickle",
        "A pickle beside the weights.",
        _entry("@.pkl", lambda shop: plain(call("os:system", shell(shop)))),
        _ENTRY,
        "each.pickle",
    ),
    _case("wheel", "A nested archive that Python imports from.", _entry("@.whl", _wheel), _ENTRY, "each.wheel"),
    _case("pickled_weights", "The weights are a hostile pickle.", _pickled_weights, _WEIGHTS, "package.checkpoint"),
    _case("damaged_weights", "The weights are cut off.", _damaged_weights, _WEIGHTS, "package.safetensors"),
    _case(
        "entry_elsewhere",
        "The entry point is no module of the package.",
        _manifest("model:build", "os:abort"),
        _TOML,
        "entry",
    ),
    _case(
        "entry_attribute",
        "The entry point is an attribute's attribute.",
        _manifest("model:build", "model:torch.os.abort"),
        _TOML,
        "entry",
    ),
    _case(
        "entry_path",
        "The entry point leaves the package.",
        _beside_the_package(lambda name: _manifest("model:build", f"../{name}:build")),
        _TOML,
        "entry.path",
    ),
    _case("weights_elsewhere", "The weights lie outside.", _weights_outside, _TOML, "package.weights"),
    _case(
        "unknown_key",
        "A key that the format has, in capitals, which readers without case take for it.",
        _manifest('"weights.safetensors"', '"weights.safetensors"\nEntry_Point = "@:build"'),
        _TOML,
        "toml.two",
    ),
    _case(
        "framework",
        "A framework that does not exist.",
        _beside_the_package(lambda name: _manifest('"pytorch"', f'"{name}"')),
        _TOML,
        "package.framework",
    ),
    _case(
        "key_twice",
        "A key is stated twice.",
        _manifest("[package]", '[package]\nframework = "keras"'),
        _TOML,
        "toml.two",
    ),
    _case("deep_toml", "5,000 brackets.", _deep_toml, _TOML, "toml"),
    _case("not_text", "A manifest in UTF-16.", _not_text, _TOML, "toml.two"),
)

UNFIT: tuple[Unfit, ...] = (
    Unfit(
        "package/no_signature",
        "The outputs are missing.",
        _changed(_manifest("[[signature.outputs]]", "[[signature.others]]")),
        _TOML,
        "package",
    ),
)

BENIGN: tuple[Benign, ...] = (
    Benign("package/linear", "A linear layer.", _changed(lambda entries, shop: None), "package", "quarantined"),
)
